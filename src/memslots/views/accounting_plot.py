"""The accounting designs as a picture: budget against pages, one panel for each word size, as SVG.

Plain text without any library: it opens in a browser, by light and by dark, and can be pasted into
a page.
"""

from __future__ import annotations

from ..compare.accounting import STEP
from ..compare.designs import OWN, PAGE_BYTES, REFUSED
from ..state.mmu_pages_designs import DESIGNS
from ..units import format_bytes
from .svg import escaped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..compare.accounting import Comparison
    from ..compare.designs import DesignRow

# a colour-blind safe set; (d) is drawn last and thin, so that what coincides with it shows beneath
_COLOURS = {
    "a": ("#d55e00", "#ff8c42"), "b": ("#999999", "#8b929b"), "c": ("#0072b2", "#5aa9e0"),
    "d": ("#000000", "#f2f4f6"), OWN: ("#009e73", "#35c79b"),
}  # fmt: skip
"""On light, on dark."""
_WIDTHS = {"a": 4, "b": 3, "c": 4, "d": 1.5, OWN: 2.5}
_PANEL_WIDTH, _PANEL_HEIGHT, _LEFT, _RIGHT, _TOP, _BELOW = 560, 320, 110, 40, 44, 52
_MOST_TICKS = 5


def plot_svg(made: Comparison, page_bytes: int = PAGE_BYTES) -> str:
    """An SVG document of a comparison.  Raises ValueError where it has no rows."""
    if not made.rows:
        raise ValueError("nothing to plot: no slots and no totals")
    titles = [(design.letter, design.title) for design in DESIGNS]
    if made.own is not None:
        titles.append((OWN, made.own.title))
    one = _LEFT + _PANEL_WIDTH + _RIGHT
    width = len(made.host_bits) * one
    notes = [
        f"{bits}-bit host: ({letter}) wraps {count:,} times, more often than can be drawn"
        for bits in made.host_bits
        for letter in "ac"
        if (count := made.skipped_wraps(letter, bits))
    ]
    height = _TOP + _PANEL_HEIGHT + _BELOW + 18 * (len(titles) + len(notes)) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="designs" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}" role="img">',
        "<title>MMU budget by accounting design</title>",
        f"<style>{_style()}</style>",
        f'<rect class="paper" width="{width}" height="{height}"/>',
    ]
    letters = [letter for letter, _ in titles]
    for number, bits in enumerate(made.host_bits):
        parts += _panel(made, bits, letters, number * one + _LEFT, page_bytes)
    y = _TOP + _PANEL_HEIGHT + _BELOW
    for letter, title in titles:
        parts.append(f'<path class="{letter}" d="M{_LEFT} {y}h30"/>')
        parts.append(f'<text x="{_LEFT + 38}" y="{y + 4}">({letter}) {escaped(title)}</text>')
        y += 18
    for note in notes:
        parts.append(f'<text class="dim" x="{_LEFT}" y="{y + 4}">{note}</text>')
        y += 18
    return "\n".join([*parts, "</svg>"]) + "\n"


def _style() -> str:
    lines = [".designs{font:12px system-ui,sans-serif}.designs path,.designs polyline{fill:none}",
             ".designs .e{text-anchor:end}.designs .m{text-anchor:middle}",
             ".designs .h{font-weight:bold}.designs polyline{stroke-linejoin:round}",
             *(f".designs .{each}{{stroke-width:{wide}}}" for each, wide in _WIDTHS.items()),
    ]  # fmt: skip
    for scheme, (paper, ink, dim, grid, red) in enumerate((
        ("#fff", "#1f2328", "#636c76", "#e3e6ea", "#b3202b"),
        ("#14171c", "#e6e9ed", "#98a2ad", "#2b3138", "#ff7b7b"),
    )):  # fmt: skip
        colours = [
            f".designs .paper{{fill:{paper}}}.designs text{{fill:{ink}}}.designs .grid",
            f"{{stroke:{grid}}}.designs .dim{{fill:{dim}}}.designs .stop{{fill:{red}}}",
            *(f".designs .{each}{{stroke:{both[scheme]}}}" for each, both in _COLOURS.items()),
        ]
        lines.append("".join(colours))
    return "\n".join([*lines[:-1], f"@media (prefers-color-scheme:dark){{{lines[-1]}}}"])


