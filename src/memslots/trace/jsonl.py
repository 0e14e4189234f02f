"""memslots' own recordings, one JSON object a line, and log lines that are JSON objects.

    {"v": 1, "call": "KVM_SET_USER_MEMORY_REGION", "fields": {"slot": 0, ...}, "result": 0, "fd": 8,
    ...}

`v` is the version of the schema.  A reader accepts any version and ignores names
it does not know; a new version is only made when a name changes its meaning.
Integers beyond 2**53 are written as hexadecimal strings, because many JSON
readers would round them; both forms are read.
"""

from __future__ import annotations

import re
from functools import lru_cache

from ..patterns import lazy
from ..uapi.calls import REGION_CALLS
from . import decode as words
from .event import Event, printable
from .mend import split

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeGuard

    from .event import Reading

VERSION = 1
_INTS = ("result", "fd", "pid", "time_ns", "line", "new_fd", "duration_ns", "vcpus_in_run")
_TEXTS = {"source": "source", "text": "text", "vm": "process", "format": "format",
          "answered_by": "answered_by"}  # fmt: skip
"""Key: attribute of the event."""
_ATTRIBUTES = frozenset(_INTS)
_EXACT = 1 << 53
_NAME = lazy(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)
_MESSAGE = lazy(r"\"(?:msg|message|MESSAGE|log|text|error|err|line|reason|stderr|body)\"\s*:\s*\"")
LINE = lazy(rb"\{\"v\": ?\d{1,4}, ?\"call\": ?\"[\x20-\x7e]{1,60000}\}(?=\n)")
"""A line that is an event of ours and nothing else, undamaged."""
_NUMBER = rb"(0|[1-9]\d{0,15})"
_REGION_NAMES = ("slot", "flags", "guest_phys_addr", "memory_size", "userspace_addr")
REGION = lazy(
    rb"\{\"v\": 1, \"call\": \"" + REGION_CALLS[0].encode() + rb"\", \"fields\": \{"
    + b", ".join(b'"%s": ' % name.encode() + _NUMBER for name in _REGION_NAMES)
    + rb"\}, \"result\": (0|-?[1-9]\d{0,8})"
    + b"".join(rb"(?:, \"" + name + rb"\": " + _NUMBER + rb")?" for name in (b"fd", b"pid"))
    + rb"(?:, \"time_ns\": (?:" + _NUMBER + rb"|\"0x([1-7][0-9a-f]{15}|[0-9a-f]{1,15})\"))?"
    + b"".join(rb"(?:, \"" + name + rb"\": " + _NUMBER + rb")?"
               for name in (b"line", b"duration_ns", b"vcpus_in_run"))
    + b"".join(rb"(?:, \"" + name + rb"\": \"([^\"\\<&\x00-\x1f\x7f-\xff]{1,300})\")?"
               for name in (b"source", b"text", b"vm", b"format"))
    + rb"\}(?=\n)"
)  # fmt: skip
"""A region call as `event_to_json` writes it, with nothing that would have to be undone."""
_DEPTH = 3
_MESSAGES = 64


def event_to_json(event: Event) -> str:
    """One line without its end."""
    import json

    row: dict[str, object] = {"v": VERSION, "call": event.call}
    row["fields"] = {name: _out(value) for name, value in event.fields.items()}
    for name in _INTS:
        value = getattr(event, name)
        if value is not None and not (name == "line" and value == 0):
            row[name] = _out(value)
    for name, attribute in _TEXTS.items():
        value = getattr(event, attribute)
        if value:
            row[name] = value
    if event.backtrace:
        row["backtrace"] = list(event.backtrace)
    return json.dumps(row, ensure_ascii=True, separators=(", ", ": "))


def event_from_json(line: str | bytes) -> Event:
    """The event of such a line; ValueError if it is not one."""
    import json

    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    event = _event(row)
    if event is None:
        raise ValueError("a JSON value, but no event of memslots")
    return event


def region(found: re.Match[bytes], line: int) -> Event:
    """The event of a match of REGION."""
    slot, flags, gpa, nbytes, hva, result, fd, pid, time_ns, hex_ns, *others = found.groups()
    told, duration_ns, vcpus, source, text, process, form = others
    fields = {
        "slot": int(slot),
        "flags": int(flags),
        "guest_phys_addr": int(gpa),
        "memory_size": int(nbytes),
        "userspace_addr": int(hva),
    }
    event = Event(
        REGION_CALLS[0], fields, int(result), fd=None if fd is None else int(fd),
        pid=None if pid is None else int(pid), line=int(told or 0) or line,
        source=source.decode() if source else "", text=text.decode() if text else "",
        process=process.decode() if process else None, format=form.decode() if form else "jsonl",
        duration_ns=None if duration_ns is None else int(duration_ns),
        vcpus_in_run=None if vcpus is None else int(vcpus),
    )  # fmt: skip
    if time_ns is not None:
        event.time_ns = int(time_ns)
    elif hex_ns is not None:
        event.time_ns = int(hex_ns, 16)
    return event


