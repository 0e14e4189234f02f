"""`memslots report`: one HTML file on a recording."""

from __future__ import annotations

import sys

from ..errors import MemslotsError
from ..explain.analysis import Analysis
from ..kernel.names import find
from ..views.html_report import HtmlReport
from .progress import progress
from .run import FINDINGS, FINE, USAGE, write_text

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
  memslots report --by-time --title "migration of web-3" -o report.html vmm.strace

The file needs nothing else and loads nothing: attach it to a bug, or keep it with a CI run.
report.html#step-5 is a call, report.html#why-5 its explanation (docs/pictures.md).
Exit code: as of `memslots explain`.
In Python: memslots.views.html_report.HtmlReport(analysis).run().html(title)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "files",
        nargs="*",
        default=["-"],
        metavar="FILE",
        help="recordings, or - for standard input",
    )
    parser.add_argument(
        "-o", "--output", default="-", metavar="OUT", help="the file (default: standard output)"
    )
    parser.add_argument(
        "--kernel", metavar="K", help="the kernel it was recorded on: 6.1/x86_64, 6.12/arm64+16k"
    )
    parser.add_argument(
        "--host",
        default="",
        metavar="W,W",
        help="what is known of the host: intel,apicv,irqchip,pa46",
    )
    parser.add_argument(
        "--most", type=int, default=50, metavar="N", help="explanations shown (default 50)"
    )
    parser.add_argument("--title", default="", help="heading (default: names of the files)")
    parser.add_argument(
        "--by-time", action="store_true", help="draw the map as time went, where it was recorded"
    )


def run(options: argparse.Namespace) -> int:
    """Analyse and write; the exit code."""
    if options.most < 1:
        raise ValueError(f"--most takes a number from 1, not {options.most}")
    source = options.files[0] if len(options.files) == 1 else options.files
    host = [word for word in options.host.split(",") if word]
    profile = find(options.kernel) if options.kernel else None
    analysis = Analysis(source, profile, most=options.most, host=host)
    report, broken = HtmlReport(analysis), None
    with progress(analysis.reading):
        try:
            report.run()
        except MemslotsError as error:
            broken = error  # what was found until then is not lost
    if broken is None and not analysis.reading.calls and not analysis.explanations:
        print("memslots report: no KVM call and no known error message", file=sys.stderr)
        return USAGE
    title = options.title or ", ".join(options.files)
    write_text(options.output, report.html(title, by_time=options.by_time))
    if broken is not None:
        raise broken
    return FINDINGS if analysis.has_findings else FINE
