"""One suite over the model and the kernel: the same calls, the same answers."""

from __future__ import annotations

from errno import EBADF, EEXIST, EFAULT, EINVAL, EIO, ENOENT, ENOTTY, ENXIO

import pytest
from requires import requires

from memslots import Region, Vm

PAGE = 4096
HVA = 0x2000_0000
LOG, RO, GMEM = 1, 2, 4


@pytest.fixture(scope="module")
def profile():
    from memslots.live.probe import probe

    return probe()


@pytest.fixture(params=["model", "live"])
def vm(request, profile):
    if request.param == "model":
        yield Vm(profile)
        return
    from memslots.live import LiveVm

    with LiveVm() as live:
        yield live


pytestmark = requires("kvm")


def region(vm, slot, gfn, npages, flags=0, hva=HVA):
    return vm.set_user_memory_region(slot, flags, gfn * PAGE, npages * PAGE, hva).result


def test_slots_are_made_moved_changed_and_deleted(vm):
    assert region(vm, 0, 0, 4) == 0
    assert region(vm, 0, 0, 4) == 0
    assert region(vm, 0, 16, 4) == 0
    assert region(vm, 0, 16, 4, LOG) == 0
    assert vm.total_pages == 4
    assert region(vm, 0, 16, 0) == 0
    assert vm.total_pages == 0
    assert region(vm, 0, 16, 0) == -EINVAL


def test_outcomes_unwrap_to_the_errno(vm):
    region(vm, 0, 0, 4)
    refused = vm.set_user_memory_region(1, 0, PAGE, PAGE, HVA)
    assert not refused.accepted
    assert (refused.errno, refused.result) == (EEXIST, -EEXIST)
    with pytest.raises(OSError, match="File exists") as caught:
        refused.unwrap()
    assert caught.value.errno == EEXIST
    accepted = vm.set_user_memory_region(1, 0, 4 * PAGE, PAGE, HVA)
    assert (accepted.accepted, accepted.errno, accepted.unwrap()) == (True, 0, 0)


@pytest.mark.parametrize(
    "fields",
    [
        (0, 0, 0, 100, HVA),
        (0, 0, 1, PAGE, HVA),
        (0, 0, 0, PAGE, HVA + 8),
        (0, 8, 0, PAGE, HVA),
        (0, 4, 0, PAGE, HVA),
        (0, 1 << 16, 0, PAGE, HVA),
        (32764, 0, 0, PAGE, HVA),
        (1 << 16, 0, 0, PAGE, HVA),
        (0, 0, (1 << 64) - PAGE, PAGE, HVA),
        (0, 0, 1 << 52, PAGE, HVA),
        (0, 0, 0, 1 << 43, HVA),
        (0, 0, 0, PAGE, 1 << 63),
        (0, 0, 0, PAGE, (1 << 47) - PAGE),
    ],
)
def test_arguments_that_kvm_refuses(vm, fields):
    assert vm.set_user_memory_region(*fields).result == -EINVAL


@pytest.mark.parametrize(
    ("size", "v1", "v2"), [(0, EFAULT, EFAULT), (31, EFAULT, EFAULT), (32, 0, EFAULT), (160, 0, 0)]
)
def test_arguments_cut_short(vm, size, v1, v2):
    assert vm.submit(Region(0, 0, 0, PAGE, HVA, readable_bytes=size)).result == -v1
    assert (
        vm.submit(Region(1, 0, 8 * PAGE, PAGE, HVA, region2=True, readable_bytes=size)).result
        == -v2
    )


def test_another_process_may_not_call(vm):
    assert vm.submit(Region(0, 0, 0, PAGE, HVA), by_other_process=True).result == -EIO
    assert vm.total_pages == 0


def test_values_that_no_c_program_could_pass(vm):
    with pytest.raises(ValueError, match="slot must be between"):
        vm.set_user_memory_region(1 << 32, 0, 0, PAGE, HVA)
    with pytest.raises(TypeError, match="memory_size must be an int"):
        vm.set_user_memory_region(0, 0, 0, "4096", HVA)


