"""Line numbers in huge recordings, counted only when somebody asks.

Counting line ends takes as long as finding the calls, and a report names few of
them.  Events of huge recordings remember their offset; the first question counts
up to there, the next goes on from that place.
"""

from __future__ import annotations

from .event import Event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .source import Read

_BLOCK = 1 << 20


class LineCounter:
    """Turns offsets (bytes) of one source into line numbers, from 1."""

    def __init__(self, reopen: Callable[[], Read]) -> None:
        self._reopen = reopen
        self._read: Read | None = None
        self._rest = b""
        self._offset = 0
        self._line = 1

    def line_at(self, offset: int) -> int:
        """The line in which the offset lies; 0 if the source cannot be read again."""
        try:
            if self._read is None or offset < self._offset:
                self._read, self._rest, self._offset, self._line = self._reopen(), b"", 0, 1
            while self._offset < offset:
                if not self._rest:
                    self._rest = self._read(_BLOCK)
                    if not self._rest:
                        return 0
                step = min(offset - self._offset, len(self._rest))
                self._line += self._rest.count(b"\n", 0, step)
                self._offset += step
                self._rest = self._rest[step:]
        except OSError:
            return 0
        return self._line


class FarEvent(Event):
    """An event whose line is known by its offset."""

    __slots__ = ("_lines", "offset")

    _lines: LineCounter
    offset: int
    """Bytes from the beginning of the source to the line."""

    @property
    def line(self) -> int:
        """Line in the source, from 1; counted now."""
        return self._lines.line_at(self.offset)

    @line.setter
    def line(self, value: int) -> None:
        self.offset = value


def far(event: Event, lines: LineCounter) -> FarEvent:
    """The same event; its `line` so far was an offset."""
    copy = FarEvent(
        event.call, event.fields, event.result, fd=event.fd, pid=event.pid, time_ns=event.time_ns,
        source=event.source, line=event.line, text=event.text, new_fd=event.new_fd, vm=event.vm,
        format=event.format,
    )  # fmt: skip
    copy._lines = lines
    return copy
