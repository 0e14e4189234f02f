"""Operands of recorded operations: numbers, and sums of terms such as `3P`, `map:2`, `MAXS-1`."""

from __future__ import annotations

from ...units import U64_MAX
from .process_memory import MAP_BASE, MAP_STEP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Operands:
    """What the words of operands stand for on one kernel."""

    __slots__ = ("known", "page_bytes")

    def __init__(self, page_bytes: int, known: Mapping[str, int]) -> None:
        self.page_bytes = page_bytes
        self.known = known
        """Word: number, e.g. `MAXS`, the user slots of an address space."""

    def value(self, operand: object) -> int:
        """The number as 64 bits."""
        if isinstance(operand, int):
            return operand & U64_MAX
        text = str(operand)
        total, sign, term = 0, 1, ""
        for char in text + "+":
            if char in "+-":
                if term:
                    total += sign * self._term(term)
                sign, term = (-1 if char == "-" else 1), ""
            else:
                term += char
        return total & U64_MAX

    def _term(self, term: str) -> int:
        if term.startswith("map:"):
            return MAP_BASE + int(term[4:], 0) * MAP_STEP
        if term in self.known:
            return self.known[term]
        return int(term[:-1], 0) * self.page_bytes if term.endswith("P") else int(term, 0)
