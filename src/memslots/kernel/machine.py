"""What one VM on one kernel is checked against, resolved once.

Facts and options become the plain numbers that a decision compares with.  A
pair `x`, `x_high` bounds a number that depends on something not stated: up to
`x` a value is surely accepted, beyond `x_high` surely refused.
"""

from __future__ import annotations

from ..uapi.flags import KVM_MEM_GUEST_MEMFD, KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY
from .profile import Profile
from .user_range import user_range_ends

_READONLY_ARCHES = frozenset({"x86_64", "i386", "arm64", "mips", "riscv64", "loongarch64"})
_NO_LIMIT = 1 << 64
# Guest-physical bits between which hosts of an architecture lie, if nobody says.
_GPA_BITS = {
    "x86_64": (36, 52),
    "i386": (36, 52),
    "arm64": (32, 52),
    "riscv64": (34, 59),
    "loongarch64": (40, 48),
}
ARM64_LEAST_IPA_BITS, ARM64_DEFAULT_IPA_BITS, ARM64_MOST_IPA_BITS = 32, 40, 52
VM_TYPE_ARM_IPA_BITS, VM_TYPE_ARM_PROTECTED = 0xFF, 1 << 31
VM_TYPE_SEV_ES, VM_TYPE_SNP, VM_TYPE_TDX = 3, 4, 5
VM_TYPE_S390_UCONTROL = 1


class Machine:
    """The numbers behind one VM's answers; see the module docstring."""

    __slots__ = (
        "arch",
        "attributes_mask",
        "flags_gmem",
        "flags_plain",
        "generation_high_bit",
        "generation_step",
        "gfn_end",
        "gfn_end_high",
        "hva_end",
        "hva_end_high",
        "internal_slots",
        "long_bits",
        "page_mask",
        "page_shift",
        "private_memory",
        "profile",
        "protected_state",
        "protected_vm",
        "region2",
        "spaces",
        "total_capped",
        "truncates_hva",
        "truncates_size",
        "ucontrol_vm",
        "ulong_max",
        "user_slots",
        "vm_type",
    )

    def __init__(self, profile: Profile, vm_type: int | None = 0) -> None:
        """vm_type: what KVM_CREATE_VM was given; None if that is not known."""
        arch = profile.arch
        type_is_known, vm_type = vm_type is not None, vm_type or 0
        self.profile = profile
        self.arch = arch.name
        self.vm_type = vm_type
        self.page_shift = profile.page_shift
        self.page_mask = (1 << self.page_shift) - 1
        self.long_bits = arch.long_bits
        self.ulong_max = (1 << arch.long_bits) - 1
        self.user_slots = profile.limit("user-slots")
        self.internal_slots = profile.limit("internal-slots")
        self.protected_state = arch.is_x86 and vm_type in (VM_TYPE_SEV_ES, VM_TYPE_SNP, VM_TYPE_TDX)
        self.protected_vm = arch.name == "arm64" and bool(vm_type & VM_TYPE_ARM_PROTECTED)
        self.ucontrol_vm = arch.name == "s390x" and vm_type == VM_TYPE_S390_UCONTROL
        self.private_memory = _private_memory(profile, vm_type)
        self.spaces = _spaces(profile, self.private_memory)
        self.generation_high_bit = profile.has("generation-high-bit")
        by_spaces = profile.has("spaces-per-vm") or profile.has("smm-optional")
        interleaved = self.spaces if by_spaces else (2 if arch.is_x86 else 1)
        self.generation_step = interleaved if self.generation_high_bit else 2 * interleaved
        self.region2 = profile.has("region2")
        self.flags_plain, self.flags_gmem = _valid_flags(profile, self)
        self.hva_end, self.hva_end_high = user_range_ends(profile)
        self.gfn_end, self.gfn_end_high = _gfn_ends(profile, vm_type if type_is_known else None)
        self.total_capped = profile.has("page-total-cap")
        self.truncates_hva = profile.has("hva-compared-truncated")
        self.truncates_size = self.long_bits < 64 and not profile.has("size-fits-ulong")
        self.attributes_mask = 8 if self.private_memory else 0

    @property
    def hva_tagged_refused(self) -> bool:
        """Whether a userspace_addr with an address tag is refused."""
        return self.arch == "arm64" and self.profile.has("hva-tag-check")

    @property
    def is_tdx(self) -> bool:
        """Whether it is a TDX guest, whose vCPUs and interrupts the TDX module keeps."""
        return self.profile.arch.is_x86 and self.vm_type == VM_TYPE_TDX

    @property
    def launched_later(self) -> bool:
        """Whether the VM comes to life only by a launch sequence, of calls not modelled."""
        return self.profile.arch.is_x86 and self.vm_type in (VM_TYPE_SNP, VM_TYPE_TDX)


