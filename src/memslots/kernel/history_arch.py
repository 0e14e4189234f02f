"""Dated facts about architectures other than x86; see `history`."""

from __future__ import annotations

from .evidence import ALWAYS, Asked, Bound, Commit, Read
from .fact import Fact

ARM64, S390, MIPS = frozenset({"arm64"}), frozenset({"s390x"}), frozenset({"mips"})
RISCV, LOONGARCH, PPC64 = frozenset({"riscv64"}), frozenset({"loongarch64"}), frozenset({"ppc64"})
MAIN, ARM_MMU, MIPS_C = "virt/kvm/kvm_main.c", "arch/arm64/kvm/mmu.c", "arch/mips/kvm/mips.c"
S390_C, PREPARE = "arch/s390/kvm/kvm-s390.c", "kvm_arch_prepare_memory_region"

# Commits that date more than one fact.
_MTE_ANY = Commit(
    "c911f0d46879", "KVM: arm64: permit all VM_MTE_ALLOWED mappings with MTE enabled", "6.2"
)
GMEM_ARM = Commit(
    "32e200bd6e44", "KVM: arm64: Enable support for guest_memfd backed memory", "6.18"
)

# fmt: off
ARCH_FACTS = (
    # -- arm64
    Fact("arm64-vm-type-is-ipa-bits", "The type of a VM is its IPA size in bits.",
         Commit("233a7cb23531", "kvm: arm64: Allow tuning the physical address size for VM",
                "4.20"), arches=ARM64),
    Fact("arm64-default-ipa-checked", "Type 0 is refused where the host has fewer than 40 bits.",
         Commit("7d717558dd5e",
                "KVM: arm64: Reject VM creation when the default IPA size is unsupported", "5.12",
                "5.4.106", "5.10.24", "5.11.7"), arches=ARM64),
    Fact("arm64-ipa-limit-inclusive", "A slot may end exactly at the IPA limit.",
         Commit("262b003d059c", "KVM: arm64: Fix exclusive limit for IPA size", "5.12",
                "4.19.181", "5.4.106", "5.10.24", "5.11.7"),
         Asked("debian-5.10-arm64"), Read("5.11.5", ARM_MMU, PREPARE), arches=ARM64),
    Fact("arm64-vma-write-check", "A writable slot needs a writable mapping.", ALWAYS,
         Read("5.4", "virt/kvm/arm/mmu.c", PREPARE), Read("5.10", ARM_MMU, PREPARE),
         ended=Bound("5.4", "5.10"), arches=ARM64),
    Fact("arm64-mte-shared", "A VM with MTE takes no shared mappings.",
         Commit("ea7fc1bb1cd1", "KVM: arm64: Introduce MTE VM feature", "5.14"),
         Read("5.17", ARM_MMU, PREPARE), ended=_MTE_ANY, arches=ARM64),
    Fact("arm64-mte-vma", "A VM with MTE takes only mappings that allow MTE.", _MTE_ANY,
         arches=ARM64),
    Fact("arm64-mte-without-gmem", "Memory tagging and guest_memfd slots exclude each other.",
         Bound("6.17", "7.2"), Asked("debian-sid-arm64-mte"), arches=ARM64),
    Fact("arm64-protected-no-eager-split", "In protected mode eager splitting cannot be set.",
         Bound("7.2", "7.3"),
         Asked("debian-sid-arm64-protected", "debian-experimental-arm64-protected"), arches=ARM64),
    Fact("arm64-pfn-cacheable", "Cacheable device mappings need host support.",
         Commit("2a8dfab26677", "KVM: arm64: Block cacheable PFNMAP mapping", "6.17"),
         Read("6.17", ARM_MMU, PREPARE), arches=ARM64),
    Fact("arm64-gmem-needs-mmap", "A guest_memfd slot needs a file that can be mapped.", GMEM_ARM,
         Read("6.18.2", ARM_MMU, PREPARE), Asked("debian-sid-arm64"), arches=ARM64),
    Fact("arm64-protected-vm", "Protected VMs refuse changes.", Bound("7.0", "7.1"),
         Read("7.0", ARM_MMU, PREPARE), Read("7.1", ARM_MMU, PREPARE), arches=ARM64),
    # -- s390
    Fact("s390-checks-every-change", "The checks of s390 see deletes and flag changes too.", ALWAYS,
         Read("5.10", S390_C, PREPARE),
         ended=Commit("ec5c86976674",
                      "KVM: s390: Skip gfn/size sanity checks on memslot DELETE or FLAGS_ONLY",
                      "5.17"), arches=S390),
    Fact("s390-secure-vm-refuses", "A secure VM refuses every change.",
         Commit("29b40f105ec8", "KVM: s390: protvirt: Add initial vm and cpu lifecycle handling",
                "5.7"), Read("5.10", S390_C, PREPARE), arches=S390),
    Fact("s390-segment-alignment", "userspace_addr and size are multiples of 1 MiB.", ALWAYS,
         Read("7.0", S390_C, PREPARE), Read("7.1", S390_C, PREPARE), ended=Bound("7.0", "7.1"),
         arches=S390),
    Fact("s390-ucontrol-no-user-slots", "A ucontrol VM takes no user slots.",
         Commit("7816e58967d0", "kvm: s390: Reject memory region operations for ucontrol VMs",
                "6.11", Bound("6.1.0", "6.1.192"), Bound("6.6.15"), Bound("6.10.0")),
         Read("6.1.192", S390_C, PREPARE), Read("6.11", S390_C, PREPARE), arches=S390),
    # -- others
    Fact("powerpc-rmap-cap", "A reverse map larger than RAM is refused (HV).",
         Commit("511d25d6b789",
                "KVM: PPC: Book3S: Suppress warnings when allocating too big memory slots", "5.17",
                "5.10.94", "5.15.17", Bound("5.16.0", "5.16.10")), arches=PPC64),
    Fact("loongarch-gpa-limit", "A slot must end within the guest-physical size (ENOMEM).",
         Bound("6.7", "6.8"), Read("6.8.1", "arch/loongarch/kvm/mmu.c", PREPARE), arches=LOONGARCH),
    Fact("loongarch-gpa-full-width", "The guest-physical size has all bits of the virtual one.",
         Commit("6bdbb73dc8d9", "LoongArch: KVM: Fix GPA size issue about VM", "6.14", "6.12.19",
                Bound("6.13.0", "6.13.7")),
         Read("6.12.117", "arch/loongarch/kvm/vm.c", "kvm_arch_init_vm"), arches=LOONGARCH),
    Fact("loongarch-irqchip", "KVM_CREATE_IRQCHIP exists.", Bound("6.11", "6.14"),
         Read("6.11", "arch/loongarch/kvm/vm.c"), Read("6.14", "arch/loongarch/kvm/vm.c"),
         arches=LOONGARCH),
    Fact("mips-vm-type-auto", "VM type 0 is whatever KVM was built for; before, trap and emulate.",
         Bound("4.15", "5.10"), Read("4.15", MIPS_C, "kvm_arch_init_vm"),
         Read("5.10", MIPS_C, "kvm_arch_init_vm"), arches=MIPS),
    Fact("mips-trap-and-emulate", "KVM can be built for trap and emulate, VM type 2.", ALWAYS,
         Read("5.10", MIPS_C, "kvm_arch_init_vm"), Read("5.15", MIPS_C, "kvm_arch_init_vm"),
         ended=Bound("5.10", "5.15"), arches=MIPS),
    Fact("mips-nr-memslots", "KVM_CAP_NR_MEMSLOTS is answered; before, 0.",
         Commit("", "kvm: move KVM_CAP_NR_MEMSLOTS to common code", "5.2"), Read("5.4", MAIN),
         arches=MIPS),
    Fact("vcpu-exists-first", "A vCPU id that is taken is EEXIST before the architecture sees it.",
         Bound("7.2", "7.3"), Read("7.3.4", MAIN, "kvm_vm_ioctl_create_vcpu"),
         Asked("debian-sid-ppc64el", "debian-experimental-ppc64el")),
)
# fmt: on
