"""The ordinary region call, accepted at a glance.

Most calls of a recording are plain: address space 0, aligned, in range, nothing
special about the VM.  For these a few comparisons show that no rule can refuse.
This is not a second statement of the rules: it knows only limits that are safe
for all of them, says nothing about refusals, and hands everything else to
`decide`.  A test compares the two on every recorded call.
"""

from __future__ import annotations

from ..kernel.machine import Machine
from ..state.change import CREATE, DELETE, FLAGS_ONLY, MOVE, SlotChange
from ..state.slot import Slot
from ..state.vm_state import VmState
from ..uapi.flags import KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_MAX_NR_PAGES
from ..uapi.region import ODD_CALL, Region
from .answer import NO_CHANGE, Accepted

_OTHER_FLAGS = ~KVM_MEM_LOG_DIRTY_PAGES
_PLAIN_ARCHES = frozenset({"x86_64", "i386", "ppc32", "mips"})
"""Architectures whose hooks look at nothing but the range."""


class PlainLimits:
    """Limits of one machine within which no rule refuses."""

    __slots__ = ("gpa_end", "hva_end", "odd_bits", "odd_flags", "page_shift", "slots")

    def __init__(self, machine: Machine) -> None:
        profile = machine.profile
        plain = not profile.option("page-track") and not profile.has("x86-kvmalloc-2g")
        self.slots = machine.user_slots if machine.arch in _PLAIN_ARCHES and plain else 0
        """Slot ids below this; 0: no call is plain."""
        self.odd_bits = machine.page_mask | ODD_CALL
        """Bits that no address or size may have."""
        self.odd_flags = ~machine.flags_plain
        self.gpa_end = min(machine.gfn_end, KVM_MEM_MAX_NR_PAGES) << machine.page_shift
        """End of guest-physical bytes that every such host accepts."""
        self.hva_end = machine.hva_end
        self.page_shift = machine.page_shift


def accept_plain(region: Region, state: VmState, limits: PlainLimits) -> Accepted | None:
    """The answer, if the region is plainly acceptable; None: let `decide` look."""
    slot_id, flags = region.slot, region.flags
    gpa, nbytes, hva = region.guest_phys_addr, region.memory_size, region.userspace_addr
    if (
        region.low_bits & limits.odd_bits
        or slot_id >= limits.slots
        or flags & limits.odd_flags
        or hva + nbytes > limits.hva_end
        or gpa + nbytes > limits.gpa_end
        or state.unusual
    ):
        return None
    slots = state.spaces[0]
    old = slots.ids[slot_id >> 8][slot_id & 0xFF]
    gfn = gpa >> limits.page_shift
    npages = nbytes >> limits.page_shift
    if old is None:
        if (
            not npages
            or state.total_pages + npages > state.total_cap
            or slots.meeting(gfn, gfn + npages)
        ):
            return None
        return Accepted(SlotChange(CREATE, None, Slot(0, slot_id, gfn, npages, hva, flags)))
    if not npages:
        return Accepted(SlotChange(DELETE, old, None)) if old.npages <= state.total_pages else None
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
    return Accepted(SlotChange(kind, old, Slot(0, slot_id, gfn, npages, hva, flags)))
