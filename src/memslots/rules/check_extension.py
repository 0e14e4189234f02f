"""KVM_CHECK_EXTENSION: what a kernel says of its memory capabilities."""

from __future__ import annotations

from ..kernel.asked import machine_of
from ..kernel.machine import guest_memfd_built
from ..state.vm_state import VmState
from ..uapi.calls import SYSTEM
from ..uapi.capabilities import (
    KVM_CAP_ARM_MTE,
    KVM_CAP_ARM_VM_IPA_SIZE,
    KVM_CAP_DESTROY_MEMORY_REGION_WORKS,
    KVM_CAP_DIRTY_LOG_RING,
    KVM_CAP_DIRTY_LOG_RING_ACQ_REL,
    KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP,
    KVM_CAP_GUEST_MEMFD,
    KVM_CAP_GUEST_MEMFD_FLAGS,
    KVM_CAP_JOIN_MEMORY_REGIONS_WORKS,
    KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
    KVM_CAP_MEMORY_ATTRIBUTES,
    KVM_CAP_MEMORY_FAULT_INFO,
    KVM_CAP_MMU_SHADOW_CACHE_CONTROL,
    KVM_CAP_MULTI_ADDRESS_SPACE,
    KVM_CAP_NR_MEMSLOTS,
    KVM_CAP_PRE_FAULT_MEMORY,
    KVM_CAP_READONLY_MEM,
    KVM_CAP_SET_IDENTITY_MAP_ADDR,
    KVM_CAP_SET_TSS_ADDR,
    KVM_CAP_USER_MEMORY,
    KVM_CAP_USER_MEMORY2,
    KVM_CAP_VM_TYPES,
)
from ..uapi.fields import capability_text
from ..uapi.flags import (
    GUEST_MEMFD_FLAG_INIT_SHARED,
    GUEST_MEMFD_FLAG_MMAP,
    KVM_MEM_READONLY,
    KVM_MEMORY_ATTRIBUTE_PRIVATE,
)
from .answer import Accepted, Unmodelled
from .attempt import Attempt
from .create_vm import x86_vm_types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def decide(attempt: Attempt) -> Accepted | Unmodelled:
    """The answer on the VM's file descriptor, or on /dev/kvm itself."""
    return check_extension(attempt.state, attempt.get("cap"), on_system=attempt.on == SYSTEM)


def check_extension(state: VmState, capability: int, *, on_system: bool) -> Accepted | Unmodelled:
    """The value of a capability, of the VM or of /dev/kvm."""
    answer = _ANSWERS.get(capability)
    if answer is None:
        return Unmodelled(f"KVM_CHECK_EXTENSION({capability_text(capability)})")
    value = answer(state, on_system)
    if value is None:
        return Unmodelled(f"{capability_text(capability)}, which the build decides")
    return Accepted(value=value)


def _one(state: VmState, on_system: bool) -> int:
    return 1


def _x86(state: VmState, on_system: bool) -> int:
    return int(state.machine.profile.arch.is_x86)


def _user_slots(state: VmState, on_system: bool) -> int:
    profile = state.machine.profile
    if profile.arch.name == "mips" and not profile.has("mips-nr-memslots"):
        return 0
    return state.machine.user_slots


def _spaces(state: VmState, on_system: bool) -> int:
    machine = state.machine
    if not machine.profile.arch.is_x86:
        return 0
    if machine.profile.has("smm-optional") and not machine.profile.option("smm"):
        return 0
    return machine.spaces if machine.profile.has("spaces-per-vm") and not on_system else 2


def _readonly(state: VmState, on_system: bool) -> int:
    machine = state.machine if not on_system else machine_of(state.machine.profile)
    return int(bool(machine.flags_plain & KVM_MEM_READONLY) and not machine.protected_vm)


def _manual_protect(state: VmState, on_system: bool) -> int:
    from .enable_cap import manual_protect_mask

    return manual_protect_mask(state.machine.profile)


def _ring(state: VmState, on_system: bool) -> int:
    from .dirty_ring import ring_capability

    return ring_capability(state.machine.profile, acq_rel=False)


def _ring_acq_rel(state: VmState, on_system: bool) -> int:
    from .dirty_ring import ring_capability

    return ring_capability(state.machine.profile, acq_rel=True)


