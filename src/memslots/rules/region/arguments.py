"""Checks of the arguments alone, before any slot is looked at.

They are all EINVAL, but for the first three, so their order among each other
can be seen only in the rule that memslots names.
"""

from __future__ import annotations

from ...errnos import EFAULT, EINVAL
from ...kernel.arch import ARM64, NARROW
from ...uapi.calls import CALLS
from ...uapi.flags import (
    KVM_MEM_GUEST_MEMFD,
    KVM_MEM_LOG_DIRTY_PAGES,
    KVM_MEM_MAX_NR_PAGES,
    KVM_MEM_READONLY,
    flag_text,
)
from ..answer import Refused, Rule, Undetermined, Unmodelled
from ..attempt import RegionAttempt
from ..ioctl import check_caller, unknown_ioctl

_SET = "__kvm_set_memory_region() in virt/kvm/kvm_main.c"
_IOCTL = "kvm_vm_ioctl() in virt/kvm/kvm_main.c"

# fmt: off
ARGUMENT_UNREADABLE = Rule(
    "argument-unreadable", EFAULT, "The structure cannot be read from user memory in full.",
    """32 bytes for KVM_SET_USER_MEMORY_REGION, 160 for KVM_SET_USER_MEMORY_REGION2: a caller that
    passes the short structure to the long call fails only if it ends at the end of a mapping.""",
    "Pass the address of a whole structure.", _IOCTL,
)
FLAGS_OF_REGION2 = Rule(
    "flags-of-region2", EINVAL, "The short call carries a flag beyond LOG_DIRTY_PAGES and "
                                "READONLY.",
    """Since {region2} the first form of the call knows these two flags only; KVM_MEM_GUEST_MEMFD
    needs the second form, which has the fields for it.""",
    "Use KVM_SET_USER_MEMORY_REGION2 for KVM_MEM_GUEST_MEMFD; drop unknown bits.",
    "kvm_vm_ioctl_set_memory_region() in virt/kvm/kvm_main.c", needs=("region2",),
)
SLOT_ID_TOO_HIGH = Rule(
    "slot-id-too-high", EINVAL, "The slot id (low 16 bits) is not below the number of user slots.",
    """KVM keeps the ids from KVM_CAP_NR_MEMSLOTS on for itself: 509 on older x86 kernels, 32764
    today.""",
    "Use ids below what KVM_CHECK_EXTENSION(KVM_CAP_NR_MEMSLOTS) says; reuse ids of deleted slots.",
    "kvm_vm_ioctl_set_memory_region() in virt/kvm/kvm_main.c",
)
FLAGS_INVALID = Rule(
    "flags-invalid", EINVAL, "A flag is unknown, not supported here, or not allowed together with "
                             "another.",
    """READONLY needs an architecture with read-only memory (not s390, not powerpc) and, since
    {readonly-per-vm}, a VM without protected state.  GUEST_MEMFD allows neither LOG_DIRTY_PAGES nor
    READONLY, and before {guest-memfd-any-vm} needs a VM with private memory.""",
    "Ask KVM_CAP_READONLY_MEM and KVM_CAP_GUEST_MEMFD on the VM's file descriptor; drop the flag.",
    "check_memory_region_flags() in virt/kvm/kvm_main.c",
)
SIZE_UNALIGNED = Rule(
    "size-unaligned", EINVAL, "memory_size is not a multiple of the host page size.",
    "Slots are made of whole host pages: 4 KiB on x86, but 16 or 64 KiB on some arm64 and powerpc "
    "hosts.",
    "Round memory_size up to sysconf(_SC_PAGESIZE), and the backing memory with it.", _SET,
)
SIZE_EXCEEDS_ULONG = Rule(
    "size-exceeds-ulong", EINVAL, "memory_size does not fit an unsigned long of the host.",
    "On 32-bit hosts one slot has less than 4 GiB.  Older kernels cut the size to 32 bits "
    "silently.",
    "Split the range into slots below 4 GiB.", _SET, needs=("size-fits-ulong",),
    arches=NARROW,
)
GPA_UNALIGNED = Rule(
    "gpa-unaligned", EINVAL, "guest_phys_addr is not a multiple of the host page size.",
    "Also checked when the call deletes.", "Align guest_phys_addr to the host page size.", _SET,
)
HVA_UNALIGNED = Rule(
    "hva-unaligned", EINVAL, "userspace_addr is not a multiple of the host page size.",
    "Also checked when the call deletes.  malloc() gives addresses that are not aligned.",
    "Take the memory from mmap(), or align it with posix_memalign().", _SET,
)
HVA_TAGGED = Rule(
    "hva-tagged", EINVAL, "userspace_addr carries an address tag.",
    "arm64 may tag the top byte of pointers; KVM keeps the address and cannot keep a tag apart "
    "from it.",
    "Pass the untagged address.", _SET, needs=("hva-tag-check",),
    arches=ARM64,
)
# access_ok() of the whole range
HVA_OUT_OF_RANGE = Rule(
    "hva-out-of-range", EINVAL, "The host range does not lie in user space.",
    """userspace_addr + memory_size must not pass the end of user space: 2^47 - 4096 on x86-64
    without five-level paging, 3 GiB on i386.  The memory need not be mapped.  When the call
    deletes, userspace_addr itself is tested.""",
    "Pass an address that mmap() returned for at least memory_size bytes.",
    _SET,
)
GMEM_OFFSET_UNALIGNED = Rule(
    "gmem-offset-unaligned", EINVAL, "guest_memfd_offset is not a multiple of the host page size.",
    "Checked with KVM_MEM_GUEST_MEMFD only, before the slot is looked at.", "Align the offset.",
    _SET,
    needs=("guest-memfd",),
)
GMEM_OFFSET_WRAPS = Rule(
    "gmem-offset-wraps", EINVAL, "guest_memfd_offset + memory_size wraps.",
    "The sum must not pass 2^64.", "Pass an offset within the file.", _SET, needs=("guest-memfd",),
)
ADDRESS_SPACE_UNKNOWN = Rule(
    "address-space-unknown", EINVAL, "The VM has no such address space (bits 16-31 of slot).",
    """Only x86 has a second one, for SMM; not if KVM was built without SMM ({smm-optional} and
    later), nor in VMs with private memory ({spaces-per-vm} and later).""",
    "Ask KVM_CAP_MULTI_ADDRESS_SPACE on the VM; use address space 0 only if it says less than 2.",
    _SET,
)
GPA_WRAPS = Rule(
    "gpa-wraps", EINVAL, "guest_phys_addr + memory_size passes 2^64.",
    "A range that ends exactly at 2^64 wraps to 0 and is refused too.",
    "End the range below 2^64; architectures allow far less anyway.", _SET,
)
SLOT_TOO_LARGE = Rule(
    "slot-too-large", EINVAL, "The slot has more than 2^31 - 1 host pages.",
    """Page numbers within a slot fit 31 bits.  With 4 KiB pages a slot is just under 8 TiB, with 64
    KiB pages 128 TiB.""",
    "Split the range into several slots.", _SET,
)
# fmt: on

