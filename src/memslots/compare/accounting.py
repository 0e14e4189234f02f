"""One question to the accounting designs: on these slots, on hosts of these widths, with or without
one's own.

from memslots.compare.accounting import Comparison
made = Comparison("guest.toml", (32, 64), kernel="host", design="my_design.py")
made.rows, made.wrong_totals, made.faults
"""

from __future__ import annotations

from .design_faults import SMALL_WORDS, Fault, WrongTotal, first_wrong_total, shortest_fault
from .designs import (
    KNOWN_TOTALS,
    DesignRow,
    compare,
    compare_totals,
    equal_slots,
    first_refused_total,
    totals_of,
    wrap,
    wraps,
)
from .own_design import OwnDesign, load_design

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

STEP, SLOTS, TOTALS, KNOWN = "step", "slots", "totals", "known"
"""What the rows are: steps of a recording or layout, equal slots, totals asked for, totals worth
knowing.
"""
_MOST_WRAPS = 256
"""Teeth of a saw that a picture can show."""


class Comparison:
    """The rows of every design, and what was found of one's own."""

    __slots__ = ("faults", "host_bits", "own", "rows", "what", "wrong_totals")

    def __init__(
        self,
        source: str | None = None,
        host_bits: tuple[int, ...] = (32, 64),
        *,
        kernel: str = "",
        slots: int | None = None,
        slot_pages: int | None = None,
        pages: str | None = None,
        design: str | None = None,
    ) -> None:
        """Of a layout or recording, of `slots` slots of `slot_pages` pages, of totals `pages`, or
        of known totals.

        kernel: whose answers decide which slots a layout or recording makes; wanted with `source`.
        design: the file of a design of one's own, or the name of a built-in one.  Raises ValueError
        for what makes no sense, and what reading the file raises.
        """
        self.host_bits = host_bits
        self.own: OwnDesign | None = None if design is None else load_design(design)
        self.what, found = self._ask(source, kernel, slots, slot_pages, pages)
        self.rows = list(found)
        self.wrong_totals: dict[int, WrongTotal | None] = {}
        """By width of an unsigned long: the hosts asked for, then small words that are tried in
        full.
        """
        self.faults: dict[int, Fault | None] = {}
        if self.own is not None:
            for bits in (*host_bits, *SMALL_WORDS):
                self.wrong_totals[bits] = first_wrong_total(self.own, bits)
                self.faults[bits] = shortest_fault(self.own, bits)

    def _ask(
        self, source: str | None, kernel: str, slots: int | None, slot_pages: int | None,
        pages: str | None
    ) -> tuple[str, Iterable[DesignRow]]:  # fmt: skip
        if sum(given is not None for given in (source, slot_pages, pages)) > 1:
            raise ValueError("give one of FILE, --slot-pages and --pages")
        if source is not None:
            from ..check.plan import steps_of
            from .designs import changes_of

            return STEP, compare(changes_of(steps_of(source, kernel)), self.host_bits, self.own)
        if slot_pages is not None:
            count = 1 if slots is None else slots
            if count < 1 or slot_pages < 1:
                raise ValueError("--slots and --slot-pages take numbers from 1")
            return SLOTS, compare(equal_slots(count, slot_pages), self.host_bits, self.own)
        if slots is not None:
            raise ValueError("--slots needs --slot-pages")
        if pages is not None:
            return TOTALS, compare_totals(totals_of(pages), self.host_bits, self.own)
        return KNOWN, compare_totals(KNOWN_TOTALS, self.host_bits, self.own)

    def picture_rows(self, bits: int, columns: int) -> list[DesignRow]:
        """Rows that stand close enough for a line: of totals, one for each column of a picture,
        and two where a design wraps or begins to refuse.
        """
        if self.what not in (TOTALS, KNOWN):
            return self.rows
        most = max(row.pages for row in self.rows)
        totals = {most * column // columns for column in range(columns + 1)}
        totals |= {row.pages for row in self.rows}
        ends = [first_refused_total("d", bits) or 0]
        for letter in "ac":
            if not self.skipped_wraps(letter, bits):
                count = wraps(letter, bits, most)
                ends += (wrap(letter, bits, number) for number in range(1, count + 1))
        totals |= {total for end in ends for total in (end - 1, end) if 0 < total <= most}
        return list(compare_totals(sorted(totals - {0}), (bits,), self.own))

    def skipped_wraps(self, letter: str, bits: int) -> int:
        """How often a design wraps up to the largest total, where no picture can show it; else
        0.
        """
        if self.what not in (TOTALS, KNOWN):
            return 0
        count = wraps(letter, bits, max(row.pages for row in self.rows))
        return count if count > _MOST_WRAPS else 0

    @property
    def is_own_wrong(self) -> bool:
        """Whether anything wrong was found of one's own design, on any width."""
        return any(self.faults.values()) or any(self.wrong_totals.values())