def _private_memory(profile: Profile, vm_type: int) -> bool:
    if not profile.arch.is_x86 or not profile.has("vm-type-argument"):
        return False
    if not profile.has("vm-type-sev"):
        return vm_type != 0
    # SEV and SEV-ES (2 and 3) encrypt memory without private memory
    return vm_type in (1, VM_TYPE_SNP, VM_TYPE_TDX)


def _spaces(profile: Profile, private_memory: bool) -> int:
    """Address spaces of the VM: 0 is normal memory, 1 is SMM."""
    if not profile.arch.is_x86:
        return 1
    if profile.has("smm-optional") and not profile.option("smm"):
        return 1
    return 1 if profile.has("spaces-per-vm") and private_memory else 2


def _valid_flags(profile: Profile, machine: Machine) -> tuple[int, int]:
    """Flags accepted without and with KVM_MEM_GUEST_MEMFD in the request (0: the flag is
    refused).
    """
    readonly = profile.arch.name in _READONLY_ARCHES
    if profile.has("readonly-per-vm") and machine.protected_state:
        readonly = False
    plain = KVM_MEM_LOG_DIRTY_PAGES | (KVM_MEM_READONLY if readonly else 0)
    if not guest_memfd_built(profile):
        return plain, 0
    allowed = profile.has("guest-memfd-any-vm") or machine.private_memory
    return plain, KVM_MEM_GUEST_MEMFD if allowed else 0


def guest_memfd_built(profile: Profile) -> bool:
    """Whether this kernel has guest_memfd."""
    return profile.has("guest-memfd") and bool(profile.option("guest-memfd-built"))


def _gfn_ends(profile: Profile, vm_type: int | None) -> tuple[int, int]:
    """Bounds on the first gfn that no slot may reach, by what the architecture's hook tests."""
    arch, shift = profile.arch.name, profile.page_shift
    if arch in ("x86_64", "i386"):
        if not profile.has("x86-max-gfn"):
            return _NO_LIMIT, _NO_LIMIT
        if not profile.option("tdp"):
            return 1 << (52 - shift), 1 << (52 - shift)
        low, high = _gpa_bits(profile)
        return 1 << (low - shift), 1 << (high - shift)
    if arch == "arm64" and vm_type is None:
        low, high = _GPA_BITS["arm64"]
        return 1 << (low - shift), 1 << (high - shift)
    if arch == "arm64":
        bits = (vm_type or 0) & VM_TYPE_ARM_IPA_BITS or ARM64_DEFAULT_IPA_BITS
        # protected mode gives every VM the host's size, whatever the type says
        low, high = _gpa_bits(profile) if profile.option("protected-kvm") else (bits, bits)
        beyond = 0 if profile.has("arm64-ipa-limit-inclusive") else 1
        return (1 << (low - shift)) - beyond, (1 << (high - shift)) - beyond
    if arch == "riscv64":
        low, high = _gpa_bits(profile)
        return (1 << (low - shift)) - 1, (1 << (high - shift)) - 1
    if arch == "loongarch64" and profile.has("loongarch-gpa-limit"):
        # the hook's size had one bit less than the virtual address
        full = profile.knows("loongarch-gpa-full-width")
        low, high = _gpa_bits(profile)
        return 1 << (low - (not full) - shift), 1 << (high - (full is False) - shift)
    if arch == "s390x" and vm_type == VM_TYPE_S390_UCONTROL:
        return _NO_LIMIT, _NO_LIMIT
    if arch == "s390x":
        limit = profile.number("mem-limit")
        return (1 << (42 - shift), _NO_LIMIT) if limit is None else (limit >> shift, limit >> shift)
    return _NO_LIMIT, _NO_LIMIT


def _gpa_bits(profile: Profile) -> tuple[int, int]:
    stated = profile.number("gpa-bits")
    return _GPA_BITS[profile.arch.name] if stated is None else (stated, stated)
