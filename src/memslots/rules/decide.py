"""The answer to any call: one function for each, and what KVM checks before all of them.

Pure: nothing is changed here.  Nothing that is accepted can fail afterwards.
"""

from __future__ import annotations

from ..late import load
from ..uapi.calls import BESIDE_MEMORY, CALLS, SYSTEM, VCPU, VM
from .answer import Unmodelled
from .ioctl import check_caller
from .unobserved import decided

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .answer import Answer
    from .attempt import Attempt

DECISIONS = {
    "KVM_CREATE_VM": "rules.create_vm:decide",
    "KVM_CHECK_EXTENSION": "rules.check_extension:decide",
    "KVM_CREATE_VCPU": "rules.create_vcpu:decide",
    "KVM_GET_DIRTY_LOG": "rules.dirty_log:decide_get",
    "KVM_CLEAR_DIRTY_LOG": "rules.dirty_log:decide_clear",
    "KVM_RESET_DIRTY_RINGS": "rules.dirty_ring:decide_reset",
    "KVM_SET_NR_MMU_PAGES": "rules.nr_mmu_pages:decide_set",
    "KVM_GET_NR_MMU_PAGES": "rules.nr_mmu_pages:decide_get",
    "KVM_SET_TSS_ADDR": "rules.tss_and_identity:decide_tss",
    "KVM_SET_IDENTITY_MAP_ADDR": "rules.tss_and_identity:decide_identity_map",
    "KVM_CREATE_IRQCHIP": "rules.irqchip:decide",
    "KVM_ENABLE_CAP": "rules.enable_cap:decide",
    "KVM_SET_MEMORY_ATTRIBUTES": "rules.memory_attributes:decide",
    "KVM_CREATE_GUEST_MEMFD": "rules.guest_memfd:decide",
    "KVM_PRE_FAULT_MEMORY": "rules.pre_fault:decide",
}
"""Call: the place of its decision.  Region calls have theirs in `rules.region`."""


@decided
def decide(attempt: Attempt) -> Answer:
    """What KVM answers to a call other than a region call."""
    if attempt.on != SYSTEM:
        refused = check_caller(attempt.state, by_other_process=attempt.by_other_process)
        if refused is not None:
            return refused
    if attempt.on == VCPU and CALLS[attempt.call].on == VM:
        return Unmodelled(f"{attempt.call} on a vCPU's descriptor")
    if attempt.call in BESIDE_MEMORY:
        return Unmodelled(f"{attempt.call}, which is about no memory")
    decision: Callable[[Attempt], Answer] = load(DECISIONS[attempt.call])
    return decision(attempt)
