"""What memslots raises.

    MemslotsError
    +-- RefusedError (also an OSError)   the kernel would refuse; raised on demand only
    +-- UndeterminedError                a fact that decides was not observed
    +-- UnobservedError                  the same of a release; where a call is decided it becomes
    Undetermined +-- UnmodelledError                  memslots does not model this yet
    +-- UnknownKernelError               no such kernel, architecture or fact
    +-- TraceError                       a recording that cannot be read
    +-- DeviceUnavailableError           /dev/kvm, ptrace or a program is missing
    +-- ExtraMissingError (also an ImportError)   a package of an extra is not installed
    +-- InvariantBrokenError             a bug in memslots; please report

A refusal is a value (`memslots.rules.answer.Refused`), not an exception: the first three
stand beside the answers that raise them, and only their `unwrap()` does, for callers
written for the real device.  Arguments
that no C program could pass raise ValueError or TypeError with the value.
"""

from __future__ import annotations

from .errnos import errno_name as errno_name


class MemslotsError(Exception):
    """Everything memslots raises on purpose, but for wrong arguments."""


class UnobservedError(MemslotsError):
    """Nobody knows whether a release has this fact.  Deciding a call turns it into Undetermined."""

    def __init__(self, fact: str, question: str) -> None:
        super().__init__(question)
        self.fact = fact
        self.question = question
        """What would tell."""


class UnknownKernelError(MemslotsError, ValueError):
    """A kernel, architecture, fact or limit with a name that is not known."""


class TraceError(MemslotsError):
    """A recording that cannot be read at all."""


class DeviceUnavailableError(MemslotsError):
    """Something of the machine is missing: /dev/kvm, permission, a program."""


class ExtraMissingError(MemslotsError, ImportError):
    """A package is missing that only an extra of memslots needs; the text says what to install."""

    def __init__(self, package: str, extra: str) -> None:
        ImportError.__init__(
            self, f"this needs {package}: pip install 'memslots[{extra}]'", name=package
        )


class InvariantBrokenError(MemslotsError):
    """The model contradicts itself: a bug in memslots; please report it."""
