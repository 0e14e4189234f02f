"""Reading the memory of traced threads."""

from __future__ import annotations

import ctypes
import os

from .processes import process_of

_MOST_OPEN = 256


class Memory:
    """Keeps /proc/TID/mem open, which is the fastest way to a thread's memory.

    An open one stays readable when a process forbids others to look into it
    (PR_SET_DUMPABLE, a change of user), so that of a new process is opened at once.
    """

    def __init__(self) -> None:
        self._fds: dict[int, int] = {}

    def read(self, tid: int, address: int, nbytes: int) -> bytes | None:
        """Bytes of a thread's memory; None if not all can be read."""
        fd = self._fds.get(tid)
        if fd is None:
            fd = self.open(tid)
            if fd is None:
                fd = self._of_process(tid)
        try:
            if fd is not None:
                data = os.pread(fd, nbytes, address)
            else:
                data = _read_without_proc(tid, address, nbytes)
        except (OSError, OverflowError):
            return None
        return data if len(data) == nbytes else None

    def open(self, tid: int) -> int | None:
        """Get ready to read; the descriptor, None if it cannot be opened.

        It may be 0: recorders close the standard streams that they do not use.
        """
        try:
            fd = os.open(f"/proc/{tid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        return self._keep(tid, fd)

    def _of_process(self, tid: int) -> int | None:
        """What was opened for another thread of the process, when that was allowed still."""
        ids = process_of(tid)
        fd = self._fds.get(ids[0]) if ids else None
        return self._keep(tid, os.dup(fd)) if fd is not None else None

    def _keep(self, tid: int, fd: int) -> int:
        self.forget(tid)
        if len(self._fds) >= _MOST_OPEN:
            self.forget(next(iter(self._fds)))  # the oldest
        self._fds[tid] = fd
        return fd

    def forget(self, tid: int) -> None:
        """The thread is gone, or has other memory now (exec)."""
        fd = self._fds.pop(tid, None)
        if fd is not None:
            os.close(fd)

    def close(self) -> None:
        """Close all."""
        for tid in tuple(self._fds):
            self.forget(tid)


class _Piece(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("nbytes", ctypes.c_size_t)]


_libc = ctypes.CDLL(None, use_errno=True)


def _read_without_proc(tid: int, address: int, nbytes: int) -> bytes:
    """The way that needs no /proc.  Raises OSError."""
    buffer = ctypes.create_string_buffer(nbytes)
    ours, theirs = _Piece(ctypes.addressof(buffer), nbytes), _Piece(address, nbytes)
    _libc.process_vm_readv.restype = ctypes.c_ssize_t
    got = _libc.process_vm_readv(tid, ctypes.byref(ours), 1, ctypes.byref(theirs), 1, 0)
    if got < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return buffer.raw[:got]
