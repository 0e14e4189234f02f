"""Guest-physical memory in one line of text: a column for each piece between two boundaries.

Pieces of 40 KiB and of 4 GiB are equally wide, as in the space-time map.  Where there are more
pieces than columns, neighbours share one.
"""

from __future__ import annotations

from bisect import bisect_left

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..state.change import SlotChange
    from ..state.slot import Slot

NONE, PART, WHOLE = ".", "+", "#"
"""What a column shows of pieces without a slot, of some with one, of all with one (where its id has
more than one letter, or several pieces share the column).
"""
_IDS = "0123456789abcdefghijklmnopqrstuvwxyz"


class SlotStrip:
    """One address space of one VM, kept up to date change by change."""

    def __init__(self, changes: Iterable[SlotChange], most_columns: int) -> None:
        """changes: all that will come, for their boundaries."""
        ends: set[int] = set()
        for change in changes:
            for slot in (change.old, change.new):
                if slot is not None:
                    ends |= {slot.base_gfn, slot.end_gfn}
        self.bounds = sorted(ends)
        """Gfns at which a piece begins or ends."""
        self.pieces = max(0, len(self.bounds) - 1)
        self.columns = min(self.pieces, most_columns)
        self._covered = [0] * self.columns
        self._sizes = [self._first(number + 1) - self._first(number) for number in self._all()]
        self._signs = [NONE] * self.columns

    @property
    def is_exact(self) -> bool:
        """Whether each piece has a column of its own."""
        return self.columns == self.pieces

    def _all(self) -> range:
        return range(self.columns)

    def _first(self, column: int) -> int:
        """The first piece of a column."""
        return -(-column * self.pieces // self.columns)

    def apply(self, change: SlotChange) -> None:
        """What the change took away, and what it put somewhere."""
        if change.old is not None:
            self._cover(change.old, -1)
        if change.new is not None:
            self._cover(change.new, 1)

    def _cover(self, slot: Slot, sign: int) -> None:
        first = bisect_left(self.bounds, slot.base_gfn)
        end = bisect_left(self.bounds, slot.end_gfn)
        for column in range(
            first * self.columns // self.pieces, (end - 1) * self.columns // self.pieces + 1
        ):
            begin = self._first(column)
            count = min(end, begin + self._sizes[column]) - max(first, begin)
            self._covered[column] += sign * count
            if sign > 0:
                self._signs[column] = _IDS[slot.id] if slot.id < len(_IDS) else WHOLE

    def text(self) -> str:
        """The columns as they stand."""
        return "".join(map(self._letter, self._all()))

    def _letter(self, column: int) -> str:
        covered = self._covered[column]
        if covered <= 0:
            return NONE
        if covered < self._sizes[column]:
            return PART
        return self._signs[column] if self._sizes[column] == 1 else WHOLE
