"""kvm_arch_prepare_memory_region() of arm64."""

from __future__ import annotations

from ....errnos import EFAULT, EINVAL, EPERM
from ....kernel.arch import ARM64
from ....state.change import DELETE, MOVE, SlotChange
from ....uapi.flags import (
    GUEST_MEMFD_FLAG_MMAP,
    KVM_MEM_GUEST_MEMFD,
    KVM_MEM_LOG_DIRTY_PAGES,
    KVM_MEM_READONLY,
)
from ...answer import Refused, Rule, Undetermined
from ...attempt import RegionAttempt
from .vma import check_mappings

_PREPARE = "kvm_arch_prepare_memory_region() in arch/arm64/kvm/mmu.c"

# fmt: off
PROTECTED_VM_CHANGE = Rule(
    "protected-vm-change", EPERM, "A protected VM deletes or moves a slot once it runs, or logs "
                                  "or write-protects one.",
    "The hypervisor owns the memory of a protected VM.", "Set up the memory before the first vCPU "
                                                         "runs.", _PREPARE,
    needs=("arm64-protected-vm",),
    arches=ARM64,
    numberless=True,
)
IPA_LIMIT = Rule(
    "ipa-limit", EFAULT, "The slot ends beyond the VM's intermediate physical address size.",
    """The size is the VM's type in bits, 40 if it is 0.  Before {arm64-ipa-limit-inclusive} a slot
    that ends exactly at the limit is refused too.""",
    "Create the VM with more IPA bits (KVM_CAP_ARM_VM_IPA_SIZE says how many the host has).",
    _PREPARE,
    arches=ARM64,
)
GMEM_NOT_MAPPABLE = Rule(
    "gmem-not-mappable", EINVAL, "The slot's guest_memfd was made without GUEST_MEMFD_FLAG_MMAP.",
    "arm64 takes guest_memfd only as memory that user space shares.",
    "Create the file with GUEST_MEMFD_FLAG_MMAP.", _PREPARE, needs=("arm64-gmem-needs-mmap",),
    arches=ARM64,
    numberless=True,
)
GMEM_WITH_MTE = Rule(
    "gmem-with-mte", EINVAL, "The VM uses memory tagging, which guest_memfd has not.",
    "The other way round, KVM_CAP_ARM_MTE is refused while a guest_memfd slot exists.",
    "Back the memory of such a VM with anonymous mappings.", _PREPARE,
    needs=("arm64-mte-without-gmem",), arches=ARM64,
    numberless=True,
)
# fmt: on

RULES = (PROTECTED_VM_CHANGE, IPA_LIMIT, GMEM_NOT_MAPPABLE, GMEM_WITH_MTE)


def prepare(attempt: RegionAttempt, change: SlotChange) -> Refused | Undetermined | None:
    """Refuses the change, or finds nothing against it."""
    machine, config, kind = attempt.machine, attempt.state.config, attempt.kind
    if config.protected and machine.profile.has("arm64-protected-vm"):
        removes = config.hypervisor_vm_created and kind & (DELETE | MOVE)
        if removes or (
            kind != DELETE and attempt.flags & (KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY)
        ):
            return PROTECTED_VM_CHANGE.refuse_late(change)
    if kind == DELETE:
        return None
    end = attempt.gfn + attempt.npages
    if end > machine.gfn_end_high:
        return IPA_LIMIT.refuse_late(change, end_gfn=end, limit_gfn=machine.gfn_end_high)
    if end > machine.gfn_end:
        return IPA_LIMIT.ask(
            "how many IPA bits has the VM (the type given to KVM_CREATE_VM)?", end_gfn=end
        )
    if (
        attempt.flags & KVM_MEM_GUEST_MEMFD
        and not attempt.binding.file.flags & GUEST_MEMFD_FLAG_MMAP
    ):
        return GMEM_NOT_MAPPABLE.refuse_late(change)
    tagged = attempt.flags & KVM_MEM_GUEST_MEMFD and config.arm64_mte
    if tagged and machine.profile.has("arm64-mte-without-gmem"):
        return GMEM_WITH_MTE.refuse_late(change)
    return check_mappings(attempt, change)
