"""KVM's own slots on x86: TSS, APIC access page, identity map.

Which of them exist depends on the vendor module and the processor.  Where that
was not stated, they are possible slots: a request that meets one is
undetermined instead of refused.
"""

from __future__ import annotations

from ..state.process import Host
from ..state.slot import SpecialSlot
from ..state.vm_state import VmState
from ..uapi.region import Request
from .answer import Accepted, Refused, Undetermined, Unmodelled
from .attempt import InternalAttempt
from .region.overlap import SLOT_OVERLAP
from .region.set_memory_region import decide
from .vm_calls import add_vcpu, check_tss_addr, check_vcpu

TSS_PAGES = 3
APIC_DEFAULT_GPA = 0xFEE0_0000
IDENTITY_MAP_DEFAULT_GPA = 0xFFFB_C000
TSS_OFFSET, APIC_OFFSET, IDENTITY_MAP_OFFSET = 0, 1, 2
"""Ids, counted from the number of user slots."""
_NAMES = ("TSS", "APIC access page", "identity map page")


def _make(state: VmState, host: Host, offset: int, gpa: int, npages: int) -> Refused | Undetermined | Unmodelled | None:
    """Create one of KVM's own slots in every address space, as __x86_set_memory_region() does."""
    machine = state.machine
    for as_id in range(machine.spaces):
        slot_word = as_id << 16 | (machine.user_slots + offset)
        request = Request(slot_word, 0, gpa, npages << machine.page_shift, 0)
        existing = state.spaces[as_id].by_id(slot_word & 0xFFFF)
        if existing is not None:
            return SLOT_OVERLAP.refuse_for(existing, start_gfn=gpa >> machine.page_shift)
        outcome = decide(InternalAttempt(request, state, host, _NAMES[offset]))
        if not isinstance(outcome, Accepted):
            return outcome
        state.apply(outcome)
    return None


def _maybe(state: VmState, offset: int, gpa: int, npages: int) -> None:
    """Remember a slot that may exist."""
    machine = state.machine
    possible = tuple(
        SpecialSlot(as_id, machine.user_slots + offset, gpa >> machine.page_shift, npages, 0, 0, owner=_NAMES[offset])
        for as_id in range(machine.spaces)
    )
    state.possible_slots = (*(slot for slot in state.possible_slots if slot.owner != _NAMES[offset]), *possible)
    state.unusual = True


def _vendor(state: VmState) -> object:
    return state.machine.profile.option("vendor")


def set_tss_addr(state: VmState, host: Host, gpa: int) -> Accepted | Refused | Undetermined | Unmodelled:
    """KVM_SET_TSS_ADDR."""
    refused = check_tss_addr(state, gpa)
    if refused is not None:
        return refused
    state.config.tss_gpa = gpa
    if _vendor(state) not in (None, "intel") or state.machine.profile.option("unrestricted-guest"):
        return Accepted()
    if _vendor(state) is None:
        _maybe(state, TSS_OFFSET, gpa, TSS_PAGES)
        return Accepted()
    return _make(state, host, TSS_OFFSET, gpa, TSS_PAGES) or Accepted()


def create_vcpu(state: VmState, host: Host, vcpu_id: int) -> Accepted | Refused | Undetermined | Unmodelled:
    """KVM_CREATE_VCPU: the first one makes the APIC access page and the identity map."""
    refused = check_vcpu(state, vcpu_id)
    if refused is not None:
        return refused
    if state.machine.profile.arch.is_x86:
        outcome = _make_for_vcpu(state, host)
        if outcome is not None:
            return outcome
    return add_vcpu(state, vcpu_id)


def _make_for_vcpu(state: VmState, host: Host) -> Refused | Undetermined | Unmodelled | None:
    profile, config = state.machine.profile, state.config
    vendor, apicv = _vendor(state), profile.option("apicv")
    space = state.spaces[0]
    first_id = state.machine.user_slots
    if config.irqchip and vendor != "pvm" and apicv is not False and space.by_id(first_id + APIC_OFFSET) is None:
        if vendor is not None and apicv:
            outcome = _make(state, host, APIC_OFFSET, APIC_DEFAULT_GPA, 1)
            if outcome is not None:
                return outcome
        else:
            _maybe(state, APIC_OFFSET, APIC_DEFAULT_GPA, 1)
    unrestricted = profile.option("unrestricted-guest") or not profile.option("tdp")
    if not unrestricted and space.by_id(first_id + IDENTITY_MAP_OFFSET) is None:
        gpa = config.identity_map_gpa or IDENTITY_MAP_DEFAULT_GPA
        if vendor == "intel":
            return _make(state, host, IDENTITY_MAP_OFFSET, gpa, 1)
        if vendor is None:
            _maybe(state, IDENTITY_MAP_OFFSET, gpa, 1)
    return None
