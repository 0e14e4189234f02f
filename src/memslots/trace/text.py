"""Error messages: QEMU and its relatives, the Rust VMMs, selftests, and look-alikes.

Each message becomes an event of the call that failed.  Failures that resemble a
memory slot's but are not (ioeventfd, VFIO, KVM_CREATE_VM, KVM_RUN, limits inside
the VMM, memory of the host) become events of the real call, or of `message` where
the text names none, so that they can be told apart.
"""

from __future__ import annotations

import re

from . import words
from .event import Event
from .strace import STRUCTS, struct_fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from .event import Reading

_REGION = "KVM_SET_USER_MEMORY_REGION"
_SEARCHED = 600
"""Characters after the start of a message in which its errno and numbers are looked for."""

_NAMED = re.compile(
    r"\b(KVM_(?:SET_USER_MEMORY_REGION2?|SET_MEMORY_REGION|CLEAR_DIRTY_LOG|GET_DIRTY_LOG|CREATE_VM|CREATE_VCPU"
    r"|RUN|IOEVENTFD|IRQFD|CREATE_GUEST_MEMFD|SET_MEMORY_ATTRIBUTES|SET_TSS_ADDR|SET_IDENTITY_MAP_ADDR|ENABLE_CAP"
    r"|CREATE_IRQCHIP|SET_NR_MMU_PAGES|MEMORY_ENCRYPT_REG_REGION|MEMORY_ENCRYPT_OP|PRE_FAULT_MEMORY"
    r"|RESET_DIRTY_RINGS))\b"
)
_FAILS = re.compile(r"(?i)fail|error|\berrno\b|\brc\b|: |\bioctl\b|returned|\bunable|could ?n[o']t|\(")
_STRUCT = re.compile(r"\bguest_phys_addr\s*[:=]")
_PAIR = re.compile(r"\b([a-z_]+)\s*[:=]\s*(-?(?:0[xX][0-9a-fA-F]{1,20}|\d{1,24}))\b", re.ASCII)
_ALIASES = {"start": "guest_phys_addr", "gpa": "guest_phys_addr", "size": "memory_size", "len": "memory_size",
            "hva": "userspace_addr", "ua": "userspace_addr", "address": "guest_phys_addr"}  # fmt: skip
_LOG_ALIASES = {"start": "first_page", "size": "num_pages"}
_DOSEMU = re.compile(
    r"\bKVM: map slot=(\d{1,10}) flags=(\d{1,10}) dosaddr=(0x[0-9a-f]{1,16}) size=(0x[0-9a-f]{1,16})"
    r"(?: unixaddr=(0x[0-9a-f]{1,16}))?"
)
_MAPPED = re.compile(r"Created userspace mapping: ([0-9a-f]{1,16}) -> ([0-9a-f]{1,16}) ([0-9a-f]{1,16})\b")
_PROCESS = re.compile(r"(?:^|\s)([A-Za-z][\w./@-]{0,60})\[(\d{1,10})\]: ", re.ASCII)

_RUST = re.compile(
    r"\bos error \d{1,4}\)|\b(?:Error|Errno|SysError)\(-?\d{1,4}\)|\bOs \{ code: \d|\bErrno\([A-Z]|\(E[A-Z]{3,8}\)"
)
_RUST_ABOUT = re.compile(r"(?i)kvm|memory|region|hypervisor|slot|\bvm\b|vm[_(:]|vcpu|ioevent|irqfd|vfio|mmap")
_RUST_REGION = re.compile(r"(?i)set_?user_?memory|create_?user_?memory|user_memory_region|KVM_SET_USER")

