"""Calls that only tracing interrupts.

The kernel drops a signal that a program ignores where it is sent, and nobody notices.  Of a traced
thread it does not: the signal wakes the thread, so that its tracer may see it, and so does the
tracer's own beginning.  Most calls are then made again by the kernel, but some return EINTR instead
(KVM_RUN, KVM_CREATE_VM, epoll_wait), though no signal is there.  A time limit begins anew.

x86 only, as `registers`.
"""

from __future__ import annotations

import errno
import signal

from ..uapi.calls import CALLS
from . import ptrace, registers
from .processes import signals_of

INTERRUPTED = -errno.EINTR
_AGAIN = -513
"""ERESTARTNOINTR, which the kernel keeps for itself: on its way out it makes the call again."""
_NUMBERS = {
    0xC000003E: frozenset((16, 65, 128, 208, 220, 232, 281, 333, 426, 441, 514, 523)),
    0x40000003: frozenset((54, 117, 177, 247, 256, 319, 385, 416, 420, 421, 426, 441)),
}
"""Audit architecture: numbers of ioctl, semop, semtimedop (of 32 bits: ipc), rt_sigtimedwait,
io_getevents, io_pgetevents, io_uring_enter, epoll_wait, epoll_pwait and epoll_pwait2.
"""
_X32_BIT = 0x40000000
_CREATE_VM = CALLS["KVM_CREATE_VM"]
_IGNORED_BY_DEFAULT = sum(
    1 << number - 1 for number in (signal.SIGCHLD, signal.SIGURG, signal.SIGWINCH)
)
_SIGCONT = 1 << signal.SIGCONT - 1
STOPPING = frozenset((signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU))
"""Signals that stop a program."""


class Interruptions:
    """What was interrupted, thread by thread."""

    def __init__(self) -> None:
        self._again: set[int] = set()
        """Threads whose call is to be made again, until their next signal."""
        self._stood: set[int] = set()
        """Threads that were stopped with their program, or are about to be: that interrupts them
        without us too.
        """

    def stands(self, tid: int) -> None:
        """A thread is stopped with its program."""
        self._stood.add(tid)

    def forget(self, tid: int) -> None:
        """A thread is gone."""
        self._again.discard(tid)
        self._stood.discard(tid)

    def undo_at_exit(self, tid: int, call: object) -> bool:
        """At the exit of a call that was interrupted: whether it will be made again.

        The kernel does so only where a signal is pending: else the program would see a result that
        it cannot know.  Nothing but signals interrupts KVM_CREATE_VM, so that without one it was
        the tracer; others may end so without any (KVM_RUN with `immediate_exit`).
        """
        if not _can_be_made_again(tid):
            return False
        came, seen = _signals_at(tid)
        if seen:
            return False
        if came:
            return self._have_made_again(tid)
        return call is _CREATE_VM and registers.repeat(tid)

    def undo(self, tid: int, number: int) -> None:
        """A thread is stopped by a signal, or (0) because its tracer wants it."""
        stood = tid in self._stood
        self._stood.discard(tid)
        if number in STOPPING:
            self._stood.add(tid)
        result = registers.result(tid)
        if result not in (INTERRUPTED, _AGAIN) or not _can_be_made_again(tid):
            return
        _, seen = _signals_at(tid, number)
        if result == INTERRUPTED and not seen and not stood and number != signal.SIGCONT:
            self._have_made_again(tid)
        elif result == _AGAIN and seen and number and tid in self._again:
            # a signal that the program sees came after all, and would have interrupted the call
            self._again.discard(tid)
            registers.answer(tid, INTERRUPTED)

    def _have_made_again(self, tid: int) -> bool:
        self._again.add(tid)
        return registers.answer(tid, _AGAIN)


def _can_be_made_again(tid: int) -> bool:
    """Whether a stopped thread is in a call that can be made once more as if nothing had been."""
    entry = ptrace.call_at(tid)
    number = registers.call_number(tid) & ~_X32_BIT
    return entry is not None and number in _NUMBERS.get(entry[1], ())


def _signals_at(tid: int, number: int = 0) -> tuple[int, int]:
    """Signals that have come to a thread, beside the one that stopped it; those among them that the
    program would see if nobody traced it.
    """
    pending, blocked, ignored, caught = signals_of(tid)
    came = pending & ~blocked | (1 << number - 1 if number else 0)
    return came, came & ~(ignored | (_IGNORED_BY_DEFAULT | _SIGCONT) & ~caught)