def parse(text: str, line: int, reading: Reading) -> Event | list[str] | None:
    """An event of ours, or the messages of a log object; None if it is neither."""
    start = text.find("{")
    if start < 0 or '"' not in text:
        return None
    ours = '"call"' in text and '"v"' in text
    if not ours and not _MESSAGE.search(text):
        return None
    import json

    try:
        row, _ = json.JSONDecoder(strict=False).raw_decode(text, start)
    except (ValueError, RecursionError):
        if ours:
            reading.skip("damaged event in JSON")
        return None
    event = _event(row) if ours else None
    if event is not None:
        event.line = _line(event.line, line)
        event.format = event.format or "jsonl"
        return event
    messages: list[str] = []
    _messages(row, messages, _DEPTH)
    return messages or None


def _line(told: int, here: int) -> int:
    """The line that an event tells, if it is one; where it stands, if it tells none.

    `widths` does not look at lines: of events far down a recording it would have them counted.
    """
    return 0 if told >> 63 else told or here


def _out(value: int) -> int | str:
    return value if -_EXACT <= value <= _EXACT else hex(value)


def _in(value: object) -> int | None:
    if type(value) is int:
        return value if -words.U64_MAX - 1 <= value <= words.U64_MAX else None
    return words.integer(value) if isinstance(value, str) and len(value) <= 40 else None


@lru_cache(maxsize=1024)
def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


_plain_names: set[tuple[str, ...]] = set()
"""Names of fields that were seen together and are all fine; a bounded number of them."""


def _are_plain(fields: object) -> TypeGuard[dict[str, int]]:
    """Whether fields are what they should be: known names, each with a small number."""
    if not isinstance(fields, dict):
        return False
    for value in fields.values():
        if type(value) is not int or not 0 <= value < _EXACT:
            return False
    names = tuple(fields)
    if names not in _plain_names:
        if not all(map(_is_name, names)):
            return False
        if len(_plain_names) < _MESSAGES:
            _plain_names.add(names)
    return True


def _event(row: object) -> Event | None:
    if not isinstance(row, dict) or "v" not in row:
        return None
    get = row.get
    call, fields = get("call"), get("fields")
    if not isinstance(call, str) or not _is_name(call):
        return None
    event = Event(call)
    if _are_plain(fields):
        event.fields = fields
    elif isinstance(fields, dict):
        event.fields = {
            name: number
            for name, value in fields.items()
            if (number := value if type(value) is int and 0 <= value < _EXACT else _in(value))
            is not None
            and _is_name(name)
        }
    for name, value in row.items():
        if name in _ATTRIBUTES:
            number = value if type(value) is int and 0 <= value < _EXACT else _in(value)
            if number is not None:
                setattr(event, name, number)
        elif name in _TEXTS and isinstance(value, str):
            text = value[:4096]
            setattr(event, _TEXTS[name], text if name == "text" else printable(text))
    frames = get("backtrace")
    if isinstance(frames, list):
        texts = [printable(frame[:200]) for frame in frames[:_MESSAGES] if isinstance(frame, str)]
        event.backtrace = tuple(texts)
    return event


class OwnLines:
    """Lines that are events of ours and nothing else: a quick way to what `parse` finds."""

    def __init__(self) -> None:
        import json

        self._decode = json.JSONDecoder(strict=False).raw_decode

    def parse(self, raw: bytes, line: int) -> Event | None:
        """The event of a line; None if `parse` must look at it."""
        text = raw.decode()
        if (b"<" in raw or b"&" in raw or b"=3D" in raw) and split(text) != [text]:
            return None
        try:
            row, _ = self._decode(text)
        except (ValueError, RecursionError):
            return None
        event = _event(row)
        if event is not None:
            event.line = _line(event.line, line)
            event.format = event.format or "jsonl"
        return event


def _messages(value: object, found: list[str], depth: int) -> None:
    """The strings of a log object that are messages, and of objects within it."""
    if len(found) >= _MESSAGES or depth < 0:
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            if isinstance(inner, str):
                if _MESSAGE.match(f'"{name}":"') or "KVM" in inner or "kvm" in inner:
                    found.extend(inner.splitlines()[: _MESSAGES - len(found)])
            else:
                _messages(inner, found, depth - 1)
    elif isinstance(value, list):
        for inner in value[:_MESSAGES]:
            _messages(inner, found, depth - 1)
