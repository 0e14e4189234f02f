"""`memslots explain`: a recording or pasted text, and why each call was refused."""

from __future__ import annotations

from ..errors import MemslotsError
from ..explain.finding_kinds import finding_kind
from ..views.evidence import ruled_out_lines
from ..views.report import alike_lines, analysis_json, markdown_lines, report_lines
from ..views.text import Paint
from .each import each_recording
from .progress import progress
from .recording import add_most, add_recording, analysis_of, say_unread
from .run import FINDINGS, FINE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ..explain.analysis import Analysis

TEXT, MARKDOWN, JSON = "text", "markdown", "json"
HELP = "Read any recording or pasted text, replay it, and explain each refusal and each surprise."
EPILOG = """\
examples:
  memslots explain examples/recordings/qemu72-q35-lifecycle.strace
  memslots explain --kernel 6.1/x86_64+intel+flexpriority examples/refused-overlap.strace
  memslots explain --host intel,flexpriority,irqchip examples/refused-overlap.strace
  memslots explain --evidence examples/refused-overlap.strace
  memslots explain --width 72 examples/refused-overlap.strace
  xclip -o | memslots explain -

Reads strace (any options, -ff folders), QEMU traces and error messages, bpftrace, perf trace,
Rust error chains, journal and JSON logs, in one paste if need be.  Without --kernel the newest
release that fits everything recorded is used, and the report says which do.
Of several files or a folder, each is a recording by itself, with its own kernel and VMs (the files
of one strace -ff are one); a file that cannot be read is a line.
Exit code: 0 nothing to report, 1 refusals, surprises or warnings, 2 nothing to read.
In Python: memslots.explain.analysis.Analysis(source).finish()."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from argparse import SUPPRESS

    add_recording(parser)
    parser.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="ID",
        help="leave out findings of this kind",
    )
    add_most(parser, 20)
    parser.add_argument(
        "--evidence", action="store_true", help="also say which call rules each other kernel out"
    )
    parser.add_argument(
        "--elsewhere",
        action="store_true",
        help="look in all accepted calls for those that other releases refuse",
    )
    parser.add_argument(
        "--format", choices=(TEXT, MARKDOWN, JSON), default=TEXT, help="form of the report"
    )
    parser.add_argument("--to", dest="format", choices=(TEXT, MARKDOWN, JSON), help=SUPPRESS)
    parser.add_argument(
        "--json", dest="format", action="store_const", const=JSON, help="same as --format json"
    )


def run(options: argparse.Namespace) -> int:
    """Explain each recording; the exit code."""
    for name in options.ignore:
        finding_kind(name)
    return each_recording("explain", options, _run, JSON if options.format == JSON else TEXT)


def _run(options: argparse.Namespace) -> int:
    """Analyse one and print; the exit code."""
    analysis = analysis_of(
        options,
        most=options.most,
        ignored=frozenset(options.ignore),
        every_release=options.elsewhere,
    )
    paint = Paint()
    with progress(analysis.reading):
        try:
            analysis.finish()
        except MemslotsError:
            # the recording breaks off: what was found until then is not lost
            if options.format == TEXT:
                print("\n".join(alike_lines(analysis, paint)))
            raise
    if not analysis.is_about_kvm:
        return _as_layout(options, analysis)
    if options.format == JSON:
        import json

        print(json.dumps(analysis_json(analysis), indent=1))
    else:
        if options.format == MARKDOWN:
            lines = markdown_lines(analysis)
        else:
            lines = [*alike_lines(analysis, paint), *report_lines(analysis, paint)]
        if options.evidence and analysis.evidence is not None:
            lines += ruled_out_lines(analysis.evidence)
        print("\n".join(_without_double_blanks(lines)).strip("\n"))
    return FINDINGS if analysis.has_findings else FINE


def _as_layout(options: argparse.Namespace, analysis: Analysis) -> int:
    """Nothing was called: what it is instead; a layout is asked of kernels, as `check` does."""
    from ..check.plan import layout_in
    from ..explain.other_causes import names_a_failure

    is_one = options.format == TEXT and len(options.files) == 1
    layout = layout_in(options.files[0]) if is_one else None
    # where something failed beside a described machine, that it would be accepted is no answer
    if layout is None or (layout.notes and names_a_failure(analysis.diagnosis.facts)):
        return say_unread("explain", options, analysis)
    from ..check.survey import survey
    from ..views.matrix import layout_lines, survey_lines

    found = survey(options.files[0], [options.kernel] if options.kernel else [])
    head = "no call in it, but a layout: what kernels would answer, as of `memslots check`"
    print("\n".join((head, "", *survey_lines(found), "", *layout_lines(layout))))
    return found.exit_code


def _without_double_blanks(lines: list[str]) -> list[str]:
    return [line for line, before in zip(lines, ["x", *lines]) if line or before]
