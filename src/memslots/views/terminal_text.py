"""Lines of text as a terminal or a mail takes them: fitted to a width, coloured by meaning, with
links.
"""

from __future__ import annotations

import re

from ..errnos import NUMBERS
from .links import rule_link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_ESCAPE = re.compile(r"\x1b\[[0-9;]*m|\x1b\]8;[^\x1b]*\x1b\\")
_GAP = re.compile(r"(?<=\S) {2,}(?=\S)")
_ERRNO = "|".join(sorted(map(re.escape, NUMBERS), key=len, reverse=True))
_WORD = re.compile(
    rf"(?<![\w./-])(?:(?P<errno>{_ERRNO})|(?P<id>[a-z0-9]+(?:-[a-z0-9]+)+))(?![\w-])"
)
_OTHER = re.compile(r"^( +other +)(.*)$")
_RED, _CYAN, _YELLOW = 31, 36, 33
PLAIN_LETTERS = {
    "\xb5": "u", "\xd7": "x", "\xb7": "*", "\u2026": "...", "\u2013": "-", "\u2014": "-",
    "\u2192": "->", "\u2264": "<=", "\u2265": ">=", "\u2018": "'", "\u2019": "'", "\u201c": '"',
    "\u201d": '"', "\u2502": "|", "\u2500": "-",
}  # fmt: skip
"""What stands for a letter that an encoding lacks."""


def visible_columns(line: str) -> int:
    """Columns that a line takes, without what only colours it."""
    return len(_ESCAPE.sub("", line)) if "\x1b" in line else len(line)


def fitted(line: str, columns: int) -> list[str]:
    """A line as lines of no more columns, where spaces let it: what follows stands below the text
    of its last column.
    """
    if visible_columns(line) <= columns:
        return [line]
    indent = _hanging(line, columns)
    words = re.split(r"( +)", line)
    lines, current = [], ""
    for word, gap in zip(words[::2], ["", *words[1::2]]):
        longer = current + gap + word
        fits = visible_columns(longer) <= columns
        if fits or not current.strip() or visible_columns(current) <= indent:
            current = longer
        else:
            lines.append(current.rstrip())
            current = " " * indent + word
    return [*lines, current.rstrip()]


def _hanging(line: str, columns: int) -> int:
    """Where the lines that follow begin."""
    plain = _ESCAPE.sub("", line)
    start = len(plain) - len(plain.lstrip())
    label = _GAP.search(plain)
    if label is not None and label.end() <= columns // 3:
        return label.end()
    return min(start + 4, columns // 3)


class Highlighter:
    """Colours and links by meaning: errnos, names of rules and causes, the other slot."""

    __slots__ = ("_colours", "_links", "_pages")

    def __init__(self, pages: Mapping[str, bool], *, colours: bool, links: bool) -> None:
        """pages: each id that is known, and whether it has a page of its own."""
        self._pages = pages
        self._colours = colours
        self._links = links

    def __call__(self, line: str) -> str:
        """The line with its escapes."""
        if self._colours:
            other = _OTHER.match(line)
            if other is not None:
                return f"{other[1]}\x1b[{_YELLOW}m{other[2]}\x1b[0m"
        return _WORD.sub(self._marked, line)

    def _marked(self, match: re.Match[str]) -> str:
        word = match[0]
        if match["errno"]:
            return f"\x1b[{_RED}m{word}\x1b[0m" if self._colours else word
        has_page = self._pages.get(word)
        if has_page is None:
            return word
        text = f"\x1b[{_CYAN}m{word}\x1b[0m" if self._colours else word
        if self._links and has_page and rule_link(word):
            return f"\x1b]8;;{rule_link(word)}\x1b\\{text}\x1b]8;;\x1b\\"
        return text
