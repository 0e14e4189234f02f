"""Capabilities of a VM that say nothing about memory, but that programs enable.

Only so much is known of them here as a replay needs: which kernels take
KVM_ENABLE_CAP with zero arguments, and what it answers.  Dates are facts of
`history`.
"""

from __future__ import annotations

from ..errnos import EBADF, EBUSY, EINVAL, ENODEV
from .profile import Profile

# capability: (name, fact that brings it, errno of a call with zero arguments)
_ENABLED_WITH_ZERO = {
    116: ("KVM_CAP_DISABLE_QUIRKS", "cap-x86-base", 0),
    129: ("KVM_CAP_X2APIC_API", "cap-x86-base", 0),
    143: ("KVM_CAP_X86_DISABLE_EXITS", "cap-x86-base", 0),
    159: ("KVM_CAP_MSR_PLATFORM_INFO", "cap-x86-base", 0),
    160: ("KVM_CAP_PPC_NESTED_HV", "cap-ppc64-nested", 0),
    164: ("KVM_CAP_EXCEPTION_PAYLOAD", "cap-x86-base", 0),
    177: ("KVM_CAP_ARM_NISV_TO_USER", "cap-arm64-nisv", 0),
    182: ("KVM_CAP_HALT_POLL", "cap-halt-poll", 0),
    188: ("KVM_CAP_X86_USER_SPACE_MSR", "cap-x86-user-space-msr", 0),
    193: ("KVM_CAP_X86_BUS_LOCK_EXIT", "cap-x86-bus-lock", 0),
    194: ("KVM_CAP_PPC_DAWR1", "cap-ppc64-dawr1", ENODEV),
    197: ("KVM_CAP_VM_COPY_ENC_CONTEXT_FROM", "cap-sev-copy", EBADF),
    201: ("KVM_CAP_EXIT_HYPERCALL", "cap-x86-hypercall-exits", 0),
    204: ("KVM_CAP_EXIT_ON_EMULATION_FAILURE", "cap-x86-emulation-exits", 0),
    206: ("KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM", "cap-sev-move", EBADF),
    207: ("KVM_CAP_VM_GPA_BITS", "cap-riscv-gpa-bits", 0),
    213: ("KVM_CAP_DISABLE_QUIRKS2", "cap-x86-quirks2", 0),
    216: ("KVM_CAP_ARM_SYSTEM_SUSPEND", "cap-arm64-suspend", 0),
    218: ("KVM_CAP_X86_TRIPLE_FAULT_EVENT", "cap-x86-triple-fault", 0),
    220: ("KVM_CAP_VM_DISABLE_NX_HUGE_PAGES", "cap-x86-nx-huge-pages", 0),
    228: ("KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE", "cap-arm64-eager-split", 0),
    239: ("KVM_CAP_ARM_WRITABLE_IMP_ID_REGS", "cap-arm64-id-registers", 0),
    242: ("KVM_CAP_RISCV_MP_STATE_RESET", "cap-riscv-reset", 0),
    245: ("KVM_CAP_ARM_SEA_TO_USER", "cap-arm64-external-aborts", 0),
}

# capability: (what must not be there yet, fact that makes it so or "", errno)
_TOO_LATE_WITH: dict[int, tuple[tuple[str, ...], str, int]] = {
    143: (("vcpus",), "cap-x86-exits-before-vcpus", EINVAL),
    207: (("vcpus", "slots"), "", EBUSY),
    220: (("vcpus",), "", EINVAL),
    228: (("slots",), "", EINVAL),
    239: (("vcpus",), "", EINVAL),
}
_EAGER_SPLIT = 228
_SEV = frozenset((197, 206))


def too_late(profile: Profile, capability: int, *, vcpus: bool, slots: bool) -> int:
    """The errno of a VM that has what the capability must be enabled before; 0 if it has
    nothing.
    """
    there, fact, errno = _TOO_LATE_WITH.get(capability, ((), "", 0))
    if fact and not profile.has(fact):
        return 0
    return errno if (vcpus and "vcpus" in there) or (slots and "slots" in there) else 0


def enable_with_zero(profile: Profile, capability: int) -> int | None:
    """Errno (0: success) of enabling a capability with zero flags and arguments; None: not
    taken.
    """
    entry = _ENABLED_WITH_ZERO.get(capability)
    if entry is None or not profile.has(entry[1]):
        return None
    if capability == _EAGER_SPLIT and profile.option("protected-kvm"):
        return None if profile.has("arm64-protected-no-eager-split") else entry[2]
    if capability in _SEV and profile.option("vendor") != "amd":
        return None
    return entry[2]


def offered(profile: Profile, capability: int) -> int | None:
    """What KVM_CHECK_EXTENSION answers: 0 where the capability cannot be enabled; None where
    nothing is known.  Those of SEV are offered by every x86-64 kernel that knows them, though only
    AMD's module takes them (kvm_vm_ioctl_check_extension in arch/x86/kvm/x86.c, read in 6.1).
    """
    if capability in _SEV and profile.arch.name == "x86_64":
        return int(profile.has(_ENABLED_WITH_ZERO[capability][1]))
    is_refused = is_known(capability) and enable_with_zero(profile, capability) is None
    return 0 if is_refused else None


def is_known(capability: int) -> bool:
    """Whether this is one of the capabilities of which only the zero case is known."""
    return capability in _ENABLED_WITH_ZERO
