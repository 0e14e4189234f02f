"""What commands print goes through here: nothing in it is obeyed by a terminal or a pager.

Recordings, layouts and file names are other people's text.  Whatever is no letter, sign or space,
but for the ends of lines, tabs and our own colours, is shown as `?`.
"""

from __future__ import annotations

import sys

from ..errnos import EBADF, errno_text
from ..views.text import COLOURS, has_colours

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TextIO

_SHOWN = "\n\t"
_ASCII = {code: "?" for code in (*range(32), 127) if chr(code) not in _SHOWN}
_ESCAPE = "\x1b"
OUTPUT = "standard output"


def harmless(text: str) -> str:
    """The text without what a terminal would obey."""
    if text.isascii():
        return text.translate(_ASCII)
    return "".join(
        letter if letter.isprintable() or letter in _SHOWN or letter == "\u00a0" else "?"
        for letter in text
    )


class HarmlessOutput:
    """A stream that makes what is written to it harmless; all else is that of the stream under it.

    Closed before we began (None), it is one that cannot be written.
    """

    def __init__(self, stream: TextIO | None, name: str) -> None:
        self._stream = stream
        self._name = name

    def write(self, text: str) -> int:
        """Write; where there are colours, those pass."""
        return self.under.write(self.cleaned(text))

    def cleaned(self, text: str) -> str:
        """The text as it may go out."""
        if _ESCAPE in text and self._name == OUTPUT and has_colours():
            first, *others = text.split(_ESCAPE)
            return harmless(first) + "".join(map(_after_escape, others))
        return harmless(text)

    @property
    def under(self) -> TextIO:
        """The stream itself, for what is harmless already.  Raises OSError if it is closed."""
        if self._stream is None:
            raise self._closed()
        return self._stream

    def writelines(self, lines: Iterable[str]) -> None:
        """Write all."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush, if there is anything to flush to."""
        if self._stream is not None:
            self._stream.flush()

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        """The descriptor.  Raises OSError."""
        if self._stream is None:
            raise self._closed()
        return self._stream.fileno()

    @property
    def encoding(self) -> str | None:
        """Of the stream."""
        return getattr(self._stream, "encoding", None)

    @property
    def is_closed(self) -> bool:
        """Whether there is no stream."""
        return self._stream is None

    def _closed(self) -> OSError:
        return OSError(EBADF, errno_text(EBADF), self._name)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def _after_escape(text: str) -> str:
    """What stands behind an escape character, with it if it makes one of our colours."""
    for colour in COLOURS:
        if text.startswith(colour):
            return _ESCAPE + colour + harmless(text[len(colour) :])
    return "?" + harmless(text)


class Harmless:
    """While it is entered, standard output and error are harmless."""

    def __enter__(self) -> None:
        self._saved = sys.stdout, sys.stderr
        sys.stdout = HarmlessOutput(sys.stdout, OUTPUT)
        sys.stderr = HarmlessOutput(sys.stderr, "standard error")

    def __exit__(self, *_: object) -> None:
        sys.stdout, sys.stderr = self._saved


def say(text: str) -> None:
    """A word on standard error, at once.  That nobody can hear it is no error: the exit code tells
    it too, and a program that is recorded ends as it would.
    """
    try:
        if sys.stderr is not None:
            print(text, file=sys.stderr, flush=True)
    except OSError:
        return
