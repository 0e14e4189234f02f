"""KVM's other calls on a machine without it: what is taken is handed out again, as far as it goes.

Structures of include/uapi/linux/kvm.h and arch/x86/include/uapi/asm/kvm.h.  No
guest runs, so registers, interrupt controllers and clocks are memory: a call
that reads them gives what was set last, or zeros.
"""

from __future__ import annotations

import errno
import os
import struct

from ..uapi.calls import CALLS, SYSTEM, VCPU, VM
from ..uapi.encoding import BOTH, NO_DATA, READS, WRITES
from ..uapi.state_calls import STATE_CALLS
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


def _key(on: str, name: str) -> tuple[str, int]:
    """A call, as the kind of its descriptor and its number."""
    return on, STATE_CALLS[on][f"KVM_{name}"]


def _keys(on: str, names: str) -> set[tuple[str, int]]:
    return {_key(on, name) for name in names.split()}


def _states(on: str, names: str) -> dict[tuple[str, int], int]:
    """For each state, the call that gets it: the number of the one that sets it."""
    return {_key(on, f"GET_{name}"): _key(on, f"SET_{name}")[1] for name in names.split()}


GIVES = {
    **_states(VCPU, "REGS SREGS SREGS2 FPU LAPIC MP_STATE VCPU_EVENTS DEBUGREGS XSAVE XCRS"),
    _key(VCPU, "GET_XSAVE2"): _key(VCPU, "SET_XSAVE")[1],
    **_states(VM, "CLOCK PIT PIT2"),
}
"""Calls that read a state: the number of the call that sets it."""
TAKES = _keys(
    VCPU,
    "SET_REGS SET_SREGS SET_SREGS2 SET_SIGNAL_MASK SET_FPU SET_LAPIC INTERRUPT SET_CPUID2 "
    "SET_VAPIC_ADDR SET_MP_STATE SET_GUEST_DEBUG X86_SETUP_MCE X86_SET_MCE SET_VCPU_EVENTS "
    "SET_DEBUGREGS SET_XSAVE SET_XCRS",
) | _keys(
    VM,
    "IRQ_LINE SET_IRQCHIP SET_PIT REGISTER_COALESCED_MMIO UNREGISTER_COALESCED_MMIO "
    "SET_GSI_ROUTING REINJECT_CONTROL SET_CLOCK SET_PIT2 SIGNAL_MSI SET_PMU_EVENT_FILTER "
    "X86_SET_MSR_FILTER",
)
"""Calls that set a state, and calls about interrupts and I/O events, which nobody will raise."""
PLAIN = _keys(VCPU, "NMI SET_TSC_KHZ KVMCLOCK_CTRL") | _keys(
    VM, "CREATE_PIT IRQ_LINE_STATUS REINJECT_CONTROL"
)
"""Calls without an argument in memory that succeed."""
_SET_IRQCHIP, _SET_MSRS = _key(VM, "SET_IRQCHIP"), (VCPU, CALLS["KVM_SET_MSRS"].nr)
_MCE_CAP, _GET_TSC_KHZ = _key(SYSTEM, "X86_GET_MCE_CAP_SUPPORTED"), _key(VCPU, "GET_TSC_KHZ")
_MSR_INDEX_LIST = _key(SYSTEM, "GET_MSR_INDEX_LIST")
_GET_CPUID2, _SET_CPUID2 = _key(VCPU, "GET_CPUID2"), _key(VCPU, "SET_CPUID2")
TSC_KHZ = 2_000_000


class FakedCalls:
    """Answers to calls that are not about memory."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._states: dict[tuple[object, int], bytes] = {}
        """File and number of the call that set it: what was set."""
        self._msrs: dict[tuple[object, int], bytes] = {}
        self._special: dict[tuple[str, int], Callable[[int, object, int, int], int]] = {
            _MSR_INDEX_LIST: self._msr_list,
            _key(SYSTEM, "GET_MSR_FEATURE_INDEX_LIST"): self._msr_list,
            _key(SYSTEM, "GET_SUPPORTED_CPUID"): self._cpuid,
            _key(SYSTEM, "GET_EMULATED_CPUID"): self._no_cpuid,
            _key(SYSTEM, "GET_MSRS"): self._get_msrs,
            _key(VCPU, "GET_MSRS"): self._get_msrs,
            _SET_MSRS: self._set_msrs,
            _GET_CPUID2: self._cpuid,
            _key(VCPU, "TPR_ACCESS_REPORTING"): lambda *_: 0,
            _key(VM, "GET_IRQCHIP"): lambda *_: 0,
            _key(VM, "IRQ_LINE_STATUS"): lambda *_: 0,
        }

    def answer(self, tid: int, on: str, file: object, request: int, argument: int) -> int | None:
        """What a call returns; None if nobody knows an answer.

        on: the kind of descriptor; file: which one, the same for all its descriptors.
        """
        nr, direction = request & 0xFF, request >> 30 & 3
        nbytes = request >> 16 & 0x3FFF
        key = on, nr
        if (key in self._special and direction == BOTH) or key == _SET_MSRS:
            return self._special[key](tid, file, nr, argument)
        if direction == READS and key == _MCE_CAP:
            return 0 if write(tid, (argument, struct.pack("=Q", MACHINE_CHECKS))) else -errno.EFAULT
        if direction == READS and key in GIVES:
            data = self._states.get((file, GIVES[key]), b"")[:nbytes].ljust(nbytes, b"\0")
            return 0 if write(tid, (argument, data)) else -errno.EFAULT
        if direction == READS and key == _SET_IRQCHIP:
            return 0  # its request number says that it reads
        if direction == WRITES and key in TAKES:
            found = self._memory.read(tid, argument, nbytes)
            if found is None:
                return -errno.EFAULT
            self._states[file, nr] = found
            return 0
        if direction == NO_DATA:
            if key == _GET_TSC_KHZ:
                return TSC_KHZ
            return 0 if key in PLAIN else None
        return None

    def _count(self, tid: int, argument: int) -> int | None:
        """The number of entries at the head of a structure."""
        head = self._memory.read(tid, argument, 4)
        return None if head is None else min(struct.unpack("=I", head)[0], _MOST_ENTRIES)

    def _msr_list(self, tid: int, _file: object, nr: int, argument: int) -> int:
        indexes = MSR_INDEXES if nr == _MSR_INDEX_LIST[1] else ()
        room = self._count(tid, argument)
        if room is None or not write(tid, (argument, struct.pack("=I", len(indexes)))):
            return -errno.EFAULT
        if room < len(indexes):
            return -errno.E2BIG
        data = struct.pack(f"={len(indexes)}I", *indexes)
        return 0 if write(tid, (argument + 4, data)) else -errno.EFAULT

    def _cpuid(self, tid: int, file: object, nr: int, argument: int) -> int:
        is_of_vcpu = nr == _GET_CPUID2[1]
        set_before = self._states.get((file, _SET_CPUID2[1])) if is_of_vcpu else None
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
