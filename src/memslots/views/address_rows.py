"""Guest-physical addresses compressed: each boundary begins a row, however far the next one is."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MOST_ROWS = 160
"""With more boundaries than this neighbours share a row."""
_HOLE_HEIGHT, _HEIGHT, _LEAST_HEIGHT, _WANTED = 7.0, 22.0, 5.0, 460.0
_LABEL_GAP = 11.0


class AddressRows:
    """Rows from the lowest address (bottom) to the highest (top)."""

    __slots__ = ("_tops", "boundaries", "height", "is_exact", "is_hole")

    def __init__(self, ranges: Iterable[tuple[int, int]]) -> None:
        """ranges: [first, end) in bytes of all that is to be drawn; empty ones have no row, unless
        there is nothing else.
        """
        given = list(ranges)
        pairs = [pair for pair in given if pair[0] < pair[1]] or [(a, a + 1) for a, _ in given]
        every = sorted({address for pair in pairs for address in pair})
        stride = -(-(len(every) - 1) // MOST_ROWS) if len(every) > 1 else 1
        self.is_exact = stride == 1
        """Whether each boundary has a row of its own."""
        last = every[-1:]
        self.boundaries = [*every[:-1:stride], *last]
        self.is_hole = _holes(self, pairs)
        """Of each row, whether nothing was ever there."""
        used = self.is_hole.count(False) or 1
        height = max(_LEAST_HEIGHT, min(_HEIGHT, _WANTED / used))
        self._tops = [0.0]
        for hole in self.is_hole:
            self._tops.append(self._tops[-1] + (min(_HOLE_HEIGHT, height) if hole else height))
        self.height = self._tops[-1]

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self.boundaries) - 1

    def span(self, first: int, end: int) -> tuple[int, int]:
        """Rows [low, high) that a range touches; at least one."""
        low = max(0, min(bisect_right(self.boundaries, first) - 1, self.count - 1))
        return low, max(low + 1, min(bisect_left(self.boundaries, end), self.count))

    def y(self, boundary: int) -> float:
        """Where a boundary is, in pixels from the top."""
        return self.height - self._tops[boundary]

    def labels(self) -> list[tuple[float, int]]:
        """(y, address) of boundaries that can be read beside each other, with both ends."""
        found: list[tuple[float, int]] = []
        last = len(self.boundaries) - 1
        for number, address in enumerate(self.boundaries):
            y = self.y(number)
            if found and found[-1][0] - y < _LABEL_GAP:
                if number == last and len(found) > 1:
                    found[-1] = (y, address)
                continue
            found.append((y, address))
        return found

    def lengths(self) -> list[tuple[float, int, bool]]:
        """(y of the middle, bytes, whether it is a hole) of the rows."""
        return [
            ((self.y(number) + self.y(number + 1)) / 2, end - first, self.is_hole[number])
            for number, (first, end) in enumerate(zip(self.boundaries, self.boundaries[1:]))
        ]


def _holes(rows: AddressRows, pairs: Sequence[tuple[int, int]]) -> list[bool]:
    """Which rows no range touches."""
    begins = [0] * (rows.count + 1)
    for first, end in pairs:
        low, high = rows.span(first, end)
        begins[low] += 1
        begins[high] -= 1
    found, depth = [], 0
    for change in begins[:-1]:
        depth += change
        found.append(depth == 0)
    return found
