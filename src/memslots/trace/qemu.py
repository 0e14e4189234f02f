"""QEMU's trace events, of all generations and back ends.

    kvm_set_user_memory Slot#N flags=0xF gpa=0xH size=0xH ua=0xH ret=R          to 7.x
    kvm_set_user_memory AddrSpace#A Slot#N flags=... ua=... ret=R               8.x
    ... guest_memfd=N guest_memfd_offset=0xH ret=R                              from 9.0

In front stands nothing, or `PID@SEC.USEC:`.  The simpletrace back end writes
`name=value` for everything.  kvm_vm_ioctl is traced before the call and without
its result; where kvm_set_user_memory follows, that line tells the same call.
"""

from __future__ import annotations

import re

from ..patterns import lazy
from ..uapi.calls import CALLS, MEMORY_CALLS
from . import decode as words
from .event import Event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .event import Reading

_WHO = lazy(r"(?:^|[\s>])(\d{1,10})@(\d{1,12})\.(\d{6}):", re.ASCII)
_SLOT = lazy(
    r"\bkvm_set_user_memory\b:?\s+(?:[\d.]+ )?(?=\S{0,40}[#=])"
    r"(?P<pairs>(?:[A-Za-z_]+[#=][^\s,]+[,\s]{0,4}){1,16})",
    re.ASCII,
)
_PAIR = lazy(r"([A-Za-z_]+)[#=]([^\s,]+)", re.ASCII)
_IOCTL = lazy(
    r"\b(kvm_(?:vm_|vcpu_)?ioctl)\b:?\s+(?:cpu_index\s+\d+,\s*)?type\s+(0x[0-9a-f]{1,8}),\s*"
    r"arg\s+(0x[0-9a-f]+|\(nil\)|\d+)",
    re.ASCII,
)
_VCPU = lazy(r"\bkvm_init_vcpu\b:?\s+index:\s*\d+\s+id:\s*(\d{1,10})", re.ASCII)
_CONVERT = lazy(
    r"\bkvm_convert_memory\b:?\s+start\s+(0x[0-9a-f]{1,16})\s+size\s+(0x[0-9a-f]{1,16})\s+(\w+_to"
    r"_\w+)",
    re.ASCII,
)
_CLEAR = lazy(
    r"\bkvm_clear_dirty_log\b:?\s+slot#(\d{1,10})\s+start\s+(0x[0-9a-f]{1,16})\s+size\s+(0x[0-9a-"
    r"f]{1,16})",
    re.ASCII,
)
_RUNS = lazy(
    r"\bkvm_(?:run_exit\b:?\s+cpu_index\s+(\d{1,6}), reason \d"
    r"|vcpu_ioctl\b:?\s+cpu_index\s+(\d{1,6}),\s*"
    r"type\s+0x[0-9a-f]{0,4}ae80\b)",
    re.ASCII,
)
"""vCPU cpu_index came back from KVM_RUN, or goes into it."""
_RUNNING_MAX = 4096
_NAMES = {
    "slot": "slot", "addrspace": "as_id", "as_id": "as_id", "as": "as_id", "flags": "flags",
    "gpa": "guest_phys_addr", "guest_phys_addr": "guest_phys_addr", "size": "memory_size",
    "memory_size": "memory_size", "ua": "userspace_addr", "userspace_addr": "userspace_addr",
    "guest_memfd": "guest_memfd", "fd": "guest_memfd", "restricted_fd": "guest_memfd",
    "guest_memfd_offset": "guest_memfd_offset", "fd_offset": "guest_memfd_offset",
    "restricted_offset": "guest_memfd_offset", "ret": "ret", "pid": "pid",
}  # fmt: skip
_REGION = "KVM_SET_USER_MEMORY_REGION"
_WAITING_MAX = 1024


