"""The space-time map where several calls or addresses share a place: cells instead of rectangles.

Work grows with the lives and with the cells, of which there are a bounded
number, not with their product.
"""

from __future__ import annotations

from itertools import accumulate, groupby

from ..units import format_bytes
from .moment_columns import COLUMNS
from .svg import KINDS, UNBACKED, path
from .text import counted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..explain.slot_lives import VmLives
    from .address_rows import AddressRows
    from .moment_columns import MomentColumns

_BUSY = "busy"


class _Counts:
    """How many ranges touch each cell: corners are noted, sums give the cells."""

    __slots__ = ("_corners",)

    def __init__(self, rows: int) -> None:
        self._corners = [[0] * (COLUMNS + 1) for _ in range(rows + 1)]

    def add(self, rows: tuple[int, int], first: int, end: int) -> None:
        """Count one more on the cells [first, end) of rows [low, high)."""
        for row, sign in zip(rows, (1, -1)):
            self._corners[row][first] += sign
            self._corners[row][end] -= sign

    def cells(self) -> list[list[int]]:
        """Row by row from the lowest address, how many there are in each column."""
        found, above = [], [0] * (COLUMNS + 1)
        for corners in self._corners[:-1]:
            above = [one + other for one, other in zip(above, corners)]
            found.append(list(accumulate(above))[:COLUMNS])
        return found


def cell_parts(
    rows: AddressRows, columns: MomentColumns, vm: VmLives, as_id: int, kinds: Sequence[str]
) -> list[str]:
    """The cells of one address space, one path for each kind and row.

    kinds: of the lives of this space, in order.
    """
    counts = {kind: _Counts(rows.count) for kind in (*KINDS, UNBACKED, _BUSY) if kind in kinds}
    counts |= {UNBACKED: _Counts(rows.count), _BUSY: _Counts(rows.count)}
    shift, born = vm.page_shift, [0] * (rows.count + 1)
    lives = [life for life in vm.lives if life.slot.as_id == as_id]
    for life, kind in zip(lives, kinds):
        slot = life.slot
        span = rows.span(slot.base_gfn << shift, slot.end_gfn << shift)
        first = columns.column(life.first)
        counts[kind].add(span, first, max(first + 1, columns.column(life.end)))
        counts[_BUSY].add(span, first, first + 1)
        born[span[0]] += 1
        born[span[1]] -= 1
    for gone in vm.unbacked:
        if gone.as_id == as_id:
            first = columns.column(gone.first)
            span = rows.span(gone.start_gfn << shift, gone.end_gfn << shift)
            counts[UNBACKED].add(span, first, max(first + 1, columns.column(gone.last)))
    of_row = list(accumulate(born))
    cells = {kind: each.cells() for kind, each in counts.items()}
    parts = []
    for row in range(rows.count):
        first, end = rows.boundaries[row], rows.boundaries[row + 1]
        title = (
            f"gpa [{first:#x}, {end:#x}), {format_bytes(end - first)}: "
            f"{counted(of_row[row], 'slot')} in the course of time"
        )
        parts += _row_parts(row, rows, columns, {kind: cells[kind][row] for kind in cells}, title)
    return parts


def _row_parts(
    row: int,
    rows: AddressRows,
    columns: MomentColumns,
    cells: dict[str, list[int]],
    title: str,
) -> list[str]:
    top, height = rows.y(row + 1), rows.y(row) - rows.y(row + 1)
    fills = [kind for kind in cells if kind not in (UNBACKED, _BUSY)]
    shown: list[str] = []
    for column in range(COLUMNS):
        best = max(fills, key=lambda kind: cells[kind][column], default="")
        shown.append(best if best and cells[best][column] else "")
    layers = {kind: [kind == each for each in shown] for kind in fills}
    layers[_BUSY] = [count > 1 for count in cells[_BUSY]]
    layers[UNBACKED] = [count > 0 for count in cells[UNBACKED]]
    width = columns.width / COLUMNS
    parts = []
    for kind, on in layers.items():
        points, column = "", 0
        for is_on, run in groupby(on):
            length = len(list(run))
            if is_on:
                points += f"M{column * width:g} {top:g}h{length * width:g}v{height:g}"
                points += f"h{-length * width:g}z"
            column += length
        if points:
            parts.append(path(kind, points, title))
    return parts
