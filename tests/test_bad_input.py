"""Values that no C program could pass: TypeError or ValueError that names the value, and nothing
changes.

And what is not an error: refusals are values, OSErrors on demand; three kinds of
silence never share a name.
"""

from __future__ import annotations

import errno
import os

import pytest

from memslots import (
    Process,
    RefusedError,
    Region,
    Undetermined,
    UnknownKernelError,
    Unmodelled,
    Vm,
    find,
)
from memslots.errors import (
    InvariantBrokenError,
    MemslotsError,
    TraceError,
    errno_name,
)
from memslots.kernel.profile import dated
from memslots.rules.answer import ASSUMPTIONS
from memslots.rules.raised import UndeterminedError, UnmodelledError
from memslots.state.slot import Slot
from memslots.uapi.region import checked_uint


class LikeNumpy:
    """An integer to look at, as numpy's are: not an int, with | and >> of its own."""

    def __init__(self, value):
        self.value = value

    def __or__(self, other):
        return LikeNumpy(self.value | int(other))

    __ror__ = __or__

    def __rshift__(self, bits):
        return LikeNumpy(self.value >> bits)

    def __bool__(self):
        return bool(self.value)

    def __int__(self):
        return self.value

    __index__ = __int__

    def __repr__(self):
        return f"LikeNumpy({self.value})"


HUGE = 1 << 100_000
NOT_INTS = [None, "5", 5.0, b"5", [5], {5}, 5j, object(), LikeNumpy(5)]
FIELDS = {
    "slot": 32,
    "flags": 32,
    "guest_phys_addr": 64,
    "memory_size": 64,
    "userspace_addr": 64,
    "guest_memfd": 32,
    "guest_memfd_offset": 64,
}
FINE = dict.fromkeys(FIELDS, 0)


@pytest.mark.parametrize("value", NOT_INTS, ids=[type(value).__name__ for value in NOT_INTS])
@pytest.mark.parametrize("field", FIELDS)
def test_region_fields_that_are_no_integers(field, value):
    with pytest.raises(TypeError, match=rf"{field} must be an int, not {type(value).__name__}"):
        Region(**{**FINE, field: value})


@pytest.mark.parametrize("field", FIELDS)
def test_region_fields_that_do_not_fit(field):
    bits = FIELDS[field]
    for value in (-1, -(1 << 63), 1 << bits, 1 << 64):
        with pytest.raises(ValueError, match=f"{field} must be between 0 and .*not {value:#x}"):
            Region(**{**FINE, field: value})
    with pytest.raises(ValueError, match=f"{field} .* a number of 100001 bits"):
        Region(**{**FINE, field: HUGE})
    with pytest.raises(ValueError, match=f"{field} .* a number of 100001 bits"):
        Region(**{**FINE, field: -HUGE})
    assert getattr(Region(**{**FINE, field: (1 << bits) - 1}), field) == (1 << bits) - 1


def test_a_negative_field_is_not_hidden_by_the_others():
    with pytest.raises(ValueError, match="memory_size"):
        Region(1, 3, 0x1000, -4096, 0xFFFF_FFFF_FFFF_FFFF)


def test_checked_uint():
    assert checked_uint("n", 0) == 0
    assert checked_uint("n", 7, 7) == 7
    with pytest.raises(ValueError, match="n must be between 0 and 0x7, not 0x8"):
        checked_uint("n", 8, 7)
    with pytest.raises(TypeError, match="n must be an int, not bool: True"):
        checked_uint("n", True)


