"""Every memory call of KVM, once: number, kind of descriptor, argument, what it makes or returns.

Readers, recorders, exporters, the live backend and the oracle derive what they
know of a call from `CALLS`.  Facts of include/uapi/linux/kvm.h; what a kernel
does with a call stands in `rules`.
"""

from __future__ import annotations

import struct

from .encoding import BOTH, KVMIO, NO_DATA, WRITES, request_number
from .fields import CAPABILITY, DECIMAL, HEX, MEM_FLAGS, u32, u64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .fields import Field

SYSTEM, VM, VCPU, GUEST_MEMFD, ANY = "system", "vm", "vcpu", "guest_memfd", "any"
"""Kinds of file descriptor; `ANY` is more than one of them."""


class Argument:
    """What a call takes: nothing, a number, or the address of a structure."""

    __slots__ = ("direction", "fields", "pad_bytes", "pointer_at")

    def __init__(
        self, direction: int, fields: tuple[Field, ...], pad_bytes: int, pointer_at: int
    ) -> None:
        self.direction = direction
        self.fields = fields
        self.pad_bytes = pad_bytes
        """Bytes of the structure behind the fields."""
        self.pointer_at = pointer_at
        """Offset of the address of a buffer in the structure; 0: none."""


NOTHING = Argument(NO_DATA, (), 0, 0)


def number(field: Field) -> Argument:
    """The argument is the number itself, an unsigned long."""
    return Argument(NO_DATA, (field,), 0, 0)


def reads(*fields: Field, pad_bytes: int = 0, pointer_at: int = 0) -> Argument:
    """The address of a structure that the kernel reads."""
    return Argument(WRITES, fields, pad_bytes, pointer_at)


def both(*fields: Field, pad_bytes: int = 0, pointer_at: int = 0) -> Argument:
    """The address of a structure that the kernel reads, and may write to by its declaration."""
    return Argument(BOTH, fields, pad_bytes, pointer_at)


class Call:
    """One ioctl."""

    __slots__ = (
        "argument_bytes", "direction", "fields", "is_beside_memory", "is_frequent", "is_number",
        "makes", "method",
        "name", "names",
        "needs", "nr", "on",
        "on_x86_only", "pointer_at", "returns_value", "struct",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        nr: int,
        on: str,
        argument: Argument = NOTHING,
        *,
        makes: str = "",
        returns_value: bool = False,
        is_frequent: bool = False,
        on_x86_only: bool = False,
        is_beside_memory: bool = False,
    ) -> None:
        self.name = name
        self.nr = nr
        """The number within KVM's (the low 8 bits of the request)."""
        self.on = on
        """The kind of descriptor it is made on."""
        self.method = name.removeprefix("KVM_").lower()
        """The method of `Vm` and `LiveVm` that makes it."""
        self.direction = argument.direction
        self.fields = argument.fields
        self.names = tuple(field.name for field in argument.fields)
        self.is_number = argument.direction == NO_DATA and bool(argument.fields)
        """Whether the argument is the number itself and no address."""
        layout = "".join("I" if field.bits == 32 else "Q" for field in argument.fields)
        self.struct = struct.Struct("=" + ("" if self.is_number else layout))
        """The fields at the beginning of the structure, in native byte order."""
        self.argument_bytes = self.struct.size + argument.pad_bytes
        """Bytes of the whole structure; 0 if there is none."""
        self.pointer_at = argument.pointer_at
        self.needs = tuple(field.name for field in argument.fields if not field.is_optional)
        """Fields without which the call cannot be decided."""
        self.makes = makes
        """The kind of descriptor that it returns; empty if none."""
        self.returns_value = returns_value
        """Whether its positive results say something, not only that it worked."""
        self.is_frequent = is_frequent
        """Whether running vCPUs make it so often that recorders leave it out."""
        self.on_x86_only = on_x86_only
        """Whether no other architecture has it."""
        self.is_beside_memory = is_beside_memory
        """Whether it is about no memory: recorded because it says what a VM is and why it failed,
        and not modelled."""

    @property
    def has_structure(self) -> bool:
        """Whether the argument is the address of a structure."""
        return self.argument_bytes > 0

    def request(self, *, powerpc_or_mips: bool | None = None) -> int:
        """The request number, by default as this machine encodes it."""
        return request_number(
            self.nr, self.direction, self.argument_bytes, powerpc_or_mips=powerpc_or_mips
        )

    def field(self, name: str) -> Field | None:
        """The field of that name."""
        return next((field for field in self.fields if field.name == name), None)

    def missing(self, fields: Mapping[str, int]) -> list[str]:
        """The names of fields that a decision needs and that are not there."""
        return [name for name in self.needs if name not in fields]

    def pack(self, fields: Mapping[str, int], pointer: int = 0) -> bytearray:
        """The whole structure, absent fields 0.

        pointer: the address of its buffer.  Raises struct.error.
        """
        data = bytearray(self.argument_bytes)
        self.struct.pack_into(data, 0, *(fields.get(field.name, 0) for field in self.fields))
        if self.pointer_at:
            struct.pack_into("=Q", data, self.pointer_at, pointer)
        return data

    def unpack(self, data: bytes, byte_order: str = "=") -> dict[str, int]:
        """The fields of a structure; byte_order as `struct` writes it."""
        layout = struct.Struct(byte_order + self.struct.format[1:])
        return {
            field.name: value
            for field, value in zip(self.fields, layout.unpack_from(data), strict=True)
        }

    def __repr__(self) -> str:
        return f"<Call {self.name}>"


