"""Widths are checked where values enter: no event holds a number that its argument cannot hold.

A number that does not fit is not what the program passed.  It is left out as if it had not been
recorded, and counted in the reading.
"""

from __future__ import annotations

from ..uapi.calls import CALLS
from .event import Event, Reading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_BITS = {name: {field.name: field.bits for field in call.fields} for name, call in CALLS.items()}
_NONE: dict[str, int] = {}
_I32, _I64, _U32_BITS, _I64_BITS = 1 << 31, 1 << 63, 32, 63
_MOST_ERRNO = 4095
_BESIDE = (("pid", _U32_BITS), ("duration_ns", _I64_BITS), ("vcpus_in_run", _U32_BITS))
"""Numbers that are not negative, with their bits."""


def fitting(events: Iterator[Event], reading: Reading) -> Iterator[Event]:
    """The events, without numbers that do not fit."""
    for event in events:
        yield fitted(event, reading)


def fitted(event: Event, reading: Reading) -> Event:
    """An event, without its numbers that do not fit."""
    if event.fields:
        bits = _BITS.get(event.call, _NONE)
        for name, value in event.fields.items():
            if value >> bits.get(name, 64):  # a negative number stays one
                event.fields = _without_wide(event, reading)
                break
    result, fd, time_ns = event.result, event.fd, event.time_ns
    if result is not None and not -_MOST_ERRNO <= result < _I64:
        event.result = _result(event, result, reading)
    if fd is not None and not -_I32 <= fd < _I32:
        reading.skip(f"descriptor of {event.call} that does not fit 32 bits")
        event.fd = None
    if event.new_fd is not None and event.new_fd >> 31:
        event.new_fd = None
    if time_ns is not None and not -_I64 <= time_ns < _I64:
        event.time_ns = None
    pid = event.pid
    if (
        (pid is not None and pid >> _U32_BITS)
        or event.vcpus_in_run is not None
        or event.duration_ns is not None
    ):
        for name, most in _BESIDE:
            value = getattr(event, name)
            if value is not None and value >> most:
                setattr(event, name, None)
    return event


def _without_wide(event: Event, reading: Reading) -> dict[str, int]:
    """The fields that fit."""
    bits = _BITS.get(event.call, _NONE)
    kept = {}
    for name, value in event.fields.items():
        width = bits.get(name, 64)
        if value >> width:
            reading.skip(f"{name} of {event.call} that does not fit {width} bits")
        else:
            kept[name] = value
    return kept


def _result(event: Event, result: int, reading: Reading) -> int | None:
    """A result as the kernel may give it: an errno, a number, or an address of mmap's."""
    if not event.call.startswith("KVM_") and 0 <= result < 1 << 64:
        return result
    reading.skip(f"result of {event.call} that is none")
    return None
