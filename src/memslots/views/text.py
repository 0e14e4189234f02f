"""Small things that the text views share: colour, columns, numbers."""

from __future__ import annotations

import os
import sys

from ..units import format_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_CODES = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "bold": 1, "dim": 2}
COLOURS = tuple(f"[{code}m" for code in (0, *_CODES.values()))
"""What stands behind an escape character in painted text."""
WIDTH = 100
"""Columns of text where nobody has asked for another width."""
_BLANKS = dict.fromkeys(map(ord, "\t\n\v\f\r"), " ")
_NARROWEST, _WIDEST_PARAGRAPH = 40, 120
_asked: int | None = None


def ask_width(columns: int | None) -> None:
    """Text for so many columns from now on; None: as it is written where nobody asks.

    Raises ValueError for fewer columns than anything fits.
    """
    global _asked
    if columns is not None and columns < _NARROWEST:
        raise ValueError(f"--width takes a number from {_NARROWEST}, not {columns}")
    _asked = columns


def paragraph_width() -> int:
    """Columns of a paragraph: no more than can be read with ease."""
    return WIDTH if _asked is None else min(_asked, _WIDEST_PARAGRAPH)


class Paint:
    """Colours, if wanted: on a terminal that has them and without NO_COLOR, or with FORCE_COLOR."""

    __slots__ = ("on",)

    def __init__(self, on: bool | None = None) -> None:
        self.on = has_colours() if on is None else on

    def __call__(self, style: str, text: str) -> str:
        """The text in a style, or as it is."""
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if self.on else text


def has_colours() -> bool:
    """Whether standard output is to be coloured, as https://no-color.org and
    https://force-color.org have it: empty is not set.
    """
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def wrapped(label: str, text: str, indent: int = 2, label_width: int = 9) -> list[str]:
    """A labelled paragraph that fits the width: `  numbers  request gfns ...`."""
    head = " " * indent + f"{label:{label_width}}"
    lines = _filled(text, paragraph_width() - len(head)) or [""]
    rest = " " * len(head)
    return [head + lines[0], *(rest + line for line in lines[1:])]


def _filled(text: str, width: int) -> list[str]:
    """The lines of a text, broken between words only: `textwrap` without its patterns, which take
    longer to compile than a page to fill.
    """
    rest = text.expandtabs().translate(_BLANKS).rstrip(" ")
    lines = []
    while len(rest) > width:
        at = rest.rfind(" ", 0, width + 1)
        if at < 0:  # a word that is wider
            at = rest.find(" ")
        line = (rest if at < 0 else rest[:at]).rstrip(" ")
        lines += [line] if line else []
        rest = "" if at < 0 else rest[at:].lstrip(" ")
    return [*lines, rest] if rest else lines


def table(
    rows: Iterable[tuple[str, ...]], head: tuple[str, ...], right: frozenset[int] = frozenset()
) -> list[str]:
    """Rows in columns as wide as they need; columns in `right` are right-aligned."""
    rows = [head, *rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return [
        "  ".join(
            cell.rjust(widths[column]) if column in right else cell.ljust(widths[column])
            for column, cell in enumerate(row)
        ).rstrip()
        for row in rows
    ]


def pages_text(npages: int, page_shift: int) -> str:
    """`262144 pages (1 GiB)`."""
    return f"{npages} pages ({format_bytes(npages << page_shift)})"


def counted(number: int, what: str) -> str:
    """`1 call`, `2 calls`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def duration_text(nanoseconds: int) -> str:
    """`152 µs`, `12.3 ms`, `2.5 s`."""
    for unit, length_ns in (("s", 10**9), ("ms", 10**6)):
        if nanoseconds >= length_ns:
            return f"{nanoseconds / length_ns:.3g} {unit}"
    return f"{nanoseconds / 1000:.0f} µs"
