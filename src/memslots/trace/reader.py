"""`read`: one or several recordings into one sequence of events."""

from __future__ import annotations

import os
import re

from ..errors import TraceError
from .detect import Reader
from .event import Event, Reading
from .source import Lines, open_source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import IO

    One = str | os.PathLike[str] | bytes | IO[bytes]

FAST_FROM = 32 << 20
"""Bytes from which a file is searched for words instead of read line by line."""
_THREAD_FILE = re.compile(r"(.+)\.(\d{1,10})$", re.ASCII)


def read(
    source: One | Iterable[str | os.PathLike[str]],
    *,
    reading: Reading | None = None,
) -> Iterator[Event]:
    """The calls of a recording, in its order.

    source: a path, `-` for standard input, bytes, a binary file, a directory, or several
        paths; files named `name.TID` (strace -ff) are merged by their times.
    reading: filled on the way with what was met and what could not be read.

    Raises TraceError, at once, for what cannot be opened.
    """
    reading = Reading() if reading is None else reading
    if isinstance(source, (str, os.PathLike)) and os.path.isdir(source):
        return _several(_files(os.fspath(source)), reading)
    if isinstance(source, (list, tuple)):
        return _several([os.fspath(path) for path in source], reading)
    return _one(source, reading)  # type: ignore[arg-type]


def parse_text(text: str, *, reading: Reading | None = None) -> list[Event]:
    """The calls in a text, as it was pasted."""
    return list(read(text.encode("utf-8", "surrogatepass"), reading=reading))


def _one(source: One, reading: Reading, few: bool = False) -> Iterator[Event]:
    name = os.fspath(source) if isinstance(source, (str, os.PathLike)) else getattr(source, "name", "")
    name = name if isinstance(name, str) else ""
    read_some, size = open_source(source, reading)
    if len(reading.sources) < 100:
        reading.sources.append(name)
    thread = _THREAD_FILE.match(name)
    reader = Reader(Lines(read_some, reading), reading, name, pid=int(thread.group(2)) if thread else None)
    return reader.all_lines()


def _files(folder: str) -> list[str]:
    try:
        names = sorted(entry.path for entry in os.scandir(folder) if entry.is_file())
    except OSError as error:
        raise TraceError(f"{folder}: {error.strerror or error}") from None
    if not names:
        raise TraceError(f"{folder}: no files in it")
    return names


def _several(paths: list[str], reading: Reading) -> Iterator[Event]:
    """Recordings one after the other; the files of one strace -ff merged by time."""
    sets: dict[str, list[str]] = {}
    for path in paths:
        thread = _THREAD_FILE.match(path)
        sets.setdefault(thread.group(1) if thread else path, []).append(path)
    # Opened before the first event is asked for, so that a wrong name is an error at once.
    opened = [[_one(path, reading, few=len(group) > 1) for path in group] for group in sets.values()]
    return _chained(list(sets), opened, reading)


def _chained(names: list[str], groups: list[list[Iterator[Event]]], reading: Reading) -> Iterator[Event]:
    for name, group in zip(names, groups, strict=True):
        if len(group) == 1:
            yield from group[0]
            continue
        import heapq

        yield from heapq.merge(*(_timed(events, name, reading) for events in group), key=_When.of)


class _When:
    """Sorts events by time; one without a time stays where the ones before it stand."""

    @staticmethod
    def of(event: Event) -> int:
        return event.time_ns or 0


def _timed(events: Iterator[Event], name: str, reading: Reading) -> Iterator[Event]:
    for event in events:
        if event.time_ns is None:
            reading.note(f"{name}.*: no times (strace -tt or -ttt), so the order between threads is not known")
        yield event
