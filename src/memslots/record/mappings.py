"""System calls that change what lies behind host addresses: recorded on request.

Numbers are those of each machine's system-call table in the kernel (asm/unistd.h).
"""

from __future__ import annotations

PAGE_BYTES = 4096
"""Unit of the last argument of mmap2."""


class MappingCall:
    """One call, and which of its arguments are kept."""

    __slots__ = ("name", "names", "positions")

    def __init__(self, name: str, arguments: dict[str, int]) -> None:
        self.name = name
        self.names = tuple(arguments)
        self.positions = tuple(arguments.values())

    def values(self, arguments: tuple[int, ...], page_bytes: int = 1) -> tuple[int, ...]:
        """The numbers kept of a call's six arguments; page_bytes: the unit of mmap's offset."""
        values = tuple(arguments[position] for position in self.positions)
        return (
            values
            if self.name != "mmap"
            else (*values[:-1], values[-1] * page_bytes & (1 << 64) - 1)
        )


MMAP = MappingCall("mmap", {"addr": 0, "length": 1, "prot": 2, "flags": 3, "offset": 5})
MUNMAP = MappingCall("munmap", {"addr": 0, "length": 1})
MREMAP = MappingCall("mremap", {"addr": 0, "length": 1, "new_length": 2})
MPROTECT = MappingCall("mprotect", {"addr": 0, "length": 1, "prot": 2})
FORK = MappingCall("fork", {})
CLONE = MappingCall("clone", {"flags": 0})
"""Not calls that are stopped at: the beginning of a process, whose memory is its own, and of a
thread of one.
"""
EXIT = MappingCall("exit", {})
"""The end of a process that made a VM, and with it of the VM unless another process has it too."""
MAPPING_CALLS = (MMAP, MUNMAP, MREMAP, MPROTECT, FORK, CLONE, EXIT)
_GENERIC = {222: MMAP, 215: MUNMAP, 216: MREMAP, 226: MPROTECT, 288: MPROTECT}
NUMBERS: dict[int, dict[int, MappingCall]] = {
    0xC000003E: {9: MMAP, 11: MUNMAP, 25: MREMAP, 10: MPROTECT, 329: MPROTECT},
    0x40000003: {192: MMAP, 91: MUNMAP, 163: MREMAP, 125: MPROTECT, 380: MPROTECT},
    0xC00000B7: _GENERIC,
    0xC00000F3: _GENERIC,
    0xC0000015: {90: MMAP, 91: MUNMAP, 163: MREMAP, 125: MPROTECT, 386: MPROTECT},
    0x40000028: {192: MMAP, 91: MUNMAP, 163: MREMAP, 125: MPROTECT, 394: MPROTECT},
}
"""Audit architecture: numbers of the system calls, pkey_mprotect among them."""
MMAP2 = frozenset((0x40000003, 0x40000028))
"""Audit architectures whose mmap counts its offset in pages."""
