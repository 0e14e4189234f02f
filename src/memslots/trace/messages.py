"""Error messages: QEMU and its relatives, the Rust VMMs, selftests, and look-alikes.

Each message becomes an event of the call that failed.  Failures that resemble a
memory slot's but are not (ioeventfd, VFIO, KVM_CREATE_VM, KVM_RUN, limits inside
the VMM, memory of the host) become events of the real call, or of `message` where
the text names none, so that they can be told apart.
"""

from __future__ import annotations

import re

from ..patterns import lazy
from ..uapi.calls import MEMORY_CALLS, QUERIES
from . import decode as words
from . import message_table as lookalike
from .bpf import names_arguments
from .event import MESSAGE, PLAN, Event
from .message_table import REGION
from .said import IN_A_MESSAGE, OF_A_LOG, said
from .strace import struct_fields, widths_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from .event import Reading

_SEARCHED = 600
"""Characters after the start of a message in which its errno and numbers are looked for."""

_LONGEST = 4096

_NAMED = lazy(r"\b(KVM_[A-Z0-9_]{2,40})\b")
_FAILED_WITH = lazy(
    r"\W{0,3}\s{0,3}(?:ioctl )?(?:failed|error)(?: with)?(?: error)?(?:"
    r" code)?\W{0,2}\s{0,3}\(?(-(?!1\b)\d{1,3}|(?<!-)\d{1,3})\b"
)
_CALLS = ((MEMORY_CALLS | {"KVM_RUN"}) | words.LOOKALIKE_NAMES) - QUERIES
_FAILS = lazy(r"(?i)fail|error|\berrno\b|\brc\b|: |\bioctl\b|returned|\bunable|could ?n[o']t|\(")
_HAS_NUMBERS = lazy(r"\W{1,4}(?:slot|flags|guest_phys_addr|gpa|memory_size|first_page) ?[:=]")
"""Behind the name of a call: a program's own log of its arguments."""
_STRUCT = lazy(
    r"\bguest_phys_addr(?:\s*[:=]\s*|\s)[\d\"]|\bkvm_userspace_memory_region2? \{\s*(?:slot|$)"
)
_DOSEMU = lazy(
    r"\bKVM: map slot=(\d{1,10}) flags=(\d{1,10}) dosaddr=(0x[0-9a-f]{1,16})"
    r" size=(0x[0-9a-f]{1,16})"
    r"(?: unixaddr=(0x[0-9a-f]{1,16}))?"
)
_MAPPED = lazy(
    r"Created userspace mapping: ([0-9a-f]{1,16}) -> ([0-9a-f]{1,16}) ([0-9a-f]{1,16})\b"
)
_PROCESS = lazy(r"(?:^|\s)([A-Za-z][\w./@-]{0,60})\[(\d{1,10})\]: ", re.ASCII)

_RUST = lazy(
    r"\bos error \d{1,4}\)|\b(?:Error|Errno|SysError)\(-?\d{1,4}\)|\bOs \{ code: \d|\bErrno\([A-Z]"
    r"|\(E[A-Z]{3,8}\)"
)
_RUST_REGION = lazy(r"(?i:set_?user_?memory|create_?user_?memory|user_memory_region)")
_RUST_REGION2 = lazy(r"(?i:memory_?region_?2\b)|\b[Rr]egion2(?![a-z])")
_SUCCEEDED = lazy(r"(?:\bret(?:val)?\s?[:=]|\)\s?=|->|\breturned|\breturns)\s{0,3}0\b(?!x)")
_PLANNED = lazy(
    r"\bGuest memory host_addr=(?P<hva>0x[0-9a-f]{1,16}) guest_addr=(?:0x)?(?P<gpa>[0-9a-f]{1,16}) "
    r"len=(?:0x)?(?P<size>[0-9a-f]{1,16})\b"
)
_VIRTUAL = lazy(r"\bregion: virtual \[(?:0x)?([0-9a-f]{1,16}), ?(?:0x)?([0-9a-f]{1,16})\)")
_SIGNS = lazy(
    r"rror|[Ff]ail|FAIL|errno|annot|nable|nvalid|xists|denied|\bE[A-Z]{3,}|code: |[Ss]lots|ould"
    r" not|o such"
    r"|Bad address|KVM: map slot|mapping: |phys-bits|Address space limit|memory_size|KVM_EXIT"
    r"|free host|not enough"
    r"|kvm_userspace_memory_region|nsufficient|KVM_\w+(?:: |$)|Guest memory|region: virtual"
    r"|MemoryFault"
)


def promising(text: str) -> bool:
    """Whether a line could be a message of interest; cheap."""
    return _SIGNS.search(text) is not None


