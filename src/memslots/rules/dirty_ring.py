"""The dirty ring: switching it on, and KVM_RESET_DIRTY_RINGS."""

from __future__ import annotations

from ..errnos import E2BIG, EINVAL
from ..state.change import RingBitmapEnabled, RingEnabled
from ..uapi.flags import KVM_DIRTY_RING_MAX_BYTES
from .answer import NO_CHANGE, Accepted, Refused, Rule, Undetermined
from .attempt import Attempt
from .ioctl import unknown_ioctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..kernel.profile import Profile

_RESERVED_ENTRIES, _PML_ENTRIES, _ENTRY_BYTES = 64, 512, 16

# fmt: off
RING_SIZE = Rule(
    "dirty-ring-size", EINVAL, "The ring's size is not a power of two, or smaller than a page or "
                               "what is reserved.",
    "Intel hosts with page-modification logging reserve 576 entries, so the smallest ring there "
    "is 16384 bytes.",
    "Use 65536 bytes.", "kvm_vm_ioctl_enable_dirty_log_ring() in virt/kvm/kvm_main.c",
    calls="KVM_ENABLE_CAP",
)
RING_TOO_LARGE = Rule(
    "dirty-ring-too-large", E2BIG, "The ring has more than 65536 entries.", "1 MiB a vCPU at most.",
    "Use at most 1048576 bytes.", "kvm_vm_ioctl_enable_dirty_log_ring() in virt/kvm/kvm_main.c",
    calls="KVM_ENABLE_CAP",
    any_of=("dirty-ring", "dirty-ring-acq-rel"),
)
RING_TOO_LATE = Rule(
    "dirty-ring-too-late", EINVAL, "A ring is on already, or the VM has vCPUs.",
    "Slots may exist already.", "Enable the ring right after KVM_CREATE_VM.",
    "kvm_vm_ioctl_enable_dirty_log_ring() in virt/kvm/kvm_main.c", calls="KVM_ENABLE_CAP",
    any_of=("dirty-ring", "dirty-ring-acq-rel"),
)
RING_WITH_BITMAP = Rule(
    "ring-with-bitmap", EINVAL, "Bitmaps beside a ring need arm64, an enabled ring, and no slots "
                                "yet.",
    "For pages that a device writes without a vCPU.", "Enable it after the ring and before the "
                                                      "first slot.",
    "kvm_vm_ioctl_enable_cap_generic() in virt/kvm/kvm_main.c", calls="KVM_ENABLE_CAP",
)
NO_RING = Rule(
    "no-dirty-ring", EINVAL, "The VM has no dirty ring.", "", "Enable KVM_CAP_DIRTY_LOG_RING "
        "first.",
    "kvm_vm_ioctl_reset_dirty_pages() in virt/kvm/kvm_main.c", calls="KVM_RESET_DIRTY_RINGS",
    needs=("reset-dirty-rings",),
    numberless=True,
)
# fmt: on

RULES = (RING_SIZE, RING_TOO_LARGE, RING_TOO_LATE, RING_WITH_BITMAP, NO_RING)


def ring_capability(profile: Profile, *, acq_rel: bool) -> int:
    """What the ring capability says: the largest ring in bytes, or 0."""
    has = profile.has("dirty-ring-acq-rel" if acq_rel else "dirty-ring")
    return KVM_DIRTY_RING_MAX_BYTES if has else 0


def decide_enable(attempt: Attempt, *, acq_rel: bool) -> Accepted | Refused | Undetermined:
    """The answer to KVM_ENABLE_CAP of a dirty ring: the argument is its size in bytes, cut to 32
    bits.
    """
    machine, config = attempt.machine, attempt.state.config
    profile = machine.profile
    if not ring_capability(profile, acq_rel=acq_rel):
        return RING_SIZE.refuse(allowed_bytes=0)
    ring_bytes = attempt.get("arg0") & 0xFFFF_FFFF
    if not ring_bytes or ring_bytes & (ring_bytes - 1) or ring_bytes < machine.page_mask + 1:
        return RING_SIZE.refuse(ring_bytes=ring_bytes, page_bytes=machine.page_mask + 1)
    pml = profile.option("pml") if profile.arch.is_x86 else False
    reserved_bytes = (_RESERVED_ENTRIES + _PML_ENTRIES) * _ENTRY_BYTES
    if ring_bytes < reserved_bytes and pml is not False:
        if pml:
            return RING_SIZE.refuse(ring_bytes=ring_bytes, reserved_bytes=reserved_bytes)
        if profile.option("vendor") in (None, "intel"):
            return RING_SIZE.ask(
                "does the host use page-modification logging (Intel PML)?  State +pml or -pml"
            )
    if ring_bytes > KVM_DIRTY_RING_MAX_BYTES:
        return RING_TOO_LARGE.refuse(ring_bytes=ring_bytes, largest_bytes=KVM_DIRTY_RING_MAX_BYTES)
    if config.ring_bytes or config.vcpu_ids:
        return RING_TOO_LATE.refuse(ring_bytes=config.ring_bytes, vcpus_count=len(config.vcpu_ids))
    return Accepted(RingEnabled(ring_bytes))


def decide_with_bitmap(attempt: Attempt) -> Accepted | Refused:
    """The answer to KVM_ENABLE_CAP(KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP)."""
    profile, state = attempt.machine.profile, attempt.state
    built = profile.has("dirty-ring-with-bitmap") and profile.option("ring-with-bitmap-built")
    if not built or attempt.get("flags") or not state.config.ring_bytes or state.nr_slots:
        return RING_WITH_BITMAP.refuse(
            ring_bytes=state.config.ring_bytes, slots_count=state.nr_slots
        )
    return Accepted(RingBitmapEnabled())


def decide_reset(attempt: Attempt) -> Accepted | Refused:
    """The answer to KVM_RESET_DIRTY_RINGS: the number of entries collected; 0, as no ring is read
    here.
    """
    if not attempt.machine.profile.has("reset-dirty-rings"):
        return unknown_ioctl(attempt.machine)
    return NO_CHANGE if attempt.state.config.ring_bytes else NO_RING.refuse()
