"""The accounting designs side by side on the same slots, on 32- and 64-bit hosts.

    from memslots.compare.designs import compare, equal_slots
    for row in compare(equal_slots(411, 524272), (32, 64)):
        print(row.label, row.pages, row.figure(32, "a").budget)

Each design keeps its own books: where (d) refuses a slot, its total goes on
without it, and the deletion of that slot finds nothing.
"""

from __future__ import annotations

from ..state.change import CREATE, DELETE, NOTHING
from ..state.mmu_pages import (
    KVM_MEMSLOT_PAGES_TO_MMU_PAGES_RATIO,
    KVM_MIN_ALLOC_MMU_PAGES,
    KVM_PERMILLE_MMU_PAGES,
    ratio_budget,
)
from ..state.mmu_pages_designs import DESIGNS, Design
from .own_design import KINDS, OwnBooks, OwnDesign

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator

    from ..replay.step import Step

EXACT, WRONG, REFUSED = "exact", "wrong", "refused"
"""What a figure is: a fiftieth of the pages (at least 64), anything else, or the slot was not
made.
"""
OWN = "own"
"""Stands for a letter where a design of one's own is compared."""
PAGE_BYTES = 4096
"""The designs are those of x86."""
_WRAP = -(-(1 << 32) // 20)
KNOWN_TOTALS = (
    *(3199, 3200, 3249, 3250, 1 << 18, 3 << 18, _WRAP - 1, _WRAP),
    *(1 << 28, 1 << 29, 1 << 30, (1 << 32) - 1, 1 << 32),
)
"""Totals, in host pages, that are worth knowing: where budgets begin to rise, and where things
wrap.
"""


class PagesChange:
    """Pages that come or go: one slot created or deleted."""

    __slots__ = ("key", "kind", "label", "pages", "vm")

    def __init__(
        self, label: str, pages: int, key: Hashable, kind: int | None = None, vm: Hashable = None
    ) -> None:  # fmt: skip
        self.label = label
        """For the table: a number, a step, a name."""
        self.pages = pages
        """Host pages added; negative: taken away; 0: something else was committed."""
        self.key = key
        """Which slot, so that its deletion is told from others."""
        self.kind = (
            (CREATE if pages > 0 else DELETE if pages < 0 else NOTHING) if kind is None else kind
        )
        """CREATE, DELETE, MOVE, FLAGS_ONLY or NOTHING."""
        self.vm = vm
        """Which VM, where there are several: each has a total of its own."""


class Figure:
    """What one design holds after a change."""

    __slots__ = ("budget", "total", "verdict")

    def __init__(self, total: int, budget: int, verdict: str) -> None:
        self.total = total
        """Pages as the design counts them: wrapped where it wraps."""
        self.budget = budget
        """Shadow pages that the guest may use (n_max_mmu_pages)."""
        self.verdict = verdict
        """EXACT, WRONG or REFUSED."""


class DesignRow:
    """All designs after one change."""

    __slots__ = ("figures", "label", "pages")

    def __init__(self, label: str, pages: int, figures: dict[tuple[int, str], Figure]) -> None:
        self.label = label
        self.pages = pages
        """Host pages of all slots of the VM that were asked for, exact."""
        self.figures = figures
        """(host bits, letter of the design): figure."""

    def figure(self, host_bits: int, letter: str) -> Figure:
        """The figure of one design, e.g. `figure(32, "a")`."""
        return self.figures[host_bits, letter]

    @property
    def verdicts(self) -> tuple[str, ...]:
        """What each figure is: a row where this changes is worth showing."""
        return tuple(figure.verdict for figure in self.figures.values())


class _Books:
    """One design's own account of the slots."""

    __slots__ = ("design", "refused", "total")

    def __init__(self, design: Design) -> None:
        self.design = design
        self.total = 0
        self.refused: set[Hashable] = set()

    def enter(self, change: PagesChange) -> Figure:
        pages, refused = change.pages, False
        if pages > 0 and self.design.refuses(self.total, pages):
            self.refused.add(change.key)
            refused = True
        elif pages < 0 and change.key in self.refused:
            self.refused.discard(change.key)
        else:
            self.total += pages
        budget = self.design.budget(self.total)
        verdict = EXACT if budget == ratio_budget(self.total) else WRONG
        return Figure(self.design.total(self.total), budget, REFUSED if refused else verdict)


class _OwnBooks:
    """The account that a design of one's own keeps of the same changes."""

    __slots__ = ("books",)

    def __init__(self, books: OwnBooks) -> None:
        self.books = books

    def enter(self, change: PagesChange) -> Figure:
        kind, books = KINDS.get(change.kind), self.books
        known = books.slots.get(change.key, 0)
        npages = change.pages if kind == "create" else known
        if kind is None or not npages:
            return self._figure("")
        # what no unsigned long holds is as many slots as it takes
        largest = (1 << books.host_bits) - 1
        for number in range(-(-npages // largest)):
            part = min(npages - number * largest, largest)
            if kind in ("create", "delete") and books.refuses(kind, part):
                return self._figure(REFUSED)
            books.commit(kind, (change.key, number) if number else change.key, part)
        return self._figure("")

    def _figure(self, verdict: str) -> Figure:
        books = self.books
        right = books.is_right or (
            not books.exact and not books.budget
        )  # before the first slot there is none
        total = books.exact if books.total is None else books.total
        return Figure(total, books.budget or 0, verdict or (EXACT if right else WRONG))


def compare(
    changes: Iterable[PagesChange],
    host_bits: tuple[int, ...] = (32, 64),
    own: OwnDesign | None = None,
) -> Iterator[DesignRow]:
    """The designs, and one's own beside them, after each change on hosts whose unsigned long has
    these widths.
    """
    all_books: dict[Hashable, dict[tuple[int, str], _Books | _OwnBooks]] = {}
    pages: dict[Hashable, int] = {}
    for change in changes:
        vm = change.vm
        if vm not in all_books:
            all_books[vm] = _books_of_a_vm(host_bits, own)
        pages[vm] = pages.get(vm, 0) + change.pages
        yield DesignRow(
            change.label,
            pages[vm],
            {key: book.enter(change) for key, book in all_books[vm].items()},
        )


def _books_of_a_vm(
    host_bits: tuple[int, ...], own: OwnDesign | None
) -> dict[tuple[int, str], _Books | _OwnBooks]:
    books: dict[tuple[int, str], _Books | _OwnBooks] = {}
    for bits in host_bits:
        books.update({(bits, design.letter): _Books(design(bits)) for design in DESIGNS})
        if own is not None:
            books[bits, OWN] = _OwnBooks(own.books(bits))
    return books


def equal_slots(count: int, pages: int) -> Iterator[PagesChange]:
    """`count` slots of `pages` host pages each, created one after the other."""
    for number in range(1, count + 1):
        yield PagesChange(str(number), pages, number)


def compare_totals(
    totals: Iterable[int], host_bits: tuple[int, ...] = (32, 64), own: OwnDesign | None = None
) -> Iterator[DesignRow]:
    """One VM for each total: what the designs make of it."""
    for pages in totals:
        yield from compare([PagesChange("", pages, 0)], host_bits, own)


def totals_of(text: str) -> list[int]:
    """Totals in host pages, separated by commas.  Raises ValueError for anything else."""
    totals = []
    for word in text.split(","):
        try:
            totals.append(int(word, 0))
        except ValueError:
            totals.append(0)
        if totals[-1] < 1:
            raise ValueError(
                f"--pages takes numbers of host pages from 1, separated by commas, not {word!r}"
            )
    return totals


def changes_of(steps: Iterable[Step]) -> Iterator[PagesChange]:
    """The changes of a recording or layout, step by step; several VMs are told apart, not added
    up.
    """
    before: dict[object, int] = {}
    for step in steps:
        vm = step.vm_name
        pages = step.totals[0] - before.get(vm, 0)
        before[vm] = step.totals[0]
        if step.is_region or pages:
            word = step.event.get("slot") if step.is_region else -step.number
            kind = (
                step.change.kind
                if step.is_region and step.change is not None and not pages
                else None
            )
            yield PagesChange(str(step.number), pages, word, kind, vm)


def interesting(rows: Iterable[DesignRow], around: int = 1) -> list[DesignRow | None]:
    """The first and last row and those where a verdict changes, with neighbours; None stands for
    rows left out.
    """
    chosen: list[DesignRow | None] = []
    held: list[DesignRow] = []
    last: DesignRow | None = None
    follow = 0
    for row in rows:
        if last is None or row.verdicts != last.verdicts:
            if len(held) > around:
                chosen.append(None)
            chosen += [*held[-around:], row]
            held, follow = [], around
        elif follow:
            chosen.append(row)
            follow -= 1
        else:
            held.append(row)
            if len(held) > around + 1:
                # one more than is shown, so that a gap of no rows gets no mark
                held = [*held[:1], *held[-around:]]
        last = row
    if held:
        chosen += [None, held[-1]] if len(held) > 1 else held
    return chosen


def first_wrong_total(letter: str, host_bits: int) -> int | None:
    """The smallest total, in host pages, at which a design's budget is wrong; None: never."""
    if letter == "a":
        return wrap(letter, host_bits, 1)
    if letter == "b":
        return KVM_MEMSLOT_PAGES_TO_MMU_PAGES_RATIO * (KVM_MIN_ALLOC_MMU_PAGES + 1)
    if letter == "c":
        return min(wrap(letter, host_bits, 1), wrap("a", 64, 1))
    return None


def wrap(letter: str, host_bits: int, number: int) -> int:
    """The total, in host pages, at which the budget of (a) or (c) begins again for the `number`th
    time.
    """
    if letter == "c":
        return (number << host_bits) * KVM_MEMSLOT_PAGES_TO_MMU_PAGES_RATIO
    return -(-(number << host_bits) // KVM_PERMILLE_MMU_PAGES)


def wraps(letter: str, host_bits: int, most: int) -> int:
    """How often it does so on the way to `most` pages."""
    if letter == "c":
        return most // wrap(letter, host_bits, 1)
    return most * KVM_PERMILLE_MMU_PAGES >> host_bits


def first_refused_total(letter: str, host_bits: int) -> int | None:
    """The smallest total, in host pages, that a design refuses to reach; None: it refuses
    nothing.
    """
    return 1 << host_bits if letter == "d" else None


def aliases_needed(
    pages: int, process_bytes: int, spaces: int = 1, page_bytes: int = PAGE_BYTES
) -> int:
    """How often each page of a process must be a guest page, in each address space, to reach a
    total.

    A process of `process_bytes` whose memory is used once gives that many bytes of
    guest memory; every slot beyond is another alias of the same memory.
    """
    return -(-pages * page_bytes // (process_bytes * spaces))


def reachable_pages(maxphyaddr_bits: int, spaces: int, page_shift: int = 12) -> int:
    """Guest pages below 2^MAXPHYADDR bytes, in all address spaces together."""
    return (1 << (maxphyaddr_bits - page_shift)) * spaces