CALLS = {
    "get_dirty_log": lambda vm, bad: vm.get_dirty_log(bad),
    "get_dirty_log buffer": lambda vm, bad: vm.get_dirty_log(0, bad if bad is not None else "x"),
    "clear_dirty_log slot": lambda vm, bad: vm.clear_dirty_log(bad, 0, 0),
    "clear_dirty_log first": lambda vm, bad: vm.clear_dirty_log(0, bad, 0),
    "clear_dirty_log num": lambda vm, bad: vm.clear_dirty_log(0, 0, bad),
    "clear_dirty_log mask": lambda vm, bad: vm.clear_dirty_log(
        0, 0, 64, bad if bad is not None else "x"
    ),
    "mark_dirty": lambda vm, bad: vm.mark_dirty(bad),
    "mark_dirty space": lambda vm, bad: vm.mark_dirty(0, bad),
    "check_extension": lambda vm, bad: vm.check_extension(bad),
    "enable_cap": lambda vm, bad: vm.enable_cap(bad),
    "enable_cap argument": lambda vm, bad: vm.enable_cap(168, bad),
    "enable_cap flags": lambda vm, bad: vm.enable_cap(168, 0, flags=bad),
    "create_vcpu": lambda vm, bad: vm.create_vcpu(bad),
    "set_tss_addr": lambda vm, bad: vm.set_tss_addr(bad),
    "set_identity_map_addr": lambda vm, bad: vm.set_identity_map_addr(bad),
    "set_nr_mmu_pages": lambda vm, bad: vm.set_nr_mmu_pages(bad),
    "create_guest_memfd": lambda vm, bad: vm.create_guest_memfd(bad),
    "create_guest_memfd flags": lambda vm, bad: vm.create_guest_memfd(4096, bad),
    "set_memory_attributes gpa": lambda vm, bad: vm.set_memory_attributes(bad, 4096, 0),
    "set_memory_attributes size": lambda vm, bad: vm.set_memory_attributes(0, bad, 0),
    "set_memory_attributes value": lambda vm, bad: vm.set_memory_attributes(0, 4096, bad),
    "pre_fault_memory": lambda vm, bad: vm.pre_fault_memory(bad, 4096),
    "slots": lambda vm, bad: vm.slots(bad),
    "slot": lambda vm, bad: vm.slot(bad),
    "slot_at": lambda vm, bad: vm.slot_at(bad),
    "slot_at space": lambda vm, bad: vm.slot_at(0, bad),
    "gpa_to_hva": lambda vm, bad: vm.gpa_to_hva(bad),
    "slots_at_hva start": lambda vm, bad: vm.slots_at_hva(bad, 5),
    "slots_at_hva end": lambda vm, bad: vm.slots_at_hva(5, bad),
    "Vm type": lambda vm, bad: Vm(vm.profile, bad),
}


@pytest.mark.parametrize("call", CALLS)
def test_other_calls_name_the_bad_value(call):
    vm = Vm("7.2/x86_64+amd+attributes-built+pa46")
    vm.set_user_memory_region(0, 1, 0, 4096, 0x40000000).unwrap()
    for bad in (None, "7", 1.5, LikeNumpy(7)):
        with pytest.raises(TypeError, match=r"must be an int|not '?x'?"):
            CALLS[call](vm, bad)
    for bad in (-1, -HUGE):
        with pytest.raises(ValueError, match=r"not (-0x1|a number of 100001 bits)"):
            CALLS[call](vm, bad)
    if "mask" not in call:
        with pytest.raises(ValueError, match="number of 100001 bits"):
            CALLS[call](vm, HUGE)
    vm.check()
    assert vm.total_pages == 1


def test_a_space_that_the_vm_has_not():
    vm = Vm("6.1/arm64")
    with pytest.raises(ValueError, match="as_id must be between 0 and 0x0, not 0x1"):
        vm.slots(1)
    assert vm.slot(1 << 16) is None


@pytest.mark.parametrize("kernel", [None, 6.1, 61, b"6.1/x86_64", ["6.1"]])
def test_a_kernel_that_is_no_name(kernel):
    with pytest.raises(TypeError, match="kernel is named by a string"):
        Vm(kernel)


def test_a_bad_call_changes_nothing():
    vm = Vm("6.1/x86_64")
    with pytest.raises(TypeError):
        vm.set_user_memory_region(0, 0, 0, "4096", 0)
    assert vm.total_pages == 0
    assert list(vm.slots()) == []


# -- refusals


def test_a_refusal_is_a_value_and_an_oserror_on_demand():
    vm = Vm("6.1/x86_64")
    assert vm.set_user_memory_region(0, 0, 0, 8192, 0x40000000).unwrap() == 0
    refused = vm.set_user_memory_region(1, 0, 4096, 8192, 0x40000000)
    assert (refused.accepted, refused.errno, refused.result) == (False, errno.EEXIST, -errno.EEXIST)
    assert refused.other is vm.slot(0)
    assert refused.reason.startswith("EEXIST slot-overlap: ")
    with pytest.raises(OSError, match=r"File exists.*slot-overlap") as caught:
        refused.unwrap()
    assert isinstance(caught.value, RefusedError)
    assert isinstance(caught.value, MemslotsError)
    assert caught.value.errno == errno.EEXIST
    assert caught.value.refused is refused
    assert os.strerror(errno.EEXIST) in caught.value.strerror
    assert "EEXIST" in repr(refused)


