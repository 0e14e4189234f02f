"""KVM's own slots on x86: TSS, APIC access page, identity map.

Which of them exist depends on the vendor module and the processor.  Where that
was not stated, they are possible slots: a region that meets one is undetermined
instead of refused.
"""

from __future__ import annotations

from ..state.change import OwnSlotsMade, SlotChange
from ..state.slot import SpecialSlot
from ..uapi.region import Region
from .answer import Accepted, Refused
from .attempt import InternalAttempt
from .region.overlap import SLOT_OVERLAP
from .region.set_memory_region import decide

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..state.vm_state import VmState
    from .answer import NotAccepted
    from .attempt import Attempt

TSS_PAGES = 3
APIC_DEFAULT_GPA = 0xFEE0_0000
IDENTITY_MAP_DEFAULT_GPA = 0xFFFB_C000
TSS_OFFSET, APIC_OFFSET, IDENTITY_MAP_OFFSET = 0, 1, 2
"""Ids, counted from the number of user slots."""
OWN_SLOT_NAMES = ("TSS", "APIC access page", "identity map page")


def slots_for_tss(attempt: Attempt, gpa: int) -> OwnSlotsMade | NotAccepted:
    """The slots that KVM_SET_TSS_ADDR makes, or why it fails."""
    profile = attempt.machine.profile
    vendor = profile.option("vendor")
    if vendor not in (None, "intel") or profile.option("unrestricted-guest"):
        return OwnSlotsMade()
    if attempt.machine.is_tdx:
        return OwnSlotsMade()
    if vendor is None:
        return _possible(attempt.state, TSS_OFFSET, gpa, TSS_PAGES)
    return _made(attempt, attempt.state, TSS_OFFSET, gpa, TSS_PAGES)


def slots_for_vcpu(attempt: Attempt) -> OwnSlotsMade | NotAccepted:
    """The slots that the first vCPU brings, or why it fails; those made before a failure stay."""
    apic = _apic_page(attempt)
    if not isinstance(apic, OwnSlotsMade):
        return apic
    state = attempt.state
    if apic.made:
        state = state.copy()
        state.apply(apic)
    identity = _identity_map(attempt, state)
    if isinstance(identity, OwnSlotsMade):
        return OwnSlotsMade(apic.made + identity.made, apic.possible + identity.possible)
    if isinstance(identity, Refused):
        begun = identity.traces
        made = begun.made if isinstance(begun, OwnSlotsMade) else ()
        return Refused(
            identity.rule,
            identity.numbers,
            identity.other,
            OwnSlotsMade(apic.made + made, apic.possible),
        )
    return identity


def _apic_page(attempt: Attempt) -> OwnSlotsMade | NotAccepted:
    """The APIC access page: with an in-kernel irqchip, on hosts that virtualise APIC accesses."""
    state, profile = attempt.state, attempt.machine.profile
    apic_page = profile.apic_access_page
    if apic_page and _pit_can_stop_avic(state):
        early_pit = profile.option("early-pit")
        apic_page = None if early_pit is None else not early_pit
    if not state.config.irqchip or apic_page is False or _exists(state, APIC_OFFSET):
        return OwnSlotsMade()
    if apic_page:
        return _made(attempt, state, APIC_OFFSET, APIC_DEFAULT_GPA, 1)
    return _possible(state, APIC_OFFSET, APIC_DEFAULT_GPA, 1)


def _pit_can_stop_avic(state: VmState) -> bool:
    """Would a PIT, which re-injects interrupts unless told otherwise, stop AVIC?  It needs the PIC
    of a whole irqchip.
    """
    profile = state.machine.profile
    return (
        profile.option("vendor") == "amd"
        and not state.config.split_irqchip
        and profile.knows("avic-stopped-by-pit") is not False
    )


def _identity_map(attempt: Attempt, state: VmState) -> OwnSlotsMade | NotAccepted:
    """The identity map: on Intel with EPT and without unrestricted guest."""
    profile = attempt.machine.profile
    if (
        not profile.option("tdp")
        or profile.option("unrestricted-guest")
        or _exists(state, IDENTITY_MAP_OFFSET)
    ):
        return OwnSlotsMade()
    gpa = state.config.identity_map_gpa or IDENTITY_MAP_DEFAULT_GPA
    vendor = profile.option("vendor")
    if vendor == "intel":
        return _made(attempt, state, IDENTITY_MAP_OFFSET, gpa, 1)
    return _possible(state, IDENTITY_MAP_OFFSET, gpa, 1) if vendor is None else OwnSlotsMade()


def _exists(state: VmState, offset: int) -> bool:
    return state.spaces[0].by_id(state.machine.user_slots + offset) is not None


def _made(
    attempt: Attempt, state: VmState, offset: int, gpa: int, npages: int
) -> OwnSlotsMade | NotAccepted:
    """One of KVM's own slots in every address space, as __x86_set_memory_region() makes it."""
    machine = attempt.machine
    trial, made = state, list[SlotChange]()
    for as_id in range(machine.spaces):
        slot_word = as_id << 16 | (machine.user_slots + offset)
        existing = state.spaces[as_id].by_id(slot_word & 0xFFFF)
        if existing is not None:
            return SLOT_OVERLAP.refuse_for(existing, start_gfn=gpa >> machine.page_shift)
        region = Region(slot_word, 0, gpa, npages << machine.page_shift, 0)
        answer = decide(InternalAttempt(region, trial, attempt.process, OWN_SLOT_NAMES[offset]))
        if isinstance(answer, Refused):
            # what was made in the spaces before stays
            return Refused(answer.rule, answer.numbers, answer.other, OwnSlotsMade(tuple(made)))
        if not isinstance(answer, Accepted):
            return answer
        change = answer.change
        if isinstance(change, SlotChange):
            made.append(change)
            if as_id + 1 < machine.spaces:
                trial = trial.copy()
                trial.apply(change)
    return OwnSlotsMade(tuple(made))


def _possible(state: VmState, offset: int, gpa: int, npages: int) -> OwnSlotsMade:
    """A slot that may exist."""
    machine = state.machine
    slots = (
        SpecialSlot(
            as_id,
            machine.user_slots + offset,
            gpa >> machine.page_shift,
            npages,
            0,
            0,
            owner=OWN_SLOT_NAMES[offset],
        )
        for as_id in range(machine.spaces)
    )
    return OwnSlotsMade(possible=tuple(slots))
