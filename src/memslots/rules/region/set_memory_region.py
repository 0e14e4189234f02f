"""The decision about a region call: the kernel's checks, in the kernel's order.

Pure: nothing is changed here.  Whoever applies an `Accepted` cannot fail.
"""

from __future__ import annotations

from ...state.change import CREATE, DELETE, PLACING
from ...state.slot import SpecialSlot
from ...uapi.abi import KVM_MEM_GUEST_MEMFD
from ..answer import NO_CHANGE, Accepted, Refused, Undetermined, Unmodelled
from ..attempt import Attempt
from ..catalogue import PREPARE_HOOKS
from .arguments import check_arguments, check_call
from .overlap import check_binding, check_placement
from .same_id import check_identity


def decide(attempt: Attempt) -> Accepted | Refused | Undetermined | Unmodelled:
    """What KVM answers to this request, and what it does to the slots."""
    refused: Refused | Undetermined | Unmodelled | None = None
    if attempt.request.unusual or attempt.state.dead or attempt.by_other_process:
        refused = check_call(attempt)
    refused = refused or check_arguments(attempt) or check_identity(attempt)
    if refused is not None:
        return refused
    kind, old, binding = attempt.kind, attempt.old, None
    if kind & PLACING:
        refused = check_placement(attempt)
        if refused is None and kind == CREATE and attempt.flags & KVM_MEM_GUEST_MEMFD:
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
            attempt.as_id, attempt.slot_id, attempt.gfn, attempt.npages, attempt.hva, flags, binding, attempt.owner
        )  # fmt: skip
    accepted = Accepted(kind, old, new)
    return PREPARE_HOOKS[attempt.machine.arch](attempt, accepted) or accepted
