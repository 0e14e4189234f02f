"""What the commands on a recording share: its files, its kernel and host, and what to say of an
input that is none.
"""

from __future__ import annotations

import sys

from ..errors import TraceError
from ..explain.analysis import Analysis
from ..kernel.names import find
from .each import add_together
from .run import USAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def add_recording(parser: argparse.ArgumentParser) -> None:
    """Declare FILE, --kernel and --host."""
    parser.add_argument(
        "files",
        nargs="*",
        default=["-"],
        metavar="FILE",
        help="recordings, folders of them, or - for standard input",
    )
    add_together(parser)
    parser.add_argument(
        "--kernel",
        metavar="K",
        help="the kernel it was recorded on: 6.1/x86_64, 6.12/arm64+16k (default: the newest that "
        "fits)",
    )
    parser.add_argument(
        "--host",
        default="",
        metavar="W,W",
        help="what is known of the host: intel,flexpriority,irqchip,pa46",
    )


def add_most(parser: argparse.ArgumentParser, most: int) -> None:
    """Declare --most."""
    parser.add_argument(
        "--most", type=int, default=most, metavar="N", help=f"explanations shown (default {most})"
    )


def analysis_of(
    options: argparse.Namespace,
    *,
    most: int = 0,
    ignored: frozenset[str] = frozenset(),
    every_release: bool = False,
) -> Analysis:
    """The analysis that the options ask for, not yet run; most: 0 if only the steps are wanted."""
    if options.files == ["-"] and sys.stdin is not None and sys.stdin.isatty():
        print("reading standard input: paste, then Ctrl-D on a line of its own", file=sys.stderr)
    if getattr(options, "most", 1) < 1:
        raise ValueError(f"--most takes a number from 1, not {options.most}")
    return Analysis(
        options.files[0] if len(options.files) == 1 else options.files,
        find(options.kernel) if options.kernel else None,
        ignored,
        most,
        [word for word in options.host.split(",") if word],
        every_release=every_release,
    )


def say_unread(command: str, options: argparse.Namespace, analysis: Analysis) -> int:
    """Say what an input without any call or message seems to be, and what leads on; exit code 2."""
    from ..check.plan import layout_in
    from ..explain.unread import seen_in

    what, commands = seen_in(analysis.diagnosis.facts, analysis.reading)
    if getattr(options, "among", 1) > 1:
        raise TraceError(f"no KVM call and no known error message in it; it is {what}")
    if len(options.files) == 1 and layout_in(options.files[0]) is not None:
        what, commands = "a layout, which is planned and not recorded", ("memslots check FILE",)
    print(
        f"memslots {command}: no KVM call and no known error message in the input; it is {what}.  "
        "To go on:",
        *(f"  {_fitted(line, options.files)}" for line in commands),
        *(f"note: {note}" for note in analysis.reading.notes),
        sep="\n",
        file=sys.stderr,
    )
    return USAGE


def _fitted(line: str, files: list[str]) -> str:
    """A command with the name of the file that was given."""
    import shlex

    return line.replace("FILE", shlex.quote(files[0])) if len(files) == 1 else line
