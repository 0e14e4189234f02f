"""Where an accounting design of one's own is wrong first: the smallest total, and the shortest
changes.

A design is judged after every change, against the slots that it has let in:

* its total, if it keeps one, is the sum of their pages;
* its budget is a fiftieth of them, at least 64, as in the merged design;
* it refuses no slot whose pages fit an unsigned long beside the others, and no deletion.

Letting in more than that is no fault by itself: a 64-bit total may well hold it.
"""

from __future__ import annotations

import random

from ..state.mmu_pages import ratio_budget

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .own_design import OwnBooks, OwnDesign

    Change = tuple[str, int, int]

TOTAL, BUDGET, REFUSED = "total", "budget", "refused"
"""What a fault is about."""
EVERY_TOTAL_TO = 1 << 13
"""Totals up to this are tried one by one; larger ones where something may wrap."""
ALL_ORDERS_TO = 3
"""Sequences of up to this many changes are tried in full, with slots of `slot_pages`."""
_MOST_SLOTS, _RANDOM_RUNS, _RANDOM_CHANGES = 256, 60, 40
SMALL_WORDS = (8, 13, 16)
"""Widths of an unsigned long that no host has: on them, totals can be tried one by one up to where
they wrap.
"""


class Fault:
    """The change after which a design is wrong, and what it should have."""

    __slots__ = ("about", "changes", "exact", "found", "wanted")

    def __init__(
        self, about: str, changes: list[Change], exact: int, found: int | None, wanted: int
    ) -> None:
        self.about = about
        """TOTAL, BUDGET or REFUSED."""
        self.changes = changes
        """(kind, number of the slot, its pages), the last of which shows the fault."""
        self.exact = exact
        """Pages of all slots after it."""
        self.found = found
        """What the design has; None: nothing."""
        self.wanted = wanted
        """What it should have; for REFUSED the pages that would have fitted."""


class WrongTotal:
    """A number of pages that a design gets wrong in slots created one after the other."""

    __slots__ = ("fault", "is_smallest", "pages")

    def __init__(self, pages: int, fault: Fault, *, is_smallest: bool) -> None:
        self.pages = pages
        self.fault = fault
        self.is_smallest = is_smallest
        """Whether every smaller total has been tried.  If not, it is the smallest one found."""


def run(design: OwnDesign, host_bits: int, changes: list[Change]) -> Fault | None:
    """Make the changes one after the other; the first fault."""
    books = design.books(host_bits)
    for number, change in enumerate(changes, 1):
        fault = _step(books, change)
        if fault is not None:
            about, found, wanted = fault
            return Fault(about, changes[:number], books.exact, found, wanted)
    return None


def _step(books: OwnBooks, change: Change) -> tuple[str, int | None, int] | None:
    kind, slot, npages = change
    if (kind == "create") == (slot in books.slots):
        return None  # the slot was refused, or is there: nothing for a design to do
    if kind in ("create", "delete") and books.refuses(kind, npages):
        if kind == "create" and books.exact + npages >= 1 << books.host_bits:
            return None
        return REFUSED, None, books.exact + npages if kind == "create" else npages
    books.commit(kind, slot, npages)
    if books.total not in (None, books.exact):
        return TOTAL, books.total, books.exact
    if books.budget != ratio_budget(books.exact):
        return BUDGET, books.budget, ratio_budget(books.exact)
    return None


# -- the first total


def first_wrong_total(design: OwnDesign, host_bits: int) -> WrongTotal | None:
    """The smallest total found at which the design is wrong; None if it is right wherever it was
    asked.
    """
    right = min(EVERY_TOTAL_TO, 1 << host_bits) - 1
    for pages in range(1, right + 1):
        fault = _total_fault(design, host_bits, pages)
        if fault is not None:
            return WrongTotal(pages, fault, is_smallest=True)
    next_one = right + 1
    for pages in edges(host_bits):
        if pages <= right:
            continue
        fault = _total_fault(design, host_bits, pages)
        if fault is None:
            right = pages
            continue
        # between a total that is right and one that is wrong, halve until they are neighbours
        while pages - right > 1:
            middle = (pages + right) // 2
            nearer = _total_fault(design, host_bits, middle)
            if nearer is None:
                right = middle
            else:
                pages, fault = middle, nearer
        return WrongTotal(pages, fault, is_smallest=pages == next_one)
    return None