def test_a_refused_vm_type_raises():
    with pytest.raises(RefusedError) as caught:
        Vm("6.1/x86_64", 1)
    assert caught.value.errno == errno.EINVAL
    assert caught.value.refused.rule.id == "vm-type-unsupported"


def test_an_errno_without_a_name():
    assert errno_name(-errno.EEXIST) == "EEXIST"
    assert errno_name(524) == "errno 524"
    assert errno_name(errno.EOPNOTSUPP) == "EOPNOTSUPP"


def test_accepted():
    vm = Vm("6.1/x86_64")
    made = vm.set_user_memory_region(0, 0, 0, 4096, 0x40000000)
    assert (made.accepted, made.result, made.errno, made.reason) == (True, 0, 0, "accepted")
    assert made.change.slot is vm.slot(0)
    assert ASSUMPTIONS


# -- three silences


def test_not_observed_not_modelled_and_broken_are_three_things():
    unknown = Vm("7.2/x86_64").set_user_memory_region(0, 0, 1 << 40, 4096, 0x40000000)
    assert isinstance(unknown, Undetermined)
    assert (unknown.accepted, unknown.errno, unknown.result) == (None, None, None)
    assert unknown.rule.id == "gfn-above-max"
    assert "+pa" in unknown.question
    with pytest.raises(UndeterminedError, match=r"\+pa") as caught:
        unknown.unwrap()
    assert caught.value.undetermined is unknown

    unwritten = Vm("5.12/i386").set_user_memory_region(0, 0, 0, 1 << 44, 0x40000000)
    assert isinstance(unwritten, Unmodelled)
    assert unwritten.reason.startswith("not modelled: ")
    with pytest.raises(UnmodelledError, match="2\\^44"):
        unwritten.unwrap()

    vm = Vm("6.1/x86_64")
    vm.set_user_memory_region(0, 0, 0, 4096, 0x40000000).unwrap()
    vm.state.total_pages = 7
    with pytest.raises(InvariantBrokenError, match="page total 7, slots have 1"):
        vm.check()

    kinds = (
        UndeterminedError,
        UnmodelledError,
        InvariantBrokenError,
        RefusedError,
        UnknownKernelError,
        TraceError,
    )
    for one in kinds:
        assert issubclass(one, MemslotsError)
        assert [other for other in kinds if issubclass(one, other)] == [one]
    words = [outcome.reason.split()[0] for outcome in (unknown, unwritten)]
    assert words == ["undetermined", "not"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda vm: setattr(vm.state.spaces[0], "count", 2), "count 2"),
        (lambda vm: vm.state.spaces[0].insert(Slot(0, 5, 0, 1, 0, 0)), "overlap"),
        (lambda vm: vm.state.spaces[0].insert(Slot(1, 5, 9, 1, 0, 0)), "address space"),
        (lambda vm: vm.state.spaces[0].insert(Slot(0, 40000, 9, 1, 0, 0)), "id"),
        (lambda vm: vm.state.spaces[0].insert(Slot(0, 5, 9, 0, 0, 0)), "empty"),
        (lambda vm: setattr(vm.state.budget, "n_requested", 5), "budget"),
        (lambda vm: vm.state._bitmaps.update({9: None}), "bitmap"),
    ],
    ids=["count", "overlap", "space", "id", "empty", "budget", "bitmap"],
)
def test_check_finds_what_is_broken(damage, message):
    vm = Vm("6.1/x86_64")
    vm.set_user_memory_region(0, 0, 0, 4096, 0x40000000).unwrap()
    vm.check()
    damage(vm)
    vm.state.total_pages = sum(slot.npages for slot in vm.slots())
    with pytest.raises(InvariantBrokenError, match=message):
        vm.check()


def test_what_nobody_saw_of_the_host_is_asked():
    vm = Vm("7.2/x86_64", process=Process(fds_known=False))
    asked = vm.set_user_memory_region2(0, 4, 0, 4096, 0x40000000, 9)
    assert isinstance(asked, Undetermined)
    assert "file descriptor 9" in asked.question
    assert vm.total_pages == 0


def test_profiles_never_change():
    profile = find("6.1/x86_64")
    edited = profile.edited({"region2": True, "gpa-bits": 46})
    assert edited.has("region2")
    assert not profile.has("region2")
    assert edited.facts["region2"] == "stated"
    assert edited.options["gpa-bits"].provenance == "stated"
    assert dated(profile.version, profile.arch).facts.keys() == profile.facts.keys()
