"""`memslots diff`: what changes between two kernels."""

from __future__ import annotations

from ..compare.difference import difference
from ..kernel.names import find
from ..views.difference import as_json, difference_lines
from .run import FINE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

HELP = "What changes between two kernels: facts, limits, rules, and what a program notices."
EPILOG = """\
examples:
  memslots diff 5.16/x86_64 5.17/x86_64
  memslots diff 6.1/i386 6.1/x86_64
  memslots diff 5.11/arm64 5.12/arm64
  memslots diff debian-11 debian-13 --json

Exit code 0, also if they differ.
In Python: memslots.compare.difference.difference(memslots.find("5.16"), memslots.find("5.17"))."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("before", metavar="K1", help="kernel, such as 5.16/x86_64 or debian-11")
    parser.add_argument("after", metavar="K2", help="the other kernel")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(options: argparse.Namespace) -> int:
    """Compare and print; the exit code."""
    found = difference(find(options.before), find(options.after))
    print(as_json(found) if options.json else "\n".join(difference_lines(found)))
    return FINE
