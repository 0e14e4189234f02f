"""A recorded call as a line in the form of strace, which every reader of such lines takes."""

from __future__ import annotations

from ..errnos import errno_name, errno_text
from ..trace.decode import CLONE
from ..trace.event import Event
from ..uapi.calls import CALLS
from ..uapi.flags import KVM_MEM_GUEST_MEMFD

_CLONE_VM = CLONE["CLONE_VM"]
_MOST_ERRNO = 4095
_PROT = ((1, "PROT_READ"), (2, "PROT_WRITE"), (4, "PROT_EXEC"))


def strace_line(event: Event) -> str:
    """One line without its end."""
    head = "" if event.pid is None else f"{event.pid} "
    if event.time_ns is not None:
        seconds, rest = divmod(event.time_ns // 1000, 1_000_000)
        head += f"{seconds}.{rest:06} "
    return f"{head}{_call(event)} = {_result(event.result)}"


def _call(event: Event) -> str:
    fd = "?" if event.fd is None else str(event.fd)
    if event.call.startswith("KVM_"):
        arguments = _arguments(event)
        return f"ioctl({fd}, {event.call}, {arguments})"
    fields = event.fields
    if event.call == "close":
        return f"close({fd})"
    if event.call in ("munmap", "mprotect", "mmap", "mremap"):
        parts = [hex(fields.get("addr", 0)), str(fields.get("length", 0))]
        if event.call in ("mprotect", "mmap"):
            parts.append(_prot(fields.get("prot", 0)))
        if event.call == "mmap":
            parts += [
                hex(fields.get("flags", 0)),
                "-1" if event.fd is None else fd,
                hex(fields.get("offset", 0)),
            ]
        return f"{event.call}({', '.join(parts)})"
    if event.call == "clone" and "flags" in fields:
        return f"clone(flags={'CLONE_VM' if fields['flags'] & _CLONE_VM else 0})"
    return f"{event.call}()"


def _prot(prot: int) -> str:
    return "|".join(name for bit, name in _PROT if prot & bit) or "PROT_NONE"


def _arguments(event: Event) -> str:
    fields, call = event.fields, CALLS.get(event.call)
    if call is None or not fields:
        return "?" if call is not None and call.is_number else "0"
    texts = {
        field.name: field.form(fields[field.name]) for field in call.fields if field.name in fields
    }
    if call.is_number:
        return texts.get(call.names[0], "?")
    if event.call == "KVM_SET_IDENTITY_MAP_ADDR":
        return f"[{texts['addr']}]" if texts else "?"
    if event.call == "KVM_ENABLE_CAP":
        four = ", ".join(texts.get(f"arg{number}", "0x0") for number in range(4))
        return f"{{cap={texts.get('cap', '?')}, flags={texts.get('flags', '0x0')}, args=[{four}]}}"
    if not fields.get("flags", 0) & KVM_MEM_GUEST_MEMFD:
        # without the flag the call does not read them
        texts = {name: text for name, text in texts.items() if not name.startswith("guest_memfd")}
    return "{" + ", ".join(f"{name}={text}" for name, text in texts.items()) + "}"


def _result(result: int | None) -> str:
    if result is None:
        return "?"
    if not -_MOST_ERRNO <= result < 0:
        return str(result)
    return f"-1 {errno_name(result)} ({errno_text(-result)})"
