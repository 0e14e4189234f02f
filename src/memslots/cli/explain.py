"""`memslots explain`: a recording or pasted text, and why each call was refused."""

from __future__ import annotations

import sys

from ..errors import MemslotsError
from ..explain.analysis import Analysis
from ..explain.finding_kinds import finding_kind
from ..explain.unread import seen_in
from ..kernel.names import find
from ..views.report import alike_lines, analysis_json, evidence_lines, markdown_lines, report_lines
from ..views.text import Paint
from .progress import progress
from .run import FINDINGS, FINE, USAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

TEXT, MARKDOWN, JSON = "text", "markdown", "json"
HELP = "Read any recording or pasted text, replay it, and explain each refusal and each surprise."
EPILOG = """\
examples:
  memslots explain examples/recordings/qemu72-q35-lifecycle.strace
  memslots explain --kernel 6.1/x86_64+intel+apicv vmm.strace
  memslots explain --host intel,apicv,irqchip examples/refused-overlap.strace
  memslots explain --evidence examples/refused-overlap.strace
  xclip -o | memslots explain -

Reads strace (any options, -ff folders), QEMU traces and error messages, bpftrace, perf trace,
Rust error chains, journal and JSON logs, in one paste if need be.  Without --kernel the newest
release that fits everything recorded is used, and the report says which do.
Exit code: 0 nothing to report, 1 refusals, surprises or warnings, 2 nothing to read.
In Python: memslots.explain.analysis.Analysis(source).finish()."""


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
        "--kernel", metavar="K", help="the kernel it was recorded on: 6.1/x86_64, 6.12/arm64+16k"
    )
    parser.add_argument(
        "--host",
        default="",
        metavar="W,W",
        help="what is known of the host: intel,apicv,irqchip,pa46",
    )
    parser.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="ID",
        help="leave out findings of this kind",
    )
    parser.add_argument(
        "--most", type=int, default=20, metavar="N", help="explanations shown (default 20)"
    )
    parser.add_argument(
        "--evidence", action="store_true", help="also say which call rules each other kernel out"
    )
    parser.add_argument(
        "--elsewhere",
        action="store_true",
        help="look in all accepted calls for those that other releases refuse",
    )
    parser.add_argument(
        "--to", choices=(TEXT, MARKDOWN, JSON), default=TEXT, help="form of the report"
    )
    parser.add_argument(
        "--json", dest="to", action="store_const", const=JSON, help="same as --to json"
    )


def run(options: argparse.Namespace) -> int:
    """Analyse and print; the exit code."""
    if options.most < 1:
        raise ValueError(f"--most takes a number from 1, not {options.most}")
    for name in options.ignore:
        finding_kind(name)
    profile = find(options.kernel) if options.kernel else None
    source = options.files[0] if len(options.files) == 1 else options.files
    host = [word for word in options.host.split(",") if word]
    analysis = Analysis(
        source,
        profile,
        frozenset(options.ignore),
        options.most,
        host,
        every_release=options.elsewhere,
    )
    paint = Paint()
    with progress(analysis.reading):
        try:
            analysis.finish()
        except MemslotsError:
            # the recording breaks off: what was found until then is not lost
            if options.to == TEXT:
                print("\n".join(alike_lines(analysis, paint)))
            raise
    if not analysis.is_about_kvm:
        what, commands = seen_in(analysis.diagnosis.facts, analysis.reading)
        print(
            "memslots explain: no KVM call and no known error message in the input; it is "
            f"{what}.  To go on:",
            *(f"  {command}" for command in commands),
            *(f"note: {note}" for note in analysis.reading.notes),
            sep="\n",
            file=sys.stderr,
        )
        return USAGE
    if options.to == JSON:
        import json

        print(json.dumps(analysis_json(analysis), indent=1))
    else:
        if options.to == MARKDOWN:
            lines = markdown_lines(analysis)
        else:
            lines = [*alike_lines(analysis, paint), *report_lines(analysis, paint)]
        if options.evidence and analysis.evidence is not None:
            lines += evidence_lines(analysis.evidence)
        print("\n".join(_without_double_blanks(lines)).strip("\n"))
    return FINDINGS if analysis.has_findings else FINE


def _without_double_blanks(lines: list[str]) -> list[str]:
    return [line for line, before in zip(lines, ["x", *lines]) if line or before]
