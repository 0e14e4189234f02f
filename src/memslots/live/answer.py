"""What the real kernel answers: a number, and no rule behind it."""

from __future__ import annotations

import os

from ..errors import MemslotsError, errno_name
from ..rules.answer import NO_CHANGE, Accepted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn, TypeAlias

    LiveAnswer: TypeAlias = "Accepted | LiveRefused"

ACCEPTED = NO_CHANGE
"""A call that returned 0."""


class LiveRefused:
    """The kernel refused: it says the errno and nothing else.  The model says why."""

    __slots__ = ("call", "errno")
    accepted = False

    def __init__(self, errno: int, call: str) -> None:
        self.errno = errno
        """The positive errno."""
        self.call = call

    @property
    def result(self) -> int:
        """The negated errno."""
        return -self.errno

    @property
    def reason(self) -> str:
        """One line."""
        return f"{errno_name(self.errno)} from the kernel for {self.call}"

    def unwrap(self) -> NoReturn:
        """Raise OSError with the errno."""
        raise OSError(self.errno, f"{self.call}: {os.strerror(self.errno)}")

    def __repr__(self) -> str:
        return f"<LiveRefused {self.reason}>"


def answer_of(result: int, call: str) -> LiveAnswer:
    """What a call returned, 0 and up or the negated errno, as an answer."""
    if result < 0:
        return LiveRefused(-result, call)
    return Accepted(value=result) if result else ACCEPTED


class KernelMemoryError(MemslotsError):
    """A slot would cost more kernel memory than this VM may use; the kernel was not asked."""


class MemoryInUseError(MemslotsError):
    """Host memory cannot be unmapped: a slot still uses it."""
