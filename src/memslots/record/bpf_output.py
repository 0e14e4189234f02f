"""What comes out of the script of `bpf_script`: calls, in JSON, and whether any are missing."""

from __future__ import annotations

import errno
import json
import struct

from .bpf_script import ENTRY, LAST_WHOLE, PAGE_BYTES, ROW, UNFINISHED, UNSURE, WORDS
from .calls import call_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeGuard

    from ..uapi.calls import Call

_MAYBE_NOT_READ = frozenset((errno.EFAULT, errno.EBADF, errno.ENOTTY, errno.EIO))
"""Of a call that fails so, the kernel may not have looked at the argument either."""
_WRITTEN_BACK = frozenset(("KVM_PRE_FAULT_MEMORY",))
"""Calls that change their argument, so that it cannot be read at the exit."""
_TIME, _REQUEST, _FD, _ARGUMENT, _WORD0 = (
    ENTRY.index(name) for name in ("time_ns", "request", "fd", "argument", "word0")
)
_TID, _PID, _RESULT, _END, _ENDING = (
    ROW.index(name) for name in ("tid", "pid", "result", "end_ns", "ending")
)
_pack_words = struct.Struct(f"={WORDS}Q").pack
_U64 = (1 << 64) - 1


class Caught:
    """One call as it came out."""

    __slots__ = ("argument", "call", "end_ns", "fd", "pid", "result", "tid", "time_ns", "values")

    def __init__(self, row: list[int], call: Call) -> None:
        self.call = call
        self.tid, self.pid = row[_TID], row[_PID]
        self.time_ns, self.end_ns = row[_TIME], row[_END]
        """Of the script's clock; no end: it is 0."""
        fd = row[_FD] & 0xFFFF_FFFF
        self.fd = fd - (fd >> 31 << 32)
        self.argument = row[_ARGUMENT] & _U64
        self.result = None if row[_ENDING] == UNFINISHED else row[_RESULT]
        self.values = self._values(row)
        """The fields; none if the argument could not be read."""

    def _values(self, row: list[int]) -> tuple[int, ...]:
        if self.call.is_number:
            return (self.argument,)
        words = [word & _U64 for word in row[_WORD0 : _WORD0 + WORDS]]
        if not self.call.has_structure or (
            row[_ENDING] and self._is_unreadable(row[_ENDING], words)
        ):
            return ()
        values: tuple[int, ...] = self.call.struct.unpack_from(_pack_words(*words))
        return values

    def _is_unreadable(self, ending: int, words: list[int]) -> bool:
        """Whether words that are 0 may stand for words that nobody could read."""
        if ending == UNSURE:
            unseen = self.result is None or -self.result in _MAYBE_NOT_READ
            return unseen or self.call.name in _WRITTEN_BACK
        return not any(words) or self.argument % PAGE_BYTES > LAST_WHOLE


class BpfOutput:
    """Takes the lines of bpftrace's output, in its JSON format; lines that are something else do
    not matter.
    """

    def __init__(self) -> None:
        self.attached = False
        """All probes were found."""
        self.counting = False
        """All probes are at work."""
        self.born = self.died = self.entered = self.came_out = 0
        """Threads that joined the tree and left it; calls that began; calls that came out."""
        self.alive = 0
        """Threads of the tree, a moment ago."""
        self._printed: dict[str, set[tuple[int, int]]] = {}
        """Map: the thread and time of each call that it held when it was last printed."""

    @property
    def lost(self) -> int:
        """Calls that began and did not come out.  After the last line only."""
        return max(0, self.entered - self.came_out)

    def take(self, line: bytes) -> list[Caught]:
        """The calls of a line, in the order in which they ended."""
        try:
            message = json.loads(line)
            kind, data = message["type"], message["data"]
        except (ValueError, TypeError, KeyError):
            return []
        if kind == "attached_probes":
            self.attached = True
        if kind != "map" or not isinstance(data, dict):
            return []
        calls: list[Caught] = []
        for name, content in data.items():
            if name in ("@a", "@b", "@call") and isinstance(content, dict):
                calls += self._rows(name, list(content.values()))
            elif name in ("@born", "@died", "@entered") and isinstance(content, int):
                setattr(self, name[1:], content)
                self.counting = True
                # it is printed after @died: between the two lines the tree would look smaller
                if name == "@born":
                    self.alive = self.born - self.died
        return calls

    def _rows(self, name: str, rows: list[object]) -> list[Caught]:
        whole = [row for row in rows if _is_row(row)]
        for row in whole:
            if len(row) == len(ENTRY):  # of @call, at the end: the thread is in the call still
                row += [0, 0, UNFINISHED]
        calls = []
        known = self._printed.get(name, set())
        self._printed[name] = {(row[_TID], row[_TIME]) for row in whole}
        for row in whole:
            if (row[_TID], row[_TIME]) in known:  # the end came between print and clear
                continue
            self.came_out += 1
            call = call_of(row[_REQUEST])
            if call is not None:
                calls.append(Caught(row, call))
        return sorted(calls, key=end_of)


def _is_row(row: object) -> TypeGuard[list[int]]:
    return (
        isinstance(row, list)
        and len(row) in (len(ENTRY), len(ROW))
        and all(isinstance(item, int) for item in row)
    )


def end_of(call: Caught) -> int:
    """When a call ended, to sort by; the end of all times if it did not."""
    return call.end_ns or _U64