def _total_fault(design: OwnDesign, host_bits: int, pages: int) -> Fault | None:
    largest = (1 << host_bits) - 1
    if pages > largest * _MOST_SLOTS:
        return None
    parts = [largest] * (pages // largest) + ([pages % largest] if pages % largest else [])
    return run(design, host_bits, [("create", slot, part) for slot, part in enumerate(parts)])


def edges(host_bits: int) -> list[int]:
    """Totals beside which sums, products by 20 and quotients by 50 or 1000 begin to wrap,
    ascending.
    """
    found = set()
    for bits in {16, 31, 32, host_bits - 1, host_bits, 63, 64}:
        for edge in (
            1 << bits,
            -(-(1 << bits) // 20),
            -(-(1 << bits) // 1000),
            50 << bits,
            1000 << bits,
        ):
            found |= {edge - 1, edge, edge + 1}
    return sorted(found)


# -- the shortest changes


def slot_pages(host_bits: int) -> list[int]:
    """Sizes of slots that tell designs apart, ascending; all fit an unsigned long."""
    top = 1 << host_bits
    sizes = {
        1,
        49,
        50,
        3200,
        3249,
        3250,
        -(-top // 1000),
        -(-top // 20) - 1,
        -(-top // 20),
        top // 2,
        top - 2,
        top - 1,
    }
    sizes |= {1 << 31, -(-(1 << 32) // 20), 1 << 32}
    return sorted(pages for pages in sizes if 1 <= pages < top)


def shortest_fault(design: OwnDesign, host_bits: int) -> Fault | None:
    """A fault after as few changes as were found: all orders of a few, then longer runs, cut
    down.
    """
    sizes = slot_pages(host_bits)
    for length in range(1, ALL_ORDERS_TO + 1):
        for changes in _orders(length, sizes, [], {}):
            fault = run(design, host_bits, changes)
            if fault is not None:
                return fault
    for changes in _long_runs(host_bits, sizes):
        fault = run(design, host_bits, changes)
        if fault is not None:
            return _cut_down(design, host_bits, fault)
    return None


def _orders(
    length: int, sizes: list[int], before: list[Change], live: dict[int, int]
) -> Iterator[list[Change]]:  # fmt: skip
    """All sequences of so many changes that make sense; the shorter ones have been tried
    already.
    """
    if len(before) == length:
        yield before
        return
    for pages in sizes:
        slot = len(before)
        yield from _orders(length, sizes, [*before, ("create", slot, pages)], {**live, slot: pages})
    for slot, pages in live.items():
        for kind in ("delete", "move", "flags"):
            left = {key: value for key, value in live.items() if kind != "delete" or key != slot}
            yield from _orders(length, sizes, [*before, (kind, slot, pages)], left)


def _long_runs(host_bits: int, sizes: list[int]) -> Iterator[list[Change]]:
    """Runs that fill a VM up to its cap and beyond, and random ones with seeds of their own."""
    for part in (2, 20, 51, 1000):
        pages = max((1 << host_bits) // part, 1)
        fill: list[Change] = [("create", slot, pages) for slot in range(min(part + 2, _MOST_SLOTS))]
        yield [
            *fill,
            *((kind, 0, pages) for kind in ("flags", "move", "delete", "create", "delete")),
        ]
    for seed in range(_RANDOM_RUNS):
        draw = random.Random(seed)
        live: dict[int, int] = {}
        changes: list[Change] = []
        for slot in range(_RANDOM_CHANGES):
            kind = draw.choice(("create", "create", "delete", "move", "flags"))
            if kind == "create" or not live:
                live[slot] = draw.choice(sizes)
                changes.append(("create", slot, live[slot]))
            else:
                which = draw.choice(sorted(live))
                changes.append((kind, which, live[which]))
                if kind == "delete":
                    del live[which]
        yield changes


def _cut_down(design: OwnDesign, host_bits: int, fault: Fault) -> Fault:
    """The same with every change left out that is not needed."""
    at = 0
    while at < len(fault.changes):
        shorter = run(design, host_bits, fault.changes[:at] + fault.changes[at + 1 :])
        if shorter is None:
            at += 1
        else:
            fault, at = shorter, 0
    return fault
