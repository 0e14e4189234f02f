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

    from .lines import Read

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


_LINE = Event.__dict__["line"]
"""The slot itself, which the property below hides."""


class FarEvent(Event):
    """An event whose line is known by its offset.

    It has no slots of its own, so that an event can become one after it was made; its slot
    `line` holds the counter and the offset in bytes.
    """

    __slots__ = ()

    @property
    def line(self) -> int:
        """Line in the source, from 1; counted now."""
        lines, offset = _LINE.__get__(self)
        return int(lines.line_at(offset))

    @line.setter
    def line(self, value: int) -> None:
        raise AttributeError("the line of a recorded event is a fact")


def far(event: Event, lines: LineCounter) -> Event:
    """Turn an event whose `line` is an offset so far into one that counts when asked."""
    offset = event.line
    event.__class__ = FarEvent
    _LINE.__set__(event, (lines, offset))
    return event
