"""Where the slots of one VM have last had their host memory: which of them nobody shares.

A VMM deletes, makes again and moves slots on the same host memory, over and over.  As long as no
slot takes a new place, none can come to share one: there is nothing to look up.
"""

from __future__ import annotations

from ..state.hva_index import RangeIndex
from ..state.slot import Slot

_LOWEST = 1 << 20
"""Host bytes below are never taken for unshared: KVM's own slots are at 0 in the model."""


class KnownPlaces:
    """The host range of each slot, as it was last placed."""

    __slots__ = ("_index", "_places", "_shared")

    def __init__(self) -> None:
        self._places: dict[int, tuple[int, int]] = {}
        """Slot word: host bytes [first, end)."""
        self._index: dict[int, RangeIndex] = {}
        """Address space: these, by slot id."""
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

    def _enter(self, word: int, place: tuple[int, int]) -> None:
        as_id, slot_id = word >> 16, word & 0xFFFF
        index = self._index.get(as_id)
        if index is None:
            index = self._index[as_id] = RangeIndex()
        if word in self._places:
            index.remove(slot_id)
        others = index.meeting(*place)
        index.add(slot_id, *place)
        self._places[word] = place
        if others or place[0] < _LOWEST:
            self._shared.add(word)
            self._shared.update(as_id << 16 | other for other in others)
        else:
            self._shared.discard(word)
