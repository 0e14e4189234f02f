"""KVM_GET_DIRTY_LOG and KVM_CLEAR_DIRTY_LOG."""

from __future__ import annotations

from ..errnos import EFAULT, EINVAL, ENOENT, ENXIO, EOPNOTSUPP
from ..kernel.arch import S390
from ..state.change import DirtyLogCleared, DirtyLogRead
from ..state.dirty_bitmap import bitmap_bytes
from .answer import Accepted, Refused, Rule
from .attempt import Attempt
from .ioctl import unknown_ioctl

_GET = "kvm_get_dirty_log() and kvm_get_dirty_log_protect() in virt/kvm/kvm_main.c"
_CLEAR = "kvm_clear_dirty_log_protect() in virt/kvm/kvm_main.c"
_BOTH = "KVM_GET_DIRTY_LOG, KVM_CLEAR_DIRTY_LOG"
_OWN_LOG_ARCHES = frozenset({"ppc64", "s390x"})
"""Architectures with a GET_DIRTY_LOG of their own: all 32 bits of slot, cleared after a good
copy.
"""

# fmt: off
DIRTY_LOG_UNSUPPORTED = Rule(
    "dirty-log-unsupported", EOPNOTSUPP, "This flavour of KVM keeps no dirty log.",
    "BookE on 32-bit powerpc.", "Track writes in another way.",
    "kvmppc_core_get_dirty_log() in arch/powerpc/kvm/booke.c",
    calls="KVM_GET_DIRTY_LOG", needs=("get-dirty-eopnotsupp",),
    numberless=True,
)
UCONTROL_DIRTY_LOG = Rule(
    "ucontrol-dirty-log", EINVAL, "A user-controlled VM is asked for a dirty log.",
    "Its memory belongs to user space, which maps it page by page.",
    "Track writes in the program that maps the pages.",
    "kvm_vm_ioctl_get_dirty_log() in arch/s390/kvm/kvm-s390.c", calls="KVM_GET_DIRTY_LOG",
    arches=S390,
    numberless=True,
)
DIRTY_RING_INSTEAD = Rule(
    "dirty-ring-instead", ENXIO, "The VM uses a dirty ring without bitmaps.",
    "Checked before anything else about the call.", "Read the ring mapped at each vCPU, or enable "
                                                    "no ring.", _GET,
    calls=_BOTH, needs=("reset-dirty-rings",),
)
DIRTY_SLOT_UNKNOWN = Rule(
    "dirty-slot-unknown", EINVAL, "The slot field names no user slot or no address space of the "
                                  "VM.",
    "powerpc HV and s390 compare all 32 bits with the number of user slots.", "Pass as_id << 16 | "
        "slot id.", _GET,
    calls=_BOTH,
)
FIRST_PAGE_UNALIGNED = Rule(
    "first-page-unaligned", EINVAL, "first_page is not a multiple of 64.",
    "Checked before the slot is looked up.", "Start at a multiple of 64.", _CLEAR,
    calls="KVM_CLEAR_DIRTY_LOG",
    needs=("clear-dirty-log",),
)
NOT_LOGGING = Rule(
    "slot-not-logging", ENOENT, "There is no such slot, or it has no dirty bitmap.",
    "A slot has one while KVM_MEM_LOG_DIRTY_PAGES is set, unless a ring was on when it was set.",
    "Set KVM_MEM_LOG_DIRTY_PAGES first.", _GET, calls=_BOTH,
)
CLEAR_RANGE = Rule(
    "clear-range", EINVAL, "The pages do not lie in the slot, or end neither at a multiple of 64 "
                           "nor at its end.",
    "num_pages must be a multiple of 64 or reach the end of the slot exactly.",
    "Round num_pages up to 64, but not beyond the slot.", _CLEAR, calls="KVM_CLEAR_DIRTY_LOG",
    needs=("clear-dirty-log",),
)
BITMAP_UNREADABLE = Rule(
    "bitmap-buffer", EFAULT, "The bitmap's buffer cannot be read or written in full.",
    """Get writes, clear reads, a whole number of unsigned longs.  Without manual protection a
    failed get has cleared the bits already: they are lost.""",
    "Give a buffer of round_up(pages, 64) / 8 bytes.", _GET, calls=_BOTH,
)
# fmt: on

