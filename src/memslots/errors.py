"""What memslots raises.

    MemslotsError
    +-- RefusedError (also an OSError)   the kernel would refuse; raised on demand only
    +-- UndeterminedError                a fact that decides was not observed
    +-- UnmodelledError                  memslots does not model this yet
    +-- UnknownKernelError               no such kernel, architecture or fact
    +-- TraceError                       a recording that cannot be read
    +-- DeviceUnavailableError           /dev/kvm, ptrace or a program is missing
    +-- ExtraMissingError (also an ImportError)   a package of an extra is not installed
    +-- InvariantBrokenError             a bug in memslots; please report

A refusal is a value (`memslots.rules.answer.Refused`), not an exception: it is raised
only by `Outcome.unwrap()`, for callers written for the real device.  Arguments
that no C program could pass raise ValueError or TypeError with the value.
"""

from __future__ import annotations

import errno as _errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .rules.answer import Refused, Undetermined


class MemslotsError(Exception):
    """Everything memslots raises on purpose, but for wrong arguments."""


class RefusedError(MemslotsError, OSError):
    """KVM would refuse the call; `errno` is the real one, `refused` the reason."""

    def __init__(self, refused: Refused) -> None:
        OSError.__init__(self, refused.errno, f"{os.strerror(refused.errno)}: {refused.reason}")
        self.refused = refused


class UndeterminedError(MemslotsError):
    """The answer depends on something that was not observed."""

    def __init__(self, undetermined: Undetermined) -> None:
        super().__init__(undetermined.question)
        self.undetermined = undetermined


class UnmodelledError(MemslotsError):
    """memslots has no model of this; it does not guess."""


class UnknownKernelError(MemslotsError, ValueError):
    """A kernel, architecture, fact or limit with a name that is not known."""


class TraceError(MemslotsError):
    """A recording that cannot be read at all."""


class DeviceUnavailableError(MemslotsError):
    """Something of the machine is missing: /dev/kvm, permission, a program."""


class ExtraMissingError(MemslotsError, ImportError):
    """A package is missing that only an extra of memslots needs; the text says what to install."""

    def __init__(self, package: str, extra: str) -> None:
        ImportError.__init__(self, f"this needs {package}: pip install 'memslots[{extra}]'", name=package)


class InvariantBrokenError(MemslotsError):
    """The model contradicts itself: a bug in memslots; please report it."""


def errno_name(number: int) -> str:
    """`EEXIST` for 17 or -17; `errno 524` for one without a name."""
    if abs(number) == _errno.EOPNOTSUPP:
        return "EOPNOTSUPP"  # Python's table may hold its other name, ENOTSUP
    return _errno.errorcode.get(abs(number), f"errno {abs(number)}")