def _table(*calls: Call) -> dict[str, Call]:
    return {call.name: call for call in calls}


_REGION = (
    u32("slot", DECIMAL),
    u32("flags", MEM_FLAGS),
    u64("guest_phys_addr"),
    u64("memory_size", DECIMAL),
    u64("userspace_addr"),
)
_FLAGS = u64("flags", is_optional=True)

CALLS = _table(
    Call("KVM_GET_API_VERSION", 0x00, SYSTEM, returns_value=True),
    Call("KVM_CREATE_VM", 0x01, SYSTEM, number(u64("type", is_optional=True)), makes=VM),
    Call("KVM_CHECK_EXTENSION", 0x03, ANY, number(u64("cap", CAPABILITY)), returns_value=True),
    Call("KVM_GET_VCPU_MMAP_SIZE", 0x04, SYSTEM, returns_value=True),
    Call("KVM_SET_MEMORY_REGION", 0x40, VM, reads(*_REGION[:4])),
    Call("KVM_CREATE_VCPU", 0x41, VM, number(u64("vcpu_id")), makes=VCPU),
    Call("KVM_GET_DIRTY_LOG", 0x42, VM, reads(u32("slot", DECIMAL), pad_bytes=12, pointer_at=8)),
    Call("KVM_SET_NR_MMU_PAGES", 0x44, VM, number(u64("nr_pages")), on_x86_only=True),
    Call("KVM_GET_NR_MMU_PAGES", 0x45, VM, returns_value=True),
    Call("KVM_SET_USER_MEMORY_REGION", 0x46, VM, reads(*_REGION)),
    Call("KVM_SET_TSS_ADDR", 0x47, VM, number(u64("addr")), on_x86_only=True),
    Call("KVM_SET_IDENTITY_MAP_ADDR", 0x48, VM, reads(u64("addr")), on_x86_only=True),
    Call(
        "KVM_SET_USER_MEMORY_REGION2",
        0x49,
        VM,
        reads(
            *_REGION,
            u64("guest_memfd_offset", is_optional=True),
            u32("guest_memfd", DECIMAL, is_optional=True),
            pad_bytes=116,
        ),
    ),
    Call("KVM_CREATE_IRQCHIP", 0x60, VM),
    Call(
        "KVM_IRQFD",
        0x76,
        VM,
        reads(
            u32("fd", DECIMAL),
            u32("gsi", DECIMAL),
            u32("flags", is_optional=True),
            u32("resamplefd", DECIMAL, is_optional=True),
            pad_bytes=16,
        ),
        is_beside_memory=True,
    ),
    Call(
        "KVM_CREATE_PIT2",
        0x77,
        VM,
        reads(u32("flags", is_optional=True), pad_bytes=60),
        on_x86_only=True,
        is_beside_memory=True,
    ),
    Call(
        "KVM_SET_BOOT_CPU_ID",
        0x78,
        VM,
        number(u64("vcpu_id")),
        on_x86_only=True,
        is_beside_memory=True,
    ),
    Call(
        "KVM_IOEVENTFD",
        0x79,
        VM,
        reads(
            u64("datamatch"),
            u64("addr"),
            u32("len", DECIMAL),
            u32("fd", DECIMAL),
            u32("flags", is_optional=True),
            pad_bytes=36,
        ),
        is_beside_memory=True,
    ),
    Call("KVM_RUN", 0x80, VCPU, is_frequent=True),
    Call("KVM_SET_MSRS", 0x89, VCPU, Argument(WRITES, (), 8, 0), is_frequent=True),
    Call(
        "KVM_ENABLE_CAP",
        0xA3,
        ANY,
        reads(
            u32("cap", CAPABILITY),
            u32("flags", is_optional=True),
            u64("arg0"),
            u64("arg1", is_optional=True),
            u64("arg2", is_optional=True),
            u64("arg3", is_optional=True),
            pad_bytes=64,
        ),
    ),
    Call(
        "KVM_CLEAR_DIRTY_LOG",
        0xC0,
        VM,
        both(
            u32("slot", DECIMAL),
            u32("num_pages", DECIMAL),
            u64("first_page", DECIMAL),
            pad_bytes=8,
            pointer_at=16,
        ),
    ),
    Call("KVM_RESET_DIRTY_RINGS", 0xC7, VM, returns_value=True),
    Call(
        "KVM_SET_MEMORY_ATTRIBUTES",
        0xD2,
        VM,
        reads(u64("address"), u64("size"), u64("attributes"), _FLAGS),
    ),
    Call(
        "KVM_CREATE_GUEST_MEMFD",
        0xD4,
        VM,
        both(u64("size"), _FLAGS, pad_bytes=48),
        makes=GUEST_MEMFD,
    ),
    Call(
        "KVM_PRE_FAULT_MEMORY", 0xD5, VCPU, both(u64("gpa", HEX), u64("size"), _FLAGS, pad_bytes=40)
    ),
)
"""Name: call."""

