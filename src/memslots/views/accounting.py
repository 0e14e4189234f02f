"""The table of accounting designs, what it means, and the same as JSON."""

from __future__ import annotations

from ..compare.accounting import KNOWN, SLOTS, STEP
from ..compare.designs import (
    OWN,
    PAGE_BYTES,
    REFUSED,
    WRONG,
    aliases_needed,
    first_refused_total,
    first_wrong_total,
    interesting,
    reachable_pages,
)
from ..kernel.history import FACTS
from ..state.mmu_pages import KVM_PERMILLE_MMU_PAGES, ratio_budget
from ..state.mmu_pages_designs import DESIGNS, Walk
from ..units import format_bytes
from .page_total import own_design_json, own_design_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..compare.accounting import Comparison
    from ..compare.designs import DesignRow
    from ..compare.own_design import OwnDesign

SCHEMA = "memslots.accounting/1"
PROCESS_BYTES = 3 << 30
"""What a process on a 32-bit x86 host can map."""
MAXPHYADDR_BITS = (32, 36, 39, 40, 42, 43, 46, 52)
_LARGE_GUEST_PAGES = 1 << 30
"""4 TiB: the product is exactly 5 * 2^32."""


def comparison_lines(made: Comparison) -> list[str]:
    """The whole answer: designs, table, what it means, and what was found of a design of one's
    own.
    """
    by_change = made.what in (STEP, SLOTS)
    shown: Sequence[DesignRow | None] = interesting(made.rows) if by_change else made.rows
    lines = [
        *legend_lines(made.own),
        "",
        *table_lines(shown, made.host_bits, made.what if by_change else ""),
        *meaning_lines(shown, made.host_bits),
    ]
    if made.own is not None:
        lines += ["", *own_design_lines(made.own, made.wrong_totals, made.faults)]
    elif made.what == KNOWN:
        lines += ["", *argument_lines()]
    return lines


def comparison_json(made: Comparison) -> str:
    """The whole answer as one JSON object."""
    own = None if made.own is None else own_design_json(made.own, made.wrong_totals, made.faults)
    return as_json(made.rows, made.host_bits, own)


def legend_lines(own: OwnDesign | None = None) -> list[str]:
    """The designs by letter."""
    lines = ["Shadow-page budget (n_max_mmu_pages) by accounting design:"] + [
        f"  ({design.letter}) {design.title}" for design in DESIGNS
    ]
    return lines if own is None else [*lines, f"  ({OWN}) {own.title}"]


def _columns(rows: Iterable[DesignRow | None]) -> list[str]:
    """The letters of the designs that the rows hold."""
    first = next((row for row in rows if row is not None), None)
    letters = [design.letter for design in DESIGNS]
    return (
        [*letters, OWN]
        if first is not None and any(letter == OWN for _, letter in first.figures)
        else letters
    )


def table_lines(
    rows: Sequence[DesignRow | None], host_bits: Sequence[int], first_column: str
) -> list[str]:
    """Header and rows; None is a gap."""
    letters = _columns(rows)
    keys = [(bits, letter) for bits in host_bits for letter in letters]
    cells = [
        ["...", "..."] if row is None
        else [row.label, str(row.pages), *(_cell(row, key) for key in keys)]
        for row in rows
    ]  # fmt: skip
    heads = [first_column, "pages", *(f"({letter})" for _, letter in keys)]
    widths = [
        max([len(head), *(len(line[i]) for line in cells if i < len(line))])
        for i, head in enumerate(heads)
    ]
    starts = [2 + i * len(letters) for i in range(len(host_bits))]
    top = " " * (sum(widths[:2]) + 2)
    for bits, start in zip(host_bits, starts):
        width = sum(widths[start : start + len(letters)]) + 2 * len(letters)
        top += f"  {f'{bits}-bit host':-^{width - 2}}"
    lines = [top.rstrip()]
    pairs = (zip(line, widths) for line in (heads, *cells))
    return lines + [
        "  ".join(f"{text:>{width}}" for text, width in pair).rstrip() for pair in pairs
    ]


def _cell(row: DesignRow, key: tuple[int, str]) -> str:
    figure = row.figures[key]
    if figure.verdict == REFUSED:
        return "refused "
    return f"{figure.budget}*" if figure.verdict == WRONG else f"{figure.budget} "


def meaning_lines(rows: Iterable[DesignRow | None], host_bits: Sequence[int]) -> list[str]:
    """What the marks mean, and where the designs part."""
    seen = [row for row in rows if row is not None]
    verdicts = {figure.verdict for row in seen for figure in row.figures.values()}
    lines = []
    if WRONG in verdicts:
        lines.append(
            "  *  not a fiftieth of the pages: the total or the product wrapped, or the ratio is 0"
        )
    if REFUSED in verdicts:
        lines.append("  refused: KVM_SET_USER_MEMORY_REGION answers EINVAL (rule page-total-cap)")
    for bits in host_bits:
        lines += [
            "",
            f"On a {bits}-bit host",
            *(_design_line(design.letter, bits) for design in DESIGNS),
        ]
    return lines


