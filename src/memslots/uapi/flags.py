"""Flags and limits of the memory calls, under their names in include/uapi/linux/kvm.h.

Nothing here says what a kernel does with them.
"""

from __future__ import annotations

# struct kvm_userspace_memory_region
KVM_MEM_LOG_DIRTY_PAGES = 1 << 0
KVM_MEM_READONLY = 1 << 1
KVM_MEM_GUEST_MEMFD = 1 << 2
KVM_MEMSLOT_INVALID = 1 << 16
"""Internal to the kernel: a slot that is being deleted or moved."""
KVM_MEM_USER_FLAGS = KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY | KVM_MEM_GUEST_MEMFD
"""The flags that user space can give a slot."""

KVM_MEMORY_ATTRIBUTE_PRIVATE = 1 << 3
GUEST_MEMFD_FLAG_MMAP = 1 << 0
GUEST_MEMFD_FLAG_INIT_SHARED = 1 << 1
KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE = 1 << 0
KVM_DIRTY_LOG_INITIALLY_SET = 1 << 1

KVM_MEM_MAX_NR_PAGES = (1 << 31) - 1
"""Pages of one slot, in host pages (include/linux/kvm_host.h)."""
KVM_DIRTY_RING_MAX_BYTES = 65536 * 16
"""Entries of 16 bytes, 65536 of them at most (KVM_DIRTY_RING_MAX_ENTRIES)."""

FLAG_NAMES = {
    KVM_MEM_LOG_DIRTY_PAGES: "KVM_MEM_LOG_DIRTY_PAGES",
    KVM_MEM_READONLY: "KVM_MEM_READONLY",
    KVM_MEM_GUEST_MEMFD: "KVM_MEM_GUEST_MEMFD",
}
FLAGS_BY_NAME = {name: bit for bit, name in FLAG_NAMES.items()} | {
    "KVM_MEM_PRIVATE": KVM_MEM_GUEST_MEMFD,  # the name in development trees
    "KVM_MEMORY_ATTRIBUTE_PRIVATE": KVM_MEMORY_ATTRIBUTE_PRIVATE,
    "GUEST_MEMFD_FLAG_MMAP": GUEST_MEMFD_FLAG_MMAP,
    "GUEST_MEMFD_FLAG_INIT_SHARED": GUEST_MEMFD_FLAG_INIT_SHARED,
    "KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE": KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE,
    "KVM_DIRTY_LOG_INITIALLY_SET": KVM_DIRTY_LOG_INITIALLY_SET,
}
"""Every name that a recording may show for a flag of any memory call."""


def flag_text(flags: int) -> str:
    """Flags as strace writes them: `KVM_MEM_READONLY`, `0`, unknown bits in hex."""
    names = [name for bit, name in FLAG_NAMES.items() if flags & bit]
    rest = flags & ~sum(FLAG_NAMES)
    if rest or not names:
        names.append(f"{rest:#x}" if rest else "0")
    return "|".join(names)


def flag_letters(flags: int) -> str:
    """Flags for narrow tables: L logs dirty pages, R read-only, G guest_memfd."""
    letters = ((KVM_MEM_LOG_DIRTY_PAGES, "L"), (KVM_MEM_READONLY, "R"), (KVM_MEM_GUEST_MEMFD, "G"))
    return "".join(letter for bit, letter in letters if flags & bit)
