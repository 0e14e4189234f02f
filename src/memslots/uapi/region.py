"""What user space asked: the arguments of a region call, unvalidated.

The kernel validates; a `Region` only refuses what no C program could pass:
values that are not integers or do not fit their field.
"""

from __future__ import annotations

from ..units import U64_MAX
from .calls import CALLS, REGION_CALLS
from .flags import KVM_MEM_GUEST_MEMFD, flag_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

ALL_BYTES = CALLS["KVM_SET_USER_MEMORY_REGION2"].argument_bytes
"""Bytes of the longer of the two structures."""
ODD_CALL = 1 << 16
"""Bit of `Region.low_bits`, above the offsets of all page sizes: there is something to check about
the call as such.
"""


class Region:
    """One KVM_SET_USER_MEMORY_REGION or KVM_SET_USER_MEMORY_REGION2, as passed."""

    __slots__ = (
        "flags",
        "guest_memfd",
        "guest_memfd_offset",
        "guest_phys_addr",
        "low_bits",
        "memory_size",
        "readable_bytes",
        "region2",
        "slot",
        "userspace_addr",
    )

    def __init__(
        self,
        slot: int,
        flags: int,
        guest_phys_addr: int,
        memory_size: int,
        userspace_addr: int,
        guest_memfd: int = 0,
        guest_memfd_offset: int = 0,
        region2: bool = False,
        readable_bytes: int = ALL_BYTES,
    ) -> None:
        # one test of all widths and types at once; the slow path names the culprit
        try:
            narrow = slot | flags | guest_memfd
            wide = guest_phys_addr | memory_size | userspace_addr | guest_memfd_offset
            fine = not (narrow >> 32 or wide >> 64) and (narrow | wide).__class__ is int
        except TypeError:
            fine = False
        if not fine:
            _explain_bad_value(locals())
        self.slot = slot
        """u32: slot id in bits 0-15, address space in bits 16-31."""
        self.flags = flags
        """u32 of KVM_MEM_* bits."""
        self.guest_phys_addr = guest_phys_addr
        """u64, bytes."""
        self.memory_size = memory_size
        """u64, bytes; 0 deletes."""
        self.userspace_addr = userspace_addr
        """u64, bytes: where the memory lies in the calling process."""
        self.guest_memfd = guest_memfd
        """u32: file descriptor, read only with KVM_MEM_GUEST_MEMFD."""
        self.guest_memfd_offset = guest_memfd_offset
        """u64, bytes."""
        self.region2 = region2
        """Whether it is the call of 6.8 and later."""
        self.readable_bytes = readable_bytes
        """Bytes of the argument that the kernel can read (EFAULT if too few)."""
        self.low_bits = (
            wide & 0xFFFF | ODD_CALL if region2 or readable_bytes < ALL_BYTES else wide & 0xFFFF
        )
        """Low 16 bits that are set in any address or size, and ODD_CALL."""

    @property
    def ioctl(self) -> str:
        """The name of the call."""
        return "KVM_SET_USER_MEMORY_REGION2" if self.region2 else "KVM_SET_USER_MEMORY_REGION"

    def replace(self, **changes: int) -> Region:
        """The same request with some fields changed: a what-if."""
        fields = {name: getattr(self, name) for name in self.__slots__ if name != "low_bits"}
        fields.update(changes)
        return Region(**fields)

    def __repr__(self) -> str:
        text = (
            f"slot={self.slot:#x}, flags={flag_text(self.flags)}, "
            f"guest_phys_addr={self.guest_phys_addr:#x}, "
            f"memory_size={self.memory_size:#x}, userspace_addr={self.userspace_addr:#x}"
        )
        if self.flags & KVM_MEM_GUEST_MEMFD:
            text += (
                f", guest_memfd={self.guest_memfd}, guest_memfd_offset={self.guest_memfd_offset:#x}"
            )
        return f"{self.ioctl}({text})"


_WIDTHS = {field.name: field.bits for field in CALLS["KVM_SET_USER_MEMORY_REGION2"].fields}


def _explain_bad_value(values: dict[str, object]) -> None:
    """Raise TypeError or ValueError that names the field and the value."""
    for name, bits in _WIDTHS.items():
        checked_uint(name, values[name], (1 << bits) - 1)


def checked_uint(name: str, value: object, largest: int = U64_MAX) -> int:
    """The value, if it is an integer from 0 to `largest`.

    Raises TypeError or ValueError with the name and the value.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}: {value!r}")
    if not 0 <= value <= largest:
        raise ValueError(f"{name} must be between 0 and {largest:#x}, not {_shown(value)}")
    return value


def _shown(value: int) -> str:
    return hex(value) if value.bit_length() <= 256 else f"a number of {value.bit_length()} bits"


def region_of(call: str, fields: Mapping[str, int]) -> Region:
    """The region of a call by name.

    Raises ValueError for fields that are missing, and as `Region` does.
    """
    known = CALLS[call]
    missing = known.missing(fields)
    if missing:
        raise ValueError(f"{call} lacks {', '.join(missing)}")
    given = {name: fields[name] for name in known.names if name in fields}
    return Region(**given, region2=call == REGION_CALLS[1])
