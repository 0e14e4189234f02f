"""ptrace for the recorder: requests, the look at a call, bytes of another process.

Facts of linux/ptrace.h (5.3 and later, for PTRACE_GET_SYSCALL_INFO).
"""

from __future__ import annotations

import ctypes
import os
import struct

CONT, DETACH, SYSCALL = 7, 17, 24
SEIZE, INTERRUPT, LISTEN, GET_SYSCALL_INFO = 0x4206, 0x4207, 0x4208, 0x420E
OPTION_SYSGOOD, OPTION_FORK, OPTION_VFORK, OPTION_CLONE, OPTION_EXEC = 1, 2, 4, 8, 16
OPTION_EXIT, OPTION_SECCOMP, OPTION_EXITKILL = 0x40, 0x80, 0x100000
FOLLOW = OPTION_SYSGOOD | OPTION_FORK | OPTION_VFORK | OPTION_CLONE | OPTION_EXEC | OPTION_EXIT
EVENT_CLONE, EVENT_EXEC, EVENT_EXIT, EVENT_SECCOMP, EVENT_STOP = 3, 4, 6, 7, 128
INFO_ENTRY, INFO_EXIT, INFO_SECCOMP = 1, 2, 3
EVENTS_OF_CHILDREN = frozenset((1, 2, EVENT_CLONE))
"""fork, vfork, clone."""
BEGINNINGS = frozenset((0, 16, SEIZE))
"""Requests by which somebody becomes a tracer: PTRACE_TRACEME, PTRACE_ATTACH, PTRACE_SEIZE."""
_GETEVENTMSG = 0x4201
WAIT = 0x40000000 | 0x20000000
"""Of waitpid: children of all kinds, and of this thread only: others are the caller's."""

# The lock of the interpreter is kept: none of these calls waits.
_libc = ctypes.PyDLL(None, use_errno=True)
_ptrace = _libc.ptrace
_ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_ptrace.restype = ctypes.c_long


_INFO_BYTES = 88
_info = ctypes.create_string_buffer(_INFO_BYTES)
_info_address = ctypes.addressof(_info)
_unpack_entry = struct.Struct("=B3xI16xQQQQ24xI").unpack_from
_unpack_arguments = struct.Struct("=32x6Q").unpack_from
_unpack_exit = struct.Struct("=B23xq").unpack_from


def ask(request: int, pid: int, address: int = 0, data: int = 0) -> bool:
    """One request; False if the thread is gone or not stopped."""
    return bool(_ptrace(request, pid, address, data) != -1)


def word(request: int, pid: int, address: int) -> int:
    """What a request that looks at one word finds; -1 if the thread is gone or not stopped."""
    return int(_ptrace(request, pid, address, 0))


def demand(request: int, pid: int, address: int = 0, data: int = 0) -> None:
    """One request that must succeed.  Raises OSError."""
    if _ptrace(request, pid, address, data) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def call_at(pid: int) -> tuple[int, int, int, int, int, int, int] | None:
    """A thread at a call's entry or at the stop of a filter.

    (Kind of stop, architecture, number, first three arguments, what the filter said.)
    """
    if _ptrace(GET_SYSCALL_INFO, pid, _INFO_BYTES, _info_address) == -1:
        return None
    found: tuple[int, int, int, int, int, int, int] = _unpack_entry(_info)
    return found


def arguments() -> tuple[int, ...]:
    """All six arguments of the call that `call_at` has just looked at."""
    return _unpack_arguments(_info)


def message_at(pid: int) -> int:
    """What the event that stopped a thread says: the new thread's number; 0 if the thread is
    gone.
    """
    message = ctypes.c_ulong(0)
    if _ptrace(_GETEVENTMSG, pid, 0, ctypes.addressof(message)) == -1:
        return 0
    return message.value


def result_at(pid: int) -> int | None:
    """The return value or negated errno of a thread at a call's exit."""
    if _ptrace(GET_SYSCALL_INFO, pid, _INFO_BYTES, _info_address) == -1:
        return None
    kind, value = _unpack_exit(_info)
    return int(value) if kind == INFO_EXIT else None


def as_fd(number: int) -> int:
    """A file descriptor as the int that the kernel takes it for."""
    number &= 0xFFFF_FFFF
    return number - (number >> 31 << 32)
