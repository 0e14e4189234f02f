"""The decision about a region call: the kernel's checks, in the kernel's order.

Pure: nothing is changed here.  Whoever applies an `Accepted` cannot fail.
"""

from __future__ import annotations

from .abi import KVM_MEM_GUEST_MEMFD
from .attempt import Attempt
from .change import CREATE, DELETE, NOTHING, PLACING, Change
from .outcome import Accepted, Refused, Undetermined, Unmodelled
from .rules.arguments import check_arguments, check_call
from .rules.catalogue import PREPARE_HOOKS
from .rules.identity import check_identity
from .rules.placement import check_binding, check_placement
from .slot import Slot

_NO_CHANGE = Accepted()


def decide(attempt: Attempt) -> Accepted | Refused | Undetermined | Unmodelled:
    """What KVM answers to this request, and what it does to the slots."""
    refused = check_call(attempt) or check_arguments(attempt) or check_identity(attempt)
    if refused is not None:
        return refused
    kind, old = attempt.kind, attempt.old
    if kind == NOTHING:
        return _NO_CHANGE
    if kind & PLACING:
        refused = check_placement(attempt)
        if refused is None and kind == CREATE and attempt.flags & KVM_MEM_GUEST_MEMFD:
            refused = check_binding(attempt)
        if refused is not None:
            return refused
    new = None
    if kind != DELETE:
        # a slot that loses the flag (a bug up to 6.18) leaves its binding behind
        binding = attempt.binding if old is None else old.binding if attempt.flags & KVM_MEM_GUEST_MEMFD else None
        new = Slot(
            attempt.as_id, attempt.slot_id, attempt.gfn, attempt.npages, attempt.hva, attempt.flags, binding,
            attempt.owner,
        )  # fmt: skip
    change = Change(kind, old, new)
    return PREPARE_HOOKS[attempt.machine.arch](attempt, change) or Accepted(change)
