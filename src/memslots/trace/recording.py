"""The recordings of `memslots record`: a line of JSON that describes them, then binary records.

The description names the layout of a record and the fields of each call, so
that recordings of other versions can be read.  A record that is cut, because
the recorder was killed in the middle, ends the recording; all before it is good.
"""

from __future__ import annotations

import re
import struct

from ..errnos import EFAULT
from ..errors import TraceError
from ..uapi.calls import MAKERS
from .event import ANSWERERS, Event, Reading, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Read = Callable[[int], bytes]
    Unpack = Callable[[bytes, int], tuple[int, ...]]

MAGIC = b"memslots-recording "
_BLOCK = 1 << 16
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


def peeked(read_some: Read) -> tuple[Read, bytes]:
    """A function that reads the same bytes, and the first of them."""
    head = read_some(_BLOCK)

    def read(size: int) -> bytes:
        nonlocal head
        if head:
            chunk, head = head[:size], head[size:]
            return chunk
        return read_some(size)

    return read, head


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
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError("names of calls and of their fields")
    return value


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
        row = json.loads(line[len(MAGIC) :])
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
            yield shapes.event(shape, data, at)
            at += shape.nbytes
            ended = False
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
                yield event
        elif kind in ("process", "lost", "frame"):
            _remark(record, kind, description, reading, name)
        ended = kind == "end"
    if len(data) > at:
        reading.note(f"{name}: the last record is cut: the recorder was killed while it wrote")
    elif not ended:
        reading.note(f"{name}: no end mark: the recorder was killed, or is still recording")


class _Shape:
    """Records of one call with all its fields: how to read them."""

    __slots__ = ("beside", "call", "makes", "names", "nbytes", "unpack_from")

    def __init__(self, nbytes: int, call: str, names: tuple[str, ...], unpack_from: Unpack) -> None:
        self.nbytes = nbytes
        self.call = call
        self.names = names
        self.unpack_from = unpack_from
        self.makes = call in MAKERS
        self.beside: dict[str, int] = {}
        """Name of a number that is kept beside the fields: where it is among the numbers."""


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
        if kind != "call" or header.format[:4] != "<HBB" or record[3] >= len(description.calls):
            return
        call, names = description.calls[record[3]]
        count = (len(record) - header.size) // 8
        if count < len(names) or not call.startswith("KVM_"):
            return
        whole = struct.Struct(f"{header.format}{count}Q")
        shape = _Shape(len(record), call, names, whole.unpack_from)
        shape.beside = dict(zip(description.beside, range(len(names), count)))
        self.known[record[:4]] = shape

    def event(self, shape: _Shape, data: bytes, at: int) -> Event:
        """What `_event` makes of the record."""
        _, _, _, tid, time_ns, result, fd, *values = shape.unpack_from(data, at)
        reading, frames = self._reading, self._description.frames
        reading.calls += 1
        reading.formats["recording"] += 1
        event = Event(
            shape.call, dict(zip(shape.names, values)), result, fd=fd, pid=tid, time_ns=time_ns,
            source=self._name, new_fd=result if shape.makes and result >= 0 else None,
            process=self._description.processes.get(tid), format="recording",
            backtrace=tuple(frames.pop(tid, ())) if frames else (),
        )  # fmt: skip
        if shape.beside:
            _put_beside(event, {name: values[place] for name, place in shape.beside.items()})
        return event


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
        format="snapshot" if kind == "snapshot" else "recording",
        process=description.processes.get(tid),
        backtrace=tuple(description.frames.pop(tid, ())),
    )  # fmt: skip
    _put_beside(event, dict(zip(description.beside, values[len(names) :])))
    if event.result is not None and event.result >= 0 and call in MAKERS:
        event.new_fd = event.result
    reading.calls += 1
    reading.formats[event.format] = reading.formats.get(event.format, 0) + 1
    return event
