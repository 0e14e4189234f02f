"""KVM_CHECK_EXTENSION: what a kernel says of its memory capabilities."""

from __future__ import annotations

from ..kernel.machine import Machine, guest_memfd_built
from ..state.vm_state import VmState
from ..uapi.abi import CAP_NAMES
from .answer import Answer, Unmodelled
from .dirty_log import manual_protect_mask, ring_capability
from .vm_calls import guest_memfd_flags, x86_vm_types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def check_extension(state: VmState, capability: int, *, on_system: bool = False) -> Answer | Unmodelled:
    """The answer on the VM's file descriptor, or on /dev/kvm itself."""
    answer = _ANSWERS.get(capability)
    if answer is None:
        return Unmodelled(f"KVM_CHECK_EXTENSION({CAP_NAMES.get(capability, capability)})")
    value = answer(state, on_system)
    return Unmodelled(f"{CAP_NAMES[capability]}, which the build decides") if value is None else Answer(value=value)


def _one(state: VmState, on_system: bool) -> int:
    return 1


def _x86(state: VmState, on_system: bool) -> int:
    return int(state.machine.profile.arch.is_x86)


def _user_slots(state: VmState, on_system: bool) -> int:
    return state.machine.user_slots


def _spaces(state: VmState, on_system: bool) -> int:
    machine = state.machine
    if not machine.profile.arch.is_x86:
        return 0
    if machine.profile.has("smm-optional") and not machine.profile.option("smm"):
        return 0
    return machine.spaces if machine.profile.has("spaces-per-vm") and not on_system else 2


def _readonly(state: VmState, on_system: bool) -> int:
    machine = state.machine if not on_system else Machine(state.machine.profile)
    return int(bool(machine.flags_plain & 2))


def _manual_protect(state: VmState, on_system: bool) -> int:
    return manual_protect_mask(state)


def _ring(state: VmState, on_system: bool) -> int:
    return ring_capability(state, acq_rel=False)


def _ring_acq_rel(state: VmState, on_system: bool) -> int:
    return ring_capability(state, acq_rel=True)


def _ring_with_bitmap(state: VmState, on_system: bool) -> int:
    profile = state.machine.profile
    return int(profile.has("dirty-ring-with-bitmap") and bool(profile.option("ring-with-bitmap-built")))


def _region2(state: VmState, on_system: bool) -> int:
    return int(state.machine.region2)


def _fault_info(state: VmState, on_system: bool) -> int:
    return int(state.machine.region2 and state.machine.profile.arch.is_x86)


def _attributes(state: VmState, on_system: bool) -> int | None:
    machine = state.machine
    if not machine.profile.has("memory-attributes"):
        return 0
    built = machine.profile.option("attributes-built")
    if built is None and (on_system or machine.private_memory):
        return None if on_system else 8
    return (8 if on_system else machine.attributes_mask) if built else 0


def _guest_memfd(state: VmState, on_system: bool) -> int:
    machine = state.machine
    if not guest_memfd_built(machine.profile):
        return 0
    return 1 if on_system or machine.profile.has("guest-memfd-any-vm") else int(machine.private_memory)


def _guest_memfd_flags(state: VmState, on_system: bool) -> int:
    machine = state.machine
    if not guest_memfd_built(machine.profile) or not machine.profile.has("guest-memfd-mmap"):
        return 0
    return 3 if on_system else guest_memfd_flags(machine)


def _vm_types(state: VmState, on_system: bool) -> int:
    profile = state.machine.profile
    return x86_vm_types(profile) if profile.has("vm-type-argument") else 0


def _pre_fault(state: VmState, on_system: bool) -> int:
    profile = state.machine.profile
    return int(profile.has("pre-fault-memory") and bool(profile.option("tdp")))


_ANSWERS: dict[int, Callable[[VmState, bool], int | None]] = {
    2: _x86,
    3: _one,
    4: _x86,
    10: _user_slots,
    21: _one,
    30: _one,
    37: _x86,
    81: _readonly,
    118: _spaces,
    168: _manual_protect,
    192: _ring,
    223: _ring_acq_rel,
    225: _ring_with_bitmap,
    231: _region2,
    232: _fault_info,
    233: _attributes,
    234: _guest_memfd,
    235: _vm_types,
    236: _pre_fault,
    244: _guest_memfd_flags,
}
