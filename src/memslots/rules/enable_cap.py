"""KVM_ENABLE_CAP on a VM: switches that change what later calls are answered."""

from __future__ import annotations

from ..errnos import EINVAL
from ..kernel.vm_capabilities import enable_with_zero, is_known, too_late
from ..state.change import IrqchipMade, ManualProtectSet, MemoryTaggingEnabled, VcpuIdsLimited
from ..uapi.calls import VM
from ..uapi.capabilities import (
    CAP_NAMES,
    KVM_CAP_ARM_MTE,
    KVM_CAP_DIRTY_LOG_RING,
    KVM_CAP_DIRTY_LOG_RING_ACQ_REL,
    KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP,
    KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
    KVM_CAP_MAX_VCPU_ID,
    KVM_CAP_S390_IRQCHIP,
    KVM_CAP_SPLIT_IRQCHIP,
)
from ..uapi.fields import capability_text
from ..uapi.flags import (
    KVM_DIRTY_LOG_INITIALLY_SET,
    KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE,
    KVM_MEM_GUEST_MEMFD,
)
from . import dirty_ring, irqchip
from .answer import NO_CHANGE, Accepted, Refused, Rule, Undetermined, Unmodelled
from .attempt import Attempt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..kernel.profile import Profile

_X86 = "arch/x86/kvm/x86.c"

# fmt: off
CAPABILITY_UNKNOWN = Rule(
    "capability-not-enabled", EINVAL, "The VM has no such capability to enable, or not with these "
                                      "arguments.",
    "", "Ask KVM_CHECK_EXTENSION first.", f"kvm_vm_ioctl_enable_cap() in {_X86}",
    calls="KVM_ENABLE_CAP",
)
MANUAL_PROTECT_ARGUMENT = Rule(
    "manual-protect-argument", EINVAL, "The argument of KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 is not "
                                       "0, 1 or 3.",
    "3 (all pages dirty at first) since {dirty-log-initially-set}, on riscv much later; 2 alone "
    "never.", "Use 1.",
    "kvm_vm_ioctl_enable_cap_generic() in virt/kvm/kvm_main.c", calls="KVM_ENABLE_CAP",
)
# fmt: on

RULES = (CAPABILITY_UNKNOWN, MANUAL_PROTECT_ARGUMENT)


def decide(attempt: Attempt) -> Accepted | Refused | Undetermined | Unmodelled:
    """The answer to KVM_ENABLE_CAP."""
    profile, capability = attempt.machine.profile, attempt.get("cap")
    if attempt.on != VM:
        return Unmodelled(f"KVM_ENABLE_CAP({capability_text(capability)}) on a vCPU")
    if capability == KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
        return _manual_protect(attempt)
    if capability in (KVM_CAP_DIRTY_LOG_RING, KVM_CAP_DIRTY_LOG_RING_ACQ_REL):
        return dirty_ring.decide_enable(
            attempt, acq_rel=capability == KVM_CAP_DIRTY_LOG_RING_ACQ_REL
        )
    if capability == KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP:
        return dirty_ring.decide_with_bitmap(attempt)
    refused = CAPABILITY_UNKNOWN.refuse(capability=capability, argument=attempt.get("arg0"))
    if attempt.get("flags"):
        return refused
    if capability == KVM_CAP_MAX_VCPU_ID and profile.has("cap-x86-max-vcpu-id"):
        return _max_vcpu_id(attempt) or refused
    if capability == KVM_CAP_SPLIT_IRQCHIP and profile.arch.is_x86:
        return irqchip.decide_split(attempt) or refused
    if capability == KVM_CAP_ARM_MTE and profile.knows_mte:
        return _enable_mte(attempt, refused)
    if capability == KVM_CAP_S390_IRQCHIP and profile.arch.name == "s390x":
        return Accepted(IrqchipMade(split=False))
    errno = enable_with_zero(profile, capability)
    vcpus, slots = bool(attempt.state.config.vcpu_ids), attempt.state.total_pages > 0
    if errno is None:
        if capability not in CAP_NAMES:
            return Unmodelled(f"KVM_ENABLE_CAP({capability_text(capability)})")
        return refused
    late = too_late(profile, capability, vcpus=vcpus, slots=slots)
    if late:
        return CAPABILITY_UNKNOWN.refuse(errno=late, capability=capability)
    if any(attempt.get(f"arg{number}") for number in range(4)):
        if is_known(capability):
            return Unmodelled(f"KVM_ENABLE_CAP({capability_text(capability)}) with arguments")
        return refused
    return CAPABILITY_UNKNOWN.refuse(errno=errno, capability=capability) if errno else NO_CHANGE


def _enable_mte(attempt: Attempt, refused: Refused) -> Accepted | Refused | Undetermined:
    """The answer for KVM_CAP_ARM_MTE, whose arguments are not looked at."""
    profile, state = attempt.machine.profile, attempt.state
    bound = any(slot.flags & KVM_MEM_GUEST_MEMFD for slot in state.spaces[0])
    if state.config.vcpu_ids or (bound and profile.has("arm64-mte-without-gmem")):
        return refused
    has = profile.option("mte")
    if has is None:
        return CAPABILITY_UNKNOWN.ask(
            "has the host's processor memory tagging?  State +mte or -mte"
        )
    return Accepted(MemoryTaggingEnabled()) if has else refused


def _max_vcpu_id(attempt: Attempt) -> Accepted | None:
    config, limit = attempt.state.config, attempt.get("arg0")
    if limit > attempt.machine.profile.limit("max-vcpu-id") or (config.max_vcpu_id or 0) not in (
        0,
        limit,
    ):
        return None
    return Accepted(VcpuIdsLimited(limit or None))


def manual_protect_mask(profile: Profile) -> int:
    """What KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 says: 0, 1 or 3."""
    if not profile.has("clear-dirty-log"):
        return 0
    return 3 if profile.has("dirty-log-initially-set") else 1


def _manual_protect(attempt: Attempt) -> Accepted | Refused:
    profile, mode, flags = attempt.machine.profile, attempt.get("arg0"), attempt.get("flags")
    largest = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET
    mask = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE if profile.has("clear-dirty-log") else 0
    if mask and not flags and mode == largest:
        mask = manual_protect_mask(profile)  # only this mode hangs on whether 3 is known
    allowed = mask if mode & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE else 0
    if not mask or flags or mode & ~allowed:
        return MANUAL_PROTECT_ARGUMENT.refuse(argument=mode, flags=flags)
    return Accepted(ManualProtectSet(mode))
