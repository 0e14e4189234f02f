"""The slots of one address space, indexed as look-ups need them.

By id: pages of 64 ids, made when first used: a VM with few slots is small.  By
gfn: a sorted list in chunks of a hundred, so that an insertion moves little.  By
host address: built when first asked for, kept up from then on.  Ranges of one
address space never overlap; host ranges may.

`copy()` shares chunks: each side copies a chunk when it first writes to it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort

from ..errors import InvariantBrokenError
from .hva_index import HvaIndex
from .slot import Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = 64
"""A chunk splits when it has grown to twice this many slots: list.insert() moves items one by
one.
"""
ID_SHIFT, ID_MASK = 6, 63
"""A slot id is a page number above these bits, and a place in the page."""
_PAGE_MASK = 0xFFFF >> ID_SHIFT
_NO_SLOTS: list[Slot | None] = [None] * (ID_MASK + 1)


class _IdPages(dict[int, "list[Slot | None]"]):
    """Pages by number; one that nothing was put in reads as empty."""

    __slots__ = ()

    def __missing__(self, page: int) -> list[Slot | None]:
        return _NO_SLOTS


class SlotSet:
    """All slots of one address space.

    The gfn index holds base_gfn << 16 | id: one integer says where a slot begins
    and which it is, and a change of flags does not touch it.
    """

    __slots__ = (
        "_bounds",
        "_by_hva",
        "_chunks",
        "_own_id_pages",
        "_owners",
        "_token",
        "count",
        "ids",
    )

    def __init__(self) -> None:
        self.count = 0
        self._token = object()
        """Chunks whose owner is this object are ours alone and may be written."""
        self._bounds = [-1]
        """Chunk i holds the keys from _bounds[i] up to _bounds[i + 1]."""
        self._chunks: list[list[int]] = [[]]
        self._owners: list[object] = [self._token]
        self.ids = _IdPages()
        """Slot by id, in pages: ids[id >> ID_SHIFT][id & ID_MASK].  To be read only."""
        self._own_id_pages: set[int] = set()
        """Pages that are ours alone and may be written."""
        self._by_hva: HvaIndex | None = None

    def copy(self) -> SlotSet:
        """An equal set; the cost is that of the chunk lists, not of the slots."""
        twin = SlotSet.__new__(SlotSet)
        twin.count = self.count
        twin._bounds = self._bounds.copy()
        twin._chunks = self._chunks.copy()
        twin._owners = self._owners.copy()
        twin.ids = _IdPages(self.ids)
        self._own_id_pages, twin._own_id_pages = set(), set()
        twin._by_hva = None
        # neither owns a chunk any more
        self._token, twin._token = object(), object()
        return twin

    # -- look-ups

    def by_id(self, slot_id: int) -> Slot | None:
        """The slot with this id."""
        return self.ids[slot_id >> ID_SHIFT][slot_id & ID_MASK]

    def _slot(self, key: int) -> Slot:
        slot = self.ids[key >> ID_SHIFT & _PAGE_MASK][key & ID_MASK]
        if slot is None:
            raise InvariantBrokenError(f"key {key:#x} without a slot")
        return slot

    def at(self, gfn: int) -> Slot | None:
        """The slot that holds this guest frame."""
        last = gfn << 16 | 0xFFFF
        chunk = bisect_right(self._bounds, last) - 1
        keys = self._chunks[chunk]
        i = bisect_right(keys, last) - 1
        while i < 0:
            if not chunk:
                return None
            chunk -= 1
            keys = self._chunks[chunk]
            i = len(keys) - 1
        key = keys[i]
        slot = self.ids[key >> ID_SHIFT & _PAGE_MASK][key & ID_MASK]
        return slot if slot is not None and gfn < slot.base_gfn + slot.npages else None

    def meeting(self, start: int, end: int, but_id: int = -1) -> Slot | None:
        """The first slot that overlaps gfns [start, end), other than the one with id `but_id`."""
        # ranges do not overlap, so only the last slots that begin before `end` can reach into it
        end <<= 16
        chunk = bisect_left(self._bounds, end) - 1
        keys = self._chunks[chunk]
        i = bisect_left(keys, end) - 1
        found: Slot | None = None
        while True:
            if i >= 0:
                key = keys[i]
                slot = self.ids[key >> ID_SHIFT & _PAGE_MASK][key & ID_MASK]
                if slot is None or slot.base_gfn + slot.npages <= start:
                    return found
                if slot.id != but_id:
                    found = slot
                i -= 1
            elif chunk:
                chunk -= 1
                keys = self._chunks[chunk]
                i = len(keys) - 1
            else:
                return found

    def overlaps(self, start: int, end: int, but_id: int = -1) -> list[Slot]:
        """All slots that overlap gfns [start, end) but the one with id `but_id`, in gfn order."""
        return [slot for slot in self.in_range(start, end) if slot.id != but_id]

    def in_range(self, start: int, end: int) -> Iterator[Slot]:
        """The slots that overlap gfns [start, end), in gfn order."""
        first = self.at(start)
        if first is not None and start < end:
            yield first
        last, end = start << 16 | 0xFFFF, end << 16
        chunk = bisect_right(self._bounds, last) - 1
        i = bisect_right(self._chunks[chunk], last)
        while chunk < len(self._chunks):
            for key in self._chunks[chunk][i:]:
                if key >= end:
                    return
                yield self._slot(key)
            chunk, i = chunk + 1, 0

    def __iter__(self) -> Iterator[Slot]:
        """All slots in gfn order."""
        for keys in self._chunks:
            for key in keys:
                yield self._slot(key)

    def by_hva(self, start: int, end: int, page_shift: int) -> list[Slot]:
        """The slots whose host range meets bytes [start, end), by host address."""
        if self._by_hva is None:
            self._by_hva = HvaIndex(self, page_shift)
        return self._by_hva.meeting(start, end)

    # -- changes

    def insert(self, slot: Slot) -> None:
        """Add a slot; its id and gfns must be free (the rules have seen to that)."""
        slot_id = slot.id
        key = slot.base_gfn << 16 | slot_id
        chunk = bisect_right(self._bounds, key) - 1
        if self._owners[chunk] is not self._token:
            self._own(chunk)
        keys = self._chunks[chunk]
        insort(keys, key)
        if len(keys) >= 2 * CHUNK:
            self._split(chunk)
        self.count += 1
        page = slot_id >> ID_SHIFT
        if page not in self._own_id_pages:
            self._own_ids(page)
        self.ids[page][slot_id & ID_MASK] = slot
        if self._by_hva is not None:
            self._by_hva.add(slot)

    def remove(self, slot: Slot) -> None:
        """Take a slot out."""
        slot_id = slot.id
        key = slot.base_gfn << 16 | slot_id
        chunk = bisect_right(self._bounds, key) - 1
        if self._owners[chunk] is not self._token:
            self._own(chunk)
        keys = self._chunks[chunk]
        del keys[bisect_left(keys, key)]
        if not keys and chunk:
            del self._bounds[chunk], self._chunks[chunk], self._owners[chunk]
        self.count -= 1
        page = slot_id >> ID_SHIFT
        if page not in self._own_id_pages:
            self._own_ids(page)
        self.ids[page][slot_id & ID_MASK] = None
        if self._by_hva is not None:
            self._by_hva.remove(slot)

    def replace(self, slot: Slot) -> None:
        """Put a slot in the place of the one with its id, gfns and host range."""
        slot_id = slot.id
        page = slot_id >> ID_SHIFT
        if page not in self._own_id_pages:
            self._own_ids(page)
        self.ids[page][slot_id & ID_MASK] = slot
        if self._by_hva is not None:
            self._by_hva.replace(slot)

    def _own(self, chunk: int) -> None:
        self._chunks[chunk] = self._chunks[chunk].copy()
        self._owners[chunk] = self._token

    def _own_ids(self, page: int) -> None:
        self.ids[page] = self.ids[page].copy()
        self._own_id_pages.add(page)

    def _split(self, chunk: int) -> None:
        keys = self._chunks[chunk]
        # slots arrive in rising order more often than not: leave the full part behind
        at = len(keys) - CHUNK // 8 if chunk == len(self._chunks) - 1 else len(keys) // 2
        self._bounds.insert(chunk + 1, keys[at])
        self._chunks.insert(chunk + 1, keys[at:])
        self._owners.insert(chunk + 1, self._token)
        del keys[at:]

    def check(self) -> None:
        """Raise InvariantBrokenError if the indexes disagree or slots overlap."""
        in_order = list(self)
        by_id = {slot.id: slot for page in self.ids.values() for slot in page if slot is not None}
        if len(in_order) != self.count or len(by_id) != self.count:
            raise InvariantBrokenError(
                f"count {self.count}, by gfn {len(in_order)}, by id {len(by_id)}"
            )
        end = 0
        for slot in in_order:
            if by_id.get(slot.id) is not slot:
                raise InvariantBrokenError(f"{slot} is not what its id finds")
            if slot.base_gfn < end or slot.npages < 1:
                raise InvariantBrokenError(f"{slot} overlaps its neighbour or is empty")
            end = slot.end_gfn
        keys = [key for chunk in self._chunks for key in chunk]
        if keys != [slot.base_gfn << 16 | slot.id for slot in in_order]:
            raise InvariantBrokenError("the gfn index and the slots disagree")
        for i, chunk in enumerate(self._chunks):
            high = self._bounds[i + 1] if i + 1 < len(self._bounds) else None
            if chunk and (chunk[0] < self._bounds[i] or (high is not None and chunk[-1] >= high)):
                raise InvariantBrokenError(f"chunk {i} reaches beyond its bounds")
        if self._by_hva is not None:
            self._by_hva.check(in_order)
