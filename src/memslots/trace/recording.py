"""The recordings of `memslots record`: a line of JSON that describes them, then binary records.

The description names the layout of a record and the fields of each call, so
that recordings of other versions can be read.  A record that is cut, because
the recorder was killed in the middle, ends the recording; all before it is good.
"""

from __future__ import annotations

import re
import struct
from functools import lru_cache

from ..errnos import EFAULT
from ..errors import TraceError
from ..uapi.calls import MAKERS
from .event import ANSWERERS, RECORDING, Event, Reading, printable
from .recorded_region import FD, FIRST, FORMAT, RESULT, TID, TIME_NS, RecordedRegion, RowKind
from .widths import fitted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .recorded_region import Row

    Read = Callable[[int], bytes]
    Rows = Callable[[bytes], Iterator[Row]]

_BLOCK = 1 << 16
_FIRST_RUN = 8
"""Records that are looked at to see whether many of one kind follow each other."""
_DESCRIPTION_MAX = 1 << 20
_FIELDS_MAX = 64
_EDITS_MAX = 16
_NAME_MAX = 200
_NODE_MAX = 64
_FRAMES_MAX, _THREADS_MAX = 64, 4096
_EDIT = re.compile(r"[+-][a-z0-9-]{2,24}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)
_HEADER = re.compile(r"<HB[BHIQbhiq]{5}", re.ASCII)
"""Bytes of the record, its kind, and five whole numbers."""
_HEADER_NOW = "<HBBIqqi"
"""As it has always been: threads and descriptors have 32 bits, times and results 64."""


class _Description:
    """What the first line says."""

    def __init__(self, row: dict[str, object], name: str) -> None:
        try:
            if not _HEADER.fullmatch(str(row["record"])):
                raise TypeError("a record of seven whole numbers")
            self.header = struct.Struct(str(row["record"]))
            kinds, calls = row["kinds"], row["calls"]
            if not isinstance(kinds, dict) or not isinstance(calls, list):
                raise TypeError("kinds and calls")
            self.kinds = {int(number): str(kind) for kind, number in kinds.items()}
            self.calls = [(_name(call), tuple(map(_name, fields))) for call, fields in calls]
        except (KeyError, TypeError, ValueError, struct.error) as error:
            raise TraceError(
                f"{name}: a recording whose description lacks something: {error}; it is damaged "
                "or no work of `memslots record`: record again"
            ) from None
        self.release, self.machine = _text(row.get("release")), _text(row.get("machine"))
        self.node = printable(_text(row.get("node")))[:_NODE_MAX]
        page_bytes = row.get("page_bytes", 0)
        self.page_bytes = page_bytes if isinstance(page_bytes, int) else 0
        self.host = _edits(row.get("host"))
        beside = row.get("beside")
        self.beside = tuple(map(str, beside)) if isinstance(beside, list) else ()
        """What numbers behind a call's fields are."""
        self.how = _text(row.get("how"))
        self.kernel = _text(row.get("kernel"))[:_NAME_MAX]
        self.frames: dict[int, list[str]] = {}
        """Thread: who makes its next call."""
        self.processes: dict[int, str] = {}
        """Thread: its process, where the recording says it."""


def _text(value: object) -> str:
    """A text of the description; empty if it is none."""
    return printable(value) if isinstance(value, str) else ""


def _name(value: object) -> str:
    """The name of a call or an argument.  Raises ValueError for anything else."""
    if not isinstance(value, str) or not _is_name(value):
        raise ValueError("names of calls and of their fields")
    return value


@lru_cache(maxsize=512)
def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def _edits(host: object) -> tuple[str, ...]:
    """The words that look like edits of a kernel's name; whether they are, its reader knows."""
    words = host if isinstance(host, list) else []
    return tuple(word for word in words[:_EDITS_MAX] if _EDIT.fullmatch(str(word)))


def events(read_some: Read, reading: Reading, name: str) -> Iterator[Event]:
    """The calls of a recording.

    Raises TraceError, at once, for a description that cannot be read.
    """
    import json

    data = b""
    while b"\n" not in data:
        chunk = read_some(_BLOCK)
        if not chunk or len(data) > _DESCRIPTION_MAX:
            raise TraceError(f"{name}: the recording ends within its description")
        data += chunk
    line, _, rest = data.partition(b"\n")
    try:
        row = json.loads(line[len(RECORDING) :])
    except (ValueError, RecursionError) as error:
        raise TraceError(f"{name}: the recording's description is damaged: {error}") from None
    if not isinstance(row, dict):
        raise TraceError(f"{name}: the recording's description is damaged")
    description = _Description(row, name)
    reading.release, reading.machine = description.release, description.machine
    reading.page_bytes, reading.host = description.page_bytes, description.host
    reading.kernel = description.kernel
    reading.node = description.node
    where = f"{description.release or '?'} {description.machine}".strip()
    reading.note(f"{name}: recorded on {where} ({description.how})")
    return _records(read_some, rest, description, reading, name)


def _records(
    read_some: Read, data: bytes, description: _Description, reading: Reading, name: str
) -> Iterator[Event]:  # fmt: skip
    header = description.header
    length_of = struct.Struct("<H").unpack_from
    shapes = _Shapes(description, reading, name)
    at, ended = 0, False
    while True:
        shape = shapes.known.get(data[at : at + 4])
        if shape is not None and at + shape.nbytes <= len(data):
            end = run_end(data, at, shape.start, shape.nbytes)
            yield from shapes.events(shape, data[at:end])
            at, ended = end, False
            continue
        if len(data) - at < 2 or len(data) - at < length_of(data, at)[0]:
            chunk = read_some(_BLOCK)
            if not chunk:
                break
            data, at = data[at:] + chunk, 0
            reading.bytes += len(chunk)
            continue
        (nbytes,) = length_of(data, at)
        if (
            nbytes < header.size
            or (nbytes - header.size) & 7
            or nbytes > header.size + 8 * _FIELDS_MAX
        ):
            reading.skip("damaged record: what follows it cannot be found")
            return
        record = data[at : at + nbytes]
        at += nbytes
        kind = description.kinds.get(record[2])
        if kind in ("call", "unfinished", "snapshot"):
            event = _event(record, kind, description, reading)
            shapes.learn(record, kind)
            if event is not None:
                event.source = name
                if kind == "snapshot":
                    reading.note(
                        f"{name}: begins with the VMs as they were then, as calls that lead there "
                        "(snapshot)"
                    )
                yield fitted(event, reading)
        elif kind in ("process", "lost", "frame"):
            _remark(record, kind, description, reading, name)
        ended = kind == "end"
    if len(data) > at:
        reading.note(f"{name}: the last record is cut: the recorder was killed while it wrote")
    elif not ended:
        reading.note(f"{name}: no end mark: the recorder was killed, or is still recording")


class _Shape:
    """Records of one call with all its fields: how to read them."""

    __slots__ = ("kind", "makes", "names", "nbytes", "rows", "start")

    def __init__(self, start: bytes, nbytes: int, kind: RowKind, rows: Rows) -> None:
        self.start = start
        """The first four bytes: the length, the kind and the call."""
        self.nbytes = nbytes
        self.kind = kind
        self.rows = rows
        """Takes records apart."""
        self.names = kind.names
        self.makes = kind.call in MAKERS


def run_end(data: bytes, at: int, start: bytes, nbytes: int) -> int:
    """Where the run of records that begins at `at` ends: each has so many bytes, and begins so."""
    there, most = (len(data) - at) // nbytes, _FIRST_RUN
    while True:
        most = min(most, there)
        count = most
        for place in range(len(start)):
            column = data[at + place : at + count * nbytes : nbytes]
            count -= len(column.lstrip(start[place : place + 1]))
        if count < most or most == there:
            return at + count * nbytes
        most *= 8


class _Shapes:
    """A quick way to the events of whole records of a kind that was seen before."""

    def __init__(self, description: _Description, reading: Reading, name: str) -> None:
        self.known: dict[bytes, _Shape] = {}
        """By the first four bytes of a record: its length, kind and call."""
        self._description = description
        self._reading = reading
        self._name = name

    def learn(self, record: bytes, kind: str) -> None:
        """Remember how a record is read, if it is a call that returned, with all its fields."""
        description = self._description
        header = description.header
        if kind != "call" or header.format != _HEADER_NOW or record[3] >= len(description.calls):
            return
        call, names = description.calls[record[3]]
        count = (len(record) - header.size) // 8
        if count < len(names) or not call.startswith("KVM_"):
            return
        beside = dict(zip(description.beside, range(FIRST + len(names), FIRST + count)))
        whole = struct.Struct(f"{header.format}{count}Q")
        self.known[record[:4]] = _Shape(
            record[:4], len(record), RowKind(call, names, beside, self._name), whole.iter_unpack
        )

    def events(self, shape: _Shape, records: bytes) -> Iterator[Event]:
        """What `_event` makes of records of one shape."""
        reading, kind = self._reading, shape.kind
        formats, process_of = reading.formats, self._description.processes.get
        is_region = kind.is_region and not self._description.frames
        for row in shape.rows(records):
            reading.calls += 1
            formats[FORMAT] += 1
            if is_region and not row[RESULT] and not (row[FIRST] | row[FIRST + 1]) >> 32:
                yield RecordedRegion(kind, row, process_of(row[TID]))
            else:
                yield self._event(shape, row)

    def _event(self, shape: _Shape, row: Row) -> Event:
        kind, result, tid, frames = shape.kind, row[RESULT], row[TID], self._description.frames
        event = Event(
            kind.call, dict(zip(kind.names, row[FIRST:])), result, fd=row[FD], pid=tid,
            time_ns=row[TIME_NS], source=kind.source,
            new_fd=result if shape.makes and result >= 0 else None,
            process=self._description.processes.get(tid), format=FORMAT,
            backtrace=tuple(frames.pop(tid, ())) if frames else (),
        )  # fmt: skip
        kind.put_beside(event, row)
        return fitted(event, self._reading)


def _put_beside(event: Event, beside: dict[str, int]) -> None:
    """What a recording says of a call beside its fields."""
    event.duration_ns = beside.get("duration_ns") or None
    event.vcpus_in_run = beside.get("vcpus_in_run")
    who = beside.get("answered_by", len(ANSWERERS))
    event.answered_by = ANSWERERS[who] if who < len(ANSWERERS) else ""


def _remark(
    record: bytes, kind: str, description: _Description, reading: Reading, name: str
) -> None:
    """A record that is no call: of which process a thread is, or that calls are missing."""
    _, _, _, tid, _, result, _ = description.header.unpack_from(record)
    if kind == "process":
        comm = record[description.header.size :].rstrip(b"\0").decode(errors="replace")
        comm = printable(comm)
        description.processes[tid] = f"{comm}[{result}]" if comm else f"process {result}"
    elif kind == "frame":
        text = record[description.header.size :].rstrip(b"\0").decode(errors="replace")
        frames = description.frames.setdefault(tid, [])
        if len(frames) < _FRAMES_MAX and len(description.frames) < _THREADS_MAX:
            frames.append(printable(text))
    else:
        lost = f"{result} calls" if result >= 0 else "an unknown number of calls"
        reading.note(
            f"{name}: {lost} were lost while recording: what follows from them is not in it"
        )


def _why_unread(kind: str, result: int) -> str:
    if kind == "unfinished":
        return "the thread was ended within the call"
    if result == -EFAULT:
        return "nor could the kernel, which answered EFAULT"
    return "the program forbids others to look into its memory"


def _event(record: bytes, kind: str, description: _Description, reading: Reading) -> Event | None:
    _, _, call_id, tid, time_ns, result, fd = description.header.unpack_from(record)
    if call_id >= len(description.calls):
        reading.skip("record of a call that the description does not name")
        return None
    call, names = description.calls[call_id]
    count = (len(record) - description.header.size) // 8
    values = struct.unpack_from(f"<{count}Q", record, description.header.size)
    if count < len(names):
        reading.skip(f"{call} whose argument could not be read ({_why_unread(kind, result)})")
    is_ioctl = call.startswith("KVM_")
    event = Event(
        call, dict(zip(names, values)), None if kind == "unfinished" else result, pid=tid,
        time_ns=time_ns,
        fd=fd if fd >= 0 or is_ioctl else None,
        format="snapshot" if kind == "snapshot" else FORMAT,
        process=description.processes.get(tid),
        backtrace=tuple(description.frames.pop(tid, ())),
    )  # fmt: skip
    _put_beside(event, dict(zip(description.beside, values[len(names) :])))
    if event.result is not None and event.result >= 0 and call in MAKERS:
        event.new_fd = event.result
    reading.calls += 1
    reading.formats[event.format] = reading.formats.get(event.format, 0) + 1
    return event