def _design_line(letter: str, bits: int) -> str:
    wrong, refused = first_wrong_total(letter, bits), first_refused_total(letter, bits)
    if wrong is None or refused is not None:
        largest = (refused or 1) - 1
        line = f"  (d) is exact, and refuses to pass {largest} pages"
        if bits < 64:
            return f"{line} ({_size(largest)}); its largest budget is {ratio_budget(largest)}"
        return f"{line}: no VM can, as 2^16 slots of 2^31 - 1 pages are fewer than 2^47"
    if letter == "a":
        product = wrong * KVM_PERMILLE_MMU_PAGES
        walk = Walk(bits)
        return (
            f"  (a) wraps first at {wrong} pages{_in_reach(wrong)}: {wrong} * 20 = 2^{bits} + "
            f"{product - (1 << bits)},\n      the budget falls from {walk.budget(wrong - 1)} to "
            f"{walk.budget(wrong)}"
        )
    if letter == "b":
        return f"  (b) is 64 for every VM, wrong from {wrong} pages ({_size(wrong)}) on"
    what = "its budget no longer fits an unsigned long" if bits < 64 else "its 64-bit product wraps"
    return f"  (c) is wrong first at {wrong} pages{_in_reach(wrong)}: {what}"


def _size(pages: int) -> str:
    return format_bytes(pages * PAGE_BYTES)


def _in_reach(pages: int) -> str:
    return f" ({_size(pages)})" if pages >> 47 == 0 else ", which no VM reaches"


def argument_lines() -> list[str]:
    """Why (d) may cap the total, with the numbers."""
    walk, cap = Walk(32), 1 << 32
    right, given = ratio_budget(_LARGE_GUEST_PAGES), walk.budget(_LARGE_GUEST_PAGES)
    wrong = first_wrong_total("a", 32) or 0
    lines = [
        "Why it matters",
        f"  A 4 TiB guest ({_LARGE_GUEST_PAGES} pages) gets {given} shadow pages from (a) on a "
        "32-bit host:",
        "  2^30 * 20 is exactly 5 * 2^32.",
        f"  It should get {right}; with {given} it tears down shadow page tables as soon as it "
        "has built them.",
        f"  Linux before {_since('budget-ulong')} keeps 32 bits on 64-bit hosts too: there an "
        "ordinary 4 TiB guest "
        "meets it.",
        "",
        "Why a cap costs nobody anything (32-bit host, 4 KiB pages, process of 3 GiB)",
        f"  {'':22} {'pages':>12} {'guest memory':>13} {'aliases of each page':>21} "
        f"{'with SMM space':>15}",
    ]
    for what, pages in (("(a) wraps", wrong), ("(d) refuses", cap)):
        alone, both = (aliases_needed(pages, PROCESS_BYTES, spaces) for spaces in (1, 2))
        lines.append(f"  {what:22} {pages:12} {_size(pages):>13} {alone:21} {both:15}")
    lines += [
        f"  Above 4 TiB of guest memory ({1 << 30} pages) every page is aliased at least "
        f"{aliases_needed(1 << 30, PROCESS_BYTES)} times.",
        f"  That is less than it takes: the total wraps at {_size(cap)}, the product of (a) at "
        f"{_size(wrong)}.",
        "",
        "What MAXPHYADDR reaches (pages below it in both address spaces)",
        f"  {'bits':>4} {'one space':>10} {'pages in two':>16} {'(a) on 32 bits':>16} "
        f"{'(d) on 32 bits':>16}",
        *(_reach_line(bits) for bits in MAXPHYADDR_BITS),
        "  43 bits are the first whose two address spaces hold 2^32 pages, one more than (d) "
        "allows:",
        "  with fewer, the guest cannot even reach the aliases that it would take.",
    ]
    return lines


def _since(fact: str) -> str:
    dated = next(dated for dated in FACTS if dated.name == fact)
    earlier = ", ".join(str(release) for release in dated.backports)
    return f"{dated.since} ({earlier} in older branches)" if earlier else str(dated.since)


def _reach_line(bits: int) -> str:
    pages = reachable_pages(bits, 2)
    walk = Walk(32).budget(pages)
    first = f"{walk} " if walk == ratio_budget(pages) else f"{walk}*"
    last = f"{ratio_budget(pages)} " if pages < 1 << 32 else "refused "
    return f"  {bits:4} {format_bytes(1 << bits):>10} {pages:16} {first:>16} {last:>16}"


def as_json(
    rows: Sequence[DesignRow], host_bits: Sequence[int], own: dict[str, object] | None = None
) -> str:
    """One JSON object: every row, not only the interesting ones; `own`: what was found of a design
    of one's own.
    """
    import json

    return json.dumps(
        ({} if own is None else {"own": own})
        | {
            "schema": SCHEMA,
            "designs": {design.letter: design.title for design in DESIGNS},
            "hosts": [
                {
                    "bits": bits,
                    "first_wrong_total_pages": {
                        d.letter: first_wrong_total(d.letter, bits) for d in DESIGNS
                    },
                    "first_refused_total_pages": {
                        d.letter: first_refused_total(d.letter, bits) for d in DESIGNS
                    },
                }
                for bits in host_bits
            ],
            "rows": [_row_json(row) for row in rows],
        }
    )


def _row_json(row: DesignRow) -> dict[str, object]:
    return {
        "label": row.label,
        "pages": row.pages,
        "figures": [
            {
                "host_bits": bits,
                "design": letter,
                "total_pages": figure.total,
                "budget": figure.budget,
                "verdict": figure.verdict,
            }
            for (bits, letter), figure in row.figures.items()
        ],
    }
