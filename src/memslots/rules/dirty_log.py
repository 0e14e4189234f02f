"""The calls of dirty logging: get, clear, reset, and switching it on."""

from __future__ import annotations

from errno import E2BIG, EFAULT, EINVAL, ENOENT, ENXIO, EOPNOTSUPP

from ..state.dirty_bitmap import bitmap_bytes
from ..state.vm_state import VmState
from ..uapi.abi import KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE, KVM_DIRTY_RING_MAX_BYTES
from .answer import Accepted, Answer, Refused, Undetermined
from .region.arguments import IOCTL_UNKNOWN
from .rule import Rule

_GET = "kvm_get_dirty_log() and kvm_get_dirty_log_protect() in virt/kvm/kvm_main.c"
_CLEAR = "kvm_clear_dirty_log_protect() in virt/kvm/kvm_main.c"
_BOTH = "KVM_GET_DIRTY_LOG, KVM_CLEAR_DIRTY_LOG"

# fmt: off
DIRTY_LOG_UNSUPPORTED = Rule(
    "dirty-log-unsupported", EOPNOTSUPP, "This flavour of KVM keeps no dirty log.",
    "BookE on 32-bit powerpc.", "Track writes in another way.", "kvmppc_core_get_dirty_log()",
    calls="KVM_GET_DIRTY_LOG", needs=("get-dirty-eopnotsupp",),
)
DIRTY_RING_INSTEAD = Rule(
    "dirty-ring-instead", ENXIO, "The VM uses a dirty ring without bitmaps.",
    "Checked before anything else about the call.", "Read the ring mapped at each vCPU, or enable no ring.", _GET,
    calls=_BOTH, needs=("reset-dirty-rings",),
)
DIRTY_SLOT_UNKNOWN = Rule(
    "dirty-slot-unknown", EINVAL, "The slot field names no user slot or no address space of the VM.",
    "powerpc HV and s390 compare all 32 bits with the number of user slots.", "Pass as_id << 16 | slot id.", _GET,
    calls=_BOTH,
)
FIRST_PAGE_UNALIGNED = Rule(
    "first-page-unaligned", EINVAL, "first_page is not a multiple of 64.",
    "Checked before the slot is looked up.", "Start at a multiple of 64.", _CLEAR, calls="KVM_CLEAR_DIRTY_LOG",
)
NOT_LOGGING = Rule(
    "slot-not-logging", ENOENT, "There is no such slot, or it has no dirty bitmap.",
    "A slot has one while KVM_MEM_LOG_DIRTY_PAGES is set, unless a ring was on when it was set.",
    "Set KVM_MEM_LOG_DIRTY_PAGES first.", _GET, calls=_BOTH,
)
CLEAR_RANGE = Rule(
    "clear-range", EINVAL, "The pages do not lie in the slot, or end neither at a multiple of 64 nor at its end.",
    "num_pages must be a multiple of 64 or reach the end of the slot exactly.",
    "Round num_pages up to 64, but not beyond the slot.", _CLEAR, calls="KVM_CLEAR_DIRTY_LOG",
)
BITMAP_UNREADABLE = Rule(
    "bitmap-buffer", EFAULT, "The bitmap's buffer cannot be read or written in full.",
    """Get writes, clear reads, a whole number of unsigned longs.  Without manual protection a failed get has
    cleared the bits already: they are lost.""",
    "Give a buffer of round_up(pages, 64) / 8 bytes.", _GET, calls=_BOTH,
)
MANUAL_PROTECT_ARGUMENT = Rule(
    "manual-protect-argument", EINVAL, "The argument of KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 is not 0, 1 or 3.",
    "3 (all pages dirty at first) since 5.7, on riscv much later; 2 alone never.", "Use 1.",
    "kvm_vm_ioctl_enable_cap_generic() in virt/kvm/kvm_main.c", calls="KVM_ENABLE_CAP",
)
RING_SIZE = Rule(
    "dirty-ring-size", EINVAL, "The ring's size is not a power of two, or smaller than a page or what is reserved.",
    "Intel hosts with page-modification logging reserve 576 entries, so the smallest ring there is 16384 bytes.",
    "Use 65536 bytes.", "kvm_vm_ioctl_enable_dirty_log_ring() in virt/kvm/kvm_main.c", calls="KVM_ENABLE_CAP",
)
RING_TOO_LARGE = Rule(
    "dirty-ring-too-large", E2BIG, "The ring has more than 65536 entries.", "1 MiB a vCPU at most.",
    "Use at most 1048576 bytes.", "kvm_vm_ioctl_enable_dirty_log_ring() in virt/kvm/kvm_main.c",
    calls="KVM_ENABLE_CAP",
)
RING_TOO_LATE = Rule(
    "dirty-ring-too-late", EINVAL, "A ring is on already, or the VM has vCPUs.",
    "Slots may exist already.", "Enable the ring right after KVM_CREATE_VM.",
    "kvm_vm_ioctl_enable_dirty_log_ring() in virt/kvm/kvm_main.c", calls="KVM_ENABLE_CAP",
)
RING_WITH_BITMAP = Rule(
    "ring-with-bitmap", EINVAL, "Bitmaps beside a ring need arm64, an enabled ring, and no slots yet.",
    "For pages that a device writes without a vCPU.", "Enable it after the ring and before the first slot.",
    "kvm_vm_ioctl_enable_cap_generic() in virt/kvm/kvm_main.c", calls="KVM_ENABLE_CAP",
)
NO_RING = Rule(
    "no-dirty-ring", EINVAL, "The VM has no dirty ring.", "", "Enable KVM_CAP_DIRTY_LOG_RING first.",
    "kvm_vm_ioctl_reset_dirty_pages() in virt/kvm/kvm_main.c", calls="KVM_RESET_DIRTY_RINGS",
)
# fmt: on