RULES = (
    ARGUMENT_UNREADABLE,
    FLAGS_OF_REGION2,
    SLOT_ID_TOO_HIGH,
    FLAGS_INVALID,
    SIZE_UNALIGNED,
    SIZE_EXCEEDS_ULONG,
    GPA_UNALIGNED,
    HVA_UNALIGNED,
    HVA_TAGGED,
    HVA_OUT_OF_RANGE,
    GMEM_OFFSET_UNALIGNED,
    GMEM_OFFSET_WRAPS,
    ADDRESS_SPACE_UNKNOWN,
    GPA_WRAPS,
    SLOT_TOO_LARGE,
)

_V1_FLAGS = KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY
_2_64 = 1 << 64


def check_call(attempt: RegionAttempt) -> Refused | None:
    """The call as such, before its arguments are looked at."""
    region, machine = attempt.region, attempt.machine
    refused = check_caller(attempt.state, by_other_process=attempt.by_other_process)
    if refused is not None:
        return refused
    if region.region2 and not machine.region2:
        return unknown_ioctl(machine)
    needed_bytes = CALLS[region.ioctl].argument_bytes
    if region.readable_bytes < needed_bytes:
        return ARGUMENT_UNREADABLE.refuse(readable_bytes=region.readable_bytes)
    return None