RULES = (
    DIRTY_LOG_UNSUPPORTED,
    UCONTROL_DIRTY_LOG,
    DIRTY_RING_INSTEAD,
    DIRTY_SLOT_UNKNOWN,
    FIRST_PAGE_UNALIGNED,
    NOT_LOGGING,
    CLEAR_RANGE,
    BITMAP_UNREADABLE,
)


def decide_get(attempt: Attempt) -> Accepted | Refused:
    """The answer to KVM_GET_DIRTY_LOG; the bitmap is its data."""
    machine, state, slot_word = attempt.machine, attempt.state, attempt.get("slot")
    if machine.profile.has("get-dirty-eopnotsupp"):
        return DIRTY_LOG_UNSUPPORTED.refuse()
    if state.config.ucontrol:
        return UCONTROL_DIRTY_LOG.refuse()
    refused = _check_slot(attempt, all_bits=machine.arch in _OWN_LOG_ARCHES)
    if refused is not None:
        return refused
    bitmap = state.bitmap(slot_word)
    if bitmap is None:
        return NOT_LOGGING.refuse(slot_id=slot_word & 0xFFFF, as_id=slot_word >> 16)
    nbytes = bitmap_bytes(bitmap.npages, machine.long_bits)
    fits = attempt.buffer_bytes is None or nbytes <= attempt.buffer_bytes
    change = None
    if not state.config.manual_protect and (fits or machine.arch not in _OWN_LOG_ARCHES):
        change = DirtyLogRead(slot_word)
    if not fits:
        numbers = {"bitmap_bytes": nbytes, "buffer_bytes": attempt.buffer_bytes or 0}
        return Refused(BITMAP_UNREADABLE, numbers, None, change)
    return Accepted(change, data=bitmap.copy())


def _check_slot(attempt: Attempt, *, all_bits: bool = False) -> Refused | None:
    machine, state, slot_word = attempt.machine, attempt.state, attempt.get("slot")
    if not state.uses_bitmaps:
        return DIRTY_RING_INSTEAD.refuse(ring_bytes=state.config.ring_bytes)
    slot_id, as_id = slot_word & 0xFFFF, slot_word >> 16
    if (
        slot_id >= machine.user_slots
        or as_id >= machine.spaces
        or (all_bits and slot_word >= machine.user_slots)
    ):
        return DIRTY_SLOT_UNKNOWN.refuse(
            slot_id=slot_id, as_id=as_id, user_slots=machine.user_slots
        )
    return None


def decide_clear(attempt: Attempt) -> Accepted | Refused:
    """The answer to KVM_CLEAR_DIRTY_LOG; `mask` names the pages to clear, all of the range if it
    is not given.
    """
    machine, slot_word = attempt.machine, attempt.get("slot")
    first_page, num_pages = attempt.get("first_page"), attempt.get("num_pages")
    if not machine.profile.has("clear-dirty-log"):
        return unknown_ioctl(machine)
    refused = _check_slot(attempt)
    if refused is not None:
        return refused
    if first_page & 63:
        return FIRST_PAGE_UNALIGNED.refuse(first_page=first_page)
    bitmap = attempt.state.bitmap(slot_word)
    if bitmap is None:
        return NOT_LOGGING.refuse(slot_id=slot_word & 0xFFFF, as_id=slot_word >> 16)
    npages = bitmap.npages
    odd_end = num_pages & 63 and (
        num_pages != npages - first_page or not machine.profile.has("clear-to-odd-end")
    )
    if first_page > npages or num_pages > npages - first_page or odd_end:
        return CLEAR_RANGE.refuse(first_page=first_page, num_pages=num_pages, npages=npages)
    nbytes = bitmap_bytes(num_pages, machine.long_bits)
    if attempt.buffer_bytes is not None and nbytes > attempt.buffer_bytes:
        return BITMAP_UNREADABLE.refuse(bitmap_bytes=nbytes, buffer_bytes=attempt.buffer_bytes)
    return Accepted(DirtyLogCleared(slot_word, first_page, num_pages, attempt.fields.get("mask")))
