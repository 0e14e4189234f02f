"""`memslots check`: a layout or recording against one or many kernels."""

from __future__ import annotations

from ..check.layout.mistake import LayoutError
from ..check.survey import survey
from ..trace.reader import recordings_of
from ..views.check_annotations import mistake_github, survey_github, survey_gitlab
from ..views.check_junit import survey_junit, survey_ktap
from ..views.check_sarif import survey_sarif
from ..views.matrix import survey_json, survey_lines
from .each import JSON, TEXT, each_recording
from .run import FINE, write_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

HELP = "Ask kernels whether they would accept a memory layout, before it happens."
EPILOG = """\
examples:
  memslots check examples/layouts/pc.toml
  memslots check examples/layouts/pc.toml --kernel 6.1/x86_64 --kernel 6.18/x86_64-smm
  memslots check examples/layouts/pc-hotplug.toml --kernel all+pa46
  memslots check examples/layouts/arm64-virt.toml
  memslots check examples/recordings/qemu72-q35-lifecycle.strace --kernel all --json
  memslots check examples/layouts/arm64-virt.toml --format github
  memslots check examples/layouts/arm64-virt.toml --format sarif -o memslots.sarif

FILE is a layout in TOML or JSON (docs/check.md), QEMU's `info mtree -f`, a QEMU command line or
libvirt's domain XML (approximate, and it says in what), or any recording; of several, each is by
itself.
Exit code 0 if all accept everything, 1 if one refuses, 3 if it only depends on the host.
Forms: text, json, junit, ktap, sarif, github (annotations), gitlab (code quality); docs/ci.md.
In Python: memslots.check.survey.survey(FILE, ["all"]); in tests:
memslots.check.survey.assert_accepted(FILE), or `pytest --memslots FILE`.
"""
FORMATS = {
    "text": survey_lines,
    "json": survey_json,
    "junit": survey_junit,
    "ktap": survey_ktap,
    "sarif": survey_sarif,
    "github": survey_github,
    "gitlab": survey_gitlab,
}
OF_SEVERAL = ("text", "github")
"""Forms that several files may be in."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "layouts",
        nargs="+",
        metavar="FILE",
        help="layouts or recordings (- for standard input); of several, each is by itself",
    )
    parser.add_argument(
        "--kernel", action="append", default=[], metavar="K",
        help="kernel, repeatable: 6.1/x86_64, debian-12; all, all/arm64, all+pa46, all/all "
        "(default: those the layout names, else all)",
    )  # fmt: skip
    parser.add_argument("--format", choices=sorted(FORMATS), default="text", help="what to print")
    parser.add_argument(
        "-o", "--output", default="-", metavar="OUT", help="the file (default: standard output)"
    )
    parser.add_argument(
        "--json", action="store_const", const="json", dest="format", help="same as --format json"
    )


def run(options: argparse.Namespace) -> int:
    """Ask and print; the exit code: that of the worst file."""
    options.files = options.layouts
    recordings = recordings_of(options.files)
    is_one = len(recordings) == 1
    if not is_one and options.format in (TEXT, JSON):
        return _each(options)
    if not is_one and options.format not in OF_SEVERAL:
        raise ValueError(f"--format {options.format} is for one FILE: call it for each")
    texts, codes = [], []
    for files in recordings:
        try:
            found = survey(files[0] if len(files) == 1 else files, options.kernel)
        except LayoutError as error:
            if options.format == "github":
                print(mistake_github(error))
            raise
        texts += _lines(FORMATS[options.format](found))
        codes.append(found.exit_code)
    write_text(options.output, "".join(f"{line}\n" for line in texts))
    return min(filter(None, codes), default=FINE)


def _each(options: argparse.Namespace) -> int:
    """Several files in one text, or one array."""
    from contextlib import redirect_stdout
    from io import StringIO

    if options.output == "-":
        return each_recording("check", options, _one, options.format)
    with redirect_stdout(StringIO()) as out:
        code = each_recording("check", options, _one, options.format)
    write_text(options.output, out.getvalue())
    return code


def _one(options: argparse.Namespace) -> int:
    """Ask about one and print; the exit code."""
    files = options.files
    found = survey(files[0] if len(files) == 1 else files, options.kernel)
    print("\n".join(_lines(FORMATS[options.format](found))))
    return found.exit_code


def _lines(text: str | Sequence[str]) -> list[str]:
    return [text] if isinstance(text, str) else list(text)
