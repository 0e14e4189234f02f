"""Checks against the slot of the same id, and what the region amounts to."""

from __future__ import annotations

from ...errnos import EINVAL, EIO
from ...state.change import CREATE, DELETE, FLAGS_ONLY, MOVE, NOTHING
from ...state.page_total import total_would_underflow
from ...state.slot_set import ID_MASK, ID_SHIFT
from ...uapi.flags import KVM_MEM_GUEST_MEMFD, KVM_MEM_READONLY
from ..answer import Refused, Rule, Unmodelled
from ..attempt import RegionAttempt

_SET = "__kvm_set_memory_region() in virt/kvm/kvm_main.c"

# fmt: off
DELETE_MISSING = Rule(
    "delete-missing", EINVAL, "memory_size is 0 and there is no slot with this id.",
    "A slot is deleted once; the second deletion finds nothing.",
    "Delete only what is registered; look whether another part of the program deleted it before.",
    _SET,
)
PAGE_TOTAL_UNDERFLOW = Rule(
    "page-total-underflow", EIO, "The VM's page total is smaller than the slot that is deleted.",
    "Cannot happen unless the kernel has lost count; it warns once.", "Report it: the kernel has "
        "a bug.", _SET,
    needs=("page-total-cap",),
)
PAGE_TOTAL_CAP = Rule(
    "page-total-cap", EINVAL, "The pages of all slots of the VM would no longer fit an unsigned "
                              "long.",
    """The total (nr_memslot_pages) is kept exact so that the shadow-MMU budget can be derived from
    it; all address spaces and KVM's own slots count.  On 64-bit hosts the cap cannot be reached; on
    32-bit hosts it is 2^32 - 1 pages.  The check comes before that for overlap.""",
    "Delete slots first; moves and changes of flags are still allowed.", _SET,
    needs=("page-total-cap",),
)
GUEST_MEMFD_CHANGE = Rule(
    "guest-memfd-change", EINVAL, "A region with KVM_MEM_GUEST_MEMFD names a slot that exists.",
    "Such a region can create a slot, never change one, not even to what it already is.",
    "Delete the slot and create it anew.", _SET, needs=("guest-memfd",),
)
USERSPACE_ADDR_CHANGE = Rule(
    "userspace-addr-change", EINVAL, "The slot exists with another userspace_addr.",
    """The backing of a slot cannot change.  On 32-bit hosts the address given is compared with all
    64 bits, the stored one has 32 (not from {hva-compared-truncated} until
    {hva-compared-truncated.until}): a slot made with rubbish in the upper half cannot be named
    again.""",
    "Delete the slot, then create it with the new address; guests must not touch it in between.",
    _SET,
)
SIZE_CHANGE = Rule(
    "size-change", EINVAL, "The slot exists with another size.", "A slot cannot be resized.",
    "Delete the slot and create it with the new size, or add a second slot for the rest.", _SET,
)
READONLY_CHANGE = Rule(
    "readonly-change", EINVAL, "The slot exists with the other value of KVM_MEM_READONLY.",
    "Of a slot's flags only KVM_MEM_LOG_DIRTY_PAGES can change.",
    "Delete the slot and create it anew.", _SET,
)
GUEST_MEMFD_TOGGLE = Rule(
    "guest-memfd-toggle", EINVAL, "The slot is backed by guest_memfd and the region is not.",
    """Kernels before the fix ({guest-memfd-toggle-refused}, and stable releases) converted the slot
    and left a dangling binding behind, a memory-safety bug.""",
    "Delete the slot and create it anew.", _SET,
    needs=("guest-memfd", "guest-memfd-toggle-refused"),
)
# fmt: on

RULES = (
    DELETE_MISSING,
    PAGE_TOTAL_UNDERFLOW,
    PAGE_TOTAL_CAP,
    GUEST_MEMFD_CHANGE,
    USERSPACE_ADDR_CHANGE,
    SIZE_CHANGE,
    READONLY_CHANGE,
    GUEST_MEMFD_TOGGLE,
)


def check_same_id(attempt: RegionAttempt) -> Refused | Unmodelled | None:
    """Compare with the slot of the same id; classify the region as a kind of change."""
    state = attempt.state
    npages = attempt.npages
    slot_id = attempt.slot_id
    attempt.old = old = state.spaces[attempt.as_id].ids[slot_id >> ID_SHIFT][slot_id & ID_MASK]
    if old is None:
        if not npages:
            return _no_pages(attempt)
        attempt.kind = CREATE
        total_pages = state.total_pages + npages
        if total_pages > attempt.machine.ulong_max and total_pages > state.total_cap:
            return PAGE_TOTAL_CAP.refuse(
                total_pages=state.total_pages, npages=npages, cap_pages=attempt.machine.ulong_max
            )
        return None
    if not npages:
        if attempt.region.memory_size and attempt.machine.profile.has("zero-size-is-delete"):
            return SIZE_CHANGE.refuse_for(old, npages=0, registered_npages=old.npages)
        attempt.kind = DELETE
        if total_would_underflow(state.total_pages, old.npages) and state.design.caps_total:
            return PAGE_TOTAL_UNDERFLOW.refuse(total_pages=state.total_pages, npages=old.npages)
        return None
    flags = attempt.flags
    if flags & KVM_MEM_GUEST_MEMFD:
        return GUEST_MEMFD_CHANGE.refuse_for(old)
    machine = attempt.machine
    given = attempt.region.userspace_addr
    if given != attempt.hva and machine.truncates_hva:
        given = attempt.hva
    if given != old.userspace_addr:
        return USERSPACE_ADDR_CHANGE.refuse_for(
            old, userspace_addr=given, registered=old.userspace_addr
        )
    if npages != old.npages:
        return SIZE_CHANGE.refuse_for(old, npages=npages, registered_npages=old.npages)
    changed = flags ^ old.flags
    if changed:
        if changed & KVM_MEM_READONLY:
            return READONLY_CHANGE.refuse_for(old, flags=flags, registered=old.flags)
        if changed & KVM_MEM_GUEST_MEMFD and machine.profile.has("guest-memfd-toggle-refused"):
            return GUEST_MEMFD_TOGGLE.refuse_for(old, flags=flags, registered=old.flags)
    if attempt.gfn != old.base_gfn:
        attempt.kind = MOVE
    elif changed:
        attempt.kind = FLAGS_ONLY
    else:
        attempt.kind = NOTHING
    return None


def _no_pages(attempt: RegionAttempt) -> Refused | Unmodelled:
    if attempt.region.memory_size and attempt.machine.profile.has("zero-size-is-delete"):
        return Unmodelled(
            "a size of a multiple of 2^44 on a 32-bit host of this release makes a slot of no pages"
        )
    return DELETE_MISSING.refuse(slot_id=attempt.slot_id, as_id=attempt.as_id)
