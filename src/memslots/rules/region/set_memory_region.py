"""__kvm_set_memory_region(): the decision about a region call, in the kernel's order.

Pure: nothing is changed here.  Nothing that is accepted can fail afterwards.
"""

from __future__ import annotations

from ...state.change import CREATE, DELETE, PLACING, SlotChange
from ...state.slot import SpecialSlot
from ...uapi.flags import KVM_MEM_GUEST_MEMFD
from ...uapi.region import ODD_CALL
from ..answer import NO_CHANGE, Accepted
from ..attempt import RegionAttempt
from ..unobserved import decided
from .arch.hooks import prepare_hook
from .arguments import check_arguments, check_call
from .overlap import check_overlap
from .same_id import check_same_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..answer import Answer, NotAccepted


@decided
def decide(attempt: RegionAttempt) -> Answer:
    """The answer to a region call, and what it does to the slots."""
    refused: NotAccepted | None = None
    if attempt.region.low_bits & ODD_CALL or attempt.state.dead or attempt.by_other_process:
        refused = check_call(attempt)
    refused = refused or check_arguments(attempt) or check_same_id(attempt)
    if refused is not None:
        return refused
    kind, old, binding = attempt.kind, attempt.old, None
    if kind & PLACING:
        refused = check_overlap(attempt)
        if refused is None and kind == CREATE and attempt.flags & KVM_MEM_GUEST_MEMFD:
            from .gmem_bind import check_binding

            refused = check_binding(attempt)
        if refused is not None:
            return refused
    elif not kind:
        return NO_CHANGE
    new = None
    if kind != DELETE:
        flags = attempt.flags
        if flags & KVM_MEM_GUEST_MEMFD:
            # a slot that loses the flag (a bug up to 6.18) leaves its binding behind
            binding = attempt.binding if old is None else old.binding
        new = SpecialSlot(
            attempt.as_id, attempt.slot_id, attempt.gfn, attempt.npages, attempt.hva, flags,
            binding, attempt.owner
        )  # fmt: skip
    change = SlotChange(kind, old, new)
    return prepare_hook(attempt.machine.arch)(attempt, change) or Accepted(change)
