"""The accounting designs as a picture: budget against pages, one panel for each word size, as SVG.

Plain text without any library: it opens in a browser and can be pasted into a page.
"""

from __future__ import annotations

from html import escape

from ..compare.designs import OWN, PAGE_BYTES
from ..state.mmu_pages_designs import DESIGNS
from ..units import format_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..compare.designs import DesignRow

# a colour-blind safe set; (d) is drawn last and thin, so that what coincides with it shows beneath
_COLOURS = {"a": "#d55e00", "b": "#999999", "c": "#0072b2", "d": "#000000", OWN: "#009e73"}
_WIDTHS = {"a": 4, "b": 3, "c": 4, "d": 1.5, OWN: 2.5}
_PANEL_WIDTH, _PANEL_HEIGHT, _MARGIN, _LEGEND_HEIGHT = 560, 320, 80, 126
_TICKS = 4


def _titles(rows: Sequence[DesignRow], own_title: str = "") -> list[tuple[str, str]]:
    """(letter, title) of every design that the rows hold."""
    titles = [(design.letter, design.title) for design in DESIGNS]
    return (
        [*titles, (OWN, own_title)]
        if any(letter == OWN for _, letter in rows[0].figures)
        else titles
    )


def plot_svg(
    rows: Sequence[DesignRow],
    host_bits: Sequence[int],
    page_bytes: int = PAGE_BYTES,
    own_title: str = "",
) -> str:  # fmt: skip
    """An SVG document of the rows; `own_title` names a design of one's own.

    Raises ValueError without rows.
    """
    if not rows:
        raise ValueError("nothing to plot: no slots and no totals")
    width = _MARGIN + len(host_bits) * (_PANEL_WIDTH + _MARGIN)
    height = _MARGIN + _PANEL_HEIGHT + _LEGEND_HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, bits in enumerate(host_bits):
        parts += _panel(rows, bits, _MARGIN + number * (_PANEL_WIDTH + _MARGIN), page_bytes)
    for line, (letter, title) in enumerate(_titles(rows, own_title)):
        y = _MARGIN // 2 + _PANEL_HEIGHT + 52 + 16 * line
        colour = _COLOURS[letter]
        parts.append(
            f'<line x1="{_MARGIN}" y1="{y}" x2="{_MARGIN + 30}" y2="{y}" '
            f'stroke="{colour}" stroke-width="3"/>'
        )
        parts.append(f'<text x="{_MARGIN + 38}" y="{y + 4}">({letter}) {escape(title)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(rows: Sequence[DesignRow], bits: int, left: int, page_bytes: int) -> list[str]:
    top, bottom = _MARGIN // 2, _MARGIN // 2 + _PANEL_HEIGHT
    most_pages = max(row.pages for row in rows) or 1
    most_budget = (
        max(figure.budget for row in rows for key, figure in row.figures.items() if key[0] == bits)
        or 1
    )
    parts = [
        f'<text x="{left + _PANEL_WIDTH / 2}" y="{top - 12}" '
        'text-anchor="middle" font-weight="bold">'
        f"{bits}-bit host: MMU budget in shadow pages</text>",
        f'<rect x="{left}" y="{top}" width="{_PANEL_WIDTH}" height="{_PANEL_HEIGHT}" '
        'fill="none" stroke="#888"/>',
    ]
    for tick in range(_TICKS + 1):
        x, y = left + _PANEL_WIDTH * tick / _TICKS, bottom - _PANEL_HEIGHT * tick / _TICKS
        memory = format_bytes(most_pages * tick // _TICKS * page_bytes)
        parts.append(f'<text x="{x:.0f}" y="{bottom + 18}" text-anchor="middle">{memory}</text>')
        parts.append(
            f'<text x="{left - 6}" y="{y + 4:.0f}" text-anchor="end">'
            f"{most_budget * tick // _TICKS}</text>"
        )
    for letter, _ in _titles(rows):
        points = " ".join(
            f"{left + _PANEL_WIDTH * row.pages / most_pages:.1f},"
            f"{bottom - _PANEL_HEIGHT * row.figure(bits, letter).budget / most_budget:.1f}"
            for row in rows
        )
        colour, stroke = _COLOURS[letter], _WIDTHS[letter]
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{stroke}"/>'
        )
    return parts
