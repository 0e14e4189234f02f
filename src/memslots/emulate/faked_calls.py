"""KVM's other calls on a machine without it: what is taken is handed out again, as far as it goes.

Numbers, directions and structures of include/uapi/linux/kvm.h and
arch/x86/include/uapi/asm/kvm.h.  No guest runs, so registers, interrupt
controllers and clocks are memory: a call that reads them gives what was set
last, or zeros.
"""

from __future__ import annotations

import errno
import os
import struct

from ..uapi.calls import SYSTEM, VCPU, VM
from ..uapi.encoding import BOTH, NO_DATA, READS, WRITES
from .faked_cpu import CPUID_ENTRIES, MACHINE_CHECKS, MSR_INDEXES
from .hand_out import write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..record.memory import Memory

API_VERSION = 12
RUN_BYTES = 3 << 12
"""Bytes of a vCPU's mapping."""
_MOST_ENTRIES = 4096

GIVES = {
    (VCPU, 0x81): 0x82, (VCPU, 0x83): 0x84, (VCPU, 0x8C): 0x8D, (VCPU, 0x8E): 0x8F,
    (VCPU, 0x98): 0x99, (VCPU, 0x9F): 0xA0, (VCPU, 0xA1): 0xA2, (VCPU, 0xA4): 0xA5,
    (VCPU, 0xA6): 0xA7, (VCPU, 0xCC): 0xCD, (VCPU, 0xCF): 0xA5, (VM, 0x7C): 0x7B,
    (VM, 0x9F): 0xA0, (VM, 0x65): 0x66,
}  # fmt: skip
"""Calls that read a state: by kind of descriptor and number, the number of the call that sets it.

Registers, special registers, FPU, local APIC, MP state, events, debug registers, XSAVE, XCRs, the
same by newer calls; clock and PITs.
"""
TAKES = frozenset((
    (VCPU, 0x82), (VCPU, 0x84), (VCPU, 0x8B), (VCPU, 0x8D), (VCPU, 0x8F), (VCPU, 0x86),
    (VCPU, 0x90), (VCPU, 0x93), (VCPU, 0x99), (VCPU, 0x9B), (VCPU, 0x9C), (VCPU, 0x9E),
    (VCPU, 0xA0), (VCPU, 0xA2), (VCPU, 0xA5), (VCPU, 0xA7), (VCPU, 0xCD),
    (VM, 0x61), (VM, 0x63), (VM, 0x66), (VM, 0x67), (VM, 0x68), (VM, 0x6A), (VM, 0x71),
    (VM, 0x7B), (VM, 0xA0), (VM, 0xA5), (VM, 0xB2),
    (VM, 0xC6),
))  # fmt: skip
"""Calls that set a state, and calls about interrupts and I/O events, which nobody will raise."""
PLAIN = frozenset(((VCPU, 0x9A), (VCPU, 0xA2), (VCPU, 0xAD), (VM, 0x64), (VM, 0x67), (VM, 0x71)))
"""Calls without an argument in memory that succeed."""
TSC_KHZ = 2_000_000


