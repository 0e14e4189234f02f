"""How an attached recording begins: with the VMs as they are, read from the kernel, as calls that
lead there.

Without root, or where the kernel's memory cannot be read, a recording begins
with nothing, and says why.
"""

from __future__ import annotations

import os
import time

from ..errors import MemslotsError
from ..uapi.calls import CALLS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    from ..running.look import Looker
    from ..running.running_vm import RunningVm
    from .file import RecordingFile

_STOP_SECONDS = 5.0
_WALL = 0x4000_0000
READING = frozenset(("KVM_CHECK_EXTENSION", "KVM_GET_DIRTY_LOG"))
"""Frequent calls that change nothing that a snapshot tells."""


class Beginning:
    """What an attached recording began with."""

    __slots__ = ("changing", "missing", "slots", "vms")

    def __init__(self) -> None:
        self.vms = self.slots = 0
        self.changing = 0
        """VMs whose slots changed at every try to read them: nothing is said of what they had."""
        self.missing = ""
        """Why there is no snapshot; empty if there is one."""


def file_vms(
    file: RecordingFile,
    vms: Sequence[RunningVm],
    time_ns: int,
    *,
    label: Callable[[int], None],
    changing: Container[int] = (),
) -> Beginning:
    """Write VMs to a recording.  label: called with each process before its calls.

    A VM whose own descriptor nobody has open is left out: no call can reach it.  So is one that
    changed while it was read, and those of processes that are `changing`: what is not known is not
    said.
    """
    from ..running.look import host
    from ..running.snapshot import events_of

    beginning, numbers = Beginning(), host()
    for vm in vms:
        holder = next((holder for holder in vm.holders if holder.vm_fds), None)
        if holder is None:
            continue
        if not vm.consistent or any(holder.pid in changing for holder in vm.holders):
            beginning.changing += 1
            continue
        label(holder.pid)
        for event in events_of(vm, numbers, holder=holder, time_ns=time_ns):
            call = CALLS[event.call]
            values = tuple(event.fields[name] for name in call.names)
            fd = -1 if event.fd is None else event.fd
            file.snapshot(call, holder.pid, time_ns, event.result or 0, fd, values)
        beginning.vms += 1
        beginning.slots += vm.nr_slots
    return beginning


def begin_stopped(
    file: RecordingFile,
    pid: int,
    threads: Sequence[int],
    *,
    vcpu: Callable[[int, int, int], object] = lambda *_: None,
) -> Beginning:
    """Write the VMs of a process whose threads were told to stop, once they have: nothing changes
    meanwhile.

    vcpu: called with process, descriptor of the VM and of the vCPU, of each that is there.
    """
    deadline = time.monotonic() + _STOP_SECONDS
    stopped = all(_is_stopped(tid, deadline) for tid in threads)
    try:
        with open_looker() as looker:
            vms, time_ns = looker.look([pid]), time.time_ns()
    except (MemslotsError, OSError) as error:
        return without(error)
    for vm in vms:
        for holder in vm.holders:
            for fd in holder.vcpu_fds.values() if holder.vm_fds else ():
                vcpu(holder.pid, holder.vm_fds[0], fd)
    return file_vms(file, vms, time_ns, label=lambda _pid: None, changing=() if stopped else (pid,))


def open_looker() -> Looker:
    """What looks at VMs.  Raises DeviceUnavailableError."""
    from ..running.look import Looker

    return Looker()


def without(error: Exception) -> Beginning:
    """No snapshot, for this reason."""
    beginning = Beginning()
    beginning.missing = str(error)
    return beginning


def _is_stopped(tid: int, deadline: float) -> bool:
    """Wait until a traced thread has stopped or ended, and leave that for others to take."""
    how = os.WSTOPPED | os.WEXITED | os.WNOWAIT | os.WNOHANG | _WALL
    while time.monotonic() < deadline:
        try:
            if os.waitid(os.P_PID, tid, how) is not None:
                return True
        except ChildProcessError:
            return True
        time.sleep(0.0005)
    return False
