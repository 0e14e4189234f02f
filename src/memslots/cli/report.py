"""`memslots report`: one HTML file on a recording."""

from __future__ import annotations

from ..errors import MemslotsError
from ..views.html_report import HtmlReport
from .progress import progress
from .recording import add_most, add_recording, analysis_of, say_unread
from .run import FINDINGS, FINE, write_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

HELP = (
    "One HTML file on a recording: explanations, the map over time, findings, kernels, VMs, cost "
    "and steps."
)
EPILOG = """\
examples:
  memslots report -o report.html examples/refused-overlap.strace
  memslots report -o report.html examples/recordings/qemu72-q35-lifecycle.strace
  memslots report --by-time -o report.html examples/recordings/qemu72-q35-strace-f-ttt.strace

The file needs nothing else and loads nothing: attach it to a bug, or keep it with a CI run.
report.html#step-5 is a call, report.html#why-5 its explanation (docs/pictures.md).
Exit code: as of `memslots explain`.
In Python: memslots.views.html_report.HtmlReport(analysis).run().html(title)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_recording(parser)
    parser.add_argument(
        "-o", "--output", default="-", metavar="OUT", help="the file (default: standard output)"
    )
    add_most(parser, 50)
    parser.add_argument("--title", default="", help="heading (default: names of the files)")
    parser.add_argument(
        "--by-time", action="store_true", help="draw the map as time went, where it was recorded"
    )


def run(options: argparse.Namespace) -> int:
    """Analyse and write; the exit code."""
    analysis = analysis_of(options, most=options.most)
    report, broken = HtmlReport(analysis), None
    with progress(analysis.reading):
        try:
            report.run()
        except MemslotsError as error:
            broken = error  # what was found until then is not lost
    if broken is None and not analysis.is_about_kvm:
        return say_unread("report", options, analysis)
    title = options.title or ", ".join(options.files)
    write_text(options.output, report.html(title, by_time=options.by_time))
    if broken is not None:
        raise broken
    return FINDINGS if analysis.has_findings else FINE
