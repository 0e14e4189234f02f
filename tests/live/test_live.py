"""What only the kernel's side has: the device, host memory, the budget, guests, the probe."""

from __future__ import annotations

import errno
import gc
import json
import os

import pytest
from requires import requires

from memslots import find
from memslots.cli.main import main
from memslots.errors import DeviceUnavailableError
from memslots.live.device import NUMBERS, Device
from memslots.live.host_memory import PAGE_BYTES, anonymous, file, memfd, sparse


def open_fds() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def test_a_device_that_is_not_there_says_what_to_do(tmp_path, capsys):
    with pytest.raises(DeviceUnavailableError, match="does not exist: load"):
        Device(str(tmp_path / "kvm"))
    assert main(["live", "probe", "--device", str(tmp_path / "kvm")]) == 4
    assert "does not exist" in capsys.readouterr().err


def test_a_file_that_is_no_kvm_device():
    with pytest.raises(DeviceUnavailableError, match="is not KVM's device"):
        Device("/dev/null")


def test_request_numbers():
    if os.uname().machine == "x86_64":
        assert NUMBERS["KVM_SET_USER_MEMORY_REGION"] == 0x4020AE46
        assert NUMBERS["KVM_CLEAR_DIRTY_LOG"] == 0xC018AEC0


@pytest.mark.parametrize("make", [anonymous, memfd, sparse])
def test_host_memory_is_readable_and_writable(make):
    memory = make(PAGE_BYTES + 1)
    view = memory.view()
    view[PAGE_BYTES] = 7
    assert view[PAGE_BYTES] == 7
    assert memory.nbytes % PAGE_BYTES == 0
    address = memory.address
    del memory
    gc.collect()
    assert view[PAGE_BYTES] == 7, f"{address:#x} was unmapped below a view"


def is_mapped(address):
    with open("/proc/self/maps") as maps:
        ranges = [line.split()[0].split("-") for line in maps]
    return any(int(start, 16) <= address < int(end, 16) for start, end in ranges)


@pytest.mark.parametrize("make", [anonymous, memfd, sparse])
def test_memory_is_never_unmapped_below_a_view(make):
    memory = make(PAGE_BYTES)
    address = memory.address
    view = memory.view()
    part = view[8:16]
    memory.unmap()
    memory.unmap()
    assert memory.address == 0
    assert repr(memory).endswith("unmapped>")
    with pytest.raises(ValueError, match="no bytes to view"):
        memory.view()
    view[8] = 7
    view.release()
    assert is_mapped(address)
    assert part[0] == 7, "a part of a view keeps the memory too"
    del view, part
    gc.collect()
    assert not is_mapped(address)


def test_memory_of_a_file_and_of_nothing(tmp_path):
    path = tmp_path / "ram"
    path.write_bytes(b"x" * 10_000)
    memory = file(str(path))
    assert memory.nbytes == 3 * PAGE_BYTES
    memory.view()[0] = 0x41
    assert path.read_bytes()[:2] == b"Ax"
    with pytest.raises(ValueError, match="at least 1 byte"):
        anonymous(0)


