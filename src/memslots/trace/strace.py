"""strace: every combination of its options, and what people do to its lines by hand.

A line is `[who] [when] name(arguments) = result`.  The parser looks for the call itself and then
reads what stands before it, so that quoting or prose in front does no harm.  A call may be given
with its structure, with a bare pointer, with raw numbers, or cut anywhere.
"""

from __future__ import annotations

import re
from functools import lru_cache

from ..errnos import EAGAIN, EINTR
from ..patterns import lazy
from ..uapi.calls import CALLS, MAKERS, MEMORY_CALLS
from ..uapi.encoding import KVMIO
from . import decode as words
from .event import Event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .event import Reading

    Who = tuple[int | None, int | None]

TEXT_MAX = 4096
RESULT_READ = 400
"""Characters of a result that are looked at."""
PENDING_MAX = 4096
"""Unfinished calls kept at a time (one for each thread)."""

CALL = lazy(
    r"(?<![\w.>:])(ioctl|mmap2?|munmap|mremap|(?:pkey_)?mprotect|close|v?fork|clone[23]?)\(",
    re.ASCII,
)
_NEXT = lazy(r"(?<![\w.>:])ioctl\(\d", re.ASCII)
RESUMED = lazy(r"<\.\.\. (\w+) resumed>", re.ASCII)
_PREFIX = lazy(
    r"(?:\[pid +(\d{1,10})(?:<[^>]*>)?\] *|(\d{1,10})(?:<[^>]*>)? +)?"
    r"(?:(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))? +|(\d{1,12})\.(\d{3,9}) +)?"
    r"(?:\(\+ *\d+\.\d+\) +)?(?:\[ *\w{1,18}\] +)?$",
    re.ASCII,
)
_QUOTES = lazy(r"^[\s>|`*$#-]+(?=[\[\d])")
TAIL = lazy(r"\)\s*(?:=|->|→|⇒)\s*(?=[-\d?E])")
_DONE = lazy(r"[})\]]\s*;?\s*[`\"']*\s*$")
_FD = lazy(
    r"\s*(?:fd: ?)?(-?\d{1,10}|0x[0-9a-fA-F]{1,8})(?:<((?:[^<>]|<[^<>]*>)*)>)?\s*,\s*", re.ASCII
)
REQUEST = lazy(
    r"\s*(?:cmd: ?)?(?:_IOC\(\s*([^)]{0,80})\)|(0x[0-9a-fA-F]{1,8}|\d{4,10})\b"
    r"(?:\s*/\*\s*(.{0,120}?)\s*\*/)?|([A-Z][A-Z0-9_]{3,60})((?: or [A-Z0-9_]{4,60})*))\s*,?\s*",
    re.ASCII,
)
_FIELD = lazy(r"(?<!\w)(\w{1,40})\s{0,8}[=:]\s{0,8}([^,{}\[\]]{0,400})")
_ARGS = lazy(r"\bargs\s*[=:]\s*\[([^\]]{0,200})")
_ELIDED = lazy(r"\.{2,}|…|\?+|<[^>]*>|xx+|XX+|\s*$|\*+")

_REGION2 = CALLS["KVM_SET_USER_MEMORY_REGION2"]
_TOOK = lazy(r" <(\d{1,9}\.\d{1,9})>\s*$")
"""Seconds that the call took (-T)."""


def duration_ns(text: str) -> int:
    """Nanoseconds from `0.000123`."""
    seconds, _, fraction = text.partition(".")
    return int(seconds) * 10**9 + int(fraction.ljust(9, "0"))


def start(text: str) -> int:
    """Where the first call of a line begins; its length if there is none."""
    found = CALL.search(text)
    return found.start() if found else len(text)


def _is_cut_result(result: str) -> bool:
    """Whether a line ends within -1, or within the name of the errno after it."""
    result = result.strip()
    if not result.startswith("-1"):
        return result == "-"
    return len(result) < 16 and "EPERM" not in result and words.result_in(result) == -1