class FakedCalls:
    """Answers to calls that are not about memory."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._states: dict[tuple[object, int], bytes] = {}
        """File and number of the call that set it: what was set."""
        self._msrs: dict[tuple[object, int], bytes] = {}
        self._special: dict[tuple[str, int], Callable[[int, object, int, int], int]] = {
            (SYSTEM, 0x02): self._msr_list,
            (SYSTEM, 0x0A): self._msr_list,
            (SYSTEM, 0x05): self._cpuid,
            (SYSTEM, 0x09): self._no_cpuid,
            (SYSTEM, 0x88): self._get_msrs,
            (VCPU, 0x88): self._get_msrs,
            (VCPU, 0x89): self._set_msrs,
            (VCPU, 0x91): self._cpuid,
            (VCPU, 0x92): lambda *_: 0,
            (VM, 0x62): lambda *_: 0,
            (VM, 0x67): lambda *_: 0,
        }

    def answer(self, tid: int, on: str, file: object, request: int, argument: int) -> int | None:
        """What a call returns; None if nobody knows an answer.

        on: the kind of descriptor; file: which one, the same for all its descriptors.
        """
        nr, direction = request & 0xFF, request >> 30 & 3
        nbytes = request >> 16 & 0x3FFF
        key = on, nr
        if (key in self._special and direction == BOTH) or key == (VCPU, 0x89):
            return self._special[key](tid, file, nr, argument)
        if direction == READS and key == (SYSTEM, 0x9D):
            return 0 if write(tid, (argument, struct.pack("=Q", MACHINE_CHECKS))) else -errno.EFAULT
        if direction == READS and key in GIVES:
            data = self._states.get((file, GIVES[key]), b"")[:nbytes].ljust(nbytes, b"\0")
            return 0 if write(tid, (argument, data)) else -errno.EFAULT
        if direction == READS and key == (VM, 0x63):
            return 0  # KVM_SET_IRQCHIP, whose number says that it reads
        if direction == WRITES and key in TAKES:
            found = self._memory.read(tid, argument, nbytes)
            if found is None:
                return -errno.EFAULT
            self._states[file, nr] = found
            return 0
        if direction == NO_DATA:
            if key == (VCPU, 0xA3):
                return TSC_KHZ
            return 0 if key in PLAIN else None
        return None

    def _count(self, tid: int, argument: int) -> int | None:
        """The number of entries at the head of a structure."""
        head = self._memory.read(tid, argument, 4)
        return None if head is None else min(struct.unpack("=I", head)[0], _MOST_ENTRIES)

    def _msr_list(self, tid: int, _file: object, nr: int, argument: int) -> int:
        indexes = MSR_INDEXES if nr == 0x02 else ()
        room = self._count(tid, argument)
        if room is None or not write(tid, (argument, struct.pack("=I", len(indexes)))):
            return -errno.EFAULT
        if room < len(indexes):
            return -errno.E2BIG
        data = struct.pack(f"={len(indexes)}I", *indexes)
        return 0 if write(tid, (argument + 4, data)) else -errno.EFAULT

    def _cpuid(self, tid: int, file: object, nr: int, argument: int) -> int:
        set_before = self._states.get((file, 0x90)) if nr == 0x91 else None
        return self._hand_out_cpuid(tid, argument, CPUID_ENTRIES if set_before is None else ())

    def _no_cpuid(self, tid: int, _file: object, _nr: int, argument: int) -> int:
        return self._hand_out_cpuid(tid, argument, ())

    def _hand_out_cpuid(self, tid: int, argument: int, entries: tuple[tuple[int, ...], ...]) -> int:
        room = self._count(tid, argument)
        if room is None:
            return -errno.EFAULT
        if room < len(entries):
            return -errno.E2BIG
        data = b"".join(struct.pack("=7I12x", *entry) for entry in entries)
        done = write(tid, (argument, struct.pack("=II", len(entries), 0)), (argument + 8, data))
        return 0 if done else -errno.EFAULT

    def _get_msrs(self, tid: int, file: object, _nr: int, argument: int) -> int:
        count = self._count(tid, argument)
        data = None if count is None else self._memory.read(tid, argument + 8, 16 * count)
        if count is None or data is None:
            return -errno.EFAULT
        found = b"".join(
            struct.pack("=II", index, 0) + self._msrs.get((file, index), bytes(8))
            for (index,) in struct.iter_unpack("=I12x", data)
        )
        return count if write(tid, (argument + 8, found)) else -errno.EFAULT

    def _set_msrs(self, tid: int, file: object, _nr: int, argument: int) -> int:
        count = self._count(tid, argument)
        data = None if count is None else self._memory.read(tid, argument + 8, 16 * count)
        if count is None or data is None:
            return -errno.EFAULT
        for index, value in struct.iter_unpack("=I4x8s", data):
            self._msrs[file, index] = value
        return count


def looks_like_a_device(number: int) -> tuple[int, bytes]:
    """What stat() or statx() says of /dev/kvm: which argument takes it, and the structure.

    number: of the system call.
    """
    mode, device = 0o020666, os.makedev(10, 232)
    if number == 332:
        head = struct.pack("=IIQIIIH", 0x7FF, 4096, 0, 1, 0, 0, mode)
        data = head.ljust(0x80, b"\0") + struct.pack("=II", 10, 232)
        return 4, data.ljust(256, b"\0")
    data = struct.pack("=QQQIIIIQ", 0, 1, 1, mode, 0, 0, 0, device)
    return (2 if number == 262 else 1), data.ljust(144, b"\0")