def _panel(
    made: Comparison, bits: int, letters: Sequence[str], left: int, page_bytes: int
) -> Iterator[str]:
    """One word size."""
    is_by_step = made.what == STEP
    rows = made.rows if is_by_step else made.picture_rows(bits, _PANEL_WIDTH)
    bottom = _TOP + _PANEL_HEIGHT
    most_x = max(1, len(rows) - 1 if is_by_step else max(row.pages for row in rows))
    most_y = max([1, *(row.figure(bits, letter).budget for row in rows for letter in letters)])
    middle = left + _PANEL_WIDTH / 2
    yield f'<text class="m h" x="{middle:g}" y="{_TOP - 26}">{bits}-bit host</text>'
    yield f'<text class="dim" x="{left - _LEFT + 8}" y="{_TOP - 26}">MMU budget, pages</text>'
    below = "step" if is_by_step else "memory of all slots"
    yield f'<text class="dim m" x="{middle:g}" y="{bottom + 34}">{below}</text>'
    for value in _round_values(most_y):
        y = bottom - _PANEL_HEIGHT * value / most_y
        yield f'<path class="grid" d="M{left} {y:.1f}h{_PANEL_WIDTH}"/>'
        yield f'<text class="e" x="{left - 8}" y="{y + 4:.1f}">{value:,}</text>'
    ticks = _row_ticks(rows) if is_by_step else _memory_ticks(most_x, page_bytes)
    for value, text in ticks:
        x = left + _PANEL_WIDTH * value / most_x
        yield f'<path class="grid" d="M{x:.1f} {_TOP}v{_PANEL_HEIGHT}"/>'
        yield f'<text class="m" x="{x:.1f}" y="{bottom + 17}">{escaped(text)}</text>'
    for letter in letters:
        points: list[str] = []
        for number, row in enumerate(rows):
            figure = row.figure(bits, letter)
            x = left + _PANEL_WIDTH * (number if is_by_step else row.pages) / most_x
            y = bottom - _PANEL_HEIGHT * figure.budget / most_y
            if figure.verdict == REFUSED and not is_by_step:
                yield f'<circle class="stop" cx="{x:.1f}" cy="{_TOP}" r="5"/>'
                side = "e" if x > middle else "s"
                yield (
                    f'<text class="stop {side}" x="{x + (-8 if side == "e" else 8):.1f}" '
                    f'y="{_TOP - 8}">({letter}) refuses from '
                    f"{format_bytes(row.pages * page_bytes)}</text>"
                )
                break
            if is_by_step and points:  # a budget holds until the next change
                points.append(f"{x:.1f},{points[-1].split(',')[1]}")
            points.append(f"{x:.1f},{y:.1f}")
        yield f'<polyline class="{letter}" points="{" ".join(points)}"/>'


def _round_values(most: int) -> list[int]:
    """Round numbers up to `most`, few enough to label an axis."""
    step = 1
    while most // step > _MOST_TICKS:
        digit = int(str(step)[0])
        step = step // digit * {1: 2, 2: 5, 5: 10}[digit]
    return list(range(0, most + 1, step))


def _memory_ticks(most_pages: int, page_bytes: int) -> list[tuple[int, str]]:
    """(pages, their bytes) at powers of two and their multiples."""
    step = 1
    while most_pages // step > _MOST_TICKS:
        step *= 2
    return [(pages, format_bytes(pages * page_bytes)) for pages in range(0, most_pages + 1, step)]


def _row_ticks(rows: Sequence[DesignRow]) -> list[tuple[int, str]]:
    """(number of a row, its label)."""
    step = -(-len(rows) // _MOST_TICKS)
    return [(number, rows[number].label) for number in range(0, len(rows), step)]
