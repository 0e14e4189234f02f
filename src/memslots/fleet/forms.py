"""The forms in which generated recordings are written: as `memslots record`, strace and QEMU do."""

from __future__ import annotations

import json
import struct

from ..export.strace import strace_line
from ..record.calls import RECORDED
from ..record.file import (
    HEADER,
    KIND_CALL,
    KIND_END,
    KIND_PROCESS,
    MAGIC,
    VERSION,
)
from ..uapi.calls import REGION_CALLS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..trace.event import Event

_pack = struct.Struct(HEADER).pack
_HEADER_BYTES = struct.calcsize(HEADER)
_IDS = {call.name: (number, call.names) for number, call in enumerate(RECORDED)}
_KINDS = {"call": KIND_CALL, "end": KIND_END, "process": KIND_PROCESS}


def as_recording(
    events: Sequence[Event], comm: str, pid: int, node: str, release: str, host: Sequence[str]
) -> bytes:
    """The events as a file of `memslots record`; host: edits of the kernel's name."""
    description = {
        "version": VERSION, "record": HEADER, "kinds": _KINDS,
        "calls": [[call.name, list(call.names)] for call in RECORDED], "beside": [],
        "command": [comm], "how": "generated", "node": node, "release": release,
        "machine": "x86_64", "page_bytes": 4096, "host": list(host),
    }  # fmt: skip
    first = events[0].time_ns or 0 if events else 0
    name = struct.unpack("<2Q", comm.encode()[:16].ljust(16, b"\0"))
    parts = [
        MAGIC + json.dumps(description).encode() + b"\n",
        _record(KIND_PROCESS, 0, pid, first, pid, -1, name),
    ]
    last = first
    for event in events:
        number, names = _IDS[event.call]
        values = tuple(event.fields.get(key, 0) for key in names)
        last = event.time_ns or 0
        fd = -1 if event.fd is None else event.fd
        parts.append(_record(KIND_CALL, number, pid, last, event.result or 0, fd, values))
    parts.append(_record(KIND_END, 0, 0, last, 0, -1, ()))
    return b"".join(parts)


def _record(
    kind: int, call: int, tid: int, time_ns: int, result: int, fd: int, values: tuple[int, ...]
) -> bytes:
    nbytes = _HEADER_BYTES + 8 * len(values)
    return _pack(nbytes, kind, call, tid, time_ns, result, fd) + struct.pack(
        f"<{len(values)}Q", *values
    )


def as_strace(events: Sequence[Event]) -> bytes:
    """The events as `strace -f -ttt -o` writes them."""
    return "".join(f"{strace_line(event)}\n" for event in events).encode()


def as_qemu_trace(events: Sequence[Event], pid: int) -> bytes:
    """The region calls as QEMU's trace event kvm_set_user_memory."""
    lines = []
    for event in events:
        if event.call not in REGION_CALLS:
            continue
        seconds, rest = divmod((event.time_ns or 0) // 1000, 1_000_000)
        get = event.fields.__getitem__
        lines.append(
            f"{pid}@{seconds}.{rest:06}:kvm_set_user_memory Slot#{get('slot')} "
            f"flags={get('flags'):#x} gpa={get('guest_phys_addr'):#x} size={get('memory_size'):#x} "
            f"ua={get('userspace_addr'):#x} ret={event.result}\n"
        )
    return "".join(lines).encode()
