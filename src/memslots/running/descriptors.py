"""KVM's descriptors of processes: found by /proc, and had as descriptors of our own for a moment
(pidfd_getfd).
"""

from __future__ import annotations

import ctypes
import errno
import os

from ..errors import DeviceUnavailableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

VM, VCPU, GMEM = "VM", "vCPU", "guest_memfd"
_HOST_PID_NAMESPACE = "pid:[4026531836]"
_PIDFD_GETFD = 438
"""The same number on all machines (Linux 5.6)."""
_libc = ctypes.CDLL(None, use_errno=True)


def kind_of(target: str) -> str | None:
    """What a link in /proc/PID/fd leads to, if it is KVM's."""
    if target == "anon_inode:kvm-vm":
        return VM
    if target.startswith("anon_inode:kvm-vcpu"):
        return VCPU
    if "kvm-gmem" in target or "guest_memfd" in target:
        return GMEM
    return None


def kvm_fds(pid: int) -> dict[int, str]:
    """File descriptor: kind, of a process; none for one that is gone or whose descriptors we may
    not see.
    """
    folder = f"/proc/{pid}/fd"
    found = {}
    try:
        names = sorted(map(int, os.listdir(folder)))
    except OSError:
        return {}
    for fd in names:
        try:
            kind = kind_of(os.readlink(f"{folder}/{fd}"))
        except OSError:
            continue
        if kind is not None:
            found[fd] = kind
    return found


def processes() -> list[int]:
    """The numbers of all processes that we see but our own, in order."""
    return sorted(
        int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()
    )


def sees_all_processes() -> bool:
    """Whether we are in the PID namespace of the host."""
    try:
        return os.readlink("/proc/self/ns/pid") == _HOST_PID_NAMESPACE
    except OSError:
        return False


def names_of(pid: int) -> tuple[str, str]:
    """(the kernel's name of a process, its words); empty for one that is gone."""
    try:
        with open(f"/proc/{pid}/comm", "rb") as file:
            name = file.read().rstrip(b"\n").decode(errors="replace")
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return "", ""
    return name, words or f"[{name}]"


class Borrowed:
    """Descriptors of another process as our own, for as long as it is entered: files cannot go away
    meanwhile.

    Raises ProcessLookupError for a process that is gone, DeviceUnavailableError where it is not
    allowed.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._pidfd = os.pidfd_open(pid)

    def borrow(self, fds: Sequence[int]) -> Iterator[tuple[int, int]]:
        """(their number, ours) of each that is there still; ours is closed when the next is asked
        for.
        """
        for fd in fds:
            own = self.take(fd)
            if own is not None:
                try:
                    yield fd, own
                finally:
                    os.close(own)

    def take(self, fd: int) -> int | None:
        """Our own descriptor of their file, to be closed; None if it is gone."""
        own = int(_libc.syscall(_PIDFD_GETFD, self._pidfd, fd, 0))
        if own >= 0:
            return own
        number = ctypes.get_errno()
        if number in (errno.EBADF, errno.ESRCH):
            return None
        if number == errno.EPERM:
            raise DeviceUnavailableError(
                f"the descriptors of process {self._pid} may not be looked at: that needs root "
                "with CAP_SYS_PTRACE"
                " (and kernel.yama.ptrace_scope below 3)"
            )
        if number == errno.ENOSYS:
            raise DeviceUnavailableError("this kernel has no pidfd_getfd (Linux 5.6)")
        raise OSError(number, f"a descriptor of process {self._pid}: {os.strerror(number)}")

    def __enter__(self) -> Borrowed:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._pidfd)
