"""Checks of the host mappings behind a slot, as arm64 and riscv make them."""

from __future__ import annotations

from ....errnos import EINVAL, EPERM
from ....kernel.arch import ARM64, WITH_VMA_WALK
from ....state.change import SlotChange
from ....state.process import PROT_WRITE, Mapping
from ....uapi.flags import KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY
from ...answer import Refused, Rule, Undetermined
from ...attempt import RegionAttempt

_PREPARE = (
    "kvm_arch_prepare_memory_region() in arch/arm64/kvm/mmu.c; "
    "kvm_arch_prepare_memory_region() in arch/riscv/kvm/mmu.c"
)

# fmt: off
VMA_NOT_WRITABLE = Rule(
    "vma-not-writable", EPERM, "The slot is writable and part of its host memory is mapped "
                               "read-only.",
    "riscv, and arm64 up to 5.6.  Parts that are not mapped at all are fine.",
    "Map the memory PROT_WRITE, or register the slot with KVM_MEM_READONLY.", _PREPARE,
    arches=WITH_VMA_WALK,
)
VMA_MTE = Rule(
    "vma-mte", EINVAL, "The VM uses memory tagging and the host mapping does not allow it.",
    "From {arm64-mte-shared} on shared mappings are refused, since {arm64-mte-vma} only those "
    "without VM_MTE_ALLOWED.",
    "Back the guest with private anonymous memory, or with a file system that allows tags.",
    _PREPARE,
    arches=ARM64, any_of=("arm64-mte-shared", "arm64-mte-vma"),
)
VMA_PFN_LOGGING = Rule(
    "vma-pfn-logging", EINVAL, "The slot logs dirty pages and part of its host memory is a raw "
                               "device mapping.",
    "Writes to device memory cannot be logged.", "Do not log dirty pages of passed-through device "
                                                 "memory.", _PREPARE,
    arches=WITH_VMA_WALK,
)
VMA_PFN_CACHEABLE = Rule(
    "vma-pfn-cacheable", EINVAL, "A cacheable device mapping, and the host cannot keep it "
                                 "coherent.",
    "arm64 since {arm64-pfn-cacheable}; whether the host can (FWB and DIC) decides.",
    "Map the device memory "
        "uncached.", _PREPARE,
    needs=("arm64-pfn-cacheable",),
    arches=WITH_VMA_WALK,
)
# fmt: on

RULES = (VMA_NOT_WRITABLE, VMA_MTE, VMA_PFN_LOGGING, VMA_PFN_CACHEABLE)


def check_mappings(attempt: RegionAttempt, change: SlotChange) -> Refused | Undetermined | None:
    """Walk the known mappings of the slot in address order, each through all checks."""
    start = attempt.hva
    end = start + attempt.region.memory_size
    for mapping in attempt.process.walk(start, end):
        refused = _check_mapping(attempt, change, mapping)
        if refused is not None:
            return refused
    return None


def _check_mapping(
    attempt: RegionAttempt, change: SlotChange, mapping: Mapping
) -> Refused | Undetermined | None:
    profile = attempt.machine.profile
    where = {"mapping_start": mapping.start, "mapping_end": mapping.end}
    writes = not attempt.flags & KVM_MEM_READONLY and not mapping.prot & PROT_WRITE
    # newer releases of arm64 do not look: a write fails when it happens
    if writes and (profile.arch.name != "arm64" or profile.has("arm64-vma-write-check")):
        return VMA_NOT_WRITABLE.refuse_late(change, **where)
    if attempt.state.config.arm64_mte and (
        (profile.has("arm64-mte-shared") and mapping.is_shared)
        or (profile.has("arm64-mte-vma") and not mapping.mte_allowed)
    ):
        return VMA_MTE.refuse_late(change, **where)
    if mapping.is_pfn:
        if attempt.flags & KVM_MEM_LOG_DIRTY_PAGES:
            return VMA_PFN_LOGGING.refuse_late(change, **where)
        if profile.has("arm64-pfn-cacheable"):
            return VMA_PFN_CACHEABLE.ask(
                "is the device mapping cacheable, and has the host FWB and DIC?", **where
            )
    return None
