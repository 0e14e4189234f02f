"""`memslots kernels`: the kernels that are known."""

from __future__ import annotations

from ..kernel.arch import find_arch
from ..views.kernel_page import list_json, list_lines
from .run import FINE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

HELP = "The kernels that are known: releases and what each changed, distributions, architectures."
EPILOG = """\
examples:
  memslots kernels
  memslots kernels --arch arm64
  memslots kernels --json

In Python: memslots.kernel.history.BRANCHES, memslots.kernel.distributions.BUILDS."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--arch", default="x86_64", metavar="A", help="architecture (default x86_64)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object, all architectures")


def run(options: argparse.Namespace) -> int:
    """List and print; the exit code."""
    arch = find_arch(options.arch)
    print(list_json() if options.json else "\n".join(list_lines(arch.name)))
    return FINE
