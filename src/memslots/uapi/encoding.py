"""Request numbers of ioctls: how a call's number, direction and argument size are packed.

What `_IOC` and `_IOW` do: facts of include/uapi/asm-generic/ioctl.h and of the powerpc and mips
headers.
"""

from __future__ import annotations

KVMIO = 0xAE

NO_DATA, WRITES, READS, BOTH = 0, 1, 2, 3
"""Directions as the generic encoding has them, seen from user space."""


def request_number(
    nr: int, direction: int, argument_bytes: int, *, powerpc_or_mips: bool | None = None
) -> int:
    """The request number of a KVM call whose argument is so many bytes.

    powerpc and mips encode the direction in three bits (none 1, read 2, write 4)
    above a 13-bit size; all others in two bits above a 14-bit size.  None: as
    the machine under us does.
    """
    if host_is_powerpc_or_mips() if powerpc_or_mips is None else powerpc_or_mips:
        bits = (4 if direction & WRITES else 0) | (2 if direction & READS else 0) or 1
        return bits << 29 | argument_bytes << 16 | KVMIO << 8 | nr
    return direction << 30 | argument_bytes << 16 | KVMIO << 8 | nr


def host_is_powerpc_or_mips() -> bool:
    """Whether the machine under us encodes request numbers as powerpc and mips do."""
    import os

    uname = getattr(os, "uname", None)  # not everywhere that a recording is read
    return uname is not None and uname().machine.startswith(("ppc", "powerpc", "mips"))
