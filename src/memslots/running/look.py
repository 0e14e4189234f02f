"""Looking at the VMs that run: `look()` for all, `look([pid])` for those of processes."""

from __future__ import annotations

import os

from ..errors import DeviceUnavailableError
from ..kernel.arch import find_arch
from ..kernel.profile import dated
from ..kernel.vendors import release_of
from ..live.device import Device
from ..uapi.capabilities import KVM_CAP_NR_MEMSLOTS
from .btf import running_kernel_types
from .descriptors import GMEM, VCPU, VM, Borrowed, kind_of, kvm_fds, names_of, processes
from .kernel_memory import RunningKernelMemory
from .kvm_reader import KvmReader
from .running_vm import Holder
from .snapshot import Host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .kernel_types import KernelTypes
    from .running_vm import RunningVm

_AT_ONCE = 200
"""Descriptors of others held open at a time: below every limit."""


class Looker:
    """Looks at running VMs, as often as one likes.  A context manager.

    Raises DeviceUnavailableError without root, BTF or the BPF that it takes.
    """

    def __init__(self, types: KernelTypes | None = None) -> None:
        self.memory = RunningKernelMemory()
        try:
            self._reader = KvmReader(self.memory, types or running_kernel_types())
        except BaseException:
            self.memory.close()
            raise

    def look(self, pids: Sequence[int] | None = None) -> list[RunningVm]:
        """The VMs of these processes, or of all but our own.

        A VM of several processes is there once.
        """
        found: dict[int, RunningVm] = {}
        for pid in processes() if pids is None else pids:
            fds = kvm_fds(pid)
            if VM in fds.values() or VCPU in fds.values():
                try:
                    with Borrowed(pid) as borrowed:
                        self._look_at(pid, fds, borrowed, found)
                except ProcessLookupError:
                    continue
        for vm in found.values():
            maker = vm.numbers.get("userspace_pid")
            vm.holders.sort(key=lambda holder: (holder.pid != maker, holder.pid))
        return list(found.values())

    def _look_at(
        self, pid: int, fds: dict[int, str], borrowed: Borrowed, found: dict[int, RunningVm]
    ) -> None:
        """Add the VMs of one process to those found, and the process to their holders."""
        holders: dict[int, Holder] = {}
        name, command = names_of(pid)
        numbers = list(fds)
        gmem: dict[int, int] = {}
        for first in range(0, len(numbers), _AT_ONCE):
            own: dict[int, int] = {}
            try:
                for fd in numbers[first : first + _AT_ONCE]:
                    taken = borrowed.take(fd)
                    if taken is not None:
                        own[fd] = taken
                self._take(own, fds, found, holders, gmem, Holder(pid, name, command))
            finally:
                for taken in own.values():
                    os.close(taken)
        for address, holder in holders.items():
            holder.gmem_fds = gmem
            found[address].holders.append(holder)

    def _take(
        self,
        own: dict[int, int],
        fds: dict[int, str],
        found: dict[int, RunningVm],
        holders: dict[int, Holder],
        gmem: dict[int, int],
        blank: Holder,
    ) -> None:
        """Descriptors that we hold, by their number in the process: what they are of."""
        same = {
            fd: taken
            for fd, taken in own.items()
            if kind_of(os.readlink(f"/proc/self/fd/{taken}")) == fds[fd]
        }
        files = self._reader.open_files(self.memory.current_task(), list(same.values()))
        for fd, (file, private) in zip(same, files):
            if fds[fd] == GMEM:
                gmem.setdefault(file, fd)
                continue
            address, vcpu_id = (
                (private, None) if fds[fd] == VM else self._reader.vm_of_vcpu(private)
            )
            if address not in found:
                found[address] = self._reader.read_vm(address)
            holder = holders.get(address)
            if holder is None:
                holder = holders[address] = Holder(blank.pid, blank.name, blank.command)
            if vcpu_id is None:
                holder.vm_fds.append(fd)
            else:
                holder.vcpu_fds.setdefault(vcpu_id, fd)

    def close(self) -> None:
        """Let go of the kernel's memory."""
        self.memory.close()

    def __enter__(self) -> Looker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def host() -> Host:
    """How this host counts slots: asked of /dev/kvm (no VM is made), or known of its release."""
    page_shift = os.sysconf("SC_PAGE_SIZE").bit_length() - 1
    try:
        with Device(is_unseen=True) as device:
            user_slots = device.check_extension(KVM_CAP_NR_MEMSLOTS)
    except DeviceUnavailableError:
        uname = os.uname()
        profile = dated(release_of(uname.release, uname.version), find_arch(uname.machine))
        user_slots = profile.limit("user-slots")
    return Host(user_slots, page_shift)


def look(pids: Sequence[int] | None = None) -> list[RunningVm]:
    """The VMs that run: of these processes, or of all but our own.

    Raises DeviceUnavailableError.
    """
    with Looker() as looker:
        return looker.look(pids)
