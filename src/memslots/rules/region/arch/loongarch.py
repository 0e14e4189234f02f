"""kvm_arch_prepare_memory_region() of loongarch."""

from __future__ import annotations

from ....errnos import ENOMEM
from ....kernel.arch import LOONGARCH
from ....state.change import PLACING, SlotChange
from ...answer import Refused, Rule, Undetermined
from ...attempt import RegionAttempt

# fmt: off
LOONGARCH_GPA_LIMIT = Rule(
    "gpa-size-limit", ENOMEM, "The slot ends beyond the guest-physical size.",
    "loongarch since {loongarch-gpa-limit}: half of the virtual address size, all of it since "
    "{loongarch-gpa-full-width}.",
    "Keep guest memory below the limit.", "kvm_arch_prepare_memory_region() in "
                                          "arch/loongarch/kvm/mmu.c",
    needs=("loongarch-gpa-limit",),
    arches=LOONGARCH,
)
# fmt: on

RULES = (LOONGARCH_GPA_LIMIT,)


def prepare(attempt: RegionAttempt, change: SlotChange) -> Refused | Undetermined | None:
    """Refuses the change or finds nothing against it."""
    machine = attempt.machine
    end = attempt.gfn + attempt.npages
    if not attempt.kind & PLACING or end <= machine.gfn_end:
        return None
    if end > machine.gfn_end_high:
        return LOONGARCH_GPA_LIMIT.refuse_late(change, end_gfn=end, limit_gfn=machine.gfn_end_high)
    return LOONGARCH_GPA_LIMIT.ask(
        "how many virtual address bits has the host?  State them as +paN", end_gfn=end
    )