class Qemu:
    """Reads the trace lines of one file."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self._waiting: dict[int | None, Event] = {}
        """Thread: a region call traced without its arguments; they may follow."""
        self.ioctls_traced = False
        """Ioctls are traced as such, so other signs of a call are not taken for one."""
        self.running: set[int] = set()
        """vCPUs, as QEMU counts them, that have been in KVM_RUN."""

    def parse(self, text: str, line: int, final: bool) -> list[Event] | None:
        """The events of a line; an empty list if it is not one of ours, None if it is cut."""
        if "kvm_" not in text:
            return []
        found = _SLOT.search(text)
        if found:
            return self._region(found, text, line, final)
        event = self._other(text)
        if event is None:
            return []
        event.text, event.line, event.format = text, line, "qemu-trace"
        event.pid, event.time_ns = _who(text)
        if event.call in (_REGION, _REGION + "2"):
            # Its arguments come with the next kvm_set_user_memory of this thread.
            before = self._waiting.pop(event.pid, None)
            if len(self._waiting) < _WAITING_MAX:
                self._waiting[event.pid] = event
            return [before] if before else []
        return [event]

    def told(self, pid: int | None) -> None:
        """A region call of this thread came with its arguments: do not wait for them."""
        self._waiting.pop(pid, None)

    def finish(self) -> list[Event]:
        """Region calls whose arguments never came, in the order of their lines."""
        events = sorted(self._waiting.values(), key=lambda event: event.line)
        self._waiting.clear()
        return events

    def _region(
        self, found: re.Match[str], text: str, line: int, final: bool
    ) -> list[Event] | None:
        pairs = dict(_PAIR.findall(found.group("pairs")))
        if pairs.get("ret", "-") == "-" and not final:
            return None
        fields: dict[str, int] = {}
        for name, value in pairs.items():
            known = _NAMES.get(name.lower())
            number = words.integer(value.rstrip(".;)`'\""))
            if known and number is not None and known not in fields:
                fields[known] = number
            elif known and "." not in value and "…" not in value:
                self.reading.skip(f"{known} that is no number")
        pid, time_ns = _who(text)
        traced_pid = fields.pop("pid", None)
        result = fields.pop("ret", None)
        if result is not None and 1 << 31 <= result < 1 << 32:  # simpletrace prints it unsigned
            result -= 1 << 32
        call = self._finish_fields(fields)
        if not fields:
            return []
        pid = traced_pid if pid is None else pid
        self.told(pid)
        event = Event(
            call, fields, result, pid=pid, time_ns=time_ns, line=line, format="qemu-trace"
        )
        event.text = text
        return [event]

    def _finish_fields(self, fields: dict[str, int]) -> str:
        """Combine the slot word, drop what cannot be, and say which call it was."""
        space = fields.pop("as_id", 0)
        if "slot" in fields:
            fields["slot"] |= space << 16 if 0 <= space < 1 << 16 else 0
        guest_memfd = fields.get("guest_memfd", -1)
        call = _REGION
        if guest_memfd >= 0 or fields.get("flags", 0) & 4:
            call += "2"
            fields["guest_memfd"] = guest_memfd & 0xFFFFFFFF
        else:
            # QEMU prints -1 for slots without one; the call then says nothing about it.
            fields.pop("guest_memfd", None)
            fields.pop("guest_memfd_offset", None)
        for name in [name for name, value in fields.items() if value < 0]:
            self.reading.skip(f"{name} that is negative")
            del fields[name]
        for name in ("slot", "flags", "guest_memfd"):
            if fields.get(name, 0) >> 32:
                self.reading.skip(f"{name} that is no number of 32 bits")
                del fields[name]
        return call

    def _run(self, found: re.Match[str]) -> Event | None:
        """A sign that a vCPU runs, the first of each; the others are counted."""
        self.reading.runs += found[1] is not None
        index = int(found[1] or found[2])
        if index in self.running or len(self.running) == _RUNNING_MAX:
            return None
        self.running.add(index)
        return Event("KVM_RUN", {"cpu_index": index}, 0 if found[1] else None)

    def _other(self, text: str) -> Event | None:
        found = _RUNS.search(text)
        if found:
            return self._run(found)
        found = _IOCTL.search(text)
        if found:
            self.ioctls_traced = True
            return _ioctl(found)
        found = _VCPU.search(text)
        if found and not self.ioctls_traced:
            return Event("KVM_CREATE_VCPU", {"vcpu_id": int(found.group(1))})
        found = _CONVERT.search(text)
        if found:
            private = 8 if found.group(3).endswith("_private") else 0
            address, size = int(found.group(1), 16), int(found.group(2), 16)
            fields = {"address": address, "size": size, "attributes": private, "flags": 0}
            return Event("KVM_SET_MEMORY_ATTRIBUTES", fields)
        found = _CLEAR.search(text)
        if found:
            slot, start, size = (
                int(found.group(1)),
                int(found.group(2), 16),
                int(found.group(3), 16),
            )
            if slot < 1 << 32 and size < 1 << 32:
                return Event(
                    "KVM_CLEAR_DIRTY_LOG", {"slot": slot, "first_page": start, "num_pages": size}
                )
            self.reading.skip("slot or num_pages that is no number of 32 bits")
        return None


def _ioctl(found: re.Match[str]) -> Event | None:
    call = words.request_name(int(found.group(2), 16))
    argument = words.integer(found.group(3)) or 0
    if call is None or call not in MEMORY_CALLS:
        return None
    known = CALLS[call]
    return Event(call, {known.names[0]: argument} if known.is_number and argument >= 0 else {})


def _who(text: str) -> tuple[int | None, int | None]:
    found = _WHO.search(text)
    if not found:
        return None, None
    return int(found.group(1)), int(found.group(2)) * 10**9 + int(found.group(3)) * 1000
