"""Where lines come from: files, pipes, bytes, compressed or not, in constant memory.

`Lines` is a cursor over blocks of bytes.  It can step line by line or jump to the
next place that a search finds; both keep the line number.  Memory is bounded by
the block and the longest line allowed.
"""

from __future__ import annotations

import io
import os
import stat

from ..errors import TraceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

    from .event import Reading

    Read = Callable[[int], bytes]
    Ahead = Callable[[int], list[str]]
    """Up to so many of the lines that follow, mended, none of them consumed."""

BLOCK = 1 << 17
"""Bytes read at a time: fits the second-level cache, where the searches then run."""
LINE_MAX = 1 << 20
"""Bytes; a longer line is counted and skipped."""
PEEK_MAX = 1 << 16
"""Bytes looked ahead for the rest of a wrapped call."""


def open_source(
    source: str | os.PathLike[str] | bytes | IO[bytes], reading: Reading, *, frugal: bool = False
) -> tuple[Read, int | None]:
    """(a function that reads some bytes, at most n; the size in bytes if that is what it reads).

    frugal: do not keep the file open, for one of thousands.  Raises TraceError for what cannot be
    opened.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        file: IO[bytes] = io.BytesIO(source)
        return _sized(_decoded(file.read, reading), len(source))
    if isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        if path == "-":
            import sys

            if sys.stdin is None:
                raise TraceError("standard input is closed: name a file")
            file = sys.stdin.buffer
            return _decoded(getattr(file, "read1", None) or file.read, reading)[0], None
        try:
            if os.path.isdir(path):
                raise TraceError(f"{path}: is a directory")
            file = open(path, "rb", buffering=0)  # noqa: SIM115 (lives as long as the function returned)
            status = os.fstat(file.fileno())
        except OSError as error:
            raise TraceError(f"{path}: {error.strerror or error}") from None
        except ValueError as error:  # a null character in the name
            raise TraceError(f"{path!r}: {error}") from None
        if not stat.S_ISREG(status.st_mode):
            return _decoded(_guard(file.read, path), reading)[0], None
        if frugal:
            file.close()
        read = _reopened(path) if frugal else file.read
        return _sized(_decoded(_guard(read, path), reading), status.st_size)
    if not hasattr(source, "read"):
        raise TypeError(f"a path, bytes or a binary file, not {type(source).__name__}")
    read = getattr(source, "read1", None) or source.read  # a pipe is handled as it comes
    return _decoded(_guard(read, getattr(source, "name", "input")), reading)[0], None


def _sized(decoded: tuple[Read, bool], size: int) -> tuple[Read, int | None]:
    return decoded[0], size if decoded[1] else None


def _reopened(path: str) -> Read:
    """Reads a file that is not kept open: strace -ff may write more than a process may open."""
    offset = 0

    def read(size: int) -> bytes:
        nonlocal offset
        with open(path, "rb", buffering=0) as file:
            file.seek(offset)
            block = file.read(size) or b""
        offset += len(block)
        return block

    return read


def _guard(read: Callable[[int], bytes | None], name: object) -> Read:
    def guarded(size: int) -> bytes:
        try:
            chunk = read(size) or b""
        except OSError as error:
            raise TraceError(f"{name}: {error.strerror or error}") from None
        if not isinstance(chunk, bytes):
            raise TypeError("a binary file is needed, not a text file")
        return chunk

    return guarded


class _Raw(io.RawIOBase):
    """A read function as a file object, for the decompressors of the library."""

    def __init__(self, read: Read) -> None:
        self._read = read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        chunk = self._read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)


def peeked(read: Read, nbytes: int) -> tuple[Read, bytes]:
    """A function that reads the same, and the first bytes of it, at most `nbytes`."""
    first = read(nbytes)
    rest = io.BytesIO(first)
    return (lambda most: rest.read(most) or read(most)), first


def _decoded(read: Read, reading: Reading) -> tuple[Read, bool]:
    """Undo compression and UTF-16, told by the first bytes; True if there was nothing to undo."""
    plain, head = peeked(read, BLOCK)
    raw = io.BufferedReader(_Raw(plain), BLOCK)
    if head[:3] == b"\x1f\x8b\x08":
        import gzip

        return _tolerant(gzip.GzipFile(fileobj=raw).read1, reading), False
    if head[:3] == b"BZh" and head[4:10] == b"1AY&SY":
        import bz2

        return _tolerant(bz2.BZ2File(raw).read1, reading), False
    if head[:6] == b"\xfd7zXZ\x00":
        import lzma

        return _tolerant(lzma.LZMAFile(raw).read1, reading), False
    if head[:4] == b"\x28\xb5\x2f\xfd":
        raise TraceError("compressed with zstd: give the output of `zstd -dc` instead")
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return _utf16(plain), False
    return plain, True


def _tolerant(read: Read, reading: Reading) -> Read:
    """Damaged compressed data ends the file and is counted; what came before it is good."""

    def tolerant(size: int) -> bytes:
        try:
            return read(size)
        except TraceError:
            raise
        except Exception:  # four libraries, no common class
            reading.skip("damaged or cut compressed data")
            return b""

    return tolerant


def _utf16(read: Read) -> Read:
    import codecs

    decoder = codecs.getincrementaldecoder("utf-16")("replace")

    def decode(size: int) -> bytes:
        text, chunk = "", b"-"
        while chunk and not text:
            chunk = read(size)
            text = decoder.decode(chunk, not chunk)
        return text.encode("utf-8", "replace")

    return decode


class Lines:
    """A cursor over the lines of a source."""

    def __init__(self, read: Read, reading: Reading) -> None:
        self.line = 0
        """Number of the line given last, from 1."""
        self.counting = True
        """Count lines; a search through a huge source does not (see far.py)."""
        self.start = 0
        """Offset in bytes of the line given last."""
        self._read = read
        self._reading = reading
        # A line end stands before the first line, so that a search may ask for "no letter before".
        self._buffer = b"\n"
        self._at = 1
        self._pushed: list[bytes] = []
        self._ended = False
        self.given = 0
        """Bytes taken from the source so far."""

    @property
    def done(self) -> bool:
        """Nothing is left."""
        return self._ended and self._at >= len(self._buffer) and not self._pushed

    def next(self) -> bytes | None:
        """The next line without its end; None at the end of the source."""
        if self._pushed:
            return self._pushed.pop()
        while True:
            self.start = self.given - len(self._buffer) + self._at
            end = self._buffer.find(b"\n", self._at)
            if end >= 0:
                line = self._buffer[self._at : end]
                self._at = end + 1
            elif not self._ended:
                self._fill()
                continue
            elif self._at < len(self._buffer):
                line = self._buffer[self._at :]
                self._at = len(self._buffer)
            else:
                return None
            self._count(1)
            return line

    def peek(self, count: int) -> list[bytes]:
        """Up to `count` lines that would come next, none of them consumed.

        It stops short of lines that end beyond PEEK_MAX: no wrapped call is that long.
        """
        found = self._pushed[: -count - 1 : -1]
        ahead = 0
        while len(found) < count and ahead <= PEEK_MAX:
            end = self._buffer.find(b"\n", self._at + ahead)
            if end < 0 and not self._ended and len(self._buffer) - self._at <= PEEK_MAX:
                self._fill()
                continue
            if end < 0:
                end = len(self._buffer) if self._ended else self._at + PEEK_MAX + 1
            if end - self._at > PEEK_MAX or self._at + ahead >= len(self._buffer):
                break
            found.append(self._buffer[self._at + ahead : end])
            ahead = end - self._at + 1
        return found

    def window(self) -> tuple[bytes, int, int]:
        """(buffer, from, to): the whole lines that were read and not looked at; none of them while
        lines are put back.
        """
        if self._pushed:
            return b"", 0, 0
        end = self._buffer.rfind(b"\n", self._at) + 1
        return self._buffer, self._at, max(end, self._at)

    def pass_to(self, place: int) -> None:
        """Go on at a line's start within the window."""
        if self.counting:
            self._count(self._buffer.count(b"\n", self._at, place))
        self._at = place

    def step_to(self, place: int) -> None:
        """Go on at the start of the next line, which is there in the window."""
        self._at = place
        if self.counting:
            self.line += 1
            self._reading.lines += 1

    def number_next(self) -> int:
        """The next line of the window by its number, or by its offset in bytes."""
        if self.counting:
            return self.line + 1
        return self.given - len(self._buffer) + self._at

    @property
    def waiting(self) -> bytes:
        """What was read and not looked at yet."""
        return self._buffer[self._at :]

    def follows(self, start: bytes) -> bool:
        """Whether the next line begins so."""
        if self._pushed:
            return self._pushed[-1].startswith(start)
        while len(self._buffer) - self._at < len(start) and not self._ended:
            self._fill()
        return self._buffer.startswith(start, self._at)

    def grow(self) -> bool:
        """Read on if no whole line is left; whether there was anything to do."""
        if self._pushed or self._ended or self._buffer.find(b"\n", self._at) >= 0:
            return False
        self._fill()
        return True

    def push(self, lines: list[bytes]) -> None:
        """Put back parts of a line that was several; they keep its number."""
        self._pushed.extend(reversed(lines))

    def jump(self, place_in: Callable[[bytes, int, int], int], limit: int = 0) -> bool:
        """Go to the start of the next line where `place_in(buffer, from, to)` is not negative.

        limit: look at about so many bytes at most, and stop at a line's start; 0 for no limit.
        The search starts one byte early, at the end of the line before.
        """
        if self._pushed:
            return True
        while True:
            size = len(self._buffer)
            end = size
            if limit and self._at + limit < size:
                end = self._buffer.find(b"\n", self._at + limit) + 1 or size
            place = place_in(self._buffer, self._at - 1, end)
            if place >= 0:
                self._advance(place)
                if self._ended or self._buffer.find(b"\n", place) >= 0:
                    return True
                self._fill()  # the rest of this line; it may turn out to be too long
                continue
            moved = self._advance(end)
            if self._ended and end == size:
                if self._at < size:
                    self._count(1)
                    self._at = size
                return False
            if limit and moved:
                return False
            self._fill()

    def _advance(self, place: int) -> bool:
        """Go to the start of the line in which `place` lies; False if we are there already."""
        start = self._buffer.rfind(b"\n", self._at, place) + 1
        if not start:
            return False
        if self.counting:
            self._count(self._buffer.count(b"\n", self._at, start))
        self._at = start
        return True

    def _count(self, lines: int) -> None:
        self.line += lines
        self._reading.lines += lines

    def _fill(self) -> None:
        """Get one more block; drop the rest of a line that is too long."""
        rest = self._buffer[self._at - 1 :]
        self._at = 1
        if len(rest) > LINE_MAX:
            self._reading.skip(f"line longer than {LINE_MAX} bytes")
            self._buffer = b"\n" + self._drop()
            return
        block = self._block()
        self._ended = not block
        self._buffer = rest + block

    def _block(self) -> bytes:
        block = self._read(BLOCK)
        if not block:
            self._read = io.BytesIO().read  # nothing more, and the file is let go
        self.given += len(block)
        self._reading.bytes += len(block)
        return block

    def _drop(self) -> bytes:
        """What follows the end of the current line."""
        self._count(1)
        while True:
            block = self._block()
            if not block:
                self._ended = True
                return b""
            end = block.find(b"\n")
            if end >= 0:
                return block[end + 1 :]


def block_ahead(
    ahead: Ahead,
    most: int,
    ends: Callable[[str], bool],
    closes: Callable[[str], bool] | None = None,
) -> list[str]:
    """The lines that follow, up to one before which the block `ends` or that `closes` it, at most
    so many.

    Time is in proportion to the lines where blocks end before the next one begins.
    """
    count = 8
    while True:
        lines = ahead(min(count, most))
        for at, line in enumerate(lines):
            if ends(line):
                return lines[:at]
            if closes is not None and closes(line):
                return lines[: at + 1]
        if len(lines) < count or count >= most:
            return lines
        count *= 4
