"""A text as words, so that one sign finds every spelling of a name and every form of an errno.

`KVM_SET_USER_MEMORY_REGION`, `SetUserMemoryRegion` and `set_user_memory_region` are the same
words; `EINVAL`, `Invalid argument (os error 22)`, `-22` as a result and `Ungültiges Argument` are
the same errno.  Line breaks and punctuation go away, so wrapped and quoted lines read as others.
"""

from __future__ import annotations

import re
from bisect import bisect_right

from ..patterns import lazy
from ..trace.decode import ERRNO, ERRNO_NUMBER
from ..trace.error_texts import ERROR_TEXT

GAP = 90
"""Characters that may stand between two parts of one sign."""
NEAR = 240
"""Characters around a place that are looked at with it."""

_NAMES = {number: name for name, number in reversed(ERRNO.items())}
_NAMES.update({95: "EOPNOTSUPP", 8: "ENOEXEC", 32: "EPIPE"})
_VAGUE = frozenset(("out of memory", "not supported", "not a tty", "i/o error", "resource busy"))
"""Texts that say more than an errno."""
_TEXTS = {text: number for text, number in ERROR_TEXT.items() if text not in _VAGUE}
_LONGEST_FIRST = sorted(_TEXTS, key=len, reverse=True)
_NUMBER = lazy(
    rf"(?i:{ERRNO_NUMBER}"
    # any number between colons, unless an errno is named behind it: `slot: 5: EEXIST`
    r"|: (\d{1,3}): (?!.{0,100}\b(?-i:E(?!RR)[A-Z0-9]{3,})\b))"
)
_OPTION = lazy(r"\bqemu-(?:system-\w+|kvm): -[a-z][\w-]*(?=[ :,])(?![^\n]*: warning:)")
"""QEMU writes the option that it looks at before an error that it finds there."""
_TOKEN = lazy(r"0[xX][0-9a-fA-F]+|E2BIG|[A-Z]+\d*(?![a-z])|[A-Z]?[a-z]+\d*|\d[0-9a-zA-Z]*")
_MIXED = lazy(r"v?CPU|VCpu|[KMGT]iB|IoEventFd|IrqFd|pKVM|OOMKilled")


def named(number: int) -> str:
    """The word that stands for an errno in a text: `einval`."""
    return _NAMES.get(abs(number), f"errno{abs(number)}").lower()


def _texts_in(lowered: str) -> re.Pattern[str] | None:
    """The pattern of the error texts that a text holds, their words perhaps wrapped or quoted; None
    if it holds none.  A pattern of all texts takes longer to compile than most pastes to explain.
    """
    words = _unwrapped(lowered)
    found = [text for text in _LONGEST_FIRST if text in words]
    if not found:
        return None
    spaced = (re.escape(text).replace(r"\ ", r"[\s>|]{1,20}") for text in found)
    return re.compile(rf"(?<![a-z])(?:{'|'.join(spaced)})(?![a-z])")


def _unwrapped(text: str) -> str:
    return " ".join(text.replace(">", " ").replace("|", " ").split())


def _canonical(text: str) -> str:
    """The text with every form of an errno followed by, or replaced by, its name; its lines
    stay.
    """
    lowered = text.lower()
    if len(lowered) != len(text):  # a few letters change their length
        text = lowered
    out, at = [], 0
    texts = _texts_in(lowered)
    for found in texts.finditer(lowered) if texts is not None else ():
        whole = found.group()
        name = _NAMES[_TEXTS[_unwrapped(whole)]]
        out += [text[at : found.start()], f" {name} ", "\n" * whole.count("\n")]
        at = found.end()
    text = "".join((*out, text[at:]))
    if _may_have_numbers(lowered):
        text = _NUMBER.sub(_named_too, text)
    if ": -" in text:
        text = _OPTION.sub(r"\g<0> option refused ", text)
    return _MIXED.sub(lambda found: found.group().lower(), text)


def _may_have_numbers(lowered: str) -> bool:
    """Whether a text has what stands in each number of an errno.  Most recordings have nothing of
    it, and the pattern takes long to compile.
    """
    if any(word in lowered for word in ("error", "errno", "code: ", "): ", "broken: ")):
        return True
    rest = lowered.replace("-1 ", "")  # -1 is no errno
    return any(f"-{digit}" in rest for digit in range(10))


def _named_too(found: re.Match[str]) -> str:
    name = _NAMES.get(int(found.group(found.lastindex or 0)))
    return f"{found.group()} {name} " if name else found.group()


class Words:
    """A text as one string of lower-case words with single spaces, and where each stood."""

    __slots__ = ("_all", "_lines", "_places", "_starts", "flat")

    def __init__(self, text: str, first_line: int = 1) -> None:
        parts: list[str] = [" "]
        self._starts: list[int] = []
        self._lines: list[int] = []
        size = 1
        for number, line in enumerate(_canonical(text).split("\n"), first_line):
            found = [word.lower() for word in _TOKEN.findall(line)]
            if found:
                self._starts.append(size)
                self._lines.append(number)
                joined = " ".join(found) + " "
                size += len(joined)
                parts.append(joined)
        self.flat = "".join(parts)
        """Begins and ends with a space."""
        self._all = frozenset(self.flat.split())
        self._places: dict[str, int] = {}
        """Sign: where it stands first.  Each failure of a text asks for the same ones."""

    def find(self, sign: str, start: int = 0, end: int | None = None) -> int:
        """Where the sign stands; -1 if nowhere.

        A sign is words; ` .. ` between them allows others in between, in this order; `~` at the end
        of a part allows any ending.
        """
        if start or end is not None:
            return self._find(sign, start, end)
        place = self._places.get(sign)
        if place is None:
            first = sign.partition(" ")[0]
            # most signs are in no text: their first word is not
            is_possible = first in self._all or first.endswith("~")
            place = self._places[sign] = self._find(sign, 0, None) if is_possible else -1
        return place

    def _find(self, sign: str, start: int, end: int | None) -> int:
        pieces = sign.split(" .. ")
        end = len(self.flat) if end is None else end
        for _ in range(20):  # places of the first part that are tried
            first = self._piece(pieces[0], start, end)
            if first < 0 or len(pieces) == 1:
                return first
            at = first + len(pieces[0].rstrip("~"))
            for piece in pieces[1:]:
                at = self._piece(piece, at, min(end, at + GAP + len(piece)))
                if at < 0:
                    break
                at += len(piece.rstrip("~"))
            else:
                return first
            start = first + 1
        return -1

    def _piece(self, piece: str, start: int, end: int) -> int:
        word = f" {piece[:-1]}" if piece.endswith("~") else f" {piece} "
        return self.flat.find(word, max(0, start), end)

    def line_at(self, place: int) -> int:
        """The line of a place."""
        at = bisect_right(self._starts, place + 1) - 1
        return self._lines[at] if at >= 0 else 0

    def around(self, place: int) -> str:
        """The words around a place."""
        return self.flat[max(0, place - NEAR) : place + NEAR]

    def __contains__(self, sign: str) -> bool:
        return self.find(sign) >= 0
