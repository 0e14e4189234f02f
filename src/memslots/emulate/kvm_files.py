"""What an open descriptor of another process is: of KVM, or something else.

Facts of the names that KVM gives its files, and of linux/kcmp.h.
"""

from __future__ import annotations

import ctypes
import os

from ..uapi.calls import SYSTEM, VCPU, VM

_VM_NAME, _VCPU_NAME = "anon_inode:kvm-vm", "anon_inode:kvm-vcpu"
_DEVICE = os.makedev(10, 232)
"""The number of /dev/kvm, wherever its file is."""
_KCMP = 312
"""Number of the system call on x86-64, where programs are emulated."""
_FILE, _MEMORY = 0, 1
_libc = ctypes.CDLL(None, use_errno=True)


def kind_of(tid: int, fd: int) -> str | None:
    """SYSTEM, VM or VCPU; empty for a file that is not KVM's or is not open, None where we may not
    look.
    """
    path = f"/proc/{tid}/fd/{fd}"
    try:
        name = os.readlink(path)
        if name.startswith(_VCPU_NAME):
            return VCPU
        if name == _VM_NAME:
            return VM
        return SYSTEM if os.stat(path).st_rdev == _DEVICE else ""
    except FileNotFoundError:
        return ""
    except OSError:
        return None


def is_same_file(pid: int, fd: int, other_pid: int, other_fd: int) -> bool:
    """Whether two descriptors stand for one open file, as after dup() or a message that carries
    it; False where the kernel does not say.
    """
    return bool(_libc.syscall(_KCMP, pid, other_pid, _FILE, fd, other_fd) == 0)


def has_same_memory(pid: int, other_pid: int) -> bool:
    """Whether two processes are one address space; False where the kernel does not say."""
    return pid == other_pid or bool(_libc.syscall(_KCMP, pid, other_pid, _MEMORY, 0, 0) == 0)