@requires("kvm")
class TestVm:
    def test_nothing_is_left_behind(self):
        from memslots.live import LiveVm

        before = open_fds()
        for _ in range(3):
            with LiveVm() as vm:
                vm.create_vcpu(0)
                vm.create_guest_memfd(PAGE_BYTES)
        vm.close()
        assert open_fds() == before

    def test_memory_stays_while_a_slot_uses_it(self):
        from memslots.live import LiveVm, MemoryInUseError

        with LiveVm() as vm:
            memory = vm.allocate(16 * PAGE_BYTES)
            vm.set_user_memory_region(0, 0, 0, memory.nbytes, memory.address).unwrap()
            with pytest.raises(MemoryInUseError, match="slot 0x0 uses"):
                vm.release(memory)
            vm.set_user_memory_region(0, 0, 0, 0, 0).unwrap()
            vm.release(memory)
            assert memory.address == 0

    def test_the_slots_are_those_of_the_model(self):
        from memslots import Region, Vm
        from memslots.live import LiveVm

        page, hva = PAGE_BYTES, 0x20000000
        calls = [
            (2, 0, 0x200 * page, 4 * page, hva),
            (1, 1, 0x100 * page, 8 * page, hva),
            (1, 0, 0x110 * page, 8 * page, hva),  # moves
            (2, 1, 0x200 * page, 4 * page, hva),
            (2, 8, 0x200 * page, 4 * page, hva),  # EINVAL: leaves the flags
            (2, 0, 0x200 * page, 4 * page, hva),
            (2, 1, 0x200 * page, 4 * page, hva),
            (3, 2, 0x300 * page, 2 * page, hva),  # read-only
            (4, 0, 0x400 * page, 2 * page, hva),
            (4, 0, 0, 0, 0),
        ]
        with LiveVm() as one, LiveVm() as other, LiveVm() as third:
            model = Vm("host")
            for call in calls:
                assert (
                    one.set_user_memory_region(*call).result
                    == model.set_user_memory_region(*call).result
                )
                third.submit(Region(*call))
                assert (
                    list(map(repr, one.slots()))
                    == list(map(repr, model.slots()))
                    == list(map(repr, third.slots()))
                )
            other.set_user_memory_regions(calls)
            for vm in (one, other):
                assert list(map(repr, vm.slots())) == list(map(repr, model.slots()))
                assert list(vm.slots(1)) == []
                assert vm.page_shift == model.page_shift
                for gpa in (
                    0,
                    0x110 * page + 5,
                    0x117 * page,
                    0x118 * page,
                    0x300 * page,
                    0x400 * page,
                ):
                    assert repr(vm.slot_at(gpa)) == repr(model.slot_at(gpa))
                    for write in (False, True):
                        assert vm.gpa_to_hva(gpa, write=write) == model.gpa_to_hva(gpa, write=write)
                assert repr(vm.slot(1)) == repr(model.slot(1))
                assert vm.slot(4) is vm.slot(1 << 16) is None

    def test_the_end_of_a_vm_leaves_what_is_viewed(self):
        from memslots.live import LiveVm

        with LiveVm() as vm:
            memory, other = vm.allocate(PAGE_BYTES), vm.allocate(PAGE_BYTES)
            addresses = memory.address, other.address
            view = memory.view()
        assert [is_mapped(address) for address in addresses] == [True, False]
        view[0] = 7
        assert view[0] == 7
        del view
        assert not is_mapped(addresses[0])

    def test_memory_of_two_vms_stays_until_both_have_let_go(self):
        from memslots.live import LiveVm, MemoryInUseError

        with LiveVm() as vm:
            with LiveVm() as other:
                memory = other.own(vm.allocate(PAGE_BYTES))
                with pytest.raises(MemoryInUseError, match="a VM owns"):
                    memory.unmap()
            memory.view()[0] = 7
            vm.set_user_memory_region(0, 0, 0, memory.nbytes, memory.address).unwrap()
            with pytest.raises(MemoryInUseError, match="slot 0x0 uses"):
                vm.release(memory)
        assert memory.address == 0
        with LiveVm() as vm, pytest.raises(ValueError, match="cannot be owned"):
            vm.own(memory)

    def test_a_huge_slot_needs_no_host_memory_but_a_budget(self):
        from memslots.live import KernelMemoryError, LiveVm

        with LiveVm(budget_bytes=64 << 20) as vm:
            memory = vm.allocate(8 << 30, "sparse")
            assert vm.set_user_memory_region(0, 0, 0, memory.nbytes, memory.address).accepted
            with pytest.raises(KernelMemoryError, match=r"6[34] MiB"):
                vm.set_user_memory_region(1, 0, 1 << 40, 64 << 30, 0)
            # what the kernel refuses before it allocates is asked
            assert vm.set_user_memory_region(1, 0, 1 << 40, 1 << 43, 0).result == -22
            vm.set_user_memory_region(0, 0, 0, 0, 0).unwrap()
            assert vm.set_user_memory_region(1, 0, 1 << 40, 16 << 30, 0).accepted

    def test_calls_at_once_answer_as_one_by_one(self):
        from memslots.live import LiveVm

        page = PAGE_BYTES
        calls = [
            (0, 0, 0, 4 * page, 0x20000000),
            (1, 0, page, page, 0x20000000),  # EEXIST
            (1, 0, 8 * page, page, 0x20000000),
            (0, 1, 0, 4 * page, 0x20000000),
            (1, 0, 0, 0, 0),
            (1, 0, 0, 0, 0),  # EINVAL
            (40000, 0, 64 * page, page, 0x20000000),  # EINVAL
            (2, 0, 1 << 30, 2 * page, 0x20000000),
        ]
        with LiveVm() as one, LiveVm() as other:
            expected = [one.set_user_memory_region(*call).result for call in calls]
            assert expected == [0, -17, 0, 0, 0, -22, -22, 0]
            assert other.set_user_memory_regions(iter(calls)) == expected
            assert other.total_pages == one.total_pages == 6
            assert other.set_user_memory_regions([]) == []
            with pytest.raises(ValueError, match="slot must be between"):
                other.set_user_memory_regions(
                    [(3, 0, 1 << 31, page, 0x20000000), (1 << 32, 0, 0, page, 0)]
                )
            assert other.total_pages == 7, "the call before the bad one was made"
            many = [(slot, 0, slot << 32, page, 0x20000000) for slot in range(10, 2510)]
            assert other.set_user_memory_regions(many) == [0] * 2500
            assert other.total_pages == 2507

    def test_calls_at_once_keep_to_the_budget(self):
        from memslots.live import KernelMemoryError, LiveVm

        with LiveVm(budget_bytes=64 << 20) as vm:
            size = 8 << 30
            memory = vm.allocate(size, "sparse")
            calls = [(slot, 0, slot << 40, size, memory.address) for slot in range(4)]
            with pytest.raises(KernelMemoryError, match="the budget is"):
                vm.set_user_memory_regions(calls)
            assert vm.total_pages == 2 * size // PAGE_BYTES
            assert vm.set_user_memory_regions(
                [(0, 0, 0, 0, 0), (5, 0, 5 << 40, size, memory.address)]
            ) == [0, 0]

    def test_a_call_that_repeats_another_is_still_a_whole_call(self):
        from memslots.live import KernelMemoryError, LiveVm, MemoryInUseError

        with LiveVm(budget_bytes=16 << 20) as vm:
            memory = vm.allocate(16 * PAGE_BYTES)
            call = (0, 0, memory.nbytes, memory.address)

            def region(flags):
                return vm.set_user_memory_region(call[0], flags, *call[1:]).result

            assert [region(flags) for flags in (0, 1, 0, 8, 1)] == [0, 0, 0, -22, 0]
            assert vm.get_dirty_log(0).accepted
            for flags, error in ((1 << 32, ValueError), (-1, ValueError), ("1", TypeError)):
                with pytest.raises(error, match="flags must be"):
                    region(flags)
            # deleted by a call of another kind, and made again by the repeated one
            vm.set_user_memory_region2(0, 0, 0, 0, 0).unwrap()
            vm.release(vm.allocate(PAGE_BYTES))
            assert region(1) == 0
            with pytest.raises(MemoryInUseError):
                vm.release(memory)
            assert vm.set_user_memory_regions([(0, 0, 0, 0, 0)]) == [0]
            assert region(0) == 0
            assert vm.total_pages == 16
            with pytest.raises(KernelMemoryError):
                vm.set_user_memory_region(1, 0, 1 << 40, 8 << 30, memory.address)

    def test_kvm_itself_dirties_a_page(self):
        from memslots.live import LiveVm

        with LiveVm() as vm:
            memory = vm.allocate(64 * PAGE_BYTES)
            vm.set_user_memory_region(0, 1, 0, memory.nbytes, memory.address).unwrap()
            with pytest.raises(ValueError, match="needs a vCPU"):
                vm.mark_dirty(5 * PAGE_BYTES)
            vm.create_vcpu(0).unwrap()
            vm.mark_dirty(5 * PAGE_BYTES)
            assert list(vm.get_dirty_log(0).data.pages()) == [5]
            assert list(vm.get_dirty_log(0).data.pages()) == []

    def test_the_probe_leaves_nothing_and_names_a_profile(self, capsys):
        before = open_fds()
        profile = find("host")
        assert open_fds() == before
        assert profile.name == "host"
        assert profile.arch.name in ("x86_64", "arm64", "riscv64")
        assert find("host+page-track").option("page-track") is True
        assert main(["live", "probe", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["schema"] == "memslots.probe/1"

    def test_a_recording_run_here(self, tmp_path, capsys):
        path = tmp_path / "calls.strace"
        path.write_text(
            "ioctl(3, KVM_CREATE_VM, 0) = 4\n"
            "ioctl(4, KVM_SET_USER_MEMORY_REGION, {slot=0, flags=0, guest_phys_addr=0, "
            "memory_size=8192,"
            " userspace_addr=0x20000000}) = 0\n"
            "ioctl(4, KVM_SET_USER_MEMORY_REGION, {slot=1, flags=0, guest_phys_addr=0x1000, "
            "memory_size=8192,"
            " userspace_addr=0x20000000}) = 0\n"
        )
        assert main(["live", "run", str(path)]) == 1
        out = capsys.readouterr().out
        assert "-EEXIST (File exists) here, 0 recorded" in out
        assert "3 calls made, 1 answered otherwise" in out


@requires("kvm", "guest")
def test_a_guest_that_writes():
    from memslots.live.guest_demo import show

    shown = show()
    assert shown.live_pages == shown.expected_pages == [2, 5, 127]
    assert shown.rom_exit.name == "mmio"
    assert shown.as_expected


@requires("kvm")
def test_look_ups_know_the_flags_of_the_last_call():
    from memslots.live import LiveVm

    with LiveVm() as vm:
        address = vm.allocate(64 << 10).address
        first, second = (0, 0, 8192, address), (1, 1 << 20, 4096, address)

        def change(slot, flags, gpa, nbytes, hva):
            return vm.set_user_memory_region(slot, flags, gpa, nbytes, hva).errno

        def flags():
            return [slot.flags for slot in vm.slots()]

        def call(region, value):
            return change(region[0], value, *region[1:])

        assert [call(first, value) for value in (0, 1, 0, 1)] == [0, 0, 0, 0]
        assert flags() == [1]
        assert [call(first, value) for value in (0, 1)] == [0, 0]
        assert call(second, 1) == 0
        assert flags() == [1, 1]
        assert call(second, 0) == 0
        assert call(second, 1 << 7) == call(second, 1 << 31) == errno.EINVAL
        assert flags() == [1, 0]
        assert (vm.slot(1).flags, vm.slot_at(1 << 20).flags) == (0, 0)
        assert call(second, 1) == 0
        assert vm.set_user_memory_regions([(0, 0, 0, 8192, address)]) == [0]
        assert flags() == [0, 1]
        assert change(1, 0, 1 << 20, 0, address) == 0
        assert change(1, 0, 1 << 20, 0, address) == errno.EINVAL
        assert flags() == [0]
        with pytest.raises(ValueError, match="flags"):
            call(first, 1 << 32)
        assert call(first, 1) == 0
        with pytest.raises(ValueError, match="flags"):
            call(first, -1)
        with pytest.raises((ValueError, TypeError), match="flags"):
            call(first, 0.5)
        assert flags() == [1]
