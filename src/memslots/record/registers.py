"""Changing a call before the kernel makes it, and after: x86 only, elsewhere nothing is changed.

Offsets of struct user_regs_struct (asm/user_64.h), which are those of a 64-bit
tracer whatever the program is.
"""

from __future__ import annotations

import os

from . import ptrace
from .seccomp import CLONE_UNTRACED

_PEEKUSER, _POKEUSER = 3, 6
_ORIG_RAX, _RAX, _RIP = 8 * 15, 8 * 10, 8 * 16
_CALL_BYTES = 2
"""Of the instructions syscall and int 0x80."""
_ARGUMENTS = (8 * 14, 8 * 13, 8 * 12)
"""rdi, rsi, rdx: the first three of a 64-bit call."""
_FIRST_ARGUMENT = {0xC000003E: 8 * 14, 0x40000003: 8 * 5}
"""Audit architecture: where clone's flags are; rdi, and rbx of 32-bit calls."""
_IS_X86 = os.uname().machine == "x86_64"
_NO_CALL = (1 << 64) - 1


def trace_child(tid: int, arch: int, flags: int) -> None:
    """At the entry of clone: have the child traced too.

    It carries the filter, with nobody to answer for it.
    """
    if _IS_X86 and arch in _FIRST_ARGUMENT:
        ptrace.ask(_POKEUSER, tid, _FIRST_ARGUMENT[arch], flags & ~CLONE_UNTRACED)


def refuse(tid: int) -> None:
    """At a stop that a filter asked for: make the call fail with ENOSYS, as it does where nobody
    traces.

    At this stop ENOSYS stands in the register of the result already.
    """
    if _IS_X86:
        ptrace.ask(_POKEUSER, tid, _ORIG_RAX, _NO_CALL)


def skip(tid: int, result: int) -> bool:
    """At a stop that a filter asked for: the kernel does not make the call, which returns this.

    False if the thread is gone.
    """
    return ptrace.ask(_POKEUSER, tid, _ORIG_RAX, _NO_CALL) and answer(tid, result)


def answer(tid: int, result: int) -> bool:
    """At the exit of a call: it returns this, whatever it has returned.

    False if the thread is gone.
    """
    return ptrace.ask(_POKEUSER, tid, _RAX, result & _NO_CALL)


def repeat(tid: int) -> bool:
    """At the exit of a call: the thread makes it again, as the kernel does it behind a signal.

    False if the thread is gone, or registers are not known.
    """
    if not _IS_X86:
        return False
    at = ptrace.word(_PEEKUSER, tid, _RIP)
    return ptrace.ask(_POKEUSER, tid, _RIP, at - _CALL_BYTES) and answer(tid, call_number(tid))


def result(tid: int) -> int:
    """What a thread's call has returned; 0 where registers are not known."""
    value = ptrace.word(_PEEKUSER, tid, _RAX) if _IS_X86 else 0
    return (value + (1 << 31)) % (1 << 32) - (1 << 31)


def call_number(tid: int) -> int:
    """The call in which a thread is; -1 for none, or where registers are not known."""
    return ptrace.word(_PEEKUSER, tid, _ORIG_RAX) if _IS_X86 else -1


def replace(tid: int, number: int, *arguments: int) -> bool:
    """At a stop that a filter asked for: have the kernel make another 64-bit call instead.

    False if the thread is gone.
    """
    return ptrace.ask(_POKEUSER, tid, _ORIG_RAX, number) and set_arguments(tid, *arguments)


def set_arguments(tid: int, *arguments: int) -> bool:
    """Set the first three arguments at most of a 64-bit call; at its exit: leave them so behind.

    False if the thread is gone.
    """
    return all(
        ptrace.ask(_POKEUSER, tid, at, value & _NO_CALL) for at, value in zip(_ARGUMENTS, arguments)
    )


def can_answer() -> bool:
    """Whether calls can be answered on this machine."""
    return _IS_X86
