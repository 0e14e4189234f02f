"""The horizontal axis of the space-time map: moments one after the other, or by their time."""

from __future__ import annotations

from .text import duration_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..explain.slot_lives import Moment

WIDTH = 900.0
"""Pixels of the picture's inner width at most."""
MOST_MOMENTS = 600
"""With more moments than this several share a column."""
COLUMNS = 300
_WIDEST, _TIME_GAP, _STEP_GAP = 44.0, 64.0, 40.0


class MomentColumns:
    """Where each moment stands; its state lasts until the next one."""

    __slots__ = ("is_by_time", "is_exact", "moments", "width", "xs")

    def __init__(self, moments: Sequence[Moment], *, by_time: bool = False) -> None:
        """by_time: if every moment has one and none goes back; otherwise by number."""
        self.moments = moments
        count = len(moments)
        self.is_exact = count <= MOST_MOMENTS
        """Whether each moment has a column of its own."""
        times = [moment.time_ns for moment in moments if moment.time_ns is not None]
        self.is_by_time = by_time and len(times) == count > 1 and times == sorted(times)
        if self.is_by_time and times[-1] > times[0]:
            self.width = WIDTH
            scale = WIDTH * 0.97 / (times[-1] - times[0])
            self.xs = [(time_ns - times[0]) * scale for time_ns in times] + [WIDTH]
        else:
            self.is_by_time = False
            self.width = min(WIDTH, max(240.0, count * _WIDEST))
            self.xs = [number * self.width / count for number in range(count + 1)]

    def x(self, moment: int | None) -> float:
        """Where a moment begins, in pixels; None: the end."""
        return self.xs[-1 if moment is None else min(moment, len(self.moments))]

    def column(self, moment: int | None) -> int:
        """The shared column of a moment; None: one after the last."""
        if moment is None or moment >= len(self.moments):
            return COLUMNS
        return min(COLUMNS - 1, int(self.xs[moment] * COLUMNS / self.width))

    def ends(self) -> list[int]:
        """The first moment of each column that has any, for curves and for the cursor."""
        if self.is_exact:
            return list(range(len(self.moments)))
        found, seen = [], -1
        for moment in range(len(self.moments)):
            column = self.column(moment)
            if column != seen:
                found.append(moment)
                seen = column
        return found

    def ticks(self) -> list[tuple[float, str]]:
        """(x, label) of moments that can be read beside each other."""
        found: list[tuple[float, str]] = []
        first_ns = self.moments[0].time_ns or 0
        for moment in self.ends():
            x = (self.xs[moment] + self.xs[moment + 1]) / 2
            if self.is_by_time:
                x = self.xs[moment]
            if found and x - found[-1][0] < (_TIME_GAP if self.is_by_time else _STEP_GAP):
                continue
            at = self.moments[moment]
            since = duration_text((at.time_ns or 0) - first_ns)
            found.append((x, since if self.is_by_time else str(at.step)))
        return found
