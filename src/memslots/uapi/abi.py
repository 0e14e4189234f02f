"""The user-space interface of KVM's memory calls: numbers, flags, layouts.

Facts of include/uapi/linux/kvm.h under their public names.  Nothing here says
what a kernel does with them.
"""

from __future__ import annotations

import os

# Flags of struct kvm_userspace_memory_region
KVM_MEM_LOG_DIRTY_PAGES = 1 << 0
KVM_MEM_READONLY = 1 << 1
KVM_MEM_GUEST_MEMFD = 1 << 2
KVM_MEMSLOT_INVALID = 1 << 16
"""Internal to the kernel: a slot that is being deleted or moved."""

FLAG_NAMES = {
    KVM_MEM_LOG_DIRTY_PAGES: "KVM_MEM_LOG_DIRTY_PAGES",
    KVM_MEM_READONLY: "KVM_MEM_READONLY",
    KVM_MEM_GUEST_MEMFD: "KVM_MEM_GUEST_MEMFD",
}

KVM_MEMORY_ATTRIBUTE_PRIVATE = 1 << 3
GUEST_MEMFD_FLAG_MMAP = 1 << 0
GUEST_MEMFD_FLAG_INIT_SHARED = 1 << 1
KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE = 1 << 0
KVM_DIRTY_LOG_INITIALLY_SET = 1 << 1
KVM_MEM_MAX_NR_PAGES = (1 << 31) - 1
"""Pages of one slot, in host pages (include/linux/kvm_host.h)."""
KVM_DIRTY_RING_MAX_BYTES = 65536 * 16

# Capabilities that say something about memory
CAPS = {
    "KVM_CAP_IRQCHIP": 0,
    "KVM_CAP_MMU_SHADOW_CACHE_CONTROL": 2,
    "KVM_CAP_USER_MEMORY": 3,
    "KVM_CAP_SET_TSS_ADDR": 4,
    "KVM_CAP_NR_VCPUS": 9,
    "KVM_CAP_NR_MEMSLOTS": 10,
    "KVM_CAP_SYNC_MMU": 16,
    "KVM_CAP_DESTROY_MEMORY_REGION_WORKS": 21,
    "KVM_CAP_JOIN_MEMORY_REGIONS_WORKS": 30,
    "KVM_CAP_SET_IDENTITY_MAP_ADDR": 37,
    "KVM_CAP_MAX_VCPUS": 66,
    "KVM_CAP_READONLY_MEM": 81,
    "KVM_CAP_ENABLE_CAP_VM": 98,
    "KVM_CAP_CHECK_EXTENSION_VM": 105,
    "KVM_CAP_X86_SMM": 117,
    "KVM_CAP_MULTI_ADDRESS_SPACE": 118,
    "KVM_CAP_SPLIT_IRQCHIP": 121,
    "KVM_CAP_MAX_VCPU_ID": 128,
    "KVM_CAP_ARM_VM_IPA_SIZE": 165,
    "KVM_CAP_MANUAL_DIRTY_LOG_PROTECT": 166,
    "KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2": 168,
    "KVM_CAP_DIRTY_LOG_RING": 192,
    "KVM_CAP_VM_GPA_BITS": 207,
    "KVM_CAP_DIRTY_LOG_RING_ACQ_REL": 223,
    "KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP": 225,
    "KVM_CAP_USER_MEMORY2": 231,
    "KVM_CAP_MEMORY_FAULT_INFO": 232,
    "KVM_CAP_MEMORY_ATTRIBUTES": 233,
    "KVM_CAP_GUEST_MEMFD": 234,
    "KVM_CAP_VM_TYPES": 235,
    "KVM_CAP_PRE_FAULT_MEMORY": 236,
    "KVM_CAP_GUEST_MEMFD_FLAGS": 244,
}
CAP_NAMES = {number: name for name, number in CAPS.items()}

KVMIO = 0xAE

