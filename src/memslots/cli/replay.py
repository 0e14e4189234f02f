"""`memslots replay`: the step table of a recording."""

from __future__ import annotations

from ..errors import MemslotsError
from ..replay.step import DIFFERS, INCOMPLETE, UNDETERMINED
from ..views.report import totals_lines
from ..views.steps import HEAD, step_json, step_line
from ..views.text import Paint
from .each import JSON, JSONL, TEXT, each_recording
from .recording import add_recording, analysis_of, say_unread
from .run import FINDINGS, FINE
from .run import UNDETERMINED as EXIT_UNDETERMINED

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

HELP = (
    "Replay a recording: each call with its result, the expected one, page total, MMU budget and "
    "slots."
)
EPILOG = """\
examples:
  memslots replay examples/refused-overlap.strace
  memslots replay --kernel 5.10/x86_64 --jsonl examples/refused-overlap.strace

Of several files or a folder, each is a recording by itself; JSON rows say which file and process.
Flags are L (log dirty pages), R (read-only), G (guest_memfd).  Exit code: 0 if the model agrees
with every result, 1 if not, 3 if some call could not be decided.
In Python: for step in memslots.replay.replay.Replay(memslots.trace.read(path), profile)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_recording(parser)
    parser.add_argument(
        "--all", action="store_true", help="also calls that are not about memory slots"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--jsonl", action="store_true", help="one JSON object a step")
    form.add_argument("--json", action="store_true", help="one JSON array of all steps")


def run(options: argparse.Namespace) -> int:
    """Replay each recording; the exit code."""
    form = JSON if options.json else JSONL if options.jsonl else TEXT
    return each_recording("replay", options, _run, form)


def _run(options: argparse.Namespace) -> int:
    """Replay one and print; the exit code."""
    analysis = analysis_of(options)
    paint, verdicts, head = Paint(), set(), f"{HEAD}\n"
    as_json = options.json or options.jsonl
    if as_json:
        import json
    separator = "["
    try:
        for step, _ in analysis.run():
            verdicts.add(step.verdict)
            if not (step.is_region or step.change or options.all or step.verdict == DIFFERS):
                continue
            if as_json:
                print((separator if options.json else "") + json.dumps(step_json(step)))
                separator = ","
            else:
                print(head + step_line(step, paint))
                head = ""
    except MemslotsError:
        if options.json and separator == ",":
            print("]")  # what was found until then is whole
        raise
    if not analysis.reading.calls:
        return say_unread("replay", options, analysis)
    if options.json:
        print("[]" if separator == "[" else "]")
    elif not as_json:
        if head:
            print("no call about memory slots: --all shows the others")
        for tracked in analysis.replay.vms:
            if tracked.made_by:
                print("\n".join(totals_lines(tracked)))
    if DIFFERS in verdicts:
        return FINDINGS
    return EXIT_UNDETERMINED if verdicts & {UNDETERMINED, INCOMPLETE} else FINE
