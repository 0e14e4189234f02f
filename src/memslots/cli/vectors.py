"""`memslots vectors`: call sequences with expected results, for other implementations."""

from __future__ import annotations

from ..export.vectors import vectors
from .run import FINE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

HELP = (
    "Write sequences of calls with the results of one kernel, as JSON lines, for other "
    "implementations."
)
EPILOG = """\
examples:
  memslots vectors --kernel 6.1/x86_64+pa46 --seed 1 --sequences 3
  memslots vectors --kernel 6.12/arm64+16k --seed 7 --sequences 2 --calls 20
  memslots vectors --kernel debian-12/i386+amd+pa40 --sequences 2

Each sequence begins with a new VM.  docs/vectors.md has the schema.  A seed gives the same
sequences again.  In Python: memslots.export.vectors.vectors("6.1/x86_64", seed=1)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--kernel", default="6.1/x86_64+pa46", metavar="K", help="kernel (default 6.1/x86_64+pa46)"
    )
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="which sequences (default 1)"
    )
    parser.add_argument(
        "--sequences", type=int, default=100, metavar="N", help="how many (default 100)"
    )
    parser.add_argument(
        "--calls",
        type=int,
        default=60,
        metavar="N",
        help="calls in each, after the first (default 60)",
    )
    parser.add_argument(
        "--json", action="store_true", help="no difference: the output is JSON lines"
    )


def run(options: argparse.Namespace) -> int:
    """Write; the exit code."""
    lines = vectors(
        options.kernel, seed=options.seed, sequences=options.sequences, calls=options.calls
    )
    for line in lines:
        print(line)
    return FINE
