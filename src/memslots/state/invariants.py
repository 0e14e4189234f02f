"""What must hold of a VM's state at all times."""

from __future__ import annotations

from ..errors import InvariantBrokenError
from ..uapi.flags import KVM_MEM_LOG_DIRTY_PAGES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .dirty_bitmap import DirtyBitmap
    from .guest_memfd import Binding, GuestMemfd
    from .slot import Slot
    from .vm_state import VmState

_HIGH_BIT = 1 << 63


def check_state(
    state: VmState,
    bitmaps: Mapping[int, DirtyBitmap | None],
    bindings: Mapping[GuestMemfd, Sequence[Binding]],
) -> None:
    """Raise InvariantBrokenError if anything that must hold does not.

    bitmaps: by slot word.
    """
    total = 0
    for as_id, slots in enumerate(state.spaces):
        slots.check()
        for slot in slots:
            total += slot.npages
            if slot.as_id != as_id:
                raise InvariantBrokenError(f"{slot} is in address space {as_id}")
            _check_slot(state, slot, bitmaps)
        if state.generations[as_id] & _HIGH_BIT and state.machine.generation_high_bit:
            raise InvariantBrokenError(f"space {as_id} is marked as being updated")
    if total != state.total_pages:
        raise InvariantBrokenError(f"page total {state.total_pages}, slots have {total}")
    if state.design.caps_total and total > state.machine.ulong_max:
        raise InvariantBrokenError(
            f"page total {total} does not fit {state.machine.long_bits} bits"
        )
    if state.budget.n_requested and state.budget.n_requested < 64:
        raise InvariantBrokenError(f"requested budget {state.budget.n_requested}")
    known = {slot.slot_word for slots in state.spaces for slot in slots}
    if not known.issuperset(bitmaps):
        raise InvariantBrokenError("a bitmap without a slot")
    # before it was refused to take a slot's guest_memfd away, the binding could outlive the slot
    dangles = not state.machine.profile.has("guest-memfd-toggle-refused")
    for file, bound in bindings.items():
        ends = 0
        for binding in sorted(bound, key=lambda binding: binding.start):
            if binding.start < ends or not (dangles or binding.slot_word in known):
                raise InvariantBrokenError(f"{binding} of {file} overlaps or has no slot")
            ends = binding.end


def _check_slot(state: VmState, slot: Slot, bitmaps: Mapping[int, DirtyBitmap | None]) -> None:
    machine, bitmap = state.machine, bitmaps.get(slot.slot_word)
    if slot.slot_word in bitmaps and not state.flags_matter:
        raise InvariantBrokenError(f"{slot} has a bitmap that no change of flags would free")
    if bitmap is not None and bitmap.npages != slot.npages:
        raise InvariantBrokenError(f"the bitmap of {slot} is for {bitmap.npages} pages")
    if bitmap is not None and not slot.flags & KVM_MEM_LOG_DIRTY_PAGES:
        raise InvariantBrokenError(f"{slot} has a bitmap and does not log")
    if slot.userspace_addr > machine.ulong_max:
        raise InvariantBrokenError(f"{slot} has a host address wider than unsigned long")
    limit = machine.user_slots + machine.internal_slots
    if slot.id >= limit or (not slot.owner and slot.id >= machine.user_slots):
        raise InvariantBrokenError(f"{slot} has an id that user space cannot have")