DIRTY_LOG_RULES = (
    DIRTY_LOG_UNSUPPORTED,
    DIRTY_RING_INSTEAD,
    DIRTY_SLOT_UNKNOWN,
    FIRST_PAGE_UNALIGNED,
    NOT_LOGGING,
    CLEAR_RANGE,
    BITMAP_UNREADABLE,
    MANUAL_PROTECT_ARGUMENT,
    RING_SIZE,
    RING_TOO_LARGE,
    RING_TOO_LATE,
    RING_WITH_BITMAP,
    NO_RING,
)

_OWN_LOG_ARCHES = frozenset({"ppc64", "s390x"})
"""Architectures with a GET_DIRTY_LOG of their own: all 32 bits of slot, cleared after a good copy."""
_RESERVED_ENTRIES = 64
_PML_ENTRIES = 512
_ENTRY_BYTES = 16


def unknown_ioctl(state: VmState) -> Refused:
    """The kernel does not know the call."""
    return IOCTL_UNKNOWN.refuse(errno=state.machine.profile.arch.unknown_vm_ioctl)


def get_dirty_log(state: VmState, slot_word: int, buffer_bytes: int | None) -> Accepted | Refused:
    """KVM_GET_DIRTY_LOG into a buffer of so many bytes (None: enough); the bitmap is the data."""
    machine = state.machine
    if machine.profile.has("get-dirty-eopnotsupp"):
        return DIRTY_LOG_UNSUPPORTED.refuse()
    refused = _check_slot(state, slot_word, all_bits=machine.arch in _OWN_LOG_ARCHES)
    if refused is not None:
        return refused
    bitmap = state.bitmap(slot_word)
    if bitmap is None:
        return NOT_LOGGING.refuse(slot_id=slot_word & 0xFFFF, as_id=slot_word >> 16)
    snapshot = bitmap.copy()
    nbytes = bitmap_bytes(bitmap.npages, machine.long_bits)
    fits = buffer_bytes is None or nbytes <= buffer_bytes
    if not state.config.manual_protect and (fits or machine.arch not in _OWN_LOG_ARCHES):
        changed = state.bitmap_to_change(slot_word)
        if changed is not None:
            changed.clear_all()
    if not fits:
        return BITMAP_UNREADABLE.refuse(bitmap_bytes=nbytes, buffer_bytes=buffer_bytes or 0)
    return Answer(data=snapshot)


def _check_slot(state: VmState, slot_word: int, *, all_bits: bool = False) -> Refused | None:
    machine = state.machine
    if not state.uses_bitmaps:
        return DIRTY_RING_INSTEAD.refuse(ring_bytes=state.config.ring_bytes)
    slot_id, as_id = slot_word & 0xFFFF, slot_word >> 16
    if slot_id >= machine.user_slots or as_id >= machine.spaces or (all_bits and slot_word >= machine.user_slots):
        return DIRTY_SLOT_UNKNOWN.refuse(slot_id=slot_id, as_id=as_id, user_slots=machine.user_slots)
    return None