MEMORY_CALLS = frozenset(name for name, call in CALLS.items() if not call.is_frequent)
"""Calls that are worth an event each; of the others only a failed KVM_RUN is."""
REGION_CALLS = ("KVM_SET_USER_MEMORY_REGION", "KVM_SET_USER_MEMORY_REGION2")
MAKERS = frozenset(name for name, call in CALLS.items() if call.makes)
"""Calls whose positive result is a new descriptor."""
QUERIES = frozenset(
    name for name, call in CALLS.items() if call.returns_value and call.on in (SYSTEM, ANY)
)
"""Calls with which a program asks what there is."""
X86_CALLS = frozenset(name for name, call in CALLS.items() if call.on_x86_only)
BESIDE_MEMORY = frozenset(name for name, call in CALLS.items() if call.is_beside_memory)
"""Calls that are about no memory."""
VALUE_CALLS = frozenset(name for name, call in CALLS.items() if call.returns_value)
"""Calls whose positive result is compared as a number."""
VM_CALLS = frozenset(name for name, call in CALLS.items() if call.on in (VM, ANY))
"""Calls that a VM's descriptor takes."""
REQUEST_CODES = {KVMIO << 8 | call.nr: call for call in CALLS.values()}
"""The low half of a request number, the same on every architecture: the call."""
