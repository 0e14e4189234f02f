"""kvm_arch_prepare_memory_region() of s390."""

from __future__ import annotations

from ....errnos import EINVAL
from ....kernel.arch import S390
from ....state.change import PLACING, SlotChange
from ...answer import Refused, Rule, Undetermined
from ...attempt import RegionAttempt

_PREPARE = "kvm_arch_prepare_memory_region() in arch/s390/kvm/kvm-s390.c"
_SEGMENT_BYTES = 1 << 20

# fmt: off
UCONTROL_USER_SLOT = Rule(
    "ucontrol-user-slot", EINVAL, "A user-controlled VM gets a slot from user space.",
    "Such a VM has one flat slot of KVM's own.", "Do not register memory on a ucontrol VM.",
    _PREPARE,
    needs=("s390-ucontrol-no-user-slots",),
    arches=S390,
    numberless=True,
)
SECURE_VM = Rule(
    "secure-vm", EINVAL, "The VM is under protected virtualisation: its slots are fixed.",
    "The ultravisor owns the memory.", "Change memory before the VM becomes secure.", _PREPARE,
    needs=("s390-secure-vm-refuses",),
    arches=S390,
    numberless=True,
)
HVA_SEGMENT_UNALIGNED = Rule(
    "hva-segment-unaligned", EINVAL, "userspace_addr is not a multiple of 1 MiB.",
    "The guest's memory was mapped by segments of 1 MiB up to 7.0.  guest_phys_addr is not "
    "checked for it.",
    "Align the backing memory to 1 MiB.", _PREPARE, needs=("s390-segment-alignment",),
    arches=S390,
)
SIZE_SEGMENT_UNALIGNED = Rule(
    "size-segment-unaligned", EINVAL, "memory_size is not a multiple of 1 MiB.",
    "See hva-segment-unaligned.", "Use slots of whole MiB.", _PREPARE,
    needs=("s390-segment-alignment",),
    arches=S390,
)
MEMORY_LIMIT = Rule(
    "memory-limit", EINVAL, "The slot ends beyond the VM's memory limit.",
    "The limit is what the hardware gives, unless user space lowered it "
    "(KVM_S390_VM_MEM_LIMIT_SIZE).",
    "Raise the limit before creating vCPUs, or give the guest less memory.", _PREPARE,
    arches=S390,
)
# fmt: on

RULES = (UCONTROL_USER_SLOT, SECURE_VM, HVA_SEGMENT_UNALIGNED, SIZE_SEGMENT_UNALIGNED, MEMORY_LIMIT)


def prepare(attempt: RegionAttempt, change: SlotChange) -> Refused | Undetermined | None:
    """Refuses the change, or finds nothing against it."""
    machine, config = attempt.machine, attempt.state.config
    profile = machine.profile
    if config.ucontrol and profile.has("s390-ucontrol-no-user-slots") and not attempt.owner:
        return UCONTROL_USER_SLOT.refuse_late(change)
    secure = None
    if config.secure and profile.has("s390-secure-vm-refuses"):
        secure = SECURE_VM.refuse_late(change)
    if profile.has("s390-checks-every-change"):
        return _check_place(attempt, change) or secure
    return secure or (_check_place(attempt, change) if attempt.kind & PLACING else None)


def _check_place(attempt: RegionAttempt, change: SlotChange) -> Refused | Undetermined | None:
    """Refuses a slot that is not made of whole segments, or ends beyond the VM's limit."""
    machine, region, profile = attempt.machine, attempt.region, attempt.machine.profile
    if profile.has("s390-segment-alignment"):
        if region.userspace_addr % _SEGMENT_BYTES:
            return HVA_SEGMENT_UNALIGNED.refuse_late(change, userspace_addr=region.userspace_addr)
        if region.memory_size % _SEGMENT_BYTES:
            return SIZE_SEGMENT_UNALIGNED.refuse_late(change, memory_size=region.memory_size)
    end = attempt.gfn + attempt.npages
    if end > machine.gfn_end_high:
        return MEMORY_LIMIT.refuse_late(change, end_gfn=end, limit_gfn=machine.gfn_end_high)
    if end > machine.gfn_end:
        return MEMORY_LIMIT.ask(
            "what is the VM's memory limit?  State it as +mem-limit=BYTES", end_gfn=end
        )
    return None
