"""What KVM's look-ups and changes cost, counted in slots that they visit, in the worst case.

Up to 5.16 the slots of an address space are one array in gfn order, copied for every change.
Since 5.17 each slot is a descriptor of its own in two sets of indexes: a hash of 128 buckets by
id, a red-black tree by gfn, an interval tree by host address; a change touches both sets.
"""

from __future__ import annotations

from ..units import U64_MAX
from .change import SWAPS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..kernel.machine import Machine
    from ..kernel.profile import Profile

ID_BUCKETS = 128
"""Buckets of the hash by id (7 bits)."""


class IndexCosts:
    """Visits of slots on a kernel, for an address space of `nslots` slots and a VM of
    `all_slots`.
    """

    __slots__ = ("all_slots", "has_budget", "has_trees", "nslots")

    def __init__(self, profile: Profile, nslots: int, all_slots: int) -> None:
        from ..kernel import footprint

        self.has_trees = footprint.has(profile, "descriptor-alone")
        self.has_budget = profile.arch.is_x86
        self.nslots = nslots
        self.all_slots = all_slots

    @property
    def _depth(self) -> int:
        """The deepest that a binary search or a red-black tree of this many slots goes."""
        levels = self.nslots.bit_length()
        return 2 * levels if self.has_trees else levels

    @property
    def by_id(self) -> int:
        """Finding a slot by id: a table up to 5.16; since, a bucket with its even share of the
        slots.
        """
        return -(-self.nslots // ID_BUCKETS) if self.has_trees else min(self.nslots, 1)

    @property
    def by_gfn(self) -> int:
        """Finding the slot that holds a guest frame, when it is not the last one found."""
        return self._depth

    @property
    def by_hva(self) -> int:
        """Finding the slots behind a host address; each slot found is one visit more."""
        return self._depth if self.has_trees else self.nslots

    @property
    def overlap(self) -> int:
        """Checking that a new or moved slot meets no other."""
        return self._depth if self.has_trees else self.nslots

    @property
    def budget(self) -> int:
        """Working out the x86 MMU budget: up to 5.16 from all slots of all address spaces."""
        return self.all_slots if self.has_budget and not self.has_trees else 0

    def change(self, kind: int) -> int:
        """Making a change of this kind: each swap of the sets copies all slots, or goes down two
        trees of each set.
        """
        return SWAPS[kind] * (4 * self._depth if self.has_trees else self.nslots)

    def as_dict(self) -> dict[str, int]:
        """The look-ups by name."""
        return {
            name: getattr(self, name) for name in ("by_id", "by_gfn", "by_hva", "overlap", "budget")
        }


class SetPairs:
    """The two slot sets of each address space at one moment: a value, which later changes leave
    alone.
    """

    __slots__ = ("counts", "machine", "swaps")

    def __init__(self, machine: Machine, swaps: tuple[int, ...], counts: tuple[int, ...]) -> None:
        self.machine = machine
        self.swaps = swaps
        """How often the sets of each address space have changed places."""
        self.counts = counts
        """Slots of each address space."""

    @property
    def generations(self) -> list[int]:
        """The generation number (u64) of each address space: every swap of its sets steps it."""
        machine = self.machine
        new = machine.profile.has("generation-high-bit")
        firsts = (as_id if new else 2 * as_id - 150 for as_id in range(len(self.swaps)))
        return [
            (first + machine.generation_step * swaps) & U64_MAX
            for first, swaps in zip(firsts, self.swaps)
        ]

    def active_set(self, as_id: int) -> int:
        """Which of the two sets of an address space guests see: 0 or 1."""
        return self.swaps[as_id] & 1

    def costs(self, as_id: int) -> IndexCosts:
        """What look-ups and changes in an address space cost."""
        return IndexCosts(self.machine.profile, self.counts[as_id], sum(self.counts))