@lru_cache(maxsize=64)
def widths_of(call: str) -> dict[str, int]:
    """Field: bits, of the structure that a text about a call may show (region calls: REGION2)."""
    known = CALLS.get(call)
    if known is None or not known.has_structure:
        return {}
    shown = _REGION2 if known.name.endswith(("MEMORY_REGION", "MEMORY_REGION2")) else known
    return {field.name: field.bits for field in shown.fields}


def struct_fields(call: str, body: str, reading: Reading) -> dict[str, int]:
    """The fields of a call's structure, from `name=value, ...` or `name: value, ...`."""
    fields: dict[str, int] = {}
    if "=" not in body and ":" not in body:
        return fields
    widths = widths_of(call)
    for name, value in _FIELD.findall(body) if widths else ():
        width = widths.get(name)
        if width is None or name in fields:
            continue
        number = _value(name, value.strip().strip("`\"'"))
        if number == -1 and name == "guest_memfd":
            number = 0xFFFFFFFF
        if number is not None and 0 <= number < 1 << width:
            fields[name] = number
        elif not _ELIDED.match(value):
            reading.skip(f"{name} that is no number of {width} bits")
    if call == "KVM_ENABLE_CAP":
        found = _ARGS.search(body)
        for index, value in enumerate(found.group(1).split(",")[:4] if found else ()):
            number = words.integer(value)
            if number is not None and number >= 0:
                fields[f"arg{index}"] = number
    return fields


def _value(name: str, text: str) -> int | None:
    if name in ("flags", "attributes"):
        return words.flags(text)
    if name == "cap":
        return words.capability(text)
    if " " in text:
        text = text.partition(" /*")[0]
    return words.integer(text)


@lru_cache(maxsize=256)
def _prot(text: str) -> int | None:
    return words.bits(text, words.PROT)


@lru_cache(maxsize=256)
def _map_flags(text: str) -> int | None:
    return words.bits(text, words.MAP)


