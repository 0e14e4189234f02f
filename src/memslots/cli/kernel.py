"""`memslots kernel`: what one kernel does, and how that is known."""

from __future__ import annotations

from ..kernel.names import find
from ..views.kernel_page import kernel_json, kernel_lines
from .run import FINE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

HELP = "What one kernel does with guest memory, with the source of each fact, limit and option."
EPILOG = """\
examples:
  memslots kernel 6.1/x86_64
  memslots kernel 6.12/arm64+16k
  memslots kernel debian-12/i386 --json

A name is RELEASE/ARCH or a distribution's, with facts and options added (+) or taken away (-).
In Python: memslots.find("6.1/x86_64")."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("kernel", metavar="K", help="kernel, such as 6.1/x86_64 or debian-12")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(options: argparse.Namespace) -> int:
    """Find and print; the exit code."""
    profile = find(options.kernel)
    print(kernel_json(profile) if options.json else "\n".join(kernel_lines(profile)))
    return FINE
