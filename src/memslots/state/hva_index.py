"""Ranges that may overlap at will, by address: slots by the host memory behind them.

One sorted list for each bit length of the range's size: a query then has to look
only at starts in [x - 2^k, x] in each class, and nothing is a tree.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort

from ..errors import InvariantBrokenError
from .slot import Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_CHUNK = 512
_NUMBER_BITS = 32


class RangeIndex:
    """Ranges of bytes [start, end), each with a number below 2^32 that names it."""

    __slots__ = ("_classes", "_ranges")

    def __init__(self) -> None:
        self._classes: dict[int, _SortedKeys] = {}
        self._ranges: dict[int, tuple[int, int]] = {}

    def add(self, number: int, start: int, end: int) -> None:
        """Enter a range under a number that is free."""
        length_class = (end - start).bit_length()
        keys = self._classes.get(length_class)
        if keys is None:
            keys = self._classes[length_class] = _SortedKeys()
        keys.add(start << _NUMBER_BITS | number)
        self._ranges[number] = start, end

    def remove(self, number: int) -> None:
        """Take a range out."""
        start, end = self._ranges.pop(number)
        self._classes[(end - start).bit_length()].remove(start << _NUMBER_BITS | number)

    def meeting(self, start: int, end: int) -> list[int]:
        """The numbers of the ranges that meet [start, end), by start, then number."""
        found: list[int] = []
        if start >= end:
            return found
        ranges, high = self._ranges, end << _NUMBER_BITS
        for length_class, keys in self._classes.items():
            low = start - (1 << length_class)
            there = keys.between(low << _NUMBER_BITS if low > 0 else 0, high)
            if there:
                found += [key for key in there if ranges[key & 0xFFFF_FFFF][1] > start]
        found.sort()
        return [key & 0xFFFF_FFFF for key in found]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """(start, number) of all ranges, in no order."""
        for keys in self._classes.values():
            for key in keys:
                yield key >> _NUMBER_BITS, key & 0xFFFF_FFFF


class HvaIndex:
    """Slots of one address space by the host bytes that back them."""

    __slots__ = ("_page_shift", "_ranges", "_slots")

    def __init__(self, slots: Iterable[Slot], page_shift: int) -> None:
        self._page_shift = page_shift
        self._ranges = RangeIndex()
        self._slots: dict[int, Slot] = {}
        for slot in slots:
            self.add(slot)

    def add(self, slot: Slot) -> None:
        """Enter a slot."""
        first = slot.userspace_addr
        self._ranges.add(slot.id, first, first + (slot.npages << self._page_shift))
        self._slots[slot.id] = slot

    def remove(self, slot: Slot) -> None:
        """Take a slot out."""
        self._ranges.remove(slot.id)
        del self._slots[slot.id]

    def replace(self, slot: Slot) -> None:
        """Put in another slot with the same id and host range."""
        self._slots[slot.id] = slot

    def meeting(self, start: int, end: int) -> list[Slot]:
        """The slots whose bytes meet [start, end), by address, then id."""
        slots = self._slots
        return [slots[number] for number in self._ranges.meeting(start, end)]

    def check(self, slots: list[Slot]) -> None:
        """Raise InvariantBrokenError if the index is not that of these slots."""
        if sorted(self._ranges) != sorted((slot.userspace_addr, slot.id) for slot in slots):
            raise InvariantBrokenError("the host-address index holds other slots")
        if any(self._slots.get(slot.id) is not slot for slot in slots):
            raise InvariantBrokenError("the host-address index holds an old slot")


class _SortedKeys:
    """Sorted integers in chunks."""

    __slots__ = ("_chunks", "_firsts")

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._chunks: list[list[int]] = []

    def __iter__(self) -> Iterator[int]:
        for chunk in self._chunks:
            yield from chunk

    def _find(self, key: int) -> int:
        i = bisect_right(self._firsts, key) - 1
        return i if i > 0 else 0

    def add(self, key: int) -> None:
        if not self._chunks:
            self._chunks.append([key])
            self._firsts.append(key)
            return
        i = self._find(key)
        chunk = self._chunks[i]
        insort(chunk, key)
        self._firsts[i] = chunk[0]
        if len(chunk) > 2 * _CHUNK:
            self._chunks.insert(i + 1, chunk[_CHUNK:])
            self._firsts.insert(i + 1, chunk[_CHUNK])
            del chunk[_CHUNK:]

    def remove(self, key: int) -> None:
        i = self._find(key)
        chunk = self._chunks[i]
        del chunk[bisect_left(chunk, key)]
        if chunk:
            self._firsts[i] = chunk[0]
        else:
            del self._chunks[i], self._firsts[i]

    def between(self, low: int, high: int) -> list[int]:
        """The keys in [low, high)."""
        found: list[int] = []
        if not self._chunks:
            return found
        firsts, chunks = self._firsts, self._chunks
        i = bisect_right(firsts, low) - 1 if len(firsts) > 1 else 0
        if i < 0:
            i = 0
        chunk = chunks[i]
        begin = bisect_left(chunk, low)
        stop = bisect_left(chunk, high, begin)
        found = chunk[begin:stop]
        while stop == len(chunk) and i + 1 < len(chunks) and firsts[i + 1] < high:
            i += 1
            chunk = chunks[i]
            stop = bisect_left(chunk, high)
            found += chunk[:stop]
        return found