def _ring_with_bitmap(state: VmState, on_system: bool) -> int:
    profile = state.machine.profile
    return int(
        profile.has("dirty-ring-with-bitmap") and bool(profile.option("ring-with-bitmap-built"))
    )


def _region2(state: VmState, on_system: bool) -> int:
    return int(state.machine.region2)


def _fault_info(state: VmState, on_system: bool) -> int:
    return int(state.machine.region2 and state.machine.profile.arch.is_x86)


def _ipa_bits(state: VmState, on_system: bool) -> int | None:
    profile = state.machine.profile
    return profile.number("gpa-bits") if profile.has("arm64-vm-type-is-ipa-bits") else 0


def _memory_tagging(state: VmState, on_system: bool) -> int | None:
    profile = state.machine.profile
    if not profile.knows_mte or (not on_system and state.machine.protected_vm):
        return 0
    has = profile.option("mte")
    return None if has is None else int(has)


def _attributes(state: VmState, on_system: bool) -> int | None:
    machine = state.machine
    if not machine.profile.has("memory-attributes"):
        return 0
    built = machine.profile.option("attributes-built")
    if built is None and (on_system or machine.private_memory):
        return None if on_system else KVM_MEMORY_ATTRIBUTE_PRIVATE
    return (KVM_MEMORY_ATTRIBUTE_PRIVATE if on_system else machine.attributes_mask) if built else 0


def _guest_memfd(state: VmState, on_system: bool) -> int:
    machine = state.machine
    if not guest_memfd_built(machine.profile):
        return 0
    return (
        1 if on_system or machine.profile.has("guest-memfd-any-vm") else int(machine.private_memory)
    )


def _guest_memfd_flags(state: VmState, on_system: bool) -> int:
    machine = state.machine
    if not guest_memfd_built(machine.profile) or not machine.profile.has("guest-memfd-mmap"):
        return 0
    if on_system:
        return GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED
    from .guest_memfd import guest_memfd_flags

    return guest_memfd_flags(machine)


def _vm_types(state: VmState, on_system: bool) -> int:
    profile = state.machine.profile
    return x86_vm_types(profile) if profile.has("vm-type-argument") else 0


def _pre_fault(state: VmState, on_system: bool) -> int:
    profile = state.machine.profile
    return int(profile.has("pre-fault-memory") and bool(profile.option("tdp")))


_ANSWERS: dict[int, Callable[[VmState, bool], int | None]] = {
    KVM_CAP_MMU_SHADOW_CACHE_CONTROL: _x86,
    KVM_CAP_USER_MEMORY: _one,
    KVM_CAP_SET_TSS_ADDR: _x86,
    KVM_CAP_NR_MEMSLOTS: _user_slots,
    KVM_CAP_DESTROY_MEMORY_REGION_WORKS: _one,
    KVM_CAP_JOIN_MEMORY_REGIONS_WORKS: _one,
    KVM_CAP_SET_IDENTITY_MAP_ADDR: _x86,
    KVM_CAP_READONLY_MEM: _readonly,
    KVM_CAP_MULTI_ADDRESS_SPACE: _spaces,
    KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2: _manual_protect,
    KVM_CAP_ARM_VM_IPA_SIZE: _ipa_bits,
    KVM_CAP_ARM_MTE: _memory_tagging,
    KVM_CAP_DIRTY_LOG_RING: _ring,
    KVM_CAP_DIRTY_LOG_RING_ACQ_REL: _ring_acq_rel,
    KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP: _ring_with_bitmap,
    KVM_CAP_USER_MEMORY2: _region2,
    KVM_CAP_MEMORY_FAULT_INFO: _fault_info,
    KVM_CAP_MEMORY_ATTRIBUTES: _attributes,
    KVM_CAP_GUEST_MEMFD: _guest_memfd,
    KVM_CAP_VM_TYPES: _vm_types,
    KVM_CAP_PRE_FAULT_MEMORY: _pre_fault,
    KVM_CAP_GUEST_MEMFD_FLAGS: _guest_memfd_flags,
}
ANSWERED = tuple(_ANSWERS)
"""Capabilities whose value the model knows."""
