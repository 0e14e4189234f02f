"""The ordinary region call, accepted at a glance.

Most calls of a recording are plain: address space 0, aligned, in range, nothing
special about the VM.  For these a few comparisons show that no rule can refuse.
This is not a second statement of the rules: it knows only limits that are safe
for all of them, says nothing about refusals, and hands everything else to
`decide`.  A test compares the two on every recorded call.
"""

from __future__ import annotations

from ..state.change import CREATE, DELETE, FLAGS_ONLY, MOVE
from ..state.slot import Slot
from ..state.vm_state import VmState
from ..uapi.abi import KVM_MEM_LOG_DIRTY_PAGES
from ..uapi.region import Request
from .answer import NO_CHANGE, Accepted

_OTHER_FLAGS = ~KVM_MEM_LOG_DIRTY_PAGES


def accept_plain(request: Request, state: VmState) -> Accepted | None:
    """The outcome, if the request is plainly acceptable; None: let `decide` look."""
    machine = state.machine
    slot_id, flags = request.slot, request.flags
    gpa, nbytes, hva = request.guest_phys_addr, request.memory_size, request.userspace_addr
    if (
        request.odd_bits & machine.plain_mask
        or slot_id >= machine.plain_slots
        or flags & machine.flags_not_plain
        or hva + nbytes > machine.hva_end
        or gpa + nbytes > machine.plain_gpa_end
        or state.unusual
    ):
        return None
    slots = state.spaces[0]
    old = slots.ids[slot_id >> 8][slot_id & 0xFF]
    gfn = gpa >> machine.page_shift
    npages = nbytes >> machine.page_shift
    if old is None:
        if not npages or state.total_pages + npages > state.total_cap or slots.meeting(gfn, gfn + npages):
            return None
        return Accepted(CREATE, None, Slot(0, slot_id, gfn, npages, hva, flags))
    if not npages:
        return Accepted(DELETE, old) if old.npages <= state.total_pages else None
    if old.userspace_addr != hva or old.npages != npages or (flags ^ old.flags) & _OTHER_FLAGS:
        return None
    if gfn == old.base_gfn:
        if flags == old.flags:
            return NO_CHANGE
        kind = FLAGS_ONLY
    elif slots.meeting(gfn, gfn + npages, slot_id):
        return None
    else:
        kind = MOVE
    return Accepted(kind, old, Slot(0, slot_id, gfn, npages, hva, flags))
