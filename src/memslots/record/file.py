"""The recording as a file: a line of JSON that describes it, then one binary record for each call.

Each record goes out with a write of its own, so that what was seen is in the
file even if the recorder is killed the moment after.  A record is a little-endian header and 64-bit
numbers:

    u16 bytes of the record, u8 kind, u8 call, u32 thread, i64 time (ns since 1970),
    i64 result, i32 fd, then one u64 for each field of the call that was read,
    then, if all of them were, those of what the description calls `beside`: ns from the call's
    entry (the time) to its return, 0 if that is not known; how many vCPUs were in KVM_RUN

A record of kind process says that a thread (its result: of that process) calls
from here on; its fields are the process's name, 16 bytes with zeros behind it.
Kind lost: so many calls (the result; -1: nobody knows how many) are missing.
Kind snapshot is a call that nobody made: such calls lead to the VMs as they were
when the recording began.
Kind frame is a function that led to the thread's next call, the innermost first
(the result: its address); its fields are its text, UTF-8 with zeros behind it.
Readers skip kinds that they do not know.
"""

from __future__ import annotations

import json
import os
import struct
import time

from ..live import host_facts
from .calls import RECORDED
from .mappings import EXIT, MAPPING_CALLS, MappingCall
from .output import open_output
from .runs import RUN_CALLS, RunCall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..uapi.calls import Call
    from .backtrace import Frame

MAGIC = b"memslots-recording "
VERSION = 1
HEADER = "<HBBIqqi"
KIND_CALL, KIND_UNFINISHED, KIND_END, KIND_PROCESS, KIND_LOST, KIND_SNAPSHOT, KIND_FRAME = range(
    1, 8
)
_FRAME_BYTES = 200
_COMMAND_BYTES = 1 << 16
"""Letters of the command that are kept: each takes up to twelve bytes of a description, which has
1 MiB.
"""
_TABLE: tuple[Call | MappingCall | RunCall, ...] = (*RECORDED, *MAPPING_CALLS, *RUN_CALLS)
_IDS = {call: number for number, call in enumerate(_TABLE)}
_pack = struct.Struct(HEADER).pack
_HEADER_BYTES = struct.calcsize(HEADER)
_NUMBERS = tuple(struct.Struct(f"<{count}Q").pack for count in range(10))


