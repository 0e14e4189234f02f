"""`memslots causes`: what can be behind a failure that is no rule of the memory-slot layer."""

from __future__ import annotations

from ..explain.causes.catalogue import CHAPTERS
from ..views.cause_page import as_json, list_lines
from .run import FINE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

HELP = (
    "Everything beside the rules that can be behind a failure of a VM's memory: host, VMM, VFIO, "
    "vhost, firmware."
)
EPILOG = """\
examples:
  memslots causes
  memslots rule vfio-memlock-limit
  memslots causes --json

In Python: memslots.explain.causes.CAUSES."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--json", action="store_true", help="one JSON object, with the page of each cause"
    )


def run(options: argparse.Namespace) -> int:
    """List and print; the exit code."""
    print(as_json(CHAPTERS) if options.json else "\n".join(list_lines(CHAPTERS)))
    return FINE