def test_dirty_log(vm):
    assert vm.get_dirty_log(0).result == -ENOENT
    region(vm, 0, 0, 100, LOG)
    bitmap = vm.get_dirty_log(0).data
    assert (bitmap.count(), list(bitmap.pages()), bitmap.to_bytes(64)) == (0, [], bytes(16))
    assert vm.get_dirty_log(0, 8).result == -EFAULT
    assert vm.get_dirty_log(40000).result == -EINVAL
    assert vm.clear_dirty_log(0, 0, 100).result == 0
    assert vm.clear_dirty_log(0, 0, 100, 5).result == 0
    assert vm.clear_dirty_log(0, 0, 100, None, 8).result == -EFAULT
    assert vm.clear_dirty_log(0, 1, 64).result == -EINVAL
    assert vm.clear_dirty_log(0, 0, 50).result == -EINVAL
    assert vm.clear_dirty_log(1, 0, 64).result == -ENOENT


def test_manual_protection_and_initially_set(vm):
    assert vm.enable_cap(168, 2).result == -EINVAL
    assert vm.enable_cap(168, 3).result == 0
    region(vm, 1, 1000, 100, LOG)
    assert vm.get_dirty_log(1).data.count() == 100
    assert vm.get_dirty_log(1).data.count() == 100
    assert vm.clear_dirty_log(1, 0, 64, 0b101).result == 0
    assert list(vm.get_dirty_log(1).data.pages())[:3] == [1, 3, 4]


def test_dirty_ring_instead_of_a_log(vm):
    assert vm.reset_dirty_rings().result == -EINVAL
    assert vm.enable_cap(192, 4097).result == -EINVAL
    assert vm.enable_cap(192, 65536).result == 0
    assert vm.enable_cap(223, 65536).result == -EINVAL
    region(vm, 0, 0, 4, LOG)
    assert vm.get_dirty_log(0).result == -ENXIO
    assert vm.reset_dirty_rings().result == 0


def test_guest_memfd(vm):
    assert vm.create_guest_memfd(1).result == -EINVAL
    assert vm.create_guest_memfd(PAGE, 8).result == -EINVAL
    fd = vm.create_guest_memfd(16 * PAGE).unwrap()
    bind = vm.set_user_memory_region2
    assert bind(0, GMEM, 0, 4 * PAGE, 0, fd, 0).result == 0
    assert bind(0, GMEM, 0, 4 * PAGE, 0, fd, 0).result == -EINVAL
    assert bind(1, GMEM, 8 * PAGE, 4 * PAGE, 0, fd, 3 * PAGE).result == -EINVAL
    assert bind(1, GMEM, 8 * PAGE, 4 * PAGE, 0, fd, 4 * PAGE).result == 0
    assert bind(2, GMEM, 0, PAGE, 0, 0x3FFF_FFFF, 0).result == -EEXIST
    assert bind(2, GMEM, 64 * PAGE, PAGE, 0, 0x3FFF_FFFF, 0).result == -EBADF
    assert bind(2, GMEM | LOG, 64 * PAGE, PAGE, 0, fd, 0).result == -EINVAL
    assert vm.close_guest_memfd(fd)
    assert not vm.close_guest_memfd(fd)
    assert bind(0, 0, 0, 0, 0).result == 0


def test_other_calls(vm):
    assert vm.check_extension(10).result == 32764
    assert vm.check_extension(231).result == 1
    assert vm.set_nr_mmu_pages(63).result == -EINVAL
    assert vm.set_nr_mmu_pages(64).result == 0
    assert vm.get_nr_mmu_pages().result == -ENOTTY
    assert vm.set_tss_addr(1 << 32).result == -EINVAL
    assert vm.set_tss_addr(0xFFFB_D000).result == 0
    assert vm.set_identity_map_addr(0xFFFB_C000).result == 0
    assert vm.create_irqchip().result == 0
    assert vm.create_irqchip().result == -EEXIST
    assert vm.create_vcpu(0).result >= 0
    assert vm.create_vcpu(0).result == -EEXIST
    assert vm.set_identity_map_addr(0).result == -EINVAL


def test_split_irqchip_reserves_as_many_routes_as_there_can_be(vm):
    assert vm.enable_cap(121, 4097).result == -EINVAL
    assert vm.enable_cap(121, 4096).result == 0
    assert vm.enable_cap(121, 24).result == -EEXIST
    assert vm.enable_cap(121, 4097).result == -EINVAL
    assert vm.create_irqchip().result == -EEXIST


def test_a_type_that_is_refused(profile):
    from memslots.live import LiveVm

    for make in (lambda: Vm(profile, 99), lambda: LiveVm(vm_type=99)):
        with pytest.raises(OSError, match="Invalid argument") as caught:
            make()
        assert caught.value.errno == EINVAL
