"""What an error message without the name of an ioctl is about.

Many failures look like a memory slot's and are not: the same errno, the same words.
The first entry that matches decides, so the particular stands before the general.
"""

from __future__ import annotations

from ..patterns import lazy

REGION = "KVM_SET_USER_MEMORY_REGION"

# (call, does it need an errno in sight, words).  `message` where no call is named.
_ENTRIES: tuple[tuple[str, bool, tuple[str, ...]], ...] = (
    (
        REGION,
        True,
        (r"error (?:un)?registering slot\b", r"\bkvm_set_user_memory_region\b.{0,80}(?i:fail)"),
    ),
    ("KVM_CREATE_GUEST_MEMFD", True, (r"(?i:create_?guest_?memfd)",)),
    ("KVM_SET_MEMORY_ATTRIBUTES", True, (r"(?i:set_?memory_?attributes)",)),
    ("KVM_IOEVENTFD", True, (r"(?i:\bio_?event_?(?:fd)?s?\b)", r"(?i:ioeventfd)", r"IoEvent")),
    ("KVM_IRQFD", True, (r"(?i:irqfd)", r"RegisterIrq")),
    (
        "VFIO_IOMMU_MAP_DMA",
        True,
        (
            r"VFIO_(?:IOMMU_)?(?:UN)?MAP_DMA",
            r"vfio_(?:container_|listener_|legacy_)?dma_(?:un)?map",
            r"(?i:vfio_?dma_?map)",
            r"IommuDmaMap",
            r"iommufd_backend_map_dma",
        ),
    ),
    ("VHOST_SET_MEM_TABLE", True, (r"(?i:vhost_?(?:user_)?set_?mem_?table)", r"SetMemTable")),
    ("KVM_MEMORY_ENCRYPT_REG_REGION", True, (r"sev_ram_block_added", r"(?i:encrypt_?reg_?region)")),
    (
        "open",
        True,
        (
            r"Could not access KVM kernel module",
            r"/dev/kvm\b.{0,120}(?i:denied|no such|fail|error|busy)",
            r"(?i:(?:creating|opening|open) (?:the )?kvm\b)",
        ),
    ),
    (
        "KVM_CREATE_VM",
        True,
        (
            r"(?i:failed to initialize kvm)",
            r"\bVm(?:Fd|Create|Creation|New)\(",
            r"CreateVm\b",
            r"\bcreate_vm\b",
            r"(?i:\bcreat\w+ (?:the |a )?(?:kvm )?vm\b)",
            r"(?i:opening vm fd)",
        ),
    ),
    ("message", False, (r"\bkvm_arch_init_vcpu\b",)),  # the vCPU is made: its state is set up
    ("KVM_CREATE_VCPU", True, (r"(?i:create_?vcpu)", r"\bVcpuFd\(", r"\bkvm_init_vcpu\b")),
    (
        "KVM_RUN",
        True,
        (
            r"(?i:\bkvm run failed)",
            r"VcpuRun",
            r"(?i:\bvcpu_?run\b)",
            r"(?i:\brunning (?:the )?vcpu)",
            r"\bkvm_run\b.{0,40}(?i:fail)",
            r"(?i:\brun ioctl\b)",
        ),
    ),
    (
        "message",  # the VMM ran out of its own slots
        False,
        (
            r"(?i:\bno (?:more )?free (?:memory |mem ?)?slots?\b)",
            r"(?i:not enough (?:free )?(?:memory )?slots\b)",
            r"(?i:free memory slots? left)",
            r"(?i:insufficient number of memory slots)",
            r"(?i:(?:out of|too many) (?:free )?(?:kvm |memory )+slots\b)",
            r"(?i:memory slots? (?:limit|exhausted|exceeded))",
        ),
    ),
    (
        "message",  # the host had no memory for the guest
        False,
        (
            r"(?i:cannot set up guest memory)",
            r"(?i:unable to map backing store)",
            r"(?i:free host memory)",
            r"os_mem_prealloc",
            r"(?i:can't open backing store)",
            r"(?i:huge ?(?:tlb|page).{0,60}(?:fail|not enough|cannot|unable))",
        ),
    ),
    ("message", False, (r"(?i:phys-bits)", r"Address space limit 0x")),
    (
        "message",  # something else is wrong with the VM
        False,
        (
            r"KVM internal error",
            r"KVM: entry failed",
            r"KVM_EXIT_(?:FAIL_ENTRY|INTERNAL_ERROR|MEMORY_FAULT)",
            r"\bMemoryFault \{",
        ),
    ),
    (
        "message",
        False,
        (r"(?i:failed to (?:set ?up|register|add|create|map) (?:kvm |guest |user |the )*memory)",),
    ),
    ("message", True, (r"add_memory_region", r"(?i:memslot).{0,60}(?i:fail|error)")),
)

TABLE = tuple((call, needs, lazy("|".join(words))) for call, needs, words in _ENTRIES)
"""(call, needs an errno, pattern), in the order in which they are tried."""

ABOUT = lazy(
    r"(?i:kvm|memory|region|hypervisor|slot|\bvm\b|vcpu|ioevent|irqfd|vfio|mmap)|Vm[A-Z(]|\bvm_"
    r"|vmm?::"
)
"""What a Rust error must mention to be of interest: a VMM fails for many reasons."""


def place(call: str, result: int | None) -> str:
    """KVM_CREATE_VM does not fail for want of permission or of the file: opening it did."""
    return "open" if call == "KVM_CREATE_VM" and result in (-1, -2, -6, -13, -19) else call