class RecordingFile:
    """A recording that grows.

    A context manager; left before `begin` or `end` it leaves no trace.
    """

    def __init__(
        self, path: str, command: Sequence[str], how: str, *, arguments: bool = False,
        also: Mapping[str, object] | None = None,
    ) -> None:  # fmt: skip
        """Describe the recording.  Raises OSError.

        arguments: keep those of the command too.  They may hold passwords, and a recording is
        passed around.  also: more to say in the description, or other than usual.
        """
        self.calls = 0
        self.lost = 0
        """Calls that could not be written."""
        self._begun = False
        self._output = open_output(path)
        uname = os.uname()
        description = {
            "version": VERSION,
            "record": HEADER,
            "kinds": {
                "call": KIND_CALL, "unfinished": KIND_UNFINISHED, "end": KIND_END,
                "process": KIND_PROCESS,
                "lost": KIND_LOST, "snapshot": KIND_SNAPSHOT, "frame": KIND_FRAME,
            },
            "calls": [[call.name, list(call.names)] for call in _TABLE],
            "beside": ["duration_ns", "vcpus_in_run"],
            "command": _kept(command, arguments),
            "how": how,
            "node": uname.nodename,
            "release": uname.release,
            "machine": uname.machine,
            "page_bytes": os.sysconf("SC_PAGE_SIZE"),
            "host": host_facts.edits(),
            "time": time.time(),
            **(also or {}),
        }  # fmt: skip
        if not self._output.write(MAGIC + json.dumps(description).encode() + b"\n"):
            self._output.close()
            raise OSError(f"{path}: {self._output.failure}")

    @property
    def path(self) -> str:
        """Where the recording is."""
        return self._output.path

    @property
    def failure(self) -> str:
        """Why the recording stopped before the program did; empty if it did not."""
        return self._output.failure

    def begin(self) -> None:
        """The program runs: the recording takes its name, and the place of an older one."""
        self._begun = True
        self._output.begin()

    def add(
        self,
        call: Call | MappingCall | RunCall,
        tid: int,
        time_ns: int,
        result: int | None,
        fd: int,
        values: tuple[int, ...],
        vcpus_in_run: int | None = None,
        duration_ns: int = 0,
    ) -> None:
        """Append one call; no result for one that never returned.

        duration_ns: from entry to return; 0 if that is not known.
        """
        kind = KIND_UNFINISHED if result is None else KIND_CALL
        beside = self._beside()
        if len(values) == len(call.names):
            values = (*values, duration_ns, *beside)
            if vcpus_in_run is not None:
                values = (*values, vcpus_in_run)
        nbytes = _HEADER_BYTES + 8 * len(values)
        if self._output.write(
            _pack(nbytes, kind, _IDS[call], tid, time_ns, result or 0, fd)
            + _NUMBERS[len(values)](*values)
        ):
            self.calls += call is not EXIT  # the end of a process is no call
        else:
            self.lost += 1

    def _beside(self) -> tuple[int, ...]:
        """What a recording of another kind keeps with the call that is added, between the other
        two; asked once a call.
        """
        return ()

    def snapshot(
        self, call: Call, tid: int, time_ns: int, result: int, fd: int, values: tuple[int, ...]
    ) -> None:  # fmt: skip
        """Append one call of the state in which the recording began; it counts as none."""
        nbytes = _HEADER_BYTES + 8 * len(values)
        self._output.write(
            _pack(nbytes, KIND_SNAPSHOT, _IDS[call], tid, time_ns, result,
            fd) + _NUMBERS[len(values)](*values)
        )  # fmt: skip

    def process(self, tid: int, pid: int, name: bytes) -> None:
        """Say of which process a thread is; name: what the kernel calls it, as far as it is
        known.
        """
        words = struct.unpack("<2Q", name[:16].ljust(16, b"\0"))
        self._output.write(
            _pack(_HEADER_BYTES + 16, KIND_PROCESS, 0, tid, time.time_ns(), pid, -1)
            + _NUMBERS[2](*words)
        )

    def frames(self, tid: int, frames: Sequence[Frame]) -> None:
        """Say who makes the call of a thread that is added next."""
        for frame in frames:
            text = frame.text.encode(errors="replace")[:_FRAME_BYTES]
            text += bytes(-len(text) % 8)
            address = frame.address - (frame.address >> 63 << 64)
            nbytes = _HEADER_BYTES + len(text)
            head = _pack(nbytes, KIND_FRAME, 0, tid, time.time_ns(), address, -1)
            self._output.write(head + text)

    def end(self, status: int, lost: int | None = 0) -> None:
        """Append the mark that nothing more follows; status is the program's, as waitpid gives it.

        lost: calls that are missing; None if nobody knows how many.
        """
        if not self._begun:
            self.begin()
        words = b"" if lost == 0 else self._mark(KIND_LOST, -1 if lost is None else lost)
        self._output.finish(words + self._mark(KIND_END, status))

    def _mark(self, kind: int, number: int) -> bytes:
        return _pack(_HEADER_BYTES, kind, 0, 0, time.time_ns(), number, -1)

    def __enter__(self) -> RecordingFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._output.close()


def _kept(command: Sequence[str], arguments: bool) -> list[str]:
    """What the description keeps of a command: its name; the rest on request, as much of it as
    readers take.
    """
    kept: list[str] = []
    room = _COMMAND_BYTES
    for word in command if arguments else command[:1]:
        kept.append(word[:room])
        room -= len(word)
        if room <= 0:
            kept.append("...")
            break
    return kept
