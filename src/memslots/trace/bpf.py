"""bpftrace and other eBPF recorders: `NSEC COMM PID/TID fd= slot= flags= gpa= size= hva= ret=`.

Nothing is standardised there; the columns in front may be missing, and fields may
carry the C names instead.
"""

from __future__ import annotations

import re

from ..patterns import lazy
from . import decode as words
from .event import Event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .event import Reading

_LINE = lazy(
    r"(?:(?:^|\s)(?P<time>\d{6,20})\s{1,16})?(?:(?P<comm>\S.{0,30}?)\s{1,16})?"
    r"(?:(?P<pid>\d{1,10})/(?P<tid>\d{1,10})\s{1,16})?"
    r"(?P<pairs>(?:fd=-?\w{1,20}\s{1,16})?(?:call=\w{1,40}\s{1,16})?slot=\w{1,20}[\s,].*)",
    re.ASCII,
)
_PAIR = lazy(r"\b([a-z_]+)=(-?\w+)", re.ASCII)
_NAMES = {
    "fd": "fd", "slot": "slot", "flags": "flags", "gpa": "guest_phys_addr",
    "guest_phys_addr": "guest_phys_addr",
    "size": "memory_size", "memory_size": "memory_size", "hva": "userspace_addr",
    "ua": "userspace_addr",
    "userspace_addr": "userspace_addr", "ret": "ret", "gmem_fd": "guest_memfd",
    "guest_memfd": "guest_memfd",
    "gmem_off": "guest_memfd_offset", "guest_memfd_offset": "guest_memfd_offset",
}  # fmt: skip
_U32 = ("slot", "flags", "guest_memfd")


def names_arguments(text: str) -> bool:
    """Whether a line gives a region call's arguments as a recorder or a log does."""
    return "slot=" in text and ("gpa=" in text or "hva=" in text)


def parse(text: str, line: int, reading: Reading) -> Event | None:
    """The event of a line, or None if it is not one of ours."""
    if not names_arguments(text) or ("ret=" not in text and words.errno_in(text)):
        return None  # of a call that failed in words `messages` tells
    found = _LINE.search(text)
    if found is None:
        return None
    fields: dict[str, int] = {}
    for name, value in _PAIR.findall(found.group("pairs")):
        known, number = _NAMES.get(name), words.integer(value)
        if known is None or known in fields:
            continue
        if known == "ret" or (
            number is not None and 0 <= number < 1 << (32 if known in _U32 else 64)
        ):
            if number is not None:
                fields[known] = number
        elif known != "fd":
            reading.skip(f"{known} that is no number of its width")
    if "guest_phys_addr" not in fields and "userspace_addr" not in fields:
        return None
    result, fd = fields.pop("ret", None), fields.pop("fd", None)
    call = (
        "KVM_SET_USER_MEMORY_REGION2" if "guest_memfd" in fields else "KVM_SET_USER_MEMORY_REGION"
    )
    event = Event(call, fields, result, fd=fd, line=line, format="bpf")
    event.text = text
    if found.group("tid"):
        event.pid = int(found.group("tid"))
        # The command's name differs between the threads of one VMM; the process does not.
        event.process = f"process {found.group('pid')}"
    if found.group("time"):
        event.time_ns = int(found.group("time"))
    return event
