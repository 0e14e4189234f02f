"""Reproducers of syzkaller in C: stores to fixed addresses, then a system call with the address.

    *(uint32_t*)0x20000180 = 0;
    *(uint64_t*)0x20000190 = 0x2000;
    syscall(__NR_ioctl, r[1], 0x4020ae46ul, 0x20000180ul);

The stores before a call give its structure.  The area that they lie in is new
and full of zeroes when the program starts, so that bytes never stored are 0; a
structure of which no byte was stored is not known.  `r[1]` is given as file
descriptor 1.  What the calls returned is not known.
"""

from __future__ import annotations

import re

from ..patterns import lazy
from ..uapi.calls import CALLS
from . import decode as words
from .resources import Resources, literal_descriptor
from .syzlang import split_arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..uapi.calls import Call
    from .event import Event, Reading
    from .lines import Ahead

FORMAT = "c-reproducer"
_STORE = lazy(
    r"\*\(uint(8|16|32|64)_t\*\)\(?(0x[0-9a-f]{1,16})(?:u?l{0,2})\)?\s*=\s*([^;]{1,200});", re.ASCII
)
_FILL = lazy(
    r"\bmem(cpy|set)\(\(void\*\)(0x[0-9a-f]{1,16})(?:u?l{0,2}),(.{1,8000}?),\s*(\d{1,10}"
    r"|0x[0-9a-f]{1,8})\)",
    re.ASCII,
)
_SYSCALL = lazy(r"\bsyscall\((?:__NR_|SYS_)(ioctl|dup[23]?)\s*,", re.ASCII)
_ASSIGNED = lazy(r"\br\[(\d{1,4})\]\s*=\s*res\b", re.ASCII)
_RESOURCE = lazy(r"(?:\(\w{1,20}\))?r\[(\d{1,4})\]", re.ASCII)
_COMMENT = lazy(r"/\*.{0,80}?\*/")
_NUMBER = lazy(r"(?:\(\w{1,20}\))?(-?(?:0x[0-9a-fA-F]{1,16}|\d{1,20}))(?:[uU]?[lL]{0,2})", re.ASCII)
_AREAS = ((0x1FFF_F000, 0x2100_1000), (0x1FFF_FFFF_F000, 0x2000_0100_1000))
"""Where the stores of such programs go: 16 MiB and a page on each side."""
_BYTES_MAX = 1 << 16
_FILL_MAX = 1 << 12
_ASSIGNED_WITHIN = 4
"""Lines after a call in which its result is kept."""


class CReproducer:
    """Reads the lines of one source; remembers what was stored."""

    def __init__(self, reading: Reading, ahead: Ahead) -> None:
        self.reading = reading
        self._ahead = ahead
        self._memory: dict[int, int | None] = {}
        """Address: byte; None for one that is not known."""
        self._resources = Resources(reading)

    def parse(self, text: str, line: int, final: bool) -> list[Event] | None:
        """The event of a call; None if the line is cut."""
        text = _COMMENT.sub("", text) if "/*" in text else text
        call = _SYSCALL.search(text)
        if call is None:
            return self._stores(text, final)
        arguments = split_arguments(text, call.end())
        if arguments is None:
            if not final:
                return None
            self.reading.skip("call of a C reproducer that is cut")
            return []
        made = self._assigned(text)
        if call[1] != "ioctl":
            self._resources.name(made, self._descriptor(arguments[0]) if arguments else None)
            return []
        event = self._ioctl(arguments, made)
        if event is None:
            return []
        event.line, event.text = line, text.strip()
        event.format = event.process = FORMAT
        self.reading.note(
            "C reproducer of syzkaller: what the calls returned is not known; r[N] is given as "
            "descriptor N, bytes that the program never stores are taken for the zeroes of its new "
            "mapping"
        )
        return [event]

    def _ioctl(self, arguments: list[str], made: int | None) -> Event | None:
        numbers = [_number(argument) for argument in arguments[1:3]]
        code = numbers[0] if numbers else None
        name = words.request_name(code) if code is not None and code >= 0 else None
        if name not in CALLS:
            return None
        argument = numbers[1] if len(numbers) > 1 else None
        fd = self._descriptor(arguments[0])
        return self._resources.event(name, fd, made, lambda: self._fields(CALLS[name], argument))

    def _fields(self, call: Call, argument: int | None) -> dict[str, int]:
        if argument is None:
            return {}
        if call.is_number:
            return {call.names[0]: argument & (1 << 64) - 1}
        fields: dict[str, int] = {}
        at = argument
        stored = any(place in self._memory for place in range(at, at + call.struct.size))
        for field in call.fields if stored else ():
            octets = [self._byte(place) for place in range(at, at + field.bits // 8)]
            if None not in octets:
                fields[field.name] = sum(
                    (octet or 0) << 8 * index for index, octet in enumerate(octets)
                )
            at += field.bits // 8
        return fields

    def _byte(self, place: int) -> int | None:
        if place in self._memory:
            return self._memory[place]
        return 0 if any(first <= place < end for first, end in _AREAS) else None

    def _stores(self, text: str, final: bool) -> list[Event] | None:
        matched = False
        for width, place, value in _STORE.findall(text):
            matched = True
            number = self._stored(value)
            self._put(int(place, 16), int(width) // 8, number)
        for kind, place, value, length in _FILL.findall(text):
            matched = True
            count = int(length, 0)
            filled = _number(value.strip()) if kind == "set" else None
            self._put(int(place, 16), min(count, _FILL_MAX), 0 if filled == 0 else None)
        return [] if matched or final or len(text) > _FILL_MAX else None

    def _stored(self, text: str) -> int | None:
        text = text.strip().rstrip(")").strip() if "(" not in text else text.strip()
        resource = _RESOURCE.fullmatch(text)
        if resource:
            return self._resources.descriptor(int(resource[1]))
        return _number(text)

    def _put(self, place: int, nbytes: int, number: int | None) -> None:
        if len(self._memory) + nbytes > _BYTES_MAX:
            self.reading.skip("store of a C reproducer beyond those remembered")
            return
        for index in range(nbytes):
            self._memory[place + index] = None if number is None else number >> 8 * index & 0xFF

    def _assigned(self, text: str) -> int | None:
        """The index under which the program keeps the result of the call on this line."""
        for line in (text, *self._ahead(_ASSIGNED_WITHIN)):
            found = _ASSIGNED.search(line)
            if found:
                return int(found[1])
            if line is not text and "syscall(" in line:
                return None
        return None

    def _descriptor(self, text: str) -> int | None:
        resource = _RESOURCE.fullmatch(text)
        if resource:
            return self._resources.descriptor(int(resource[1]))
        return literal_descriptor(_number(text))


def _number(text: str) -> int | None:
    found = _NUMBER.fullmatch(text)
    return words.integer(found[1]) if found else None
