"""`memslots timeline`: slots and totals over time."""

from __future__ import annotations

import json
import sys

from ..explain.analysis import Analysis
from ..kernel.names import find
from ..views.timeline import SCHEMA, timeline_lines, timeline_rows
from .run import FINE, USAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

HELP = (
    "Every change of the slots in time: created (+), deleted (-), moved (>), re-flagged (~), with "
    "the totals."
)
EPILOG = """\
examples:
  memslots timeline examples/recordings/qemu72-q35-lifecycle.strace
  memslots timeline --json vmm.strace

In Python: memslots.views.timeline.timeline_lines(steps)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="recording, or - for standard input"
    )
    parser.add_argument(
        "--kernel", metavar="K", help="the kernel (default: the newest that fits the recording)"
    )
    parser.add_argument("--json", action="store_true", help="JSON")


def run(options: argparse.Namespace) -> int:
    """Replay and print; the exit code."""
    source = options.files[0] if len(options.files) == 1 else options.files
    analysis = Analysis(source, find(options.kernel) if options.kernel else None, most=0)
    steps = [step for step, _ in analysis.run() if step.change is not None]
    if not analysis.region_calls:
        print("memslots timeline: no memory-region call in the input", file=sys.stderr)
        return USAGE
    if options.json:
        print(json.dumps({"schema": SCHEMA, "changes": timeline_rows(steps)}))
    else:
        print("\n".join(timeline_lines(steps)))
    return FINE
