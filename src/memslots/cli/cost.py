"""`memslots cost`: the kernel memory that a layout costs."""

from __future__ import annotations

from ..check.cost import cost
from ..views.cost import MOST_SLOTS, cost_json, cost_lines
from .run import FINE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

HELP = (
    "Kernel memory of a layout's slots: reverse maps, large-page info, write tracking, bitmaps, "
    "descriptors."
)
EPILOG = """\
examples:
  memslots cost examples/layouts/pc.toml
  memslots cost examples/layouts/pc-hotplug.toml --kernel 6.18/x86_64+pa46 --nested
  memslots cost examples/layouts/pc.toml --kernel 5.10/x86_64 --json
  memslots cost examples/recordings/qemu72-q35-lifecycle.strace

FILE is a layout or a recording, as for `memslots check`; what counts is how it ends.
In Python: memslots.check.cost.cost(FILE, "6.18/x86_64")."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("layout", metavar="FILE", help="layout or recording (- for standard input)")
    parser.add_argument(
        "--kernel", default="6.18/x86_64", metavar="K", help="kernel (default 6.18/x86_64)"
    )
    parser.add_argument(
        "--nested", action="store_true", help="a guest has run guests of its own (x86)"
    )
    parser.add_argument(
        "--tracker", action="store_true", help="an external page tracker is registered (x86)"
    )
    parser.add_argument(
        "--slots", type=int, default=MOST_SLOTS, metavar="N", help="slots shown, costliest first"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object, every slot and array")


def run(options: argparse.Namespace) -> int:
    """Add up and print; the exit code."""
    found = cost(options.layout, options.kernel, nested=options.nested, tracker=options.tracker)
    print(cost_json(found) if options.json else "\n".join(cost_lines(found, max(0, options.slots))))
    return FINE
