"""`memslots accounting`: the page total and MMU budget under four accounting designs."""

from __future__ import annotations

from ..compare.designs import compare, compare_totals, equal_slots, interesting
from ..views import accounting as view
from .run import FINE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from ..compare.designs import Row

HELP = "Compare four ways to keep a VM's page total and to derive the shadow-MMU budget from it."
EPILOG = """\
examples:
  memslots accounting
  memslots accounting --host-bits 32 --slot-pages 524272 --slots 411
  memslots accounting --host-bits 32 --slot-pages 786416 --slots 5463
  memslots accounting --pages 3249,3250,262144,1073741824
  memslots accounting examples/recordings/qemu72-q35-lifecycle.strace

Without a layout, recording, slots or pages: the totals worth knowing, and why a cap is right.
Rows where nothing changes are left out; --json has them all.
In Python: memslots.compare.designs.compare(equal_slots(411, 524272), (32, 64))."""
_WRAP = -(-(1 << 32) // 20)
KNOWN_TOTALS = (
    *(3199, 3200, 3249, 3250, 1 << 18, 3 << 18, _WRAP - 1, _WRAP),
    *(1 << 28, 1 << 29, 1 << 30, (1 << 32) - 1, 1 << 32),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("source", nargs="?", metavar="FILE", help="layout or recording (- for standard input)")
    parser.add_argument("--host-bits", choices=("32", "64", "both"), default="both", help="width of unsigned long")
    parser.add_argument("--slots", type=int, metavar="N", help="number of equal slots (default 1)")
    parser.add_argument("--slot-pages", type=int, metavar="N", help="host pages of each")
    parser.add_argument("--pages", metavar="N,N", help="totals in host pages, each in a VM of its own")
    parser.add_argument("--kernel", default="6.1/x86_64", metavar="K", help="kernel whose slots a FILE makes")
    parser.add_argument("--svg", metavar="FILE", help="also write a picture: budget against pages, each design a line")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(options: argparse.Namespace) -> int:
    """Compare and print; the exit code."""
    host_bits = (32, 64) if options.host_bits == "both" else (int(options.host_bits),)
    column, found = _rows(options, host_bits)
    rows = list(found)
    if options.svg is not None:
        from ..views.accounting_plot import plot_svg

        with open(options.svg, "w", encoding="utf-8") as picture:
            picture.write(plot_svg(rows, host_bits))
    if options.json:
        print(view.as_json(rows, host_bits))
        return FINE
    by_change = options.pages is None and column
    shown: Sequence[Row | None] = interesting(rows) if by_change else rows
    lines = [
        *view.legend_lines(),
        "",
        *view.table_lines(shown, host_bits, column),
        *view.meaning_lines(shown, host_bits),
    ]
    if not by_change and options.pages is None:
        lines += ["", *view.argument_lines()]
    print("\n".join(lines))
    return FINE


def _rows(options: argparse.Namespace, host_bits: tuple[int, ...]) -> tuple[str, Iterable[Row]]:
    given = [name for name in ("source", "slot_pages", "pages") if getattr(options, name) is not None]
    if len(given) > 1:
        raise ValueError("give one of FILE, --slot-pages and --pages")
    if options.source is not None:
        from ..check.plan import steps_of
        from ..compare.designs import changes_of

        return "step", compare(changes_of(steps_of(options.source, options.kernel)), host_bits)
    if options.slot_pages is not None:
        count = 1 if options.slots is None else options.slots
        if count < 1 or options.slot_pages < 1:
            raise ValueError("--slots and --slot-pages take numbers from 1")
        return "slots", compare(equal_slots(count, options.slot_pages), host_bits)
    if options.slots is not None:
        raise ValueError("--slots needs --slot-pages")
    totals = KNOWN_TOTALS if options.pages is None else [_pages(text) for text in options.pages.split(",")]
    return "", compare_totals(totals, host_bits)


def _pages(text: str) -> int:
    try:
        pages = int(text, 0)
    except ValueError:
        pages = 0
    if pages < 1:
        raise ValueError(f"--pages takes numbers of host pages from 1, separated by commas, not {text!r}")
    return pages