# What a text without the name of a call is about.  The first that matches decides;
# the number says whether an errno must be in sight.
_ABOUT: tuple[tuple[str, re.Pattern[str], bool], ...] = tuple(
    (call, re.compile(pattern), needs)
    for call, pattern, needs in (
        (_REGION, r"error (?:un)?registering slot\b|kvm_set_user_memory_region\b.{0,80}(?i:fail)", True),
        ("KVM_IOEVENTFD", r"(?i)\bio_?event_?(?:fd)?s?\b|ioeventfd|IoEvent", True),
        ("KVM_IRQFD", r"(?i)\birqfd|RegisterIrq", True),
        ("VFIO_IOMMU_MAP_DMA",
         r"VFIO_(?:IOMMU_)?(?:UN)?MAP_DMA|vfio_(?:container_|listener_|legacy_)?dma_(?:un)?map|(?i:vfio)\S* ?[Dd]ma ?[Mm]ap"
         r"|VfioDmaMap|IommuDmaMap|iommufd_backend_map_dma", True),
        ("VHOST_SET_MEM_TABLE", r"(?i)vhost_?set_?mem_?table|SetMemTable|VhostSetMemTable", True),
        ("KVM_MEMORY_ENCRYPT_REG_REGION", r"sev_ram_block_added|(?i:encrypt_reg_region)", True),
        ("open", r"Could not access KVM kernel module|(?:/dev/kvm\b.{0,120}(?i:denied|no such|fail|error))", True),
        ("KVM_CREATE_VM", r"(?i)failed to initialize kvm|\bVm(?:Fd|Create)\(|CreateVm|create_vm\b|creat\w* (?:the )?vm\b"
         r"|opening vm fd", True),
        ("KVM_CREATE_VCPU", r"(?i)create_?vcpu|\bVcpuFd\(|kvm_init_vcpu", True),
        ("KVM_RUN", r"(?i)\bkvm run failed|VcpuRun|vcpu_?run\b|run ioctl|error running vcpu|kvm_run\b.{0,40}fail", True),
        ("message", r"(?i)no (?:more )?free (?:memory |mem ?)?slots?\b|not enough (?:free )?(?:memory )?slots"
         r"|free memory slots? left|insufficient number of memory slots|(?:out of|too many) (?:free )?(?:kvm |memory )+slots"
         r"|memory slots? (?:limit|exhausted|exceeded)", False),
        ("message", r"(?i)cannot set up guest memory|unable to map backing store|free host memory|os_mem_prealloc"
         r"|memory-backend|can't open backing store|hugetlb|hugepage.{0,60}(?:fail|not enough|cannot)", False),
        ("message", r"(?i)phys-bits|Address space limit 0x", False),
        ("message", r"KVM internal error|KVM: entry failed|KVM_EXIT_(?:FAIL_ENTRY|INTERNAL_ERROR|MEMORY_FAULT)", False),
        ("message", r"(?i)failed to (?:set ?up|register|add|create|map) (?:kvm |guest |user |the )*memory", False),
        ("message", r"(?i)add_memory_region|memslot\w* .{0,60}(?:fail|error)", True),
    )
)  # fmt: skip


_SIGNS = re.compile(
    r"rror|[Ff]ail|FAIL|errno|annot|nable|nvalid|xists|denied|\bE[A-Z]{3,}|code: |[Ss]lots|ould not|Bad address"
    r"|KVM: map slot|mapping: |phys-bits|Address space limit|memory_size|KVM_EXIT|free host|not enough|nsufficient"
    r"|KVM_\w+(?:: |$)"
)


def promising(text: str) -> bool:
    """Cheaply: could a line be a message of interest?"""
    return _SIGNS.search(text) is not None


