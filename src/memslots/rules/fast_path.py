"""The ordinary region call, accepted at a glance.

Most calls of a recording are plain: aligned, in range, away from slots that KVM may
have made for itself.  For these a few comparisons show that no rule can refuse.
This is not a second statement of the rules: it knows only limits that are safe
for all of them, says nothing about refusals, and hands everything else to
`decide`.  A test compares the two on every recorded call.
"""

from __future__ import annotations

from functools import lru_cache

from ..kernel.asked import others_of
from ..kernel.machine import Machine
from ..state.change import CREATE, DELETE, FLAGS_ONLY, MOVE, NOTHING, SlotChange
from ..state.slot import Slot
from ..state.slot_set import ID_MASK, ID_SHIFT
from ..state.vm_state import VmState
from ..uapi.flags import KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_MAX_NR_PAGES
from ..uapi.region import ODD_CALL, Region
from .answer import NO_CHANGE, Accepted

_OTHER_FLAGS = ~KVM_MEM_LOG_DIRTY_PAGES
_PLAIN_ARCHES = frozenset({"x86_64", "i386", "ppc32", "mips"})
"""Architectures whose hooks look at nothing but the range."""
_SMALL_ARRAYS_PAGES = ((1 << 31) - 1) // 8
"""A slot of no more pages has no array of metadata of 2 GiB: an entry has at most 8 bytes."""


class PlainLimits:
    """Limits of one machine within which no rule refuses."""

    __slots__ = (
        "gpa_end",
        "hva_end",
        "odd_bits",
        "odd_flags",
        "page_shift",
        "slots",
        "spaces",
        "total_end",
    )

    def __init__(self, machine: Machine) -> None:
        profile = machine.profile
        plain = machine.arch in _PLAIN_ARCHES and not profile.option("page-track")
        self.slots = machine.user_slots if plain else 0
        """Slot ids below this; 0: no call is plain."""
        self.spaces = machine.spaces
        self.odd_bits = machine.page_mask | ODD_CALL
        """Bits that no address or size may have."""
        self.odd_flags = ~machine.flags_plain
        gfn_end = min(machine.gfn_end, KVM_MEM_MAX_NR_PAGES)
        if profile.has("x86-kvmalloc-2g"):
            gfn_end = min(gfn_end, _SMALL_ARRAYS_PAGES)
        self.gpa_end = gfn_end << machine.page_shift
        """End of guest-physical bytes that every such host accepts."""
        self.hva_end = machine.hva_end
        self.page_shift = machine.page_shift
        self.total_end = machine.ulong_max
        """Most pages of all slots, on kernels that count them."""

    def narrow(self, other: PlainLimits) -> None:
        """What is plain on another machine, too."""
        self.slots = min(self.slots, other.slots) if self.page_shift == other.page_shift else 0
        self.spaces = min(self.spaces, other.spaces)
        self.odd_bits |= other.odd_bits
        self.odd_flags |= other.odd_flags
        self.gpa_end = min(self.gpa_end, other.gpa_end)
        self.hva_end = min(self.hva_end, other.hva_end)
        self.total_end = min(self.total_end, other.total_end)


@lru_cache(maxsize=512)
def plain_limits(machine: Machine) -> PlainLimits:
    """The limits of a machine, and of all that may turn out to be alike; kept, since they never
    change.
    """
    own, *others = others_of(machine) or (machine,)
    limits = PlainLimits(own)
    for other in others:
        limits.narrow(plain_limits(other))
    return limits


UNCHANGED = SlotChange(NOTHING, None, None)
"""The plain call asks for what is already so."""


def plain_change(
    slot_word: int,
    flags: int,
    gpa: int,
    nbytes: int,
    hva: int,
    odd_bits: int,
    state: VmState,
    limits: PlainLimits,
) -> SlotChange | None:
    """What a region call changes, if it is plainly acceptable; None: let `decide` look.

    odd_bits: the low bits of all its addresses and sizes, and ODD_CALL.
    """
    as_id, slot_id = slot_word >> 16, slot_word & 0xFFFF
    if (
        odd_bits & limits.odd_bits
        or slot_id >= limits.slots
        or as_id >= limits.spaces
        or flags & limits.odd_flags
        or hva + nbytes > limits.hva_end
        or gpa + nbytes > limits.gpa_end
        or state.dead
    ):
        return None
    slots = state.spaces[as_id]
    old = slots.ids[slot_id >> ID_SHIFT][slot_id & ID_MASK]
    gfn = gpa >> limits.page_shift
    npages = nbytes >> limits.page_shift
    if old is None:
        if (
            not npages
            or state.total_pages + npages > limits.total_end
            or slots.meeting(gfn, gfn + npages)
            or (gfn + npages > state.first_possible and state.may_meet_possible(gfn, gfn + npages))
        ):
            return None
        return SlotChange(CREATE, None, Slot(as_id, slot_id, gfn, npages, hva, flags))
    if not npages:
        return SlotChange(DELETE, old, None) if old.npages <= state.total_pages else None
    if old.userspace_addr != hva or old.npages != npages or (flags ^ old.flags) & _OTHER_FLAGS:
        return None
    if gfn == old.base_gfn:
        if flags == old.flags:
            return UNCHANGED
        kind = FLAGS_ONLY
    elif slots.meeting(gfn, gfn + npages, slot_id) or (
        gfn + npages > state.first_possible and state.may_meet_possible(gfn, gfn + npages)
    ):
        return None
    else:
        kind = MOVE
    return SlotChange(kind, old, Slot(as_id, slot_id, gfn, npages, hva, flags))


def accept_plain(region: Region, state: VmState, limits: PlainLimits) -> Accepted | None:
    """The answer to a region, if it is plainly acceptable; None: let `decide` look."""
    change = plain_change(
        region.slot, region.flags, region.guest_phys_addr, region.memory_size,
        region.userspace_addr, region.low_bits, state, limits
    )  # fmt: skip
    if change is None:
        return None
    return NO_CHANGE if change is UNCHANGED else Accepted(change)
