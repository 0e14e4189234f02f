"""`memslots timeline`: slots and totals over time."""

from __future__ import annotations

from ..views.timeline import SCHEMA, timeline_lines, timeline_rows
from .each import JSON, TEXT, each_recording
from .recording import add_recording, analysis_of, say_unread
from .run import FINE

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
  memslots timeline --json examples/refused-overlap.strace

In Python: memslots.views.timeline.timeline_lines(steps)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_recording(parser)
    parser.add_argument("--json", action="store_true", help="JSON")


def run(options: argparse.Namespace) -> int:
    """Show each recording; the exit code."""
    return each_recording("timeline", options, _run, JSON if options.json else TEXT)


def _run(options: argparse.Namespace) -> int:
    """Replay one and print; the exit code."""
    analysis = analysis_of(options)
    steps = [step for step, _ in analysis.run() if step.change is not None]
    if not analysis.is_about_kvm:
        return say_unread("timeline", options, analysis)
    if options.json:
        import json

        print(json.dumps({"schema": SCHEMA, "changes": timeline_rows(steps)}))
    else:
        print("\n".join(timeline_lines(steps)) if steps else "no slot was changed")
    return FINE
