"""KVM_RUN, where every call stops: which vCPUs are in it, and those that fail with what they say.

Facts of struct kvm_run in linux/kvm.h.
"""

from __future__ import annotations

import errno
import os
import struct
import time

from ..uapi.calls import CALLS
from ..uapi.capabilities import KVM_CAP_SPLIT_IRQCHIP
from .processes import ran_ns, state_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .memory import Memory

KVM_EXIT_MEMORY_FAULT = 39
EXIT_REASON_AT, UNION_AT = 8, 32
_RUN_BYTES = 56
"""Of struct kvm_run: the reason, and three numbers of 64 bits in the union."""
_NOT_FAILED = frozenset((errno.EINTR, errno.EAGAIN))
"""A signal, and a vCPU that waits to be started."""
_LOOKS, _MOST_LOOKS, _BETWEEN_SECONDS = 4, 100, 0.0005
_WAKING_NS = 300_000
"""More than a vCPU needs to find, when it was woken, that it has nothing to do."""
_VCPU_FILE = "anon_inode:kvm-vcpu:"


class RunCall:
    """A failed KVM_RUN in a recording: with these fields."""

    __slots__ = ("name", "names")

    def __init__(self, *names: str) -> None:
        self.name = "KVM_RUN"
        self.names = names


PLAIN_RUN = RunCall()
FAULT_RUN = RunCall("exit_reason", "flags", "gpa", "size")
"""With KVM_EXIT_MEMORY_FAULT (6.8 and later)."""
RUN_CALLS = (PLAIN_RUN, FAULT_RUN)
RUN_REQUEST = CALLS["KVM_RUN"].request()


def has_failed(result: int | None) -> bool:
    """Whether the result of KVM_RUN is worth a record."""
    return result is not None and result < 0 and -result not in _NOT_FAILED


def failed_run(memory: Memory, tid: int, fd: int) -> tuple[RunCall, tuple[int, ...]]:
    """What struct kvm_run says beside a failure; only what belongs to it."""
    address = kvm_run_at(tid, fd)
    data = memory.read(tid, address, _RUN_BYTES) if address else None
    if data is None or struct.unpack_from("=I", data, EXIT_REASON_AT)[0] != KVM_EXIT_MEMORY_FAULT:
        return PLAIN_RUN, ()
    return FAULT_RUN, (KVM_EXIT_MEMORY_FAULT, *struct.unpack_from("=QQQ", data, UNION_AT))


def kvm_run_at(tid: int, fd: int) -> int:
    """Where a thread's process has mapped the vCPU; 0 if that is not sure."""
    try:
        name = os.readlink(f"/proc/{tid}/fd/{fd}")
        if not name.startswith(_VCPU_FILE):
            return 0
        with open(f"/proc/{tid}/maps") as file:
            # the name is the vCPU's id: another VM of the process may have the same
            found = [line.split("-")[0] for line in file if line.rstrip("\n").endswith(name)
                     and line.split()[2] == "00000000"]  # fmt: skip
    except OSError:
        return 0
    return int(found[0], 16) if len(found) == 1 else 0


def _runs(tid: int) -> bool:
    """Whether a thread in KVM_RUN runs there.

    A change of slots wakes those that sleep, for a moment; and that moment comes late where other
    programs have the processors.
    """
    before_ns = ran_ns(tid)
    for look in range(_MOST_LOOKS):
        if look:
            time.sleep(_BETWEEN_SECONDS)
        letter = state_of(tid)
        if letter != "R":
            return bool(look) and letter == "t"  # it ran, and has come back since
        if look + 1 >= _LOOKS and (not before_ns or ran_ns(tid) - before_ns > _WAKING_NS):
            break
    return True


class Runs:
    """Which threads are in KVM_RUN, on vCPUs of which VM."""

    def __init__(self) -> None:
        self._inside: dict[int, tuple[int, int]] = {}
        """Thread: its process, and the vCPU's descriptor."""
        self._vms: dict[tuple[int, int], int] = {}
        """Process and descriptor of a vCPU: descriptor of its VM."""
        self._irqchips: set[tuple[int, int]] = set()
        """Process and descriptor of VMs whose interrupt controller is in the kernel (x86)."""
        self._waiting: set[tuple[int, int]] = set()
        """vCPUs that wait in KVM_RUN until the first one starts them."""

    def made(self, pid: int, vm_fd: int, vcpu_fd: int) -> None:
        """A vCPU is there."""
        self._vms[pid, vcpu_fd] = vm_fd

    def returned(self, pid: int, fd: int, name: str, values: tuple[int, ...], result: int) -> None:
        """A call on a VM has succeeded."""
        if name == "KVM_CREATE_VCPU":
            self.made(pid, fd, result)
            # x86: but for the first, those of an in-kernel controller wait for a start-up interrupt
            if any(values) and (pid, fd) in self._irqchips:
                self._waiting.add((pid, result))
        elif name == "KVM_CREATE_IRQCHIP" or (
            name == "KVM_ENABLE_CAP" and values[:1] == (KVM_CAP_SPLIT_IRQCHIP,)
        ):
            self._irqchips.add((pid, fd))

    def enters(self, tid: int, pid: int, vcpu_fd: int) -> None:
        """A thread begins KVM_RUN."""
        self._inside[tid] = (pid, vcpu_fd)

    def leaves(self, tid: int, result: int | None = None) -> None:
        """It has come back, or is gone."""
        vcpu = self._inside.pop(tid, None)
        if vcpu is not None and result is not None and (result >= 0 or result == -errno.EAGAIN):
            self._waiting.discard(vcpu)  # EAGAIN: the start-up interrupt has come

    def inside(self, pid: int, vm_fd: int) -> int | None:
        """vCPUs of this VM that run in KVM_RUN; None if one of the process is whose nobody knows.

        One that sleeps there (halted, or not started yet) sees nothing, and one that stops has
        come back already.
        """
        count = 0
        for tid, (process, vcpu_fd) in self._inside.items():
            if process == pid and (process, vcpu_fd) not in self._waiting and _runs(tid):
                vm = self._vms.get((process, vcpu_fd))
                if vm is None:
                    return None
                count += vm == vm_fd
        return count
