"""kvm_arch_prepare_memory_region() of riscv."""

from __future__ import annotations

from ....errnos import EFAULT
from ....kernel.arch import RISCV
from ....state.change import DELETE, SlotChange
from ...answer import Refused, Rule, Undetermined
from ...attempt import RegionAttempt
from .vma import check_mappings

# fmt: off
GPA_LIMIT = Rule(
    "stage2-limit", EFAULT, "The slot reaches the end of the second-stage address space.",
    """The size follows from the paging mode (Sv39x4 41 bits, Sv48x4 50, Sv57x4 59).  A slot that
    ends exactly at the limit is refused.""",
    "Keep guest memory below 2^KVM_CAP_VM_GPA_BITS, without the last page.",
    "kvm_arch_prepare_memory_region() in arch/riscv/kvm/mmu.c",
    arches=RISCV,
)
# fmt: on

RULES = (GPA_LIMIT,)


def prepare(attempt: RegionAttempt, change: SlotChange) -> Refused | Undetermined | None:
    """Refuses the change, or finds nothing against it."""
    if attempt.kind == DELETE:
        return None
    machine = attempt.machine
    end = attempt.gfn + attempt.npages
    if end > machine.gfn_end_high:
        return GPA_LIMIT.refuse_late(change, end_gfn=end, limit_gfn=machine.gfn_end_high)
    if end > machine.gfn_end:
        return GPA_LIMIT.ask(
            "how many guest-physical bits has the host (KVM_CAP_VM_GPA_BITS)?  +paN", end_gfn=end
        )
    return check_mappings(attempt, change)
