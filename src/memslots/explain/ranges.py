"""Ranges of guest addresses that a text names, and those that overlap a request."""

from __future__ import annotations

from ..patterns import lazy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..uapi.region import Region
    from .facts import Facts

_HALF_OPEN = lazy(r"\[\s?(0x[0-9a-fA-F]{3,16}),\s?(0x[0-9a-fA-F]{3,16})\s?\)")
_INCLUSIVE = lazy(r"\b(0x[0-9a-fA-F]{3,16})\s?(?:-|to|bis|\.\.)\s?(0x[0-9a-fA-F]{3,16})\b")
_MOST = 64


def _ranges(facts: Facts) -> Iterator[tuple[int, int, int, str]]:
    """(first byte, end, line, as written), in the order of the text."""
    for number, line in enumerate(facts.text.split("\n"), 1):
        for pattern, more in ((_HALF_OPEN, 0), (_INCLUSIVE, 1)):
            for found in pattern.finditer(line):
                start, end = int(found.group(1), 16), int(found.group(2), 16)
                more_here = more if end & 0xFFF == 0xFFF else 0
                if start < end:
                    yield start, end + more_here, number, found.group()


def overlapping(facts: Facts, request: Region, line: int) -> Iterator[str]:
    """In words: what the text says lies in the way of a request (which stands on that line)."""
    start, end = request.guest_phys_addr, request.guest_phys_addr + request.memory_size
    same: list[int] = []
    others: list[tuple[int, str]] = []
    for count, (first, last, number, shown) in enumerate(_ranges(facts)):
        if count == _MOST:
            break
        if number == line and (first, last) == (start, end):
            continue
        if (first, last) == (start, end):
            same.append(number)
        elif first < end and start < last:
            others.append((number, shown))
    if same:
        lines = " and ".join(f"line {number}" for number in same[:4])
        times = "twice or more" if len(same) > 1 else "already"
        yield f"the text names the same range {times} ({lines}): it was added before"
    for number, shown in others[:2]:
        yield f"the text names {shown} (line {number}), which overlaps"
