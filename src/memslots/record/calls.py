"""What a recorder keeps of each memory call: its name and the fields of its argument."""

from __future__ import annotations

import struct

from ..uapi import abi

SCALARS = {
    "KVM_CREATE_VM": "type",
    "KVM_CHECK_EXTENSION": "cap",
    "KVM_CREATE_VCPU": "vcpu_id",
    "KVM_SET_NR_MMU_PAGES": "nr_pages",
    "KVM_SET_TSS_ADDR": "addr",
}
"""Calls whose argument is the number itself."""
STRUCTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "KVM_SET_USER_MEMORY_REGION": (
        abi.KVM_USERSPACE_MEMORY_REGION,
        ("slot", "flags", "guest_phys_addr", "memory_size", "userspace_addr"),
    ),
    "KVM_SET_USER_MEMORY_REGION2": (
        "=IIQQQQI",
        ("slot", "flags", "guest_phys_addr", "memory_size", "userspace_addr", "guest_memfd_offset", "guest_memfd"),
    ),
    "KVM_SET_MEMORY_REGION": ("=IIQQ", ("slot", "flags", "guest_phys_addr", "memory_size")),
    "KVM_GET_DIRTY_LOG": ("=I", ("slot",)),
    "KVM_CLEAR_DIRTY_LOG": ("=IIQ", ("slot", "num_pages", "first_page")),
    "KVM_SET_IDENTITY_MAP_ADDR": ("=Q", ("addr",)),
    "KVM_ENABLE_CAP": ("=IIQQQQ", ("cap", "flags", "arg0", "arg1", "arg2", "arg3")),
    "KVM_SET_MEMORY_ATTRIBUTES": (abi.KVM_MEMORY_ATTRIBUTES, ("address", "size", "attributes", "flags")),
    "KVM_CREATE_GUEST_MEMFD": ("=QQ", ("size", "flags")),
    "KVM_PRE_FAULT_MEMORY": ("=QQQ", ("gpa", "size", "flags")),
}
LEFT_OUT = frozenset(("KVM_RUN",))


class Shape:
    """One call: its place in the recording's table and how to read its argument."""

    __slots__ = ("fields", "id", "name", "nbytes", "scalar", "unpack")

    def __init__(self, number: int, name: str) -> None:
        self.id = number
        self.name = name
        self.scalar = name in SCALARS
        layout, fields = STRUCTS.get(name, ("", ()))
        self.fields = (SCALARS[name],) if self.scalar else fields
        """Names of the numbers kept."""
        self.nbytes = struct.calcsize(layout)
        """Bytes of the argument that are read; 0: none."""
        self.unpack = struct.Struct(layout).unpack_from


SHAPES = tuple(Shape(number, name) for number, name in enumerate(sorted(set(abi.IOCTLS) - LEFT_OUT)))
REQUESTS = {abi.ioctl_number(shape.name): shape for shape in SHAPES}
"""Whole request numbers: KVM has calls that differ in direction and size only."""
ANY_SIZE = {
    0xAE00 | abi.IOCTLS[shape.name][0]: shape
    for shape in SHAPES
    if shape.name.startswith(("KVM_SET_USER_MEMORY", "KVM_SET_MEMORY_REGION"))
}
"""Low halves of the region calls' numbers: with a wrong size they fail, and that is worth seeing."""


def shape_of(request: int) -> Shape | None:
    """The call of a request number, if it is a memory call."""
    return REQUESTS.get(request & 0xFFFF_FFFF) or ANY_SIZE.get(request & 0xFFFF)
