"""Descriptors of programs of syzkaller: what a call makes is a resource with a number, and later
calls name it.  Results are not known, so resource N is given as descriptor N.
"""

from __future__ import annotations

from ..uapi.calls import MAKERS
from .event import Event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .event import Reading

NO_DESCRIPTOR = -1
_MOST = 4096
"""Resources that are remembered."""


class Resources:
    """The resources of one program, and its calls on them."""

    __slots__ = ("_copies", "_reading")

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._copies: dict[int, int] = {}
        """Resource: the one that it is a copy of; NO_DESCRIPTOR if it is none."""

    def descriptor(self, resource: int) -> int:
        """The descriptor that a resource is given as."""
        return self._copies.get(resource, resource)

    def name(self, made: int | None, is_copy_of: int | None) -> None:
        """A call's result is a copy of a descriptor (dup), or is itself one."""
        if made is not None and is_copy_of is not None and len(self._copies) < _MOST:
            self._copies[made] = is_copy_of

    def event(
        self, call: str, fd: int | None, made: int | None, fields: Callable[[], dict[str, int]]
    ) -> Event | None:
        """The event of an ioctl; None for one on no descriptor, and for KVM_RUN, which counts."""
        if fd == NO_DESCRIPTOR:
            self.name(made, NO_DESCRIPTOR)
            self._reading.skip("call on a descriptor that the program does not have")
            return None
        if call == "KVM_RUN":
            self._reading.runs += 1
            return None
        new_fd = made if call in MAKERS else None
        self.name(new_fd, new_fd)
        return Event(call, fields(), None, fd=fd, new_fd=new_fd)


def literal_descriptor(number: int | None) -> int | None:
    """A descriptor that stands as a number; NO_DESCRIPTOR for one that no program has."""
    if number is None:
        return None
    return NO_DESCRIPTOR if number < 0 or number >> 31 else number
