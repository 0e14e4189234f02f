"""A recorded call as a line in the form of strace, which every reader of such lines takes."""

from __future__ import annotations

import os

from ..errors import errno_name
from ..trace.decode import CLONE
from ..trace.event import Event
from ..uapi.abi import CAP_NAMES, KVM_MEM_GUEST_MEMFD, flag_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_CLONE_VM = CLONE["CLONE_VM"]
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
            parts += [hex(fields.get("flags", 0)), "-1" if event.fd is None else fd, hex(fields.get("offset", 0))]
        return f"{event.call}({', '.join(parts)})"
    if event.call == "clone" and "flags" in fields:
        return f"clone(flags={'CLONE_VM' if fields['flags'] & _CLONE_VM else 0})"
    return f"{event.call}()"


def _prot(prot: int) -> str:
    return "|".join(name for bit, name in _PROT if prot & bit) or "PROT_NONE"


def _arguments(event: Event) -> str:
    fields = event.fields
    scalar = _SCALARS.get(event.call)
    if scalar:
        if scalar == "cap":
            return _capability(fields)
        return hex(fields[scalar]) if scalar in fields else "?"
    if event.call == "KVM_SET_IDENTITY_MAP_ADDR":
        return f"[{fields['addr']:#x}]" if "addr" in fields else "?"
    if event.call == "KVM_ENABLE_CAP":
        four = ", ".join(hex(fields.get(f"arg{number}", 0)) for number in range(4))
        return f"{{cap={_capability(fields)}, flags={fields.get('flags', 0):#x}, args=[{four}]}}"
    if not fields:
        return "0"
    names = [name for name in fields if name not in ("guest_memfd", "guest_memfd_offset", "mask")]
    if fields.get("flags", 0) & KVM_MEM_GUEST_MEMFD and "guest_memfd" in fields:
        names += ["guest_memfd_offset", "guest_memfd"]
    return "{" + ", ".join(f"{name}={_SHOWN.get(name, hex)(fields.get(name, 0))}" for name in names) + "}"


def _capability(fields: Mapping[str, int]) -> str:
    cap = fields.get("cap")
    return "?" if cap is None else CAP_NAMES.get(cap, hex(cap))


def _result(result: int | None) -> str:
    if result is None:
        return "?"
    return f"-1 {errno_name(result)} ({os.strerror(-result)})" if result < 0 else str(result)


_SHOWN: Mapping[str, Callable[[int], str]] = {
    "slot": str,
    "flags": flag_text,
    "memory_size": str,
    "guest_memfd": str,
    "first_page": str,
    "num_pages": str,
}
_SCALARS = {
    "KVM_CREATE_VM": "type",
    "KVM_CREATE_VCPU": "vcpu_id",
    "KVM_SET_TSS_ADDR": "addr",
    "KVM_SET_NR_MMU_PAGES": "nr_pages",
    "KVM_CHECK_EXTENSION": "cap",
}
