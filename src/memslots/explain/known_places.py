"""Where the slots of one VM have last had their host memory: which of them nobody shares.

A VMM deletes, makes again and moves slots on the same host memory, over and over.  As long as no
slot takes a new place, none can come to share one: there is nothing to look up.
"""

from __future__ import annotations

from ..state.hva_index import RangeIndex
from ..state.slot import Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.vm import Vm

_FEW = 48
"""Places that are looked through one by one; more are found by an index."""
_LOWEST = 1 << 20
"""Host bytes below are never taken for unshared: KVM's own slots are at 0 in the model."""


class KnownPlaces:
    """The host range of each slot, as it was last placed."""

    __slots__ = ("_index", "_places", "_shared")

    def __init__(self) -> None:
        self._places: dict[int, tuple[int, int]] = {}
        """Slot word: host bytes [first, end)."""
        self._index: dict[int, RangeIndex] | None = None
        """Address space: these, by slot id; None while they are few."""
        self._shared: set[int] = set()
        """Words of slots that may share host memory."""

    def is_alone(self, slot: Slot, page_shift: int) -> bool:
        """Enter a slot that was placed; whether it surely shares its memory with none."""
        word = slot.as_id << 16 | slot.id
        first = slot.userspace_addr
        place = first, first + (slot.npages << page_shift)
        if self._places.get(word) != place:
            self._enter(word, place)
        return word not in self._shared

    def beside(self, slot: Slot, end: int, vm: Vm) -> list[Slot]:
        """The other slots with any of the host memory of a slot that was placed last, which ends
        before `end`; by address, then id.
        """
        first, as_id = slot.userspace_addr, slot.as_id
        if first < _LOWEST:
            found = vm.slots_at_hva(first, end, as_id)
            return [other for other in found if other.id != slot.id]
        here = vm.state.spaces[as_id]
        met = []
        for word in self._meeting(as_id << 16 | slot.id, first, end):
            # what was placed there may have gone
            other = here.by_id(word & 0xFFFF)
            if other is not None:
                met.append((other.userspace_addr, other.id, other))
        return [other for _, _, other in sorted(met)]

    def _enter(self, word: int, place: tuple[int, int]) -> None:
        others = self._others(word, *place)
        if others or place[0] < _LOWEST:
            self._shared.add(word)
            self._shared.update(others)
        else:
            self._shared.discard(word)

    def _others(self, word: int, first: int, end: int) -> list[int]:
        """Put a slot at host bytes [first, end); the words of those that are there, too."""
        places, as_id = self._places, word >> 16
        if self._index is None and len(places) >= _FEW and word not in places:
            self._index = {}
            for other, (low, high) in places.items():
                self._index_of(other >> 16).add(other & 0xFFFF, low, high)
        if self._index is not None:
            index = self._index_of(as_id)
            if word in places:
                index.remove(word & 0xFFFF)
            index.add(word & 0xFFFF, first, end)
        places[word] = first, end
        return self._meeting(word, first, end)

    def _meeting(self, word: int, first: int, end: int) -> list[int]:
        """The words of the others at host bytes [first, end)."""
        as_id = word >> 16
        if self._index is None:
            return [
                other
                for other, (low, high) in self._places.items()
                if low < end and first < high and other != word and other >> 16 == as_id
            ]
        found = self._index_of(as_id).meeting(first, end)
        own = word & 0xFFFF
        return [as_id << 16 | other for other in found if other != own]

    def _index_of(self, as_id: int) -> RangeIndex:
        assert self._index is not None
        index = self._index.get(as_id)
        if index is None:
            index = self._index[as_id] = RangeIndex()
        return index
