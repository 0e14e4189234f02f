"""Lines of strace exactly as it writes them, without damage or doubt: a quick way to their events.

What is found here is what `Strace.parse` finds in the same lines; every other line is left to it.
"""

from __future__ import annotations

from functools import lru_cache

from ..patterns import lazy
from . import decode as words
from .event import Event
from .noise import CLEAN, CODED, LABEL, OK, REFUSED, TOOK, WHO
from .strace import REQUEST, duration_ns, request_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Mapping

    from .jsonl import OwnLines
    from .qemu import Qemu
    from .strace import Strace, Who

_WHO = rb"(?:(?:(\d{1,7}) ++)?([1-9]\d{8,11})\.(\d{6}) |(" + WHO + rb"))"
_CLONES = rb"v?fork|clone[23]?"
_NAMES = rb"mmap2?|munmap|mremap|(?:pkey_)?mprotect|close|" + _CLONES
_REQUEST = rb"[A-Z][A-Z0-9_]{3,60}+|0x[0-9a-f]{1,8}+|" + CODED
_ARGUMENTS = rb"(?:" + CLEAN + rb"|" + LABEL + rb")*+"
CALL = lazy(
    _WHO + rb"(?:ioctl\((\d{1,9})(?:" + LABEL + rb")?, (" + _REQUEST + rb")(?:, ("
    + CLEAN + rb"*+))?|(" + _NAMES + rb")\((" + _ARGUMENTS + rb"))"
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
    rb"\{slot=(\d{1,9}), flags=([\w|]{1,120}), "
    rb"guest_phys_addr=(0|0x[0-9a-f]{1,16}), memory_size=(\d{1,19}), "
    rb"userspace_addr=(0|0x[0-9a-f]{1,16})\}\) {1,40}= "
    rb"(0|-1 (E[A-Z0-9]{2,12}) \([\w /]{1,60}\))(?: <(\d{1,9}\.\d{1,9})>)?(?![^\n])"
)
"""Most region calls of most recordings."""


TRACED = lazy(
    rb"(\d{1,10})@(\d{1,12})\.(\d{6}):kvm_set_user_memory (?:AddrSpace#(\d{1,4}) )?Slot#(\d{1,9}) "
    rb"flags=0x([0-3]) gpa=0x([0-9a-f]{1,16}) size=0x([0-9a-f]{1,16}) ua=0x([0-9a-f]{1,16}) "
    rb"(?:guest_memfd=-1 guest_memfd_offset=0x[0-9a-f]{1,16} )?ret=(0|-[1-9]\d{0,3})(?=\n)"
)
"""Most region calls in QEMU's trace."""
_KNOWN_MAX = 1024
_REGION_CALL = "KVM_SET_USER_MEMORY_REGION"
_RESULTS = {name.encode(): -number for name, number in words.ERRNO.items()}
_RESULTS[b"0"] = 0


@lru_cache(maxsize=1024)
def _result(text: bytes) -> int | None:
    return words.result_in(text.decode())


@lru_cache(maxsize=1024)
def _flags(text: bytes) -> int | None:
    return words.flags(text.decode())


@lru_cache(maxsize=1024)
def _request(text: bytes) -> str | None:
    """The call of a request as strace writes it."""
    found = REQUEST.match(text.decode())
    return request_of(found) if found else None


def region(found: re.Match[bytes], line: int, strace: Strace) -> Event | None:
    """The event of a match of REGION."""
    pid, seconds, us, before, fd, slot, flags, gpa, size, hva, result, error, took = found.groups()
    number, mask = _RESULTS.get(error or result), _flags(flags)
    if number is None or mask is None or mask >> 32:
        return None
    fields = {
        "slot": int(slot),
        "flags": mask,
        "guest_phys_addr": int(gpa, 16),
        "memory_size": int(size),
        "userspace_addr": int(hva, 16),
    }
    if seconds:
        who: Who = (int(pid) if pid else None, int(seconds) * 1_000_000_000 + int(us) * 1000)
    else:
        who = strace.prefix(before.decode()) if before else (None, None)
    return Event(
        _REGION_CALL, fields, number, fd=int(fd), pid=who[0], time_ns=who[1], line=line,
        text=found.group().decode(), format="strace",
        duration_ns=duration_ns(took.decode()) if took else None,
    )  # fmt: skip


