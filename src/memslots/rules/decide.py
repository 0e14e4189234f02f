"""The answer to any call: one function for each, and what KVM checks before all of them.

Pure: nothing is changed here.  Nothing that is accepted can fail afterwards.
"""

from __future__ import annotations

from ..uapi.calls import BESIDE_MEMORY, CALLS, SYSTEM, VCPU, VM
from . import (
    check_extension,
    create_vcpu,
    create_vm,
    dirty_log,
    dirty_ring,
    enable_cap,
    guest_memfd,
    irqchip,
    memory_attributes,
    nr_mmu_pages,
    pre_fault,
    tss_and_identity,
)
from .answer import Unmodelled
from .ioctl import check_caller
from .unobserved import decided

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .answer import Answer
    from .attempt import Attempt

DECISIONS: dict[str, Callable[[Attempt], Answer]] = {
    "KVM_CREATE_VM": create_vm.decide,
    "KVM_CHECK_EXTENSION": check_extension.decide,
    "KVM_CREATE_VCPU": create_vcpu.decide,
    "KVM_GET_DIRTY_LOG": dirty_log.decide_get,
    "KVM_CLEAR_DIRTY_LOG": dirty_log.decide_clear,
    "KVM_RESET_DIRTY_RINGS": dirty_ring.decide_reset,
    "KVM_SET_NR_MMU_PAGES": nr_mmu_pages.decide_set,
    "KVM_GET_NR_MMU_PAGES": nr_mmu_pages.decide_get,
    "KVM_SET_TSS_ADDR": tss_and_identity.decide_tss,
    "KVM_SET_IDENTITY_MAP_ADDR": tss_and_identity.decide_identity_map,
    "KVM_CREATE_IRQCHIP": irqchip.decide,
    "KVM_ENABLE_CAP": enable_cap.decide,
    "KVM_SET_MEMORY_ATTRIBUTES": memory_attributes.decide,
    "KVM_CREATE_GUEST_MEMFD": guest_memfd.decide,
    "KVM_PRE_FAULT_MEMORY": pre_fault.decide,
}
"""Call: its decision.  Region calls have theirs in `rules.region`."""


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
    return DECISIONS[attempt.call](attempt)
