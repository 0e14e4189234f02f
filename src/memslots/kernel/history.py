"""Dated facts: with `history_*` and `limits`, the only modules that name releases as dates.

A `Fact` is one behaviour with what brought it, what ended it, and where it was seen
(see `evidence`).  Everything else asks a profile for names.

    Commit(hash, subject, tag, "5.10.84", Bound("6.1.0", "6.1.192"))
        in the mainline from `tag` on, in 5.10.y from 5.10.84 on; in 6.1.y it came somewhere between
    Bound("6.14", "6.17")        not in 6.14, in 6.17; in between it is undetermined

Stable releases are read off the changelogs of distributions: `python -m memslots.verify.farm dates`
does it again and compares.
"""

from __future__ import annotations

from .evidence import ALWAYS, Asked, Bound, Commit, Read
from .fact import ALL, X86, Fact
from .history_arch import ARCH_FACTS, ARM64, GMEM_ARM, LOONGARCH, RISCV, S390
from .history_capabilities import CAPABILITY_FACTS
from .version import Version

X86_64 = frozenset({"x86_64"})
MAIN, GMEM = "virt/kvm/kvm_main.c", "virt/kvm/guest_memfd.c"
X86_C, X86_H = "arch/x86/kvm/x86.c", "arch/x86/include/asm/kvm_host.h"
TRACK, PIT = "arch/x86/kvm/mmu/page_track.c", "arch/x86/kvm/i8254.c"
UACCESS = "arch/x86/include/asm/uaccess_64.h"
SET, PREPARE = "__kvm_set_memory_region", "kvm_arch_prepare_memory_region"

# Commits that date more than one fact.
_OVERSIZED = Commit(
    "7661809d493b", "mm: don't allow oversized kvmalloc() calls", "5.15", "5.10.71", "5.14.10"
)
_VCALLOC = Commit(
    "37b2a6510a48", "KVM: use __vcalloc for very large allocations", "5.18", "5.10.210", "5.15.54"
)
_MASKED = Commit(
    "86e6b1547b3d",
    "x86: fix user address masking non-canonical speculation issue",
    "6.12",
    "6.11.6",
    Bound("6.6.15"),
)
_WHOLE = Commit(
    "573f45a9f9a4",
    "x86: fix off-by-one in access_ok()",
    "6.13",
    "6.11.11",
    "6.12.2",
    Bound("6.6.15"),
)
_ARM_ASKED = Asked("debian-6.12-arm64", "debian-sid-arm64")
_X86_CAPS = Asked("debian-5.10-x86_64", "debian-6.1-x86_64")

