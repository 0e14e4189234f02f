"""KVM_CREATE_IRQCHIP, and KVM_CAP_SPLIT_IRQCHIP beside it."""

from __future__ import annotations

from ..errnos import EEXIST, EINVAL, ENODEV, ENOTTY
from ..kernel.arch import ARM64, S390, X86
from ..state.change import IrqchipMade
from .answer import NO_CHANGE, Accepted, Refused, Rule, Undetermined
from .attempt import Attempt
from .ioctl import unknown_ioctl

_X86 = "arch/x86/kvm/x86.c"
_MOST_IRQ_ROUTES = 4096
"""KVM_MAX_IRQ_ROUTES, since 4.17.

What KVM_CAP_SPLIT_IRQCHIP reserves is bound by it, not by the pins of an IOAPIC.
"""

# fmt: off
IRQCHIP_EXISTS = Rule(
    "irqchip-exists", EEXIST, "The VM has an in-kernel irqchip already.", "", "Create it once.",
    f"kvm_arch_vm_ioctl() in {_X86}", calls="KVM_CREATE_IRQCHIP",
    arches=(*X86, *ARM64),
    numberless=True,
)
IRQCHIP_PROTECTED = Rule(
    "irqchip-protected", ENOTTY, "A TDX guest gets an I/O APIC in the kernel.",
    """KVM does not see when such a guest ends an interrupt, so it cannot emulate level-triggered
    ones.  Before that was checked, the irqchip was made, and then no vCPU.""",
    "Enable KVM_CAP_SPLIT_IRQCHIP instead.", f"kvm_arch_vm_ioctl() in {_X86}",
    calls="KVM_CREATE_IRQCHIP", needs=("tdx-irqchip-split-only",),
    arches=("x86_64",),
    numberless=True,
)
IRQCHIP_TOO_LATE = Rule(
    "irqchip-too-late", EINVAL, "The VM has vCPUs.", "", "Create the irqchip before the first "
                                                         "vCPU.",
    f"kvm_arch_vm_ioctl() in {_X86}", calls="KVM_CREATE_IRQCHIP",
    arches=X86,
)
IRQCHIP_UNSUPPORTED = Rule(
    "irqchip-unsupported", ENODEV, "The host's interrupt controller has no such emulation.",
    "arm64 hosts whose GICv3 cannot emulate a GICv2.", "Create the GIC with KVM_CREATE_DEVICE.",
    "kvm_vgic_create() in arch/arm64/kvm/vgic/vgic-init.c",
    calls="KVM_CREATE_IRQCHIP",
    arches=ARM64,
    numberless=True,
)
IRQCHIP_NOT_ENABLED = Rule(
    "irqchip-not-enabled", EINVAL, "KVM_CAP_S390_IRQCHIP is not enabled.",
    "On s390 the capability switches it on; the call only confirms it.",
    "Enable KVM_CAP_S390_IRQCHIP first.", "kvm_arch_vm_ioctl() in arch/s390/kvm/kvm-s390.c",
    calls="KVM_CREATE_IRQCHIP",
    arches=S390,
    numberless=True,
)
# fmt: on

RULES = (
    IRQCHIP_EXISTS,
    IRQCHIP_PROTECTED,
    IRQCHIP_TOO_LATE,
    IRQCHIP_UNSUPPORTED,
    IRQCHIP_NOT_ENABLED,
)


def decide(attempt: Attempt) -> Accepted | Refused | Undetermined:
    """The answer to KVM_CREATE_IRQCHIP."""
    profile, config = attempt.machine.profile, attempt.state.config
    if profile.arch.name == "arm64":
        return _decide_gicv2(attempt)
    if profile.arch.name == "s390x":
        return NO_CHANGE if config.irqchip else IRQCHIP_NOT_ENABLED.refuse()
    if profile.arch.name == "loongarch64" and profile.has("loongarch-irqchip"):
        return NO_CHANGE
    if not profile.arch.is_x86:
        return unknown_ioctl(attempt.machine)
    if config.irqchip:
        return IRQCHIP_EXISTS.refuse()
    if attempt.machine.is_tdx and profile.has("tdx-irqchip-split-only"):
        return IRQCHIP_PROTECTED.refuse()
    if config.vcpu_ids:
        return IRQCHIP_TOO_LATE.refuse(vcpus_count=len(config.vcpu_ids))
    return Accepted(IrqchipMade(split=False))


def _decide_gicv2(attempt: Attempt) -> Accepted | Refused | Undetermined:
    """The answer of arm64, where the call makes a GICv2, before or after vCPUs."""
    can_emulate = attempt.machine.profile.option("gicv2")
    if can_emulate is None:
        return IRQCHIP_UNSUPPORTED.ask(
            "can the host's interrupt controller emulate a GICv2?  State +gicv2 or -gicv2"
        )
    if not can_emulate:
        return IRQCHIP_UNSUPPORTED.refuse()
    if attempt.state.config.irqchip:
        return IRQCHIP_EXISTS.refuse()
    return Accepted(IrqchipMade(split=False))


def decide_split(attempt: Attempt) -> Accepted | Refused | None:
    """The answer to KVM_ENABLE_CAP(KVM_CAP_SPLIT_IRQCHIP); None where its argument is out of
    range.
    """
    config = attempt.state.config
    if attempt.get("arg0") > _MOST_IRQ_ROUTES:
        return None
    if config.irqchip or config.vcpu_ids:
        return IRQCHIP_EXISTS.refuse()
    return Accepted(IrqchipMade(split=True))