def clear_dirty_log(
    state: VmState,
    slot_word: int,
    first_page: int,
    num_pages: int,
    mask: int | None,
    buffer_bytes: int | None,
) -> Accepted | Refused:
    """KVM_CLEAR_DIRTY_LOG: clear the pages that `mask` names (None: all of the range)."""
    machine = state.machine
    if not machine.profile.has("clear-dirty-log"):
        return unknown_ioctl(state)
    refused = _check_slot(state, slot_word)
    if refused is not None:
        return refused
    if first_page & 63:
        return FIRST_PAGE_UNALIGNED.refuse(first_page=first_page)
    bitmap = state.bitmap(slot_word)
    if bitmap is None:
        return NOT_LOGGING.refuse(slot_id=slot_word & 0xFFFF, as_id=slot_word >> 16)
    npages = bitmap.npages
    odd_end = num_pages & 63 and (num_pages != npages - first_page or not machine.profile.has("clear-to-odd-end"))
    if first_page > npages or num_pages > npages - first_page or odd_end:
        return CLEAR_RANGE.refuse(first_page=first_page, num_pages=num_pages, npages=npages)
    nbytes = bitmap_bytes(num_pages, machine.long_bits)
    if buffer_bytes is not None and nbytes > buffer_bytes:
        return BITMAP_UNREADABLE.refuse(bitmap_bytes=nbytes, buffer_bytes=buffer_bytes)
    changed = state.bitmap_to_change(slot_word)
    if changed is not None:
        changed.clear(first_page, num_pages, mask)
    return Accepted()


def reset_dirty_rings(state: VmState) -> Accepted | Refused:
    """KVM_RESET_DIRTY_RINGS: the number of entries collected; 0, as no ring is read here."""
    if not state.machine.profile.has("reset-dirty-rings"):
        return unknown_ioctl(state)
    return Accepted() if state.config.ring_bytes else NO_RING.refuse()


def manual_protect_mask(state: VmState) -> int:
    """What KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 says: 0, 1 or 3."""
    profile = state.machine.profile
    if not profile.has("clear-dirty-log"):
        return 0
    return 3 if profile.has("dirty-log-initially-set") else 1


def enable_manual_protect(state: VmState, flags: int, argument: int) -> Accepted | Refused:
    """KVM_ENABLE_CAP(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2)."""
    mask = manual_protect_mask(state)
    allowed = mask if argument & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE else 0
    if not mask or flags or argument & ~allowed:
        return MANUAL_PROTECT_ARGUMENT.refuse(argument=argument, flags=flags, allowed=mask)
    state.config.manual_protect = argument
    state.flags_matter = True
    return Accepted()


def ring_capability(state: VmState, *, acq_rel: bool) -> int:
    """What the ring capability says: the largest ring in bytes, or 0."""
    has = state.machine.profile.has("dirty-ring-acq-rel" if acq_rel else "dirty-ring")
    return KVM_DIRTY_RING_MAX_BYTES if has else 0


def enable_ring(state: VmState, argument: int, *, acq_rel: bool) -> Accepted | Refused | Undetermined:
    """KVM_ENABLE_CAP of a dirty ring: the argument is its size in bytes, cut to 32 bits."""
    machine, config = state.machine, state.config
    if not ring_capability(state, acq_rel=acq_rel):
        return RING_SIZE.refuse(allowed_bytes=0)
    ring_bytes = argument & 0xFFFF_FFFF
    if not ring_bytes or ring_bytes & (ring_bytes - 1) or ring_bytes < machine.page_mask + 1:
        return RING_SIZE.refuse(ring_bytes=ring_bytes, page_bytes=machine.page_mask + 1)
    pml = machine.profile.option("pml") if machine.profile.arch.is_x86 else False
    reserved_bytes = (_RESERVED_ENTRIES + _PML_ENTRIES) * _ENTRY_BYTES
    if ring_bytes < reserved_bytes and pml is not False:
        vendor = machine.profile.option("vendor")
        if pml:
            return RING_SIZE.refuse(ring_bytes=ring_bytes, reserved_bytes=reserved_bytes)
        if vendor in (None, "intel"):
            return RING_SIZE.ask("does the host use page-modification logging (Intel PML)?  State +pml or -pml")
    if ring_bytes > KVM_DIRTY_RING_MAX_BYTES:
        return RING_TOO_LARGE.refuse(ring_bytes=ring_bytes, largest_bytes=KVM_DIRTY_RING_MAX_BYTES)
    if config.ring_bytes or config.vcpu_ids:
        return RING_TOO_LATE.refuse(ring_bytes=config.ring_bytes, vcpus_count=len(config.vcpu_ids))
    config.ring_bytes = ring_bytes
    state.flags_matter = True
    return Accepted()


def enable_ring_with_bitmap(state: VmState, flags: int) -> Accepted | Refused:
    """KVM_ENABLE_CAP(KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP)."""
    profile = state.machine.profile
    built = profile.has("dirty-ring-with-bitmap") and profile.option("ring-with-bitmap-built")
    if not built or flags or not state.config.ring_bytes or state.nr_slots:
        return RING_WITH_BITMAP.refuse(ring_bytes=state.config.ring_bytes, slots_count=state.nr_slots)
    state.config.ring_with_bitmap = True
    return Accepted()
