"""`memslots accounting`: the page total and MMU budget under four accounting designs, and one of
your own.
"""

from __future__ import annotations

from ..views import accounting as view
from .run import FINDINGS, FINE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

HELP = (
    "Compare four ways to keep a VM's page total and to derive the shadow-MMU budget from it, and "
    "one of your own."
)
EPILOG = """\
examples:
  memslots accounting
  memslots accounting --host-bits 32 --slot-pages 524272 --slots 411
  memslots accounting --host-bits 32 --slot-pages 786416 --slots 5463
  memslots accounting --pages 3249,3250,262144,1073741824
  memslots accounting examples/recordings/qemu72-q35-lifecycle.strace
  memslots accounting --design examples/accounting/cached_total.py
  memslots accounting --acts --kernel 5.16/x86_64
  memslots accounting --thread

Without a layout, recording, slots or pages: the totals worth knowing, and why a cap is right.
Rows where nothing changes are left out; --json has them all.  A design of your own is a class of a
few lines: docs/accounting.md; the exit code is 1 if it is found to be wrong.
In Python: memslots.compare.designs.compare(equal_slots(411, 524272), (32, 64))."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "source", nargs="?", metavar="FILE", help="layout or recording (- for standard input)"
    )
    parser.add_argument(
        "--host-bits", choices=("32", "64", "both"), default="both", help="width of unsigned long"
    )
    parser.add_argument("--slots", type=int, metavar="N", help="number of equal slots (default 1)")
    parser.add_argument("--slot-pages", type=int, metavar="N", help="host pages of each")
    parser.add_argument(
        "--pages", metavar="N,N", help="totals in host pages, each in a VM of its own"
    )
    parser.add_argument(
        "--kernel", default="6.1/x86_64", metavar="K", help="the kernel (default 6.1/x86_64)"
    )
    parser.add_argument(
        "--design", metavar="FILE.py", help="a design of your own, or `merged`, `budget-first`"
    )
    one = parser.add_argument_group(
        "one VM of --kernel, call by call"
    ).add_mutually_exclusive_group()
    one.add_argument(
        "--acts", action="store_true", help="each kind of change: which touch total and budget"
    )
    one.add_argument(
        "--lost", type=int, metavar="N", help="the kernel's total is N pages too small"
    )
    one.add_argument("--requested", type=int, metavar="N", help="user space sets a budget of N")
    one.add_argument(
        "--fill", action="store_true", help="a 32-bit host, filled with aliases of the same memory"
    )
    one.add_argument(
        "--thread", action="store_true", help="the review of the page total, sentence by sentence"
    )
    parser.add_argument(
        "--svg",
        metavar="FILE",
        help="also write a picture: budget against pages, each design a line",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(options: argparse.Namespace) -> int:
    """Compare and print; the exit code."""
    if options.thread and options.json:
        raise ValueError("--thread is a page to read: it has no --json")
    if options.thread:
        from ..views.page_total_review import page
        from .run import output_of

        print(page(output_of))
        return FINE
    if options.acts or options.fill or options.lost is not None or options.requested is not None:
        return _one_vm(options)
    from ..compare.accounting import Comparison

    host_bits = (32, 64) if options.host_bits == "both" else (int(options.host_bits),)
    made = Comparison(
        options.source, host_bits, kernel=options.kernel, slots=options.slots,
        slot_pages=options.slot_pages,
        pages=options.pages, design=options.design,
    )  # fmt: skip
    if options.svg is not None:
        from ..views.accounting_plot import plot_svg

        with open(options.svg, "w", encoding="utf-8") as picture:
            picture.write(plot_svg(made))
    print(view.comparison_json(made) if options.json else "\n".join(view.comparison_lines(made)))
    return FINDINGS if made.is_own_wrong else FINE


def _one_vm(options: argparse.Namespace) -> int:
    from ..compare import page_total
    from ..kernel.names import find
    from ..views.page_total import act_lines, acts_json

    profile = find(options.kernel)
    if options.acts:
        acts = page_total.kinds_of_change(profile)
    elif options.fill:
        acts = page_total.filled(profile)
    elif options.lost is not None:
        acts = page_total.lost_count(profile, options.lost)
    else:
        acts = page_total.requested(profile, options.requested)
    if options.json:
        print(acts_json(profile.name, acts))
    else:
        print("\n".join([f"On {profile.name}", *act_lines(acts, 1 << profile.page_shift)]))
    return FINE
