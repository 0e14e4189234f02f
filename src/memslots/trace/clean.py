"""Lines of strace exactly as it writes them, without damage or doubt: a quick way to their events.

What is found here is what `Strace.parse` finds in the same lines; every other line is left to it.
"""

from __future__ import annotations

from functools import lru_cache

from ..uapi.flags import FLAGS_BY_NAME
from . import decode as words
from .event import Event
from .noise import CLEAN, LABEL, OK, REFUSED, TOOK, WHO
from .patterns import lazy
from .strace import duration_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re

    from .strace import Strace, Who

_WHO = rb"(?:(?:(\d{1,7}) ++)?([1-9]\d{8,11})\.(\d{6}) |(" + WHO + rb"))"
_CLONES = rb"v?fork|clone[23]?"
_NAMES = rb"mmap2?|munmap|mremap|(?:pkey_)?mprotect|close|" + _CLONES
CALL = lazy(
    _WHO + rb"(?:ioctl\((\d{1,9})(?:" + LABEL + rb")?, ([A-Z][A-Z0-9_]{3,60}+|0x[0-9a-f]{1,8}+)"
    rb"(?:, (" + CLEAN + rb"*+))?|(" + _NAMES + rb")\(((?:" + CLEAN + rb"|" + LABEL + rb")*+))"
    rb"\) {1,40}+= (" + OK + rb"(?:" + LABEL + rb")?|" + REFUSED + rb")(" + TOOK + rb")(?=\n)"
)  # fmt: skip
"""A call that ended."""
UNFINISHED = lazy(
    rb"(" + WHO + rb")(ioctl|" + _NAMES + rb")\((?:" + CLEAN + rb"|" + LABEL
    + rb")*+<unfinished \.\.\.>(?=\n)"
)  # fmt: skip
RESUMED = lazy(
    rb"(" + WHO + rb")<\.\.\. (\w+) resumed>(?:" + CLEAN + rb"|" + LABEL + rb"|[()])*+(?=\n)"
)  # fmt: skip
GOES_ON = lazy(rb" > |\s{0,4}\d{1,9}\s*(?:\n|\Z)")
"""What may belong to the call on the line before: a stack, or the rest of its last number."""
REGION = lazy(
    rb"(?:(?:(\d{1,7}) +)?(\d{9,12})\.(\d{6}) |([\[\]\w .:]{0,60})(?<![\w.:]))"
    rb"ioctl\((\d{1,9})(?:<[\w:/-]{0,60}>)?, KVM_SET_USER_MEMORY_REGION, "
    rb"\{slot=(\d{1,9}), flags=(0|KVM_MEM_LOG_DIRTY_PAGES|KVM_MEM_READONLY), "
    rb"guest_phys_addr=(0|0x[0-9a-f]{1,16}), memory_size=(\d{1,19}), "
    rb"userspace_addr=(0|0x[0-9a-f]{1,16})\}\) {1,40}= "
    rb"(0|-1 (E[A-Z0-9]{2,12}) \([\w /]{1,60}\))(?: <(\d{1,9}\.\d{1,9})>)?(?![^\n])"
)
"""Most region calls of most recordings."""


@lru_cache(maxsize=1024)
def _result(text: bytes) -> int | None:
    return words.result_in(text.decode())


@lru_cache(maxsize=1024)
def _request(text: bytes) -> str | None:
    """The call of a request as strace writes it."""
    name = text.decode()
    if name.startswith("0x"):
        return words.request_name(int(name, 16))
    return name if name in words.REQUESTS else None


def region(found: re.Match[bytes], line: int, strace: Strace) -> Event | None:
    """The event of a match of REGION."""
    pid, seconds, us, before, fd, slot, flags, gpa, size, hva, result, error, took = found.groups()
    number = 0 if result == b"0" else words.ERRNO.get(error.decode())
    if number is None:
        return None
    fields = {
        "slot": int(slot),
        "flags": 0 if flags == b"0" else FLAGS_BY_NAME[flags.decode()],
        "guest_phys_addr": int(gpa, 16),
        "memory_size": int(size),
        "userspace_addr": int(hva, 16),
    }
    event = Event(
        "KVM_SET_USER_MEMORY_REGION", fields, -number, fd=int(fd), line=line, format="strace"
    )
    event.text = found.group().decode()
    if took:
        event.duration_ns = duration_ns(took.decode())
    if seconds:
        event.pid = int(pid) if pid else None
        event.time_ns = int(seconds) * 10**9 + int(us) * 1000
    elif before:
        event.pid, event.time_ns = strace.prefix(before.decode())
    return event


Understood = tuple[bool, "Event | None"]
"""Whether a line was clean, and the event that it gave if it tells anything."""


class Clean:
    """The other clean lines of one file."""

    __slots__ = ("_strace",)

    def __init__(self, strace: Strace) -> None:
        self._strace = strace

    def call(self, found: re.Match[bytes], line: int) -> Understood:
        """A match of CALL."""
        text = found.group()
        if b"=3D" in text:
            return False, None
        pid, seconds, us, before = found.group(1, 2, 3, 4)
        if seconds:
            who: Who = (int(pid) if pid else None, int(seconds) * 10**9 + int(us) * 1000)
        else:
            who = self._strace.prefix(before.decode())
        return True, self._event(found, line, text.decode(), who)

    def _event(self, found: re.Match[bytes], line: int, text: str, who: Who) -> Event | None:
        fd, request, given, name, args, result, took = found.group(5, 6, 7, 8, 9, 10, 11)
        if request is not None:
            call = _request(request)
            if call is None:
                return None
            argument = given.decode() if given else ""
            event = self._strace.called(call, int(fd), argument, _result(result))
        else:
            event = self._strace.memory(name.decode(), args.decode(), result.decode())
        if event is None:
            return None
        event.pid, event.time_ns = who
        event.line, event.format, event.text = line, "strace", text
        if took:
            event.duration_ns = duration_ns(took[2:-1].decode())
        return event

    def unfinished(self, found: re.Match[bytes], line: int) -> Understood:
        """A match of UNFINISHED: the call is remembered."""
        text = found.group()
        if b"=3D" in text:
            return False, None
        who = self._strace.prefix(found.group(1).decode())
        begun = text[: -len(b"<unfinished ...>")].decode()
        self._strace.suspend(begun, found.group(2).decode(), line, who)
        return True, None

    def resumed(self, found: re.Match[bytes], line: int) -> Understood:
        """A match of RESUMED: the call that was remembered, if it is whole now."""
        text = found.group().decode()
        pid, _ = self._strace.prefix(found.group(1).decode())
        waiting = self._strace.pending.get(pid)
        if waiting is None or f"{found.group(2).decode()}(" not in waiting[0]:
            return True, None
        rest = text.partition(" resumed>")[2].lstrip(" ")
        whole = waiting[0] + rest
        joined = CALL.match(whole.encode() + b"\n") if "=3D" not in whole else None
        if joined is None:
            return False, None
        del self._strace.pending[pid]
        return True, self._event(joined, waiting[1], whole, waiting[2])
