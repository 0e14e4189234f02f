"""What stands between a command and the terminal: width, colours, links, letters, pager, file."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager

from .harmless import OUTPUT, HarmlessOutput

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    import subprocess
    from collections.abc import Callable, Iterator

TEXT_COMMANDS = frozenset(
    (
        "accounting", "causes", "check", "conformance", "cost", "diff", "explain", "kernel",
        "kernels", "live", "map", "replay", "rule", "rules", "sweep", "timeline", "verify",
    )
)  # fmt: skip
"""Commands that print text for people; they take --width and -o."""
PAGED = frozenset(("causes", "diff", "explain", "kernel", "rule", "rules"))
"""Those whose text is read page by page where it is long."""


def add_text_options(parser: argparse.ArgumentParser) -> None:
    """Declare --width, and -o where the command has none of its own."""
    if not any("-o" in action.option_strings for action in parser._actions):
        parser.add_argument(
            "-o", "--output", metavar="OUT", dest="output_file",
            help="write there instead of standard output",
        )  # fmt: skip
    parser.add_argument(
        "--width",
        type=int,
        metavar="N",
        help="columns of the text (default: the terminal's; 72 suits a mail)",
    )


@contextmanager
def text_output(name: str, options: argparse.Namespace) -> Iterator[None]:
    """What a command prints goes out as the terminal, or who asks for a width, wants it; where
    nobody does, as it is.
    """
    if name not in TEXT_COMMANDS:
        yield
        return
    with _output_file(getattr(options, "output_file", None)), _shaped(name, options):
        yield


@contextmanager
def _output_file(path: str | None) -> Iterator[None]:
    """Standard output is a file for a while; none, or `-`: as it is."""
    if path is None or path == "-":
        yield
        return
    before = sys.stdout
    with open(path, "w", encoding="utf-8") as file:
        sys.stdout = HarmlessOutput(file, OUTPUT)
        try:
            yield
        finally:
            sys.stdout = before


@contextmanager
def _shaped(name: str, options: argparse.Namespace) -> Iterator[None]:
    out, width = sys.stdout, options.width
    if not isinstance(out, HarmlessOutput) or out.is_closed:
        yield
        return
    if (out.encoding or "").lower().replace("-", "") not in ("utf8", "utf16", "utf32"):
        _with_plain_letters(out)
    from ..views.text import ask_width, has_colours

    is_terminal, colours = out.isatty(), has_colours()
    if not _is_text(options) or not (is_terminal or width is not None or colours):
        yield
        return
    if width is None and is_terminal:
        import shutil

        width = max(40, shutil.get_terminal_size().columns)
    ask_width(width)
    shaped = _Shaped(out, width, _highlighter(colours), name in PAGED and is_terminal)
    sys.stdout = shaped
    try:
        yield
    finally:
        sys.stdout = out
        ask_width(None)
        shaped.finish()


def _is_text(options: argparse.Namespace) -> bool:
    """Whether text for people was asked for, and not a form for programs."""
    if getattr(options, "json", False) or getattr(options, "jsonl", False):
        return False
    return getattr(options, "format", None) in (None, "text") and not getattr(options, "svg", None)


def _with_plain_letters(out: HarmlessOutput) -> None:
    """Letters that the encoding lacks are written with those that it has."""
    import codecs

    from ..views.terminal_text import PLAIN_LETTERS

    def plain(error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeEncodeError):
            raise error
        text = "".join(PLAIN_LETTERS.get(c, "?") for c in error.object[error.start : error.end])
        return text, error.end

    codecs.register_error("memslots-plain", plain)
    reconfigure = getattr(out, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="memslots-plain")


def _highlighter(colours: bool) -> Callable[[str], str] | None:
    links = _has_links()
    if not colours and not links:
        return None
    from ..explain.causes.catalogue import CAUSES
    from ..explain.finding_kinds import KINDS
    from ..rules.catalogue import all_rules
    from ..views.terminal_text import Highlighter

    pages = dict.fromkeys([*CAUSES, *KINDS], False)
    pages |= dict.fromkeys([rule.id for rule in all_rules()], True)
    return Highlighter(pages, colours=colours, links=links)


def _has_links() -> bool:
    """Whether the terminal shows links; FORCE_HYPERLINK says so, or not, where it is set."""
    asked = os.environ.get("FORCE_HYPERLINK")
    if asked:
        return asked != "0"
    if sys.stdout is None or not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return False
    known = ("iTerm.app", "WezTerm", "vscode", "ghostty")
    return (
        os.environ.get("TERM_PROGRAM") in known
        or int(os.environ.get("VTE_VERSION") or 0) >= 5000
        or any(map(os.environ.get, ("KITTY_WINDOW_ID", "WT_SESSION", "KONSOLE_VERSION")))
    )


class _Shaped:
    """A standard output whose lines are fitted and coloured; long output goes to a pager."""

    def __init__(
        self, out: HarmlessOutput, width: int | None, mark: Callable[[str], str] | None, paged: bool
    ) -> None:
        self._clean = out.cleaned
        self._out = out.under
        self._width = width
        self._mark = mark
        self._rest = ""
        self._held: list[str] | None = [] if paged and pager_command() else None
        """Lines that wait until it is known whether they fit the screen."""
        self._pager: subprocess.Popen[str] | None = None
        self.encoding = self._out.encoding

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._line(line)
        return len(text)

    def _line(self, line: str) -> None:
        from ..views.terminal_text import fitted

        line = self._clean(line)
        for each in fitted(line, self._width) if self._width is not None else [line]:
            self._send((self._mark(each) if self._mark is not None else each) + "\n")

    def _send(self, line: str) -> None:
        if self._held is None:
            pipe = self._pager.stdin if self._pager is not None else self._out
            if pipe is not None:
                pipe.write(line)
            return
        self._held.append(line)
        import shutil

        if len(self._held) >= shutil.get_terminal_size().lines:
            self._start_pager()

    def _start_pager(self) -> None:
        import subprocess

        held, self._held = self._held or [], None
        self._out.flush()
        environment = {"LESS": "FRX", **os.environ}
        try:
            self._pager = subprocess.Popen(
                pager_command(), stdin=subprocess.PIPE, text=True, env=environment,
                encoding=self._out.encoding, errors="replace",
            )  # fmt: skip
        except OSError:
            self._pager = None  # the pager is not there: as without one
        for line in held:
            self._send(line)

    def flush(self) -> None:
        if self._held is None and self._pager is None:
            self._out.flush()

    def isatty(self) -> bool:
        return self._out.isatty()

    def fileno(self) -> int:
        return self._out.fileno()

    def finish(self) -> None:
        """Send what is left; wait until the pager has been left."""
        if self._rest:
            self._line(self._rest)
        held, self._held = self._held or [], None
        try:
            for line in held:
                self._send(line)
            if self._pager is not None and self._pager.stdin is not None:
                self._pager.stdin.close()
        except BrokenPipeError:
            if self._pager is None:
                raise
        if self._pager is not None:
            self._pager.wait()


def pager_command() -> list[str]:
    """The pager's words; empty if there is to be none."""
    import shlex

    named = os.environ.get("MEMSLOTS_PAGER", os.environ.get("PAGER", "less"))
    words = shlex.split(named)
    return [] if words[:1] == ["cat"] else words
