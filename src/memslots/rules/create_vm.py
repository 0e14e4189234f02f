"""KVM_CREATE_VM: which types of VM a host offers."""

from __future__ import annotations

from ..errnos import EINVAL
from ..kernel.machine import (
    ARM64_DEFAULT_IPA_BITS,
    ARM64_LEAST_IPA_BITS,
    ARM64_MOST_IPA_BITS,
    VM_TYPE_ARM_IPA_BITS,
    VM_TYPE_ARM_PROTECTED,
    VM_TYPE_S390_UCONTROL,
)
from ..kernel.profile import Profile
from .answer import NO_CHANGE, Accepted, Refused, Rule, Undetermined
from .attempt import Attempt

_MAIN = "virt/kvm/kvm_main.c"
_MIPS_VZ, _MIPS_TE = 1, 2

# fmt: off
VM_TYPE_UNSUPPORTED = Rule(
    "vm-type-unsupported", EINVAL, "KVM_CREATE_VM was given a type that this host does not offer.",
    """x86 takes 0, and since {vm-type-argument} the types that KVM_CAP_VM_TYPES lists.  On arm64
    the type is the number of IPA bits, 0 being 40, which a host may not have; since
    {arm64-protected-vm} bit 31 makes the VM a protected one.  In protected mode the number is not
    looked at.  s390 has 1 for user-controlled VMs, where that is built in and the caller may
    (CAP_SYS_ADMIN).  mips takes 0 and the number of the virtualisation it was built for; riscv and
    loongarch do not look.""",
    "Pass 0, or a type that the host lists.",
    f"kvm_create_vm() in {_MAIN}; kvm_arch_init_vm() in arch/x86/kvm/x86.c",
    calls="KVM_CREATE_VM",
)
# fmt: on

RULES = (VM_TYPE_UNSUPPORTED,)


VM_TYPE_FACTS = {"vm-type-sev": 0b1100, "vm-type-snp": 1 << 4, "vm-type-tdx": 1 << 5}
"""Fact: mask of the VM types that it brings on x86."""


def decide(attempt: Attempt) -> Accepted | Refused | Undetermined:
    """The answer to KVM_CREATE_VM."""
    return check_vm_type(attempt.machine.profile, attempt.get("type")) or NO_CHANGE


def check_vm_type(profile: Profile, vm_type: int) -> Refused | Undetermined | None:
    """Refuses a type that the host does not offer, or asks what would tell."""
    arch = profile.arch.name
    if arch == "mips":
        return _check_mips(profile, vm_type)
    has_ucontrol = profile.option("ucontrol")
    if arch == "s390x" and vm_type == VM_TYPE_S390_UCONTROL and has_ucontrol is None:
        return VM_TYPE_UNSUPPORTED.ask(
            "are user-controlled VMs built in (CONFIG_KVM_S390_UCONTROL), and has the caller "
            "CAP_SYS_ADMIN?  State +ucontrol or -ucontrol",
            vm_type=vm_type,
        )
    fine = vm_type == 0
    if fine and profile.arch.is_x86 and (profile.number("vm-types") or 1) & 1:
        return None  # whatever the release knows of types
    if profile.arch.is_x86 and profile.has("vm-type-argument"):
        fine = vm_type < 32 and bool(x86_vm_types(profile) >> vm_type & 1)
    elif arch == "arm64" and profile.has("arm64-vm-type-is-ipa-bits"):
        fine = _fits_arm64(profile, vm_type)
    elif arch in ("riscv64", "loongarch64"):
        fine = True  # the type is not looked at
    elif arch == "ppc64":
        fine = vm_type in (0, 1)
    elif arch == "ppc32":
        fine = vm_type in (0, 2)
    elif arch == "s390x":
        fine = vm_type == 0 or (
            vm_type == VM_TYPE_S390_UCONTROL and bool(profile.option("ucontrol"))
        )
    return None if fine else VM_TYPE_UNSUPPORTED.refuse(vm_type=vm_type)


def usual_vm_type(profile: Profile) -> int:
    """0, or the fewest address bits that an arm64 VM may have where the host refuses 0, which
    means 40.
    """
    return ARM64_LEAST_IPA_BITS if isinstance(check_vm_type(profile, 0), Refused) else 0


def _check_mips(profile: Profile, vm_type: int) -> Refused | Undetermined | None:
    """One build of mips has one kind of virtualisation: that of the processor, or trap and emulate.

    At first 0 was trap and emulate and 1 the processor's; later 0 is what there is, and trap and
    emulate 2.
    """
    auto, emulates = profile.knows("mips-vm-type-auto"), profile.knows("mips-trap-and-emulate")
    fine = {
        vm_type in ((0, _MIPS_TE if emulated else _MIPS_VZ) if any_fits else (not emulated,))
        for any_fits in ((False, True) if auto is None else (auto,))
        for emulated in ((False,) if emulates is False else (False, True))
    }
    if len(fine) > 1:
        return VM_TYPE_UNSUPPORTED.ask(
            "was KVM built for the virtualisation of the processor, or for trap and emulate "
            "(CONFIG_KVM_MIPS_VZ)?",
            vm_type=vm_type,
        )
    return None if True in fine else VM_TYPE_UNSUPPORTED.refuse(vm_type=vm_type)


def _fits_arm64(profile: Profile, vm_type: int) -> bool:
    """Whether this host takes the IPA bits and the flags of a type."""
    flags = vm_type & ~VM_TYPE_ARM_IPA_BITS
    if profile.option("protected-kvm"):
        return not flags or (flags == VM_TYPE_ARM_PROTECTED and profile.has("arm64-protected-vm"))
    most = profile.number("gpa-bits")
    if vm_type == 0:
        return (
            most is None
            or most >= ARM64_DEFAULT_IPA_BITS
            or not profile.has("arm64-default-ipa-checked")
        )
    return ARM64_LEAST_IPA_BITS <= vm_type <= (ARM64_MOST_IPA_BITS if most is None else most)


def x86_vm_types(profile: Profile) -> int:
    """Mask of the types that the host offers and the release knows: 0 ordinary, 1
    software-protected, and so on.
    """
    known = 0b11
    for fact, types in VM_TYPE_FACTS.items():
        known |= types if profile.has(fact) else 0
    return (profile.number("vm-types") or 1) & known