# fmt: off
FACTS = (
    # -- the region call
    Fact("size-fits-ulong", "A slot's size must fit an unsigned long.",
         Commit("6b285a558750", 'KVM: Disallow user memslot with size that exceeds "unsigned long"',
                "5.16", "5.10.84", "5.15.7"), Asked("debian-5.10-i386", "built-5.10-ppc32"),
         Read("5.15", MAIN, SET)),
    Fact("hva-tag-check", "A userspace_addr that carries an address tag is refused.",
         Commit("139bc8a6146d", "KVM: Forbid the use of tagged userspace addresses for memslots",
                "5.11", "5.4.95", "5.10.13", Bound("4.19.37")), Asked("debian-5.10-arm64")),
    Fact("slot-size-user-only", "The page limit of a slot binds user slots only.",
         Commit("66119f8ce135", "KVM: Do not restrict the size of KVM-internal memory regions",
                "6.14"), Read("6.14", MAIN, SET)),
    Fact("page-total-cap", "A slot that would wrap the VM's page total is refused.",
         Commit("afa319a54a8c",
                "KVM: Require total number of memslot pages to fit in an unsigned long", "5.17"),
         Asked("built-6.1-ppc32", "debian-6.1-i386")),
    Fact("hva-compared-truncated",
         "A change compares the truncated userspace_addr on 32-bit hosts.",
         Commit("", "KVM: Clean up local variable usage in __kvm_set_memory_region()", "5.7"),
         Read("5.4", MAIN, SET), Read("5.10", MAIN, SET), Read("5.17", MAIN, SET),
         Asked("debian-5.10-i386", "debian-6.1-i386"), ended=Bound("5.16", "5.17")),
    Fact("failed-change-restored",
         "A delete or move that the architecture refuses leaves the old slot.",
         Commit("", "KVM: Reinstall old memslots if arch preparation fails", "5.7"),
         Read("5.4", MAIN, SET), Read("5.10", MAIN, "kvm_set_memslot")),
    Fact("zero-size-is-delete", "Delete looks at memory_size, not at the truncated page count.",
         Commit("5c0b4f3d5ccc", "KVM: Move memslot deletion to helper function", "5.7"),
         Read("5.4", MAIN, SET), Read("5.10", MAIN, SET)),
    Fact("bad-vm-eio", "Calls on a dead VM answer EIO.",
         Commit("0b8f11737cff", "KVM: Add infrastructure and macro to mark VM as bugged", "5.15",
                "5.4.211", "5.10.137", Bound("4.19.37"))),
    Fact("region2", "KVM_SET_USER_MEMORY_REGION2 exists.",
         Commit("bb58b90b1a8f", "KVM: Introduce KVM_SET_USER_MEMORY_REGION2", "6.8")),
    # -- page total and MMU budget
    Fact("budget-ulong", "The MMU budget is an unsigned long; before, unsigned int.",
         Commit("bc8a3d8925a8", "kvm: mmu: Fix overflow on kvm mmu page limit calculation", "5.1",
                "4.19.73"), arches=X86),
    Fact("budget-from-total", "The MMU budget is total / 50, set on create and delete only.",
         Commit("f5756029eef5",
                "KVM: x86: Use nr_memslot_pages to avoid traversing the memslots array", "5.17"),
         Asked("debian-5.10-i386", "debian-6.1-i386"), arches=X86),
    Fact("get-nr-mmu-pages", "KVM_GET_NR_MMU_PAGES exists.", ALWAYS,
         Asked("debian-6.1-i386", "debian-6.5-i386"),
         ended=Commit("c5edd753a0bd", "KVM: x86: Remove the KVM_GET_NR_MMU_PAGES ioctl", "6.4"),
         arches=X86),
    # -- generations
    Fact("generation-high-bit",
         "A slot update is marked in bit 63 of the generation, not in bit 0.",
         Commit("", 'KVM: Explicitly define the "memslot update in-progress" bit', "5.1"),
         Read("5.4", "include/linux/kvm_host.h")),
    Fact("spaces-per-vm", "The number of address spaces belongs to the VM.",
         Commit("eed52e434bc3",
                "KVM: Allow arch code to track number of memslot address spaces per VM", "6.8")),
    # -- dirty logging
    Fact("clear-dirty-log", "KVM_CLEAR_DIRTY_LOG and manual protection exist.",
         Commit("2a31b9db1535", "kvm: introduce manual dirty log reprotect", "5.0"),
         Asked("debian-5.10-x86_64", "built-5.10-ppc32", "debian-6.1-ppc64el"),
         arches=ALL - {"s390x", "ppc64", "ppc32"}),
    Fact("clear-to-odd-end",
         "KVM_CLEAR_DIRTY_LOG may end at the end of a slot that is no multiple of 64.",
         Commit("76d58e0f07ec", "KVM: fix KVM_CLEAR_DIRTY_LOG for memory slots of unaligned size",
                "5.2", "5.0.19", Bound("5.1.2"))),
    Fact("dirty-log-initially-set", "Manual protection can start with all pages dirty.",
         Commit("3c9bd4006bfc", "KVM: x86: enable dirty log gradually in small chunks", "5.7"),
         Asked("debian-5.10-x86_64"), arches=X86),
    Fact("dirty-log-initially-set", "Manual protection can start with all pages dirty.",
         Commit("", "KVM: arm64: Support enabling dirty log gradually in small chunks", "5.8"),
         Read("5.10", "arch/arm64/include/asm/kvm_host.h"), Asked("debian-5.10-arm64"),
         arches=ARM64),
    Fact("dirty-log-initially-set", "Manual protection can start with all pages dirty.",
         Bound("6.8", "6.11"), Read("6.8", "arch/loongarch/include/asm/kvm_host.h"),
         Read("6.11", "arch/loongarch/include/asm/kvm_host.h"), arches=LOONGARCH),
    Fact("dirty-log-initially-set", "Manual protection can start with all pages dirty.",
         Bound("6.17", "7.0"), Read("6.17", "arch/riscv/include/asm/kvm_host.h"),
         Read("7.0", "arch/riscv/include/asm/kvm_host.h"),
         Asked("debian-6.12-riscv64", "debian-sid-riscv64"), arches=RISCV),
    Fact("reset-dirty-rings", "KVM_RESET_DIRTY_RINGS exists.",
         Commit("fb04a1eddb1a", "KVM: X86: Implement ring-based dirty memory tracking", "5.11"),
         Asked("debian-5.10-x86_64", "debian-6.1-arm64")),
    Fact("dirty-ring", "KVM_CAP_DIRTY_LOG_RING can be enabled.",
         Commit("fb04a1eddb1a", "KVM: X86: Implement ring-based dirty memory tracking", "5.11"),
         _X86_CAPS, arches=X86),
    Fact("dirty-ring-acq-rel", "KVM_CAP_DIRTY_LOG_RING_ACQ_REL can be enabled.",
         Commit("17601bfed909",
                "KVM: Add KVM_CAP_DIRTY_LOG_RING_ACQ_REL capability and config option", "6.1"),
         Asked("debian-6.1-x86_64"), arches=X86),
    Fact("dirty-ring-acq-rel", "KVM_CAP_DIRTY_LOG_RING_ACQ_REL can be enabled.",
         Commit("9cb1096f8590", "KVM: arm64: Enable ring-based dirty memory tracking", "6.2"),
         Asked("debian-6.1-arm64", "debian-6.12-arm64"), arches=ARM64),
    Fact("dirty-ring-acq-rel", "KVM_CAP_DIRTY_LOG_RING_ACQ_REL can be enabled.",
         ALWAYS, Read("6.7.3", "arch/loongarch/kvm/Kconfig"), arches=LOONGARCH),
    Fact("dirty-ring-acq-rel", "KVM_CAP_DIRTY_LOG_RING_ACQ_REL can be enabled.",
         Commit("f55ffaf89636", "RISC-V: KVM: Enable ring-based dirty memory tracking", "6.17"),
         Asked("debian-6.12-riscv64", "debian-sid-riscv64"), arches=RISCV),
    Fact("dirty-ring-with-bitmap", "A dirty ring can be backed by bitmaps.",
         Commit("86bdf3ebcfe1", "KVM: Support dirty ring in conjunction with bitmap", "6.2"),
         _ARM_ASKED, arches=ARM64),
    # -- guest_memfd and attributes
    Fact("guest-memfd", "KVM_CREATE_GUEST_MEMFD exists where it is built.",
         Commit("a7800aa80ea4",
                "KVM: Add KVM_CREATE_GUEST_MEMFD ioctl() for guest-specific backing memory", "6.8"),
         arches=X86_64),
    Fact("guest-memfd", "KVM_CREATE_GUEST_MEMFD exists.", GMEM_ARM, _ARM_ASKED, arches=ARM64),
    Fact("guest-memfd-any-vm", "Every VM type may bind guest_memfd slots.",
         Commit("d1e54dd08f16", "KVM: x86: Enable KVM_GUEST_MEMFD for all 64-bit builds", "6.18"),
         Asked("debian-6.12-x86_64", "host-6.18-x86_64"), arches=X86_64),
    Fact("guest-memfd-any-vm", "Every VM type may bind guest_memfd slots.", GMEM_ARM, _ARM_ASKED,
         arches=ARM64),
    Fact("guest-memfd-mmap", "guest_memfd files may be mapped (flags MMAP and INIT_SHARED).",
         Commit("3d3a04fad25a",
                "KVM: Allow and advertise support for host mmap() on guest_memfd files", "6.18"),
         Asked("debian-6.12-x86_64", "host-6.18-x86_64", "debian-sid-arm64"),
         arches=X86_64 | ARM64),
    Fact("guest-memfd-toggle-refused", "A slot cannot lose or gain KVM_MEM_GUEST_MEMFD.",
         Commit("9935df5333aa", "KVM: Disallow toggling KVM_MEM_GUEST_MEMFD on an existing memslot",
                "6.19", "6.12.64", "6.18.3"), Asked("host-6.18-x86_64"), Read("6.18.2", MAIN, SET)),
    Fact("guest-memfd-overlap-eexist", "Binding a bound part of a file is EEXIST; before, EINVAL.",
         Commit("7ea987a90585", "KVM: guest_memfd: Return -EEXIST for overlapping bindings", "7.2",
                "6.12.118"), Read("6.12.118", GMEM, "kvm_gmem_bind"),
         Asked("host-6.18-x86_64", "debian-sid-x86_64")),
    Fact("guest-memfd-offset-unsigned", "The end of a binding is computed without signed overflow.",
         Commit("eba85fee7fc6",
                "KVM: guest_memfd: Treat memslot binding offset+size as unsigned values", "7.2",
                "6.12.114", Bound("6.18.44"), Bound("7.1.0", "7.1.3")),
         Read("7.1.3", GMEM, "kvm_gmem_bind"), Asked("host-6.18-x86_64", "debian-sid-x86_64")),
    Fact("memory-attributes", "KVM_SET_MEMORY_ATTRIBUTES exists where it is built.",
         Commit("5a475554db1e", "KVM: Introduce per-page memory attributes", "6.8"),
         Asked("debian-6.12-x86_64", "debian-sid-x86_64"), arches=X86_64),
    Fact("readonly-per-vm", "VMs with protected state take no read-only slots.",
         Commit("66155de93bcf",
                "KVM: x86: Disallow read-only memslots for SEV-ES and SEV-SNP (and TDX)", "6.11"),
         arches=X86_64),
    Fact("vm-type-argument", "KVM_CREATE_VM takes a type.",
         Commit("89ea60c2c7b5",
                'KVM: x86: Add support for "protected VMs" that can utilize private memory', "6.8"),
         arches=X86),
    Fact("vm-type-sev", "VM types 2 (SEV) and 3 (SEV-ES) exist.",
         Commit("26c44aa9e076", "KVM: SEV: define VM types for SEV and SEV-ES", "6.10"),
         arches=X86),
    Fact("vm-type-snp", "VM type 4 (SNP) exists.",
         Commit("1dfe571c12cf", "KVM: SEV: Add initial SEV-SNP support", "6.11"), arches=X86),
    Fact("vm-type-tdx", "VM type 5 (TDX) exists.",
         Commit("161d34609f9b", "KVM: TDX: Make TDX VM type supported", "6.16"), arches=X86),
    Fact("pre-fault-memory", "KVM_PRE_FAULT_MEMORY exists.",
         Commit("bc1a5cd00211",
                "KVM: Add KVM_PRE_FAULT_MEMORY vcpu ioctl to pre-populate guest memory", "6.11"),
         Asked("debian-6.12-x86_64", "debian-sid-x86_64"), arches=X86),
    Fact("pre-fault-memory", "KVM_PRE_FAULT_MEMORY exists.", Bound("7.0", "7.2"),
         Read("7.0", "arch/s390/kvm/Kconfig"), Read("7.2.13", "arch/s390/kvm/Kconfig"),
         arches=S390),
    # -- x86
    Fact("x86-max-gfn", "A slot must end within the guest's physical address bits.",
         Commit("86931ff7207b",
                "KVM: x86/mmu: Do not create SPTEs for GFNs that exceed host.MAXPHYADDR", "5.18"),
         _X86_CAPS, arches=X86),
    Fact("x86-page-track-move", "A VM with an external page tracker moves no slots.",
         Commit("aa611a99adb4", "KVM: x86: Reject memslot MOVE operations if KVMGT is attached",
                "6.6"), arches=X86),
    Fact("x86-alias-bit", "A slot must not carry the VM's shared-alias bit (TDX).",
         Commit("", "KVM: x86/mmu: Prevent aliased memslot GFNs", "6.14"),
         Read("6.14", X86_C, PREPARE), arches=X86),
    Fact("x86-metadata-late", "Slot metadata is allocated in the prepare hook, for moves too.",
         Commit("", "KVM: x86: Allocate memslot resources during prepare_memory_region()", "5.7"),
         Read("5.4", X86_C, "kvm_arch_create_memslot"), Read("5.10", X86_C, PREPARE), arches=X86),
    Fact("x86-kvmalloc-2g", "One array of slot metadata has at most 2^31 - 1 bytes.",
         _OVERSIZED, Read("5.15", X86_C, PREPARE), ended=_VCALLOC, arches=X86),
    Fact("rmap-optional", "Reverse maps are made only once shadow page tables are needed.",
         Bound("5.13", "5.14"), Read("5.14", X86_C), arches=X86),
    Fact("tdp-mmu-default",
         "The TDP MMU is on by default, so hosts with two-dimensional paging need none.",
         Bound("5.14", "5.15"), Read("5.15", "arch/x86/kvm/mmu/tdp_mmu.c"),
         Asked("debian-6.1-i386"), arches=X86_64),
    Fact("write-track-optional", "Write-track counters need a tracker or shadow page tables.",
         Bound("5.15", "5.16"), Read("5.15", TRACK, "kvm_page_track_create_memslot"),
         Read("5.16.10", TRACK), arches=X86),
    Fact("avic-stopped-by-pit", "A PIT that re-injects interrupts stops AVIC for the VM.",
         Bound("5.4", "5.10"), Read("5.4", PIT, "kvm_pit_set_reinject"),
         Read("5.10", PIT, "kvm_pit_set_reinject"), arches=X86),
    Fact("tdx-irqchip-split-only", "A TDX guest takes no irqchip in the kernel but a split one.",
         Bound("6.17", "7.0"), Read("6.17", X86_C, "kvm_arch_vm_ioctl"),
         Read("7.0", X86_C, "kvm_arch_vm_ioctl"), arches=X86_64),
    Fact("smm-optional", "KVM can be built without SMM.",
         Commit("4b8e1b32013d", "KVM: allow compiling out SMM support", "6.2"),
         Asked("host-6.18-x86_64"), arches=X86),
    Fact("vcpu-id-checked-wide", "A vCPU id that does not fit 32 bits is refused, not truncated.",
         Commit("8b8e57e5096e", "KVM: Reject overly excessive IDs in KVM_CREATE_VCPU", "6.11"),
         Asked("debian-6.1-x86_64", "debian-6.12-x86_64")),
    Fact("get-dirty-eopnotsupp", "KVM_GET_DIRTY_LOG answers EOPNOTSUPP (BookE).", ALWAYS,
         Asked("built-5.10-ppc32", "built-6.1-ppc32", "built-sid-ppc32"),
         arches=frozenset({"ppc32"})),
    Fact("hva-sign-bit-only", "Host addresses up to 2^63 - 1 pass: only the sign bit is tested.",
         Commit("6014bc27561f", "x86-64: make access_ok() independent of LAM", "6.4"),
         Read("6.5", UACCESS, "__access_ok"), Read("6.11", UACCESS, "__access_ok"), ended=_MASKED,
         arches=X86_64),
    Fact("hva-limit-exclusive", "A host range must end below the limit, not at it.", _MASKED,
         ended=_WHOLE, arches=X86_64),
    *ARCH_FACTS,
    *CAPABILITY_FACTS,
)
# fmt: on

FIRST_RELEASES = {"riscv64": Version(5, 16, 0), "loongarch64": Version(6, 7, 0)}
"""Release in which KVM came to an architecture."""

OLDEST, NEWEST_KNOWN = Version(4, 19, 0), Version(7, 3)
"""The releases that the facts cover."""

LAST_BRANCH = {4: 20, 5: 19, 6: 19, 7: 3}
"""Last minor number of each major one, as far as the facts reach."""

BRANCHES = tuple(
    Version(major, minor)
    for major, minors in ((4, range(19, 20)), (5, range(4, 20)), (6, range(20)), (7, range(4)))
    for minor in minors
    if (major, minor) not in {(5, 5), (5, 6), (5, 8), (5, 9), (5, 13)}
)
"""Branches worth asking about in a survey: each differs from some other, or has users."""

LONGTERM = tuple(
    Version(major, minor)
    for major, minor in ((5, 4), (5, 10), (5, 15), (6, 1), (6, 6), (6, 12), (6, 18))
)
"""Branches that kernel.org keeps for years and hosts run (kernel.org, category longterm)."""
