"""The recording as a file: a line of JSON that describes it, then one binary record for each call.

Each record goes out with a write of its own to a file opened for appending, so
that what was seen is in the file even if the recorder is killed the moment
after.  A record is a little-endian header and 64-bit numbers:

    u16 bytes of the record, u8 kind, u8 call, u32 thread, i64 time (ns since 1970),
    i64 result, i32 fd, then one u64 for each field of the call that was read

A record of kind process says that a thread (its result: of that process) calls
from here on; its fields are the process's name, 16 bytes with zeros behind it.
Kind lost: so many calls (the result; -1: nobody knows how many) are missing.
Kind snapshot is a call that nobody made: such calls lead to the VMs as they were
when the recording began.
Readers skip kinds that they do not know.
"""

from __future__ import annotations

import json
import os
import struct
import time

from .calls import RECORDED
from .mappings import MAPPING_CALLS, MappingCall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..uapi.calls import Call

MAGIC = b"memslots-recording "
VERSION = 1
HEADER = "<HBBIqqi"
KIND_CALL, KIND_UNFINISHED, KIND_END, KIND_PROCESS, KIND_LOST, KIND_SNAPSHOT = 1, 2, 3, 4, 5, 6
_TABLE: tuple[Call | MappingCall, ...] = (*RECORDED, *MAPPING_CALLS)
_IDS = {call: number for number, call in enumerate(_TABLE)}
_pack = struct.Struct(HEADER).pack
_HEADER_BYTES = struct.calcsize(HEADER)
_NUMBERS = tuple(struct.Struct(f"<{count}Q").pack for count in range(8))


class RecordingFile:
    """A recording that grows.  A context manager."""

    def __init__(self, path: str, command: Sequence[str], how: str) -> None:
        """Create the file (an existing one is replaced) and describe it.  Raises OSError."""
        self.path = path
        self.calls = 0
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o644)
        uname = os.uname()
        description = {
            "version": VERSION,
            "record": HEADER,
            "kinds": {
                "call": KIND_CALL, "unfinished": KIND_UNFINISHED, "end": KIND_END, "process": KIND_PROCESS,
                "lost": KIND_LOST, "snapshot": KIND_SNAPSHOT,
            },
            "calls": [[call.name, list(call.names)] for call in _TABLE],
            "command": list(command),
            "how": how,
            "release": uname.release,
            "machine": uname.machine,
            "page_bytes": os.sysconf("SC_PAGE_SIZE"),
            "time": time.time(),
        }  # fmt: skip
        self._write(MAGIC + json.dumps(description).encode() + b"\n")

    def add(
        self, call: Call | MappingCall, tid: int, time_ns: int, result: int | None, fd: int, values: tuple[int, ...]
    ) -> None:
        """Append one call; no result for one that never returned."""
        kind = KIND_UNFINISHED if result is None else KIND_CALL
        nbytes = _HEADER_BYTES + 8 * len(values)
        self._write(
            _pack(nbytes, kind, _IDS[call], tid, time_ns, result or 0, fd) + _NUMBERS[len(values)](*values)
        )  # fmt: skip
        self.calls += 1

    def snapshot(
        self, call: Call, tid: int, time_ns: int, result: int, fd: int, values: tuple[int, ...]
    ) -> None:  # fmt: skip
        """Append one call of the state in which the recording began; it counts as none."""
        nbytes = _HEADER_BYTES + 8 * len(values)
        self._write(
            _pack(nbytes, KIND_SNAPSHOT, _IDS[call], tid, time_ns, result, fd) + _NUMBERS[len(values)](*values)
        )  # fmt: skip

    def process(self, tid: int, pid: int, name: bytes) -> None:
        """Say of which process a thread is; name: what the kernel calls it, as far as it is known."""
        words = struct.unpack("<2Q", name[:16].ljust(16, b"\0"))
        self._write(
            _pack(_HEADER_BYTES + 16, KIND_PROCESS, 0, tid, time.time_ns(), pid, -1) + _NUMBERS[2](*words)
        )  # fmt: skip

    def lost(self, calls: int | None) -> None:
        """Say that calls are missing; None if their number is not known."""
        self._write(_pack(_HEADER_BYTES, KIND_LOST, 0, 0, time.time_ns(), -1 if calls is None else calls, -1))

    def end(self, status: int) -> None:
        """Append the mark that nothing more follows; status is the program's, as waitpid gives it."""
        self._write(_pack(_HEADER_BYTES, KIND_END, 0, 0, time.time_ns(), status, -1))

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._fd, data) :]

    def close(self) -> None:
        """Close the file.  A second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> RecordingFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