def check_arguments(attempt: RegionAttempt) -> Refused | Undetermined | Unmodelled | None:
    """The arguments by themselves, in the kernel's order."""
    region, machine = attempt.region, attempt.machine
    flags, page_mask = attempt.flags, machine.page_mask
    size_bytes, gpa = region.memory_size, region.guest_phys_addr
    user = not attempt.owner
    if user:
        if flags & ~_V1_FLAGS and machine.region2 and not region.region2:
            return FLAGS_OF_REGION2.refuse(flags=flags)
        if attempt.slot_id >= machine.user_slots:
            return SLOT_ID_TOO_HIGH.refuse(slot_id=attempt.slot_id, user_slots=machine.user_slots)
    if flags and flags & ~(
        machine.flags_gmem if flags & KVM_MEM_GUEST_MEMFD else machine.flags_plain
    ):
        return _refuse_flags(attempt)
    if size_bytes & page_mask:
        return SIZE_UNALIGNED.refuse(memory_size=size_bytes, page_bytes=page_mask + 1)
    if size_bytes > machine.ulong_max:
        if not machine.truncates_size:
            return SIZE_EXCEEDS_ULONG.refuse(memory_size=size_bytes, ulong_max=machine.ulong_max)
        attempt.npages &= machine.ulong_max
    if gpa & page_mask:
        return GPA_UNALIGNED.refuse(guest_phys_addr=gpa, page_bytes=page_mask + 1)
    if region.userspace_addr & page_mask:
        return HVA_UNALIGNED.refuse(userspace_addr=region.userspace_addr, page_bytes=page_mask + 1)
    if attempt.hva >> 56 != (0xFF if attempt.hva >> 55 & 1 else 0) and machine.hva_tagged_refused:
        return HVA_TAGGED.refuse(userspace_addr=attempt.hva)
    if attempt.hva + (size_bytes & machine.ulong_max) > machine.hva_end:
        refused = _check_far_hva(attempt)
        if refused is not None:
            return refused
    if flags & KVM_MEM_GUEST_MEMFD:
        offset = region.guest_memfd_offset
        if offset & page_mask:
            return GMEM_OFFSET_UNALIGNED.refuse(guest_memfd_offset=offset, page_bytes=page_mask + 1)
        if offset + size_bytes >= _2_64:
            return GMEM_OFFSET_WRAPS.refuse(guest_memfd_offset=offset, memory_size=size_bytes)
    if attempt.as_id >= machine.spaces:
        return ADDRESS_SPACE_UNKNOWN.refuse(as_id=attempt.as_id, spaces_count=machine.spaces)
    if gpa + size_bytes >= _2_64:
        return GPA_WRAPS.refuse(guest_phys_addr=gpa, memory_size=size_bytes)
    if attempt.npages > KVM_MEM_MAX_NR_PAGES and (
        user or not machine.profile.has("slot-size-user-only")
    ):
        return SLOT_TOO_LARGE.refuse(npages=attempt.npages, max_npages=KVM_MEM_MAX_NR_PAGES)
    return None


def _refuse_flags(attempt: RegionAttempt) -> Refused:
    machine, flags = attempt.machine, attempt.flags
    valid = machine.flags_gmem if flags & KVM_MEM_GUEST_MEMFD else machine.flags_plain
    return FLAGS_INVALID.refuse(
        flags=flags, refused=flag_text(flags & ~valid), valid=flag_text(valid)
    )


def _check_far_hva(attempt: RegionAttempt) -> Refused | Undetermined | None:
    """A host range that ends beyond where every such host accepts it."""
    machine, region = attempt.machine, attempt.region
    if attempt.owner and not machine.profile.has("failed-change-restored"):
        return None  # the test is skipped for KVM's own slots up to 5.4
    address = attempt.hva
    if machine.arch == "arm64" and attempt.process.tagged_addresses:
        address &= (1 << 56) - 1
    end = address + (region.memory_size & machine.ulong_max)
    if end <= machine.hva_end:
        return None
    numbers = {
        "userspace_addr": attempt.hva,
        "memory_size": region.memory_size,
        "host_end": machine.hva_end_high,
    }
    if end > machine.hva_end_high:
        return HVA_OUT_OF_RANGE.refuse(**numbers)
    return HVA_OUT_OF_RANGE.ask(
        f"where does user space end on this host: between {machine.hva_end:#x} and "
        f"{machine.hva_end_high:#x}? "
        "State it as +task-size=N (2^47 - 4096 without five-level paging on x86-64)",
        **numbers,
    )