class Strace:
    """Reads strace lines of one file; remembers unfinished calls, times and KVM's fds."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.pending: dict[int | None, tuple[str, int, Who]] = {}
        """Thread: text of its unfinished call, the line where it stands, its prefix."""
        self.kvm_fds: set[int] = set()
        self.relative = False
        """Times are differences to the line before (-r)."""
        self._elapsed_ns = 0
        self._last_ns = 0
        self._day_ns = 0

    def prefix(self, text: str) -> Who:
        """(thread, time in ns) of what stands before a call.

        Once for each line: relative times add up.
        """
        found = _PREFIX.match(text) or _PREFIX.match(_QUOTES.sub("", text))
        if not found:
            found = re.search(r"\[pid +(\d{1,10})\] *$", text)
            return (int(found.group(1)), None) if found else (None, None)
        pid_text = found.group(1) or found.group(2)
        pid = int(pid_text) if pid_text else None
        if pid is not None and pid > 1 << 22 and found.group(3) is None and found.group(7) is None:
            return None, pid * 10**9  # larger than any pid: seconds since 1970
        if found.group(7):
            return pid, self.seconds(int(found.group(7)), found.group(8))
        if found.group(3):
            hours, minutes, seconds = (int(found.group(i)) for i in (3, 4, 5))
            fraction = int((found.group(6) or "0").ljust(9, "0"))
            now = (hours * 3600 + minutes * 60 + seconds) * 10**9 + fraction + self._day_ns
            if now < self._last_ns - 43200 * 10**9:  # past midnight
                self._day_ns += 86400 * 10**9
                now += 86400 * 10**9
            self._last_ns = now
            return pid, now
        return pid, None

    def seconds(self, seconds: int, fraction: str) -> int:
        """Time in ns; a small one is the difference to the line before and is added up."""
        now = seconds * 10**9 + int(fraction.ljust(9, "0"))
        if seconds >= 10**8:
            return now
        self.relative = True
        self._elapsed_ns += now
        return self._elapsed_ns

    def resume(self, text: str) -> tuple[str, int, Who] | None:
        """The call that a `<... resumed>` line completes: text, line where it began, prefix."""
        found = RESUMED.search(text)
        if not found:
            return None
        pid, _ = self.prefix(text[: found.start()])
        waiting = self.pending.get(pid)
        if waiting is None or f"{found.group(1)}(" not in waiting[0]:
            return None
        del self.pending[pid]
        return waiting[0] + text[found.end() :].lstrip(" "), waiting[1], waiting[2]

    def parse(
        self, text: str, start: re.Match[str], line: int, who: Who, final: bool
    ) -> tuple[Event | None, int] | None:
        """The call at `start` (a match of CALL): (event or None, where it ends); None if cut.

        With `final` nothing more will come: what is there has to do.
        """
        follow = _NEXT.search(text, start.end())
        end = follow.start() if follow else len(text)
        cut = text.find("<unfinished ...>", start.end(), end)
        if cut >= 0:
            self.suspend(text[:cut], start.group(1), line, who)
            return None, end
        tail = TAIL.search(text, start.end(), end)
        name = start.group(1)
        if tail is None:
            if name != "ioctl" or re.match(
                r"\)[\s:]*(?:failed|error|:)", text[text.find(")", start.end(), end) :]
            ):
                return None, start.end()
            if not final:
                return None
        args = text[start.end() : tail.start() if tail else end]
        result = text[tail.end() : end][:RESULT_READ] if tail else ""
        if not final and _is_cut_result(result):
            return None
        event = self.ioctl(args, result) if name == "ioctl" else self.memory(name, args, result)
        if event is None:
            return None, start.end() if tail is None else tail.end()
        event.pid, event.time_ns = who
        event.line, event.text, event.format = line, text[:TEXT_MAX], "strace"
        took = _TOOK.search(result)
        if took:
            event.duration_ns = duration_ns(took.group(1))
        return event, end

    def unfinished(self) -> list[Event]:
        """Calls that never returned in this recording, in the order of their lines."""
        events = []
        for text, line, who in sorted(self.pending.values(), key=lambda waiting: waiting[1]):
            start = CALL.search(text)
            found = self.parse(text, start, line, who, final=True) if start else None
            if found and found[0]:
                events.append(found[0])
        self.pending.clear()
        return events

    def suspend(self, text: str, name: str, line: int, who: Who) -> None:
        """Remember the beginning of a system call that is not finished on its line."""
        if name == "ioctl" and "KVM_RUN" in text:
            self.reading.runs += 1
        elif len(self.pending) < PENDING_MAX or who[0] in self.pending:
            self.pending[who[0]] = (text.rstrip(" ")[:TEXT_MAX], line, who)
        else:
            self.reading.skip("unfinished call beyond those remembered")

    def ioctl(self, args: str, result_text: str) -> Event | None:
        """The event of an ioctl's arguments and result, if it concerns memory."""
        found = _FD.match(args)
        fd = words.integer(found.group(1)) if found else None
        at = found.end() if found else 0
        request = REQUEST.match(args, at)
        call = request_of(request) if request else None
        if request is None or call is None:
            return None
        result = words.result_in(result_text) if result_text else None
        return self.called(call, fd, args[request.end() :], result)

    def called(self, call: str, fd: int | None, argument: str, result: int | None) -> Event | None:
        """The event of a known call, if it tells anything."""
        if call not in MEMORY_CALLS:
            if call == "KVM_RUN" and (result is None or result >= 0 or result in (-EINTR, -EAGAIN)):
                self.reading.runs += 1
                return None
            if result is None or result >= 0 or (call in CALLS and call != "KVM_RUN"):
                return None
        event = Event(call, self._arguments(call, argument), result, fd=fd)
        self.note_new_fd(event)
        return event

    def note_new_fd(self, event: Event) -> None:
        """Where a successful call made a file descriptor: say so, and remember that it is KVM's."""
        if event.result is not None and event.result >= 0 and event.call in MAKERS:
            event.new_fd = event.result
            if len(self.kvm_fds) < PENDING_MAX:
                self.kvm_fds.add(event.result)

    def _arguments(self, call: str, text: str) -> dict[str, int]:
        text = text.strip()
        known = CALLS.get(call)
        name = known.names[0] if known is not None and known.is_number else None
        if name == "cap":
            number = words.capability(text)
        elif name:
            number = words.integer(text.partition(" /*")[0].rstrip(",) "))
            if number is None and call == "KVM_CREATE_VM":
                number = words.bits(text, {"KVM_VM_TYPE_ARM_IPA_SIZE": 0})
        elif call == "KVM_SET_IDENTITY_MAP_ADDR" and text[:1] in "[{":
            name, number = "addr", words.integer(text.strip("[]{}() "))
        else:
            return struct_fields(call, text, self.reading)
        return {} if number is None or name is None or number < 0 else {name: number}

    def memory(self, name: str, args: str, result_text: str) -> Event | None:
        """The event of another system call, if it may concern a VM's memory."""
        result = words.result_in(result_text)
        parts = [part.strip() for part in args.split(",")]
        first = _FD.match(parts[0] + ",")
        number = words.integer(first.group(1)) if first else words.integer(parts[0])
        if name == "close":
            label = first.group(2) or "" if first else ""
            if number is None or not (number in self.kvm_fds or "kvm" in label):
                return None
            self.kvm_fds.discard(number)
            return Event("close", {}, result, fd=number)
        if name.endswith("fork") or name.startswith("clone"):
            return self._child(name, args, result)
        length = words.integer(parts[1]) if len(parts) > 1 else None
        if number is None or length is None or number < 0 or length < 0:
            return None
        event = Event(name.removesuffix("2"), {"addr": number, "length": length}, result)
        fields = event.fields
        if TYPE_CHECKING:
            assert isinstance(fields, dict)
        if name == "mremap" and len(parts) > 2:
            _put(fields, "new_length", words.integer(parts[2]))
        elif name != "munmap" and len(parts) > 2:
            _put(fields, "prot", _prot(parts[2]))
        if name.startswith("mmap") and len(parts) > 5:
            _put(fields, "flags", _map_flags(parts[3]))
            _put(fields, "offset", words.integer(parts[5]))
            backing = _FD.match(parts[4] + ",")
            fd = words.integer(backing.group(1)) if backing else None
            event.fd = fd if fd is not None and 0 <= fd < 1 << 31 else None
        return event

    def _child(self, name: str, args: str, result: int | None) -> Event | None:
        if result is None:
            return None
        found = re.search(r"flags=([^,})]*)", args)
        event = Event("clone" if name.startswith("clone") else name, {}, result)
        if found:
            parts = (part.strip() for part in found.group(1).split("|"))
            event.fields = {"flags": sum(words.CLONE.get(part, 0) for part in set(parts))}
        return event


def _put(fields: dict[str, int], name: str, value: int | None) -> None:
    if value is not None and value >= 0:
        fields[name] = value


def request_of(found: re.Match[str]) -> str | None:
    """The call's name from a match of the request: decoded, raw, or taken apart with _IOC."""
    packed, number, comment, name, others = found.groups()
    if packed is not None:
        parts = [part.strip() for part in packed.split(",")]
        if len(parts) != 4 or words.integer(parts[1]) not in (KVMIO, 0x3B, 0xAF):
            return None
        kind, nr, size = (words.integer(part) for part in parts[1:])
        if kind is None or nr is None or size is None:
            return None
        if not (0 <= nr < 256 and 0 <= size < 1 << 13):
            return None
        return words.request_name(size << 16 | kind << 8 | nr)
    if number is not None:
        code = words.integer(number)
        known = words.request_name(code) if code is not None else None
        if known is not None or comment is None:
            return known
        name, others = comment, ""
    for candidate in (name + (others or "")).replace("/*", " ").replace("*/", " ").split(" or "):
        if candidate.strip() in words.REQUESTS:
            return candidate.strip()
    return None
