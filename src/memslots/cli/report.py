"""`memslots report`: one HTML file on a recording."""

from __future__ import annotations

import os

from ..errors import MemslotsError
from ..trace.reader import recording_name, recordings_of
from ..views.html_pages import RecordingPages
from ..views.html_report import HtmlReport
from .each import each_recording
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
Several recordings make a folder with a page for each and index.html.
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
    """Write a page for each recording; the exit code."""
    if options.together or len(recordings_of(options.files)) == 1:
        return each_recording("report", options, _run)
    if options.output == "-" or os.path.isfile(options.output):
        raise ValueError("several recordings make a folder of pages: name it with -o FOLDER")
    os.makedirs(options.output, exist_ok=True)
    pages = RecordingPages(options.title or ", ".join(options.files))
    code = each_recording("report", options, lambda one: _one_of(one, pages))
    write_text(os.path.join(options.output, "index.html"), pages.html())
    return code


def _one_of(options: argparse.Namespace, pages: RecordingPages) -> int:
    """The page of one of several, or a row that says why there is none."""
    try:
        return _run(options, pages)
    except (MemslotsError, ValueError, OSError) as error:
        pages.unread(recording_name(options.files), error)
        raise


def _run(options: argparse.Namespace, pages: RecordingPages | None = None) -> int:
    """Analyse one and write its page; the exit code."""
    analysis = analysis_of(options, most=options.most)
    report, broken = HtmlReport(analysis), None
    with progress(analysis.reading):
        try:
            report.run()
        except MemslotsError as error:
            broken = error  # what was found until then is not lost
    if broken is None and not analysis.is_about_kvm:
        return say_unread("report", options, analysis)
    title, output = options.title or recording_name(options.files), options.output
    if pages is not None:
        title = recording_name(options.files)
        output = os.path.join(options.output, pages.add(title, analysis, broken))
    write_text(output, report.html(title, by_time=options.by_time))
    if broken is not None:
        raise broken
    return FINDINGS if analysis.has_findings else FINE
