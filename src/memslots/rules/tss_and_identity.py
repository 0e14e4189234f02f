"""KVM_SET_TSS_ADDR and KVM_SET_IDENTITY_MAP_ADDR: pages for real mode on older Intel hosts."""

from __future__ import annotations

from ..errnos import EINVAL
from ..kernel.arch import X86
from ..state.change import IdentityMapPlaced, OwnSlotsMade, TssPlaced
from .answer import Accepted, Refused, Rule, Undetermined, Unmodelled
from .attempt import Attempt
from .ioctl import unknown_ioctl
from .own_slots import slots_for_tss

_X86 = "arch/x86/kvm/x86.c"
_HIGHEST_TSS_GPA = 0xFFFF_D000

# fmt: off
TSS_TOO_HIGH = Rule(
    "tss-too-high", EINVAL, "The TSS address is above 0xffffd000.",
    "Three pages must fit below 4 GiB.  Checked on every vendor module, also where no slot is "
    "made.",
    "Use 0xfffbd000, as QEMU does.", f"kvm_vm_ioctl_set_tss_addr() in {_X86}",
    calls="KVM_SET_TSS_ADDR",
    arches=X86,
)
IDENTITY_MAP_TOO_LATE = Rule(
    "identity-map-too-late", EINVAL, "The VM has vCPUs.", "The page is made with the first vCPU.",
    "Call KVM_SET_IDENTITY_MAP_ADDR before KVM_CREATE_VCPU.", f"kvm_arch_vm_ioctl() in {_X86}",
    calls="KVM_SET_IDENTITY_MAP_ADDR",
    arches=X86,
)
# fmt: on

RULES = (TSS_TOO_HIGH, IDENTITY_MAP_TOO_LATE)


def decide_tss(attempt: Attempt) -> Accepted | Refused | Undetermined | Unmodelled:
    """The answer to KVM_SET_TSS_ADDR; the address is already as wide as the caller's unsigned
    long.
    """
    gpa = attempt.get("addr")
    if not attempt.machine.profile.arch.is_x86:
        return unknown_ioctl(attempt.machine)
    if gpa > _HIGHEST_TSS_GPA:
        return TSS_TOO_HIGH.refuse(tss_gpa=gpa)
    made = slots_for_tss(attempt, gpa)
    if isinstance(made, OwnSlotsMade):
        return Accepted(TssPlaced(gpa, made))
    return made


def decide_identity_map(attempt: Attempt) -> Accepted | Refused:
    """The answer to KVM_SET_IDENTITY_MAP_ADDR."""
    vcpu_ids = attempt.state.config.vcpu_ids
    if not attempt.machine.profile.arch.is_x86:
        return unknown_ioctl(attempt.machine)
    if vcpu_ids:
        return IDENTITY_MAP_TOO_LATE.refuse(vcpus_count=len(vcpu_ids))
    return Accepted(IdentityMapPlaced(attempt.get("addr")))