def parse(text: str, line: int, reading: Reading, final: bool) -> Event | Literal[False] | None:
    """The event of a message; None if it is none; False if the rest of it seems cut."""
    if not promising(text) and not names_arguments(text):
        return None
    table = _table(text)
    if table is not None:
        return _finished(table, text, line)
    named = next((found for found in _NAMED.finditer(text) if found.group(1) in _CALLS), None)
    if named and (
        _FAILS.search(text, named.end(), named.end() + 80) or _HAS_NUMBERS.match(text, named.end())
    ):
        found = _named(named, text, reading, final)
        if found is not None:
            return _finished(found, text, line) if found else False
    if _STRUCT.search(text):
        if "{" in text and "}" not in text and not final:
            return False
        if "memory_size" in text:
            return _finished(_structure(text, reading), text, line)
    if names_arguments(text) and _result(text) is not None:
        call = REGION + "2" if "guest_memfd" in text else REGION
        return _finished(Event(call, _pairs(call, text, reading), _result(text)), text, line)
    if _RUST.search(text) and _RUST_REGION.search(text):
        call = REGION + "2" if _RUST_REGION2.search(text) else REGION
        return _finished(Event(call, _pairs(call, text, reading), _result(text)), text, line)
    for call, needs_errno, pattern in lookalike.TABLE:
        match = pattern.search(text)
        if match is None:
            continue
        number = _errno_behind(text, match.start(), match.end())
        result = -number if number else None
        if result is not None or not needs_errno or (call == REGION and final):
            fields = _pairs(call, text, reading) if call == REGION else {}
            return _finished(Event(lookalike.place(call, result), fields, result), text, line)
        if call == REGION:
            return False
    if _RUST.search(text) and lookalike.ABOUT.search(text):
        return _finished(Event(MESSAGE, {}, _result(text)), text, line)
    return None


def _errno_behind(text: str, start: int, end: int) -> int | None:
    """The errno (positive) of what failed at [start, end): the first that is named from there on,
    or a bare number right behind it: `failed with error 17`.
    """
    number = words.errno_in(text[start : start + _SEARCHED])
    found = _FAILED_WITH.match(text, end) if number is None else None
    return abs(int(found.group(1))) if found else number


def _result(text: str) -> int | None:
    number = words.errno_in(text[:_LONGEST])
    return -number if number else None


def _finished(event: Event, text: str, line: int) -> Event:
    event.text, event.line = text, line
    event.format = event.format or MESSAGE
    process = _PROCESS.search(text[:300])
    if process:
        event.pid, event.process = int(process.group(2)), f"{process.group(1)}[{process.group(2)}]"
    return event


def _table(text: str) -> Event | None:
    """Lines in which a VMM lists slots that it has made (slot-table) or will make (vmm-plan)."""
    found = _DOSEMU.search(text)
    if found:
        names = ("slot", "flags", "guest_phys_addr", "memory_size", "userspace_addr")
        values = (words.integer(value) if value else None for value in found.groups())
        fields = {
            name: value for name, value in zip(names, values, strict=True) if value is not None
        }
        return Event(REGION, fields, 0, format="slot-table")
    found = _MAPPED.search(text)
    if found:
        gpa, hva, size = (int(value, 16) for value in found.groups())
        fields = {"guest_phys_addr": gpa, "memory_size": size, "userspace_addr": hva}
        return Event(REGION, fields, 0, format="slot-table")
    found = _PLANNED.search(text)
    if found:
        fields = {
            "guest_phys_addr": int(found["gpa"], 16),
            "memory_size": int(found["size"], 16),
            "userspace_addr": int(found["hva"], 16),
        }
        return Event(MESSAGE, fields, None, format=PLAN)
    found = _VIRTUAL.search(text)
    if found:
        start, end = (int(value, 16) for value in found.groups())
        if start < end:
            fields = {"userspace_addr": start, "memory_size": end - start}
            return Event(MESSAGE, fields, None, format=PLAN)
    return None


def _named(
    named: re.Match[str], text: str, reading: Reading, final: bool
) -> Event | Literal[False] | None:
    """A message that names the ioctl, with numbers or without."""
    call = named.group(1)
    rest = text[named.end() : named.end() + _SEARCHED]
    fields = _pairs(call, rest, reading)
    number = _errno_behind(text, named.end(), named.end())
    if number is None and len(fields) > 2 and _SUCCEEDED.search(rest):
        return Event(call, fields, 0)
    region = call.startswith(REGION) or call.endswith("_LOG")
    if number is None and not final and region:
        return (
            False
            if "fail" in rest or "error" in rest or fields or rest.strip() in (":", "")
            else None
        )
    if "IOCTL failed" in rest and "memory_size" not in fields and not final:
        return False  # the selftests print the fields on the lines that follow
    if number is None and not fields:
        return None
    return Event(call, fields, -number if number else None)


def _pairs(call: str, text: str, reading: Reading) -> dict[str, int]:
    """The fields that a message gives by name, the first number of each."""
    names = OF_A_LOG if call == "KVM_CLEAR_DIRTY_LOG" else IN_A_MESSAGE
    fields: dict[str, int] = {}
    for field, number in said(text, widths_of(call), names, reading):
        fields.setdefault(field, number)
    return fields


def _structure(text: str, reading: Reading) -> Event:
    """A region structure printed by a debugger or by Rust's `{:?}`, or its fields in prose."""
    call = REGION + "2" if "guest_memfd" in text else REGION
    fields = struct_fields(call, text, reading) or _pairs(call, text, reading)
    return Event(call, fields, _result(text))
