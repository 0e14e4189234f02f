"""`read`: one or several recordings into one sequence of events."""

from __future__ import annotations

import os
import re

from ..errors import TraceError
from ..patterns import lazy
from .dispatch import Reader
from .event import RECORDING, Event, Reading
from .lines import Lines, open_source, peeked
from .widths import fitting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import IO

    from .lines import Read

    One = str | os.PathLike[str] | bytes | IO[bytes]

FAST_FROM = 16 << 20
"""Bytes from which a file is searched for words instead of read line by line."""
OPEN_MAX = 64
"""Files kept open at a time; of larger sets each is opened for each block."""
_PEEKED = 1 << 16
SAMPLES, SAMPLE = 16, 1 << 14
"""Places looked at in a huge file, and bytes at each."""
_THREAD_FILE = lazy(r"(.+)\.(\d{1,10})$", re.ASCII)


def read(
    source: One | Iterable[str | os.PathLike[str]],
    *,
    reading: Reading | None = None,
    context: bool = False,
) -> Iterator[Event]:
    """The calls of a recording, in its order.

    source: a path, `-` for standard input, bytes, a binary file, a directory, or several
        paths; files named `name.TID` (strace -ff) are merged by their times.
    context: read every line of huge files too, for mmap, close, fork and messages in the middle.
    reading: filled on the way with what was met and what could not be read.

    Raises TraceError, at once, for what cannot be opened.
    """
    reading = Reading() if reading is None else reading
    if isinstance(source, (str, os.PathLike)) and os.path.isdir(source):
        return _several(_files(os.fspath(source)), reading, context)
    if isinstance(source, (str, bytes, bytearray, memoryview, os.PathLike)) or hasattr(
        source, "read"
    ):
        return _one(source, reading, context)  # type: ignore[arg-type]
    return _several([os.fspath(path) for path in source], reading, context)


def recordings_of(paths: Iterable[str]) -> list[list[str]]:
    """The recordings among files and folders, each as its files: one, or those of one strace -ff.

    A file that is named twice is one.  A folder that cannot be looked into stands for itself:
    reading it says why.
    """
    sets: dict[tuple[str, bool], dict[str, None]] = {}
    for path in paths:
        try:
            files = _files(path) if os.path.isdir(path) else [path]
        except TraceError:
            files = [path]
        for file in files:
            thread = _THREAD_FILE.match(file)
            key = (thread.group(1), True) if thread else (file, False)
            sets.setdefault(key, {})[file] = None
    return [list(files) for files in sets.values()]


def recording_name(files: Sequence[str]) -> str:
    """What a recording of these files is called: `vm.strace`, `trace.*`."""
    if len(files) == 1:
        return files[0]
    thread = _THREAD_FILE.match(files[0])
    return f"{thread.group(1)}.*" if thread else files[0]


def parse_text(text: str, *, reading: Reading | None = None) -> list[Event]:
    """The calls in a text, as it was pasted."""
    return list(read(text.encode("utf-8", "surrogatepass"), reading=reading))


def _one(
    source: One, reading: Reading, context: bool, files: int = 1, opened: int = 1
) -> Iterator[Event]:
    """files: of one strace -ff.  opened: all that are read together."""
    name = (
        os.fspath(source) if isinstance(source, (str, os.PathLike)) else getattr(source, "name", "")
    )
    name = name if isinstance(name, str) else ""
    read_some, size = open_source(source, reading, frugal=opened > OPEN_MAX)
    if len(reading.sources) < 100:
        reading.sources.append(name)
    read_some, head = peeked(read_some, _PEEKED)
    if head.startswith(RECORDING):
        from . import recording

        reading.excerpt.is_text = False
        return recording.events(read_some, reading, name)
    return fitting(_text(source, read_some, size, name, reading, context, files), reading)


def _text(
    source: One,
    read_some: Read,
    size: int | None,
    name: str,
    reading: Reading,
    context: bool,
    files: int,
) -> Iterator[Event]:
    """The calls of a recording that is text."""
    read_some = reading.excerpt.watched(read_some)
    thread = _THREAD_FILE.match(name) if files > 1 else None
    reader = Reader(
        Lines(read_some, reading), reading, name, pid=int(thread.group(2)) if thread else None
    )
    if size is not None and size >= FAST_FROM and not context:
        from .line_numbers import LineCounter
        from .search import style_of

        style = style_of(_sample(source, size), reader.qemu.running)
        if style is not None:
            if style.note:
                reading.note(f"{name or 'input'}: {style.note}, but at the beginning and the end")
            return reader.searched(
                size, style, LineCounter(lambda: open_source(source, Reading())[0])
            )
    if size is None and not context:
        reader.search_from = FAST_FROM
    return reader.all_lines()


def _sample(source: One, size: int) -> bytes:
    """Some places of a recording, evenly spread, to see what kind it is."""
    parts = []
    for place in range(SAMPLES):
        at = (size - SAMPLE) * place // (SAMPLES - 1)
        if isinstance(source, bytes):
            parts.append(source[at : at + SAMPLE])
        elif isinstance(source, (str, os.PathLike)):
            with open(source, "rb", buffering=0) as file:
                file.seek(at)
                parts.append(file.read(SAMPLE) or b"")
    # The first and last line of each part are cut: they disappear in lines of their own.
    return b"\n".join(part[part.find(b"\n") + 1 : part.rfind(b"\n") + 1] for part in parts)


def _files(folder: str) -> list[str]:
    try:
        names = sorted(entry.path for entry in os.scandir(folder) if entry.is_file())
    except OSError as error:
        raise TraceError(f"{folder}: {error.strerror or error}") from None
    if not names:
        raise TraceError(f"{folder}: no files in it")
    return names


def _several(paths: list[str], reading: Reading, context: bool) -> Iterator[Event]:
    """Recordings one after the other; the files of one strace -ff merged by time."""
    # Opened before the first event is asked for, so that a wrong name is an error at once.
    opened = [
        (
            recording_name(group),
            [_one(path, reading, context, len(group), len(paths)) for path in group],
        )
        for group in recordings_of(paths)
    ]
    return _chained(opened, reading)


def _chained(opened: list[tuple[str, list[Iterator[Event]]]], reading: Reading) -> Iterator[Event]:
    for name, group in opened:
        if len(group) == 1:
            yield from group[0]
            continue
        import heapq

        timed = [_timed(events, name, reading) for events in group]
        # Without times all keys are equal, and merging keeps the order of the files.
        for _, event in heapq.merge(*timed, key=_time_of):
            yield event


def _time_of(pair: tuple[int, Event]) -> int:
    return pair[0]


def _timed(events: Iterator[Event], name: str, reading: Reading) -> Iterator[tuple[int, Event]]:
    """Events with the time to sort by: their own, or that of the one before in the same file."""
    last = 0
    for event in events:
        if event.time_ns is None:
            reading.note(
                f"{name}: no times (strace -tt or -ttt), so the order between threads is not known"
            )
        else:
            last = max(last, event.time_ns)
        yield last, event
