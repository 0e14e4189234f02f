"""System calls that the standard library lacks, through the C library.

`fcntl.ioctl` cuts an integer argument to a C int before Python 3.14, so calls
whose argument is a number or a bad pointer on purpose go through here.
"""

from __future__ import annotations

import ctypes
import os

PROT_NONE, PROT_READ, PROT_WRITE = 0, 1, 2
MAP_SHARED, MAP_PRIVATE, MAP_FIXED = 1, 2, 0x10
MAP_ANONYMOUS, MAP_NORESERVE, MAP_HUGETLB = 0x20, 0x4000, 0x40000
FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE = 1, 2

_libc = ctypes.CDLL(None, use_errno=True)
_ioctl = _libc.ioctl
_ioctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong)
_ioctl.restype = ctypes.c_int
_mmap = _libc.mmap
_mmap.argtypes = (
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
)
_mmap.restype = ctypes.c_void_p
_munmap = _libc.munmap
_munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_fallocate = _libc.fallocate
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long)
_MAP_FAILED = ctypes.c_void_p(-1).value


def ioctl(fd: int, number: int, argument: int = 0) -> int:
    """The result of an ioctl with a whole unsigned long as its argument, or the negated errno."""
    result = int(_ioctl(fd, number, argument))
    return -ctypes.get_errno() if result == -1 else result


def mmap(address: int, nbytes: int, prot: int, flags: int, fd: int = -1, offset: int = 0) -> int:
    """The address mapped.  Raises OSError."""
    mapped = _mmap(address, nbytes, prot, flags, fd, offset)
    if mapped == _MAP_FAILED or mapped is None:
        number = ctypes.get_errno()
        raise OSError(number, f"mmap of {nbytes:#x} bytes: {os.strerror(number)}")
    return int(mapped)


def munmap(address: int, nbytes: int) -> None:
    """Unmap whole pages.  Raises OSError."""
    if _munmap(address, nbytes):
        number = ctypes.get_errno()
        raise OSError(number, f"munmap of {nbytes:#x} bytes at {address:#x}: {os.strerror(number)}")


def fallocate(fd: int, mode: int, offset: int, nbytes: int) -> int:
    """0 or the negated errno."""
    return -ctypes.get_errno() if _fallocate(fd, mode, offset, nbytes) else 0