def parse(text: str, line: int, reading: Reading, final: bool) -> Event | Literal[False] | None:
    """The event of a message; None if it is none; False if the rest of it seems cut."""
    if not promising(text):
        return None
    table = _table(text)
    if table is not None:
        return _finished(table, text, line)
    named = _NAMED.search(text)
    if named and _FAILS.search(text, named.end(), named.end() + 80):
        found = _named(named, text, reading, final)
        if found is not None:
            return _finished(found, text, line) if found else False
    if _STRUCT.search(text) and "memory_size" in text:
        return _finished(_structure(text, reading), text, line)
    if _RUST.search(text) and _RUST_REGION.search(text):
        return _finished(Event(_REGION, {}, _result(text)), text, line)
    for call, pattern, needs_errno in _ABOUT:
        match = pattern.search(text)
        if match is None:
            continue
        result = _result(text[match.start() : match.start() + _SEARCHED])
        if result is None and needs_errno:
            if call == _REGION and not final:
                return False
            if call != _REGION:
                continue
        return _finished(Event(_place(call, result), {}, result), text, line)
    if _RUST.search(text) and _RUST_ABOUT.search(text):
        return _finished(Event("message", {}, _result(text)), text, line)
    return None


def _place(call: str, result: int | None) -> str:
    """KVM_CREATE_VM cannot fail for want of permission or of the file: opening it did."""
    return "open" if call == "KVM_CREATE_VM" and result in (-1, -2, -13) else call


def _result(text: str) -> int | None:
    number = words.errno_in(text)
    return -number if number else None


def _finished(event: Event, text: str, line: int) -> Event:
    event.text, event.line = text, line
    event.format = event.format or "message"
    process = _PROCESS.search(text[:300])
    if process:
        event.pid, event.vm = int(process.group(2)), f"{process.group(1)}[{process.group(2)}]"
    return event


def _table(text: str) -> Event | None:
    """Lines in which a VMM lists slots that it has made."""
    found = _DOSEMU.search(text)
    if found:
        names = ("slot", "flags", "guest_phys_addr", "memory_size", "userspace_addr")
        values = (words.integer(value) if value else None for value in found.groups())
        fields = {name: value for name, value in zip(names, values, strict=True) if value is not None}
        return Event(_REGION, fields, 0, format="slot-table")
    found = _MAPPED.search(text)
    if found:
        gpa, hva, size = (int(value, 16) for value in found.groups())
        fields = {"guest_phys_addr": gpa, "memory_size": size, "userspace_addr": hva}
        return Event(_REGION, fields, 0, format="slot-table")
    return None


def _named(named: re.Match[str], text: str, reading: Reading, final: bool) -> Event | Literal[False] | None:
    """A message that names the ioctl, with numbers or without."""
    call = named.group(1)
    rest = text[named.end() : named.end() + _SEARCHED]
    fields = _pairs(call, rest, reading)
    number = words.errno_in(rest)
    if number is None:
        found = re.match(r"\W{0,3}\s*(?:failed|error)\W{0,3}\s*\(?(-?\d{1,3})\b", rest)
        number = abs(int(found.group(1))) if found else None
    region = call.startswith(_REGION) or call.endswith("_LOG")
    if number is None and not final and region:
        return False if "fail" in rest or "error" in rest or fields or rest.strip() in (":", "") else None
    if region and "IOCTL failed" in rest and not fields and not final:
        return False
    if number is None and not fields:
        return None
    return Event(call, fields, -number if number else None)


def _pairs(call: str, text: str, reading: Reading) -> dict[str, int]:
    known = STRUCTS.get(call)
    if known is None:
        return {}
    aliases = _LOG_ALIASES if call == "KVM_CLEAR_DIRTY_LOG" else _ALIASES
    fields: dict[str, int] = {}
    for name, value in _PAIR.findall(text):
        name = name if name in known else aliases.get(name, "")
        width = known.get(name)
        if width is None or name in fields:
            continue
        number = words.integer(value)
        if number == -1 and name == "guest_memfd":
            number = 0xFFFFFFFF if call.endswith("2") else None
            if number is None:
                continue
        if number is not None and 0 <= number < 1 << width:
            fields[name] = number
        else:
            reading.skip(f"{name} that is no number of {width} bits")
    return fields


def _structure(text: str, reading: Reading) -> Event:
    """A region structure printed by a debugger or by Rust's `{:?}`."""
    call = _REGION + "2" if "guest_memfd" in text else _REGION
    return Event(call, struct_fields(call, text, reading), _result(text))
