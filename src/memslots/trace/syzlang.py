"""Programs of syzkaller: one call a line, descriptors as resources, no results.

    r1 = ioctl$KVM_CREATE_VM(r0, 0xae01, 0x0)
    ioctl$KVM_SET_USER_MEMORY_REGION(r1, 0x4020ae46,
        &(0x7f0000000000)={0x0, 0x0, 0x0, 0x2000, &(0x7f0000fec000/0x2000)=nil})

A resource `r1` is given as file descriptor 1.  Fields at the end of a structure
that the program leaves out are 0, as its writer omits them.  Host addresses are
those of the text: an executor adds a constant to each.
"""

from __future__ import annotations

import re

from ..patterns import lazy
from ..uapi.calls import CALLS
from . import decode as words
from .resources import Resources, literal_descriptor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .event import Event, Reading
    from .lines import Ahead

FORMAT = "syzlang"
_ARGUMENTS_MAX = 64
_CALL = lazy(
    r"(?:\br(?P<made>\d{1,4})\s*=\s*)?"
    r"\b(?P<name>ioctl\$(?P<call>KVM_\w+)|dup[23]?|(?P<pseudo>syz_kvm_\w+)(?:\$\w+)?)\(",
    re.ASCII,
)
_RESOURCE = lazy(r"r(\d{1,4})", re.ASCII)
_AREA = lazy(r"&\((0x[0-9a-f]{1,16})(?:/0x[0-9a-f]{1,16})?\)(?:=nil)?", re.ASCII)
_MAKES_SLOTS = ("syz_kvm_setup_cpu", "syz_kvm_setup_syzos_vm")


class Syzlang:
    """Reads the lines of one source."""

    def __init__(self, reading: Reading, ahead: Ahead) -> None:
        self.reading = reading
        self._resources = Resources(reading)

    def parse(self, text: str, line: int, final: bool) -> list[Event] | None:
        """The event of a call; None if the line is cut."""
        found = _CALL.search(text)
        if found is None:
            return []
        arguments = split_arguments(text, found.end())
        if arguments is None:
            if not final:
                return None
            self.reading.skip("call of a syzlang program that is cut")
            return []
        made = int(found["made"]) if found["made"] else None
        if found["pseudo"]:
            if found["pseudo"].startswith(_MAKES_SLOTS):
                pseudo = found["pseudo"]
                self.reading.note(
                    f"syzlang: {pseudo} makes memory slots of its own, which the text does not show"
                )
            return []
        if not found["call"]:
            self._resources.name(made, self._descriptor(arguments[0]) if arguments else None)
            return []
        event = self._ioctl(found["call"], arguments, made)
        if event is None:
            return []
        event.line, event.text = line, text.strip()
        event.format = event.process = FORMAT
        self.reading.note(
            "syzlang: a program of syzkaller, what the calls returned is not known; resources rN "
            "are given as descriptors N, host addresses as the text has them (executors add "
            "a constant)"
        )
        return [event]

    def _ioctl(self, variant: str, arguments: list[str], made: int | None) -> Event | None:
        code = words.integer(arguments[1]) if len(arguments) > 1 else None
        call = words.request_name(code) if code is not None and code >= 0 else _named(variant)
        if call not in CALLS:
            return None
        fd = self._descriptor(arguments[0]) if arguments else None
        argument = arguments[2] if len(arguments) > 2 else ""
        return self._resources.event(call, fd, made, lambda: self._fields(call, argument))

    def _descriptor(self, text: str) -> int | None:
        found = _RESOURCE.fullmatch(text)
        if found:
            return self._resources.descriptor(int(found[1]))
        return literal_descriptor(words.integer(text))

    def _fields(self, call: str, text: str) -> dict[str, int]:
        known = CALLS[call]
        if known.is_number:
            values = [text]
        elif "={" in text[:60]:
            values = _items(text, text.index("={") + 2)
        elif ")=" in text[:60] and len(known.fields) == 1:
            values = [text.partition(")=")[2]]
        else:
            return {}
        whole = not any("..." in value or "ANY" in value for value in values)
        fields: dict[str, int] = {}
        number: int | None
        for index, field in enumerate(known.fields):
            missing = 0 if whole else None
            number = self._value(values[index]) if index < len(values) else missing
            if number is None:
                continue
            if number < 0:
                number &= (1 << field.bits) - 1
            if number >> field.bits:
                self.reading.skip(f"{field.name} that is no number of {field.bits} bits")
            else:
                fields[field.name] = number
        return fields

    def _value(self, text: str) -> int | None:
        if text[:1] == "@":
            text = text.partition("=")[2]
        found = _RESOURCE.fullmatch(text)
        if found:
            return self._descriptor(text)
        area = _AREA.fullmatch(text)
        return int(area[1], 16) if area else words.integer(text)


def split_arguments(text: str, start: int) -> list[str] | None:
    """The arguments of a call that begin at `start`; None if they do not end."""
    return _split(text, start, ")")


def _items(text: str, start: int) -> list[str]:
    """The values of a structure, those of arrays in it one by one."""
    items: list[str] = []
    for item in _split(text, start, "}") or ():
        if item[:1] == "[" and len(items) < _ARGUMENTS_MAX:
            items.extend(_split(item, 1, "]") or ())
        else:
            items.append(item)
    return items


def _split(text: str, start: int, end: str) -> list[str] | None:
    """What commas separate from `start` to the bracket that ends it, not within others."""
    found: list[str] = []
    begun, opened, quote = start, 0, ""
    at = start
    while at < len(text):
        letter = text[at]
        if quote:
            if letter == "\\":
                at += 1
            elif letter == quote:
                quote = ""
        elif letter in "'\"":
            quote = letter
        elif letter in "([{":
            opened += 1
        elif letter in ")]}":
            if not opened:
                if letter != end:
                    return None
                last = text[begun:at].strip()
                return [*found, last] if last or found else found
            opened -= 1
        elif letter == "," and not opened:
            if len(found) == _ARGUMENTS_MAX:
                return None
            found.append(text[begun:at].strip())
            begun = at + 1
        at += 1
    return None


def _named(variant: str) -> str | None:
    """The call that the name of a variant means: KVM_ENABLE_CAP_CPU is KVM_ENABLE_CAP."""
    if variant in CALLS:
        return variant
    if variant.startswith(("KVM_ENABLE_CAP", "KVM_CAP_")):
        return "KVM_ENABLE_CAP"
    return "KVM_CHECK_EXTENSION" if variant.startswith("KVM_CHECK_EXTENSION") else None