# name: (nr, direction, argument bytes, kind of fd)
# direction: 0 none, 1 user space writes, 2 user space reads, 3 both
IOCTLS = {
    "KVM_GET_API_VERSION": (0x00, 0, 0, "system"),
    "KVM_CREATE_VM": (0x01, 0, 0, "system"),
    "KVM_CHECK_EXTENSION": (0x03, 0, 0, "any"),
    "KVM_GET_VCPU_MMAP_SIZE": (0x04, 0, 0, "system"),
    "KVM_SET_MEMORY_REGION": (0x40, 1, 24, "vm"),
    "KVM_CREATE_VCPU": (0x41, 0, 0, "vm"),
    "KVM_GET_DIRTY_LOG": (0x42, 1, 16, "vm"),
    "KVM_SET_NR_MMU_PAGES": (0x44, 0, 0, "vm"),
    "KVM_GET_NR_MMU_PAGES": (0x45, 0, 0, "vm"),
    "KVM_SET_USER_MEMORY_REGION": (0x46, 1, 32, "vm"),
    "KVM_SET_TSS_ADDR": (0x47, 0, 0, "vm"),
    "KVM_SET_IDENTITY_MAP_ADDR": (0x48, 1, 8, "vm"),
    "KVM_SET_USER_MEMORY_REGION2": (0x49, 1, 160, "vm"),
    "KVM_CREATE_IRQCHIP": (0x60, 0, 0, "vm"),
    "KVM_RUN": (0x80, 0, 0, "vcpu"),
    "KVM_ENABLE_CAP": (0xA3, 1, 104, "any"),
    "KVM_CLEAR_DIRTY_LOG": (0xC0, 3, 24, "vm"),
    "KVM_RESET_DIRTY_RINGS": (0xC7, 0, 0, "vm"),
    "KVM_SET_MEMORY_ATTRIBUTES": (0xD2, 1, 32, "vm"),
    "KVM_CREATE_GUEST_MEMFD": (0xD4, 3, 64, "vm"),
    "KVM_PRE_FAULT_MEMORY": (0xD5, 3, 64, "vcpu"),
}

# struct formats for the `struct` module, native byte order, no implicit padding
KVM_USERSPACE_MEMORY_REGION = "=IIQQQ"
KVM_USERSPACE_MEMORY_REGION2 = "=IIQQQQII112x"
KVM_DIRTY_LOG = "=IIQ"
KVM_CLEAR_DIRTY_LOG = "=IIQQ"
KVM_MEMORY_ATTRIBUTES = "=QQQQ"
KVM_CREATE_GUEST_MEMFD = "=QQ48x"
KVM_PRE_FAULT_MEMORY = "=QQQ40x"
KVM_ENABLE_CAP = "=IIQQQQ64x"
KVM_DIRTY_GFN = "=IIQ"


ON_POWERPC_OR_MIPS = os.uname().machine.startswith(("ppc", "powerpc", "mips"))
"""Whether this host encodes request numbers as those do."""


def ioctl_number(name: str, *, powerpc_or_mips: bool = ON_POWERPC_OR_MIPS) -> int:
    """The request number of an ioctl, as this host encodes it by default."""
    nr, direction, nbytes, _ = IOCTLS[name]
    return request_number(nr, direction, nbytes, powerpc_or_mips=powerpc_or_mips)


def request_number(nr: int, direction: int, nbytes: int, *, powerpc_or_mips: bool = ON_POWERPC_OR_MIPS) -> int:
    """The request number of a KVM call that writes (1) or reads (2) nbytes, or both (3).

    powerpc and mips encode the direction in three bits (none 1, read 2, write 4)
    above a 13-bit size; all others in two bits above a 14-bit size.
    """
    if powerpc_or_mips:
        bits = (4 if direction & 1 else 0) | (2 if direction & 2 else 0) or 1
        return bits << 29 | nbytes << 16 | KVMIO << 8 | nr
    return direction << 30 | nbytes << 16 | KVMIO << 8 | nr


def flag_text(flags: int) -> str:
    """Flags as strace writes them: `KVM_MEM_READONLY`, `0`, unknown bits in hex."""
    names = [name for bit, name in FLAG_NAMES.items() if flags & bit]
    rest = flags & ~sum(FLAG_NAMES)
    if rest or not names:
        names.append(f"{rest:#x}" if rest else "0")
    return "|".join(names)
