"""Memory attributes of a VM: ranges of gfns with a value, independent of slots."""

from __future__ import annotations

from bisect import bisect_left, bisect_right


class AttributeMap:
    """gfn -> attributes, as disjoint ranges with non-zero values."""

    __slots__ = ("_ends", "_starts", "_values")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._values: list[int] = []

    def copy(self) -> AttributeMap:
        """An independent equal map."""
        twin = AttributeMap()
        twin._starts, twin._ends, twin._values = (
            self._starts.copy(),
            self._ends.copy(),
            self._values.copy(),
        )
        return twin

    def at(self, gfn: int) -> int:
        """The attributes of one frame."""
        i = bisect_right(self._starts, gfn) - 1
        return self._values[i] if i >= 0 and gfn < self._ends[i] else 0

    def ranges(self) -> list[tuple[int, int, int]]:
        """(first gfn, end gfn, attributes) of all non-zero ranges, in order."""
        return list(zip(self._starts, self._ends, self._values))

    def set(self, start: int, end: int, value: int) -> None:
        """Give gfns [start, end) a value."""
        first = bisect_right(self._ends, start)
        last = bisect_left(self._starts, end)
        pieces = []
        if first < last:
            if self._starts[first] < start:
                pieces.append((self._starts[first], start, self._values[first]))
            tail = (end, self._ends[last - 1], self._values[last - 1])
        else:
            tail = (end, end, 0)
        if value:
            pieces.append((start, end, value))
        if tail[1] > end:
            pieces.append(tail)
        self._starts[first:last] = [piece[0] for piece in pieces]
        self._ends[first:last] = [piece[1] for piece in pieces]
        self._values[first:last] = [piece[2] for piece in pieces]