def _traced(found: re.Match[bytes], line: int) -> Event:
    """The event of a match of TRACED."""
    pid, seconds, us, space, slot, flags, gpa, size, hva, result = found.groups()
    fields = {
        "slot": int(slot) | (int(space) << 16 if space else 0),
        "flags": int(flags),
        "guest_phys_addr": int(gpa, 16),
        "memory_size": int(size, 16),
        "userspace_addr": int(hva, 16),
    }
    return Event(
        _REGION_CALL, fields, int(result), pid=int(pid),
        time_ns=int(seconds) * 1_000_000_000 + int(us) * 1000,
        line=line, text=found.group().decode(), format="qemu-trace",
    )  # fmt: skip


Understood = tuple[bool, "Event | None"]
"""Whether a line was clean, and the event that it gave if it tells anything."""


class Clean:
    """The clean lines of one file."""

    __slots__ = ("_known", "_own", "_own_region", "_qemu", "_strace", "forms")

    def __init__(self, strace: Strace, qemu: Qemu) -> None:
        self._known: dict[tuple[bytes, ...], tuple[str, Mapping[str, int], int | None, int]] = {}
        """Descriptor, request, argument and result, as they are written again and again: the call,
        its fields, its result and its descriptor.
        """
        self._strace = strace
        self._qemu = qemu
        from . import jsonl

        self._own: OwnLines | None = None
        self._own_region = jsonl.region
        self.forms = (
            (REGION, self.region), (CALL, self.call), (TRACED, self.traced),
            (jsonl.REGION, self.own_region), (jsonl.LINE, self.own),
            (UNFINISHED, self.unfinished), (RESUMED, self.resumed),
        )  # fmt: skip
        """Each form of a clean line, and what makes an event of a match."""

    def region(self, found: re.Match[bytes], line: int) -> Understood:
        """A match of REGION."""
        event = region(found, line, self._strace)
        return event is not None, event

    def traced(self, found: re.Match[bytes], line: int) -> Understood:
        """A match of TRACED."""
        event = _traced(found, line)
        self._qemu.told(event.pid)
        return True, event

    def own_region(self, found: re.Match[bytes], line: int) -> Understood:
        """A match of jsonl.REGION."""
        if b"=3D" in found.group():
            return False, None
        return True, self._own_region(found, line)

    def own(self, found: re.Match[bytes], line: int) -> Understood:
        """A match of jsonl.LINE."""
        if self._own is None:
            from .jsonl import OwnLines

            self._own = OwnLines()
        event = self._own.parse(found.group(), line)
        return event is not None, event

    def call(self, found: re.Match[bytes], line: int) -> Understood:
        """A match of CALL."""
        text = found.group()
        if b"=3D" in text:
            return False, None
        return True, self._event(found.groups(), line, text.decode(), None)

    def _event(
        self, parts: tuple[bytes, ...], line: int, text: str, who: Who | None
    ) -> Event | None:
        pid, seconds, us, before, fd, request, given, name, args, result, took = parts
        if who is None and seconds:
            who = (int(pid) if pid else None, int(seconds) * 1_000_000_000 + int(us) * 1000)
        elif who is None:
            who = self._strace.prefix(before.decode())
        event: Event | None
        key = fd, request, given, result
        known = self._known.get(key) if request is not None else None
        if known is not None:
            event = Event(known[0], known[1], known[2], fd=known[3])
        elif request is not None:
            call = _request(request)
            if call is None:
                return None
            argument = given.decode() if given else ""
            event = self._strace.called(call, int(fd), argument, _result(result))
            if (
                event is not None
                and event.new_fd is None
                and "=" not in argument
                and len(self._known) < _KNOWN_MAX
            ):
                self._known[key] = call, event.fields, event.result, int(fd)
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
        pid, _ = self._strace.prefix(found.group(1).decode())
        waiting = self._strace.pending.get(pid)
        if waiting is None or f"{found.group(2).decode()}(" not in waiting[0]:
            return True, None
        whole = waiting[0] + found.group().decode().partition(" resumed>")[2].lstrip(" ")
        joined = CALL.match(whole.encode() + b"\n") if "=3D" not in whole else None
        if joined is None:
            return False, None
        del self._strace.pending[pid]
        return True, self._event(joined.groups(), waiting[1], whole, waiting[2])
