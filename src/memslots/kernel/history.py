"""Dated facts and limits: the only module that names kernel releases.

A `Fact` is one behaviour with the release that brought it, the one that ended
it, and the stable branches that are known to carry it.  A `Limit` is a number
with the same kind of dates.  Everything else asks a profile for names.

Evidence, in the words of each source:
    asked    real kernels were asked: Debian 5.10, 6.1, 6.5, 6.12, 7.2, a 6.18 host
    source   the release's source was read
    history  release-history knowledge; the release is right within one or two
"""

from __future__ import annotations

from .arch import ARCHES
from .version import NEWEST, Version

X86 = frozenset({"x86_64", "i386"})
ALL = frozenset(ARCHES)


def _v(text: str | None) -> Version | None:
    return None if text is None else Version.parse(text)


class Fact:
    """One dated behaviour of KVM."""

    __slots__ = ("arches", "backports", "ended_in", "name", "since", "source", "summary", "until")

    def __init__(
        self,
        name: str,
        since: str,
        summary: str,
        source: str,
        *,
        until: str | None = None,
        arches: frozenset[str] = ALL,
        backports: tuple[str, ...] = (),
        ended_in: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.since = Version.parse(since)
        """First release with it; `6.8` here means 6.8.0."""
        self.until = _v(until)
        """First release without it."""
        self.summary = summary
        self.source = source
        self.arches = arches
        self.backports = tuple(Version.parse(text) for text in backports)
        """Stable point releases from which on a branch carries it."""
        self.ended_in = tuple(Version.parse(text) for text in ended_in)
        """Stable point releases from which on a branch no longer has it."""

    def holds(self, version: Version, arch: str) -> bool:
        """Does a kernel of this release and architecture behave so?"""
        if arch not in self.arches:
            return False
        for port in self.backports:
            if version.branch == port.branch:
                return port.patch <= version.patch
        for end in self.ended_in:
            if version.branch == end.branch and end.patch <= version.patch:
                return False
        return _reached(version, self.since) and (self.until is None or not _reached(version, self.until))

    def __repr__(self) -> str:
        return f"Fact({self.name!r})"


def _reached(version: Version, dated: Version) -> bool:
    """Is the release at or after the dated one?  A date without a patch level means .0."""
    patch = 0 if dated.patch == NEWEST else dated.patch
    return (version.branch, version.patch) >= (dated.branch, patch)


# fmt: off
FACTS = (
    # -- the region call
    Fact("size-fits-ulong", "5.15", "A slot's size must fit an unsigned long.",
         "seen in 5.15.16 (source) and 5.10.223 (asked, i386 and ppc32); absent in 5.10.7 (source)",
         backports=("5.10.223",)),
    Fact("hva-tag-check", "5.11", "A userspace_addr that carries an address tag is refused.",
         'commit 139bc8a6146d ("KVM: Forbid the use of tagged userspace addresses for memslots"); '
         "seen in 5.4.195 (source) and 5.10.223 (asked, arm64)",
         backports=("5.4.195", "5.10.223")),
    Fact("slot-size-user-only", "6.14", "The page limit of a slot binds user slots only.", "source, 6.14.0"),
    Fact("page-total-cap", "5.17", "A slot that would wrap the VM's page total is refused.",
         "source, 5.17.0; asked on 32-bit 6.1 and 7.2"),
    Fact("hva-compared-truncated", "5.7", "A change compares the truncated userspace_addr on 32-bit hosts.",
         "asked, i386 5.10 against 6.1; first release from history", until="5.17"),
    Fact("failed-change-restored", "5.7", "A delete or move that the architecture refuses leaves the old slot.",
         "absent in 5.4, present in 5.10 (source); first release from history"),
    Fact("zero-size-is-delete", "5.7", "Delete looks at memory_size, not at the truncated page count.",
         "source: 5.4 and 5.10 differ; first release from history"),
    Fact("bad-vm-eio", "5.15", "Calls on a dead VM answer EIO.", "source, 5.15.16"),
    Fact("region2", "6.8", "KVM_SET_USER_MEMORY_REGION2 exists.",
         'commit bb58b90b1a8f ("KVM: Introduce KVM_SET_USER_MEMORY_REGION2")'),
    # -- page total and MMU budget
    Fact("budget-ulong", "5.1", "The MMU budget is an unsigned long; before, unsigned int.",
         "seen in 5.4 (source); first release from history", arches=X86),
    Fact("budget-from-total", "5.17", "The MMU budget is total / 50, set on create and delete only.",
         "source, 5.17.0; asked: 5.10 against 6.1", arches=X86),
    Fact("get-nr-mmu-pages", "2.6", "KVM_GET_NR_MMU_PAGES exists.", "asked: 6.1 has it, 6.5 has not",
         until="6.4", arches=X86),
    # -- generations
    Fact("generation-high-bit", "5.1", "A slot update is marked in bit 63 of the generation, not in bit 0.",
         "seen in 5.4 (source); first release from history"),
    Fact("spaces-per-vm", "6.8", "The number of address spaces belongs to the VM.", "source, 6.8.1"),
    # -- dirty logging
    Fact("clear-dirty-log", "4.20", "KVM_CLEAR_DIRTY_LOG and manual protection exist.",
         "absent in 4.19, present in 5.4 (source); asked: never on powerpc",
         arches=ALL - {"s390x", "ppc64", "ppc32"}),
    Fact("clear-to-odd-end", "5.1", "KVM_CLEAR_DIRTY_LOG may end at the end of a slot that is no multiple of 64.",
         "history"),
    Fact("dirty-log-initially-set", "5.7", "Manual protection can start with all pages dirty.",
         "absent in 5.4, present in 5.10 (source); asked from 5.10 on",
         arches=ALL - {"s390x", "ppc64", "ppc32", "riscv64"}),
    Fact("dirty-log-initially-set", "7.1", "Manual protection can start with all pages dirty.",
         "asked: riscv64 6.12 has it not, 7.2 has it; the release between is not known",
         arches=frozenset({"riscv64"})),
    Fact("reset-dirty-rings", "5.11", "KVM_RESET_DIRTY_RINGS exists.", "asked: 5.10 has it not, 6.1 has it"),
    Fact("dirty-ring", "5.11", "KVM_CAP_DIRTY_LOG_RING can be enabled.",
         "source, 5.11.5; asked: not on 5.10, from 6.1 on", arches=X86),
    Fact("dirty-ring-acq-rel", "6.1", "KVM_CAP_DIRTY_LOG_RING_ACQ_REL can be enabled.", "asked, 6.1", arches=X86),
    Fact("dirty-ring-acq-rel", "6.2", "KVM_CAP_DIRTY_LOG_RING_ACQ_REL can be enabled.",
         "source, 6.2.1; asked: not on 6.1, on 6.12", arches=frozenset({"arm64"})),
    Fact("dirty-ring-acq-rel", "6.7", "KVM_CAP_DIRTY_LOG_RING_ACQ_REL can be enabled.", "source, 6.7.3",
         arches=frozenset({"loongarch64"})),
    Fact("dirty-ring-acq-rel", "6.17", "KVM_CAP_DIRTY_LOG_RING_ACQ_REL can be enabled.",
         "source: absent in 6.14, present in 6.17; asked: not on 6.12, on 7.2", arches=frozenset({"riscv64"})),
    Fact("dirty-ring-with-bitmap", "6.2", "A dirty ring can be backed by bitmaps.",
         "source, 6.2.1; asked: arm64 6.12 and 7.2", arches=frozenset({"arm64"})),
    # -- guest_memfd and attributes
    Fact("guest-memfd", "6.8", "KVM_CREATE_GUEST_MEMFD exists where it is built.",
         'commit a7800aa80ea4 ("KVM: Add KVM_CREATE_GUEST_MEMFD ioctl() for guest-specific backing memory")',
         arches=frozenset({"x86_64"})),
    Fact("guest-memfd", "6.18", "KVM_CREATE_GUEST_MEMFD exists.", "source, 6.18.2; asked: 7.2, not 6.12",
         arches=frozenset({"arm64"})),
    Fact("guest-memfd-any-vm", "6.18", "Every VM type may bind guest_memfd slots.", "asked: 6.18 and 7.2, not 6.12",
         arches=frozenset({"x86_64", "arm64"})),
    Fact("guest-memfd-mmap", "6.18", "guest_memfd files may be mapped (flags MMAP and INIT_SHARED).",
         "asked: 6.18 and 7.2, not 6.12", arches=frozenset({"x86_64", "arm64"})),
    Fact("guest-memfd-toggle-refused", "6.19", "A slot cannot lose or gain KVM_MEM_GUEST_MEMFD.",
         "source: absent in 6.18.2, present in 6.18.35 and 6.19.0; asked on 6.18.44", backports=("6.18.35",)),
    Fact("guest-memfd-overlap-eexist", "7.2", "Binding a bound part of a file is EEXIST; before, EINVAL.",
         "asked: EINVAL on 6.18.44, EEXIST on 7.2.13"),
    Fact("guest-memfd-offset-unsigned", "7.1", "The end of a binding is computed without signed overflow.",
         "source, 7.1.3; asked: 6.18.44 accepts offset 2^63 - 4096, 7.2.13 refuses"),
    Fact("memory-attributes", "6.8", "KVM_SET_MEMORY_ATTRIBUTES exists where it is built.",
         "source, 6.8.1; asked: Debian 6.12 and 7.2 have it built in", arches=frozenset({"x86_64"})),
    Fact("readonly-per-vm", "6.11", "VMs with protected state take no read-only slots.", "source, 6.11.11",
         arches=frozenset({"x86_64"})),
    Fact("vm-type-argument", "6.8", "KVM_CREATE_VM takes a type.", "source, 6.8.1", arches=X86),
    Fact("vm-type-sev", "6.10", "VM types 2 (SEV) and 3 (SEV-ES) exist.", "source, 6.10.0", arches=X86),
    Fact("vm-type-snp", "6.11", "VM type 4 (SNP) exists.", "source, 6.11.11", arches=X86),
    Fact("vm-type-tdx", "6.16", "VM type 5 (TDX) exists.", "seen in 6.17 (source); first release from history",
         arches=X86),
    Fact("pre-fault-memory", "6.11", "KVM_PRE_FAULT_MEMORY exists.", "source, 6.11.11; asked: i386 7.2 too",
         arches=X86),
    # -- x86
    Fact("x86-max-gfn", "5.18", "A slot must end within the guest's physical address bits.",
         "source, 5.18.12; asked: not on 5.10, from 6.1 on", arches=X86),
    Fact("x86-page-track-move", "6.6", "A VM with an external page tracker moves no slots.", "source, 6.6.17",
         arches=X86),
    Fact("x86-alias-bit", "6.14", "A slot must not carry the VM's shared-alias bit (TDX).", "source, 6.14.0",
         arches=X86),
    Fact("x86-metadata-late", "5.7", "Slot metadata is allocated in the prepare hook, for moves too.",
         "source: 5.4 and 5.10 differ; first release from history", arches=X86),
    Fact("x86-kvmalloc-2g", "5.15", "One array of slot metadata has at most 2^31 - 1 bytes.",
         "source: 5.15.16, 5.16.10, 5.17.0; gone in 5.18.12", until="5.18", arches=X86),
    Fact("smm-optional", "6.2", "KVM can be built without SMM.", "source, 6.2.1; asked: a 6.18 host without it",
         arches=X86),
    Fact("vcpu-id-checked-wide", "6.11", "A vCPU id that does not fit 32 bits is refused, not truncated.",
         "asked: truncated on 6.1, refused on 6.12; the release between from history"),
    Fact("get-dirty-eopnotsupp", "2.6", "KVM_GET_DIRTY_LOG answers EOPNOTSUPP (BookE).", "asked: ppc32 e500v2",
         arches=frozenset({"ppc32"})),
    Fact("hva-sign-bit-only", "6.4", "Host addresses up to 2^63 - 1 pass: only the sign bit is tested.",
         "source: 6.4.6 to 6.11.0; 6.11.11 tests the whole limit again", until="6.12", ended_in=("6.11.11",),
         arches=frozenset({"x86_64"})),
    Fact("hva-limit-exclusive", "6.12", "A host range must end below the limit, not at it.",
         "source, 6.12.0; gone in 6.13 and, asked, in 6.12.107", until="6.13", ended_in=("6.12.107",),
         arches=frozenset({"x86_64"})),
    # -- arm64
    Fact("arm64-vm-type-is-ipa-bits", "4.20", "The type of a VM is its IPA size in bits.",
         "absent in 4.19, present in 5.4 (source)", arches=frozenset({"arm64"})),
    Fact("arm64-ipa-limit-inclusive", "5.12", "A slot may end exactly at the IPA limit.",
         "source: 5.11.5 and 5.12.9 differ; asked: 5.10.223 has it", arches=frozenset({"arm64"}),
         backports=("5.10.223",)),
    Fact("arm64-vma-write-check", "4.19", "A writable slot needs a writable mapping.",
         "source: 4.19, 5.4; gone in 5.10", until="5.7", arches=frozenset({"arm64"})),
    Fact("arm64-mte-shared", "5.14", "A VM with MTE takes no shared mappings.", "source: 5.14 to 6.1", until="6.2",
         arches=frozenset({"arm64"})),
    Fact("arm64-mte-vma", "6.2", "A VM with MTE takes only mappings that allow MTE.", "source, 6.2.1",
         arches=frozenset({"arm64"})),
    Fact("arm64-pfn-cacheable", "6.17", "Cacheable device mappings need host support.",
         "source: absent in 6.14, present in 6.17", arches=frozenset({"arm64"})),
    Fact("arm64-gmem-needs-mmap", "6.18", "A guest_memfd slot needs a file that can be mapped.",
         "source, 6.18.2; asked on 7.2", arches=frozenset({"arm64"})),
    Fact("arm64-protected-vm", "7.1", "Protected VMs refuse changes.", "source: absent in 7.0, present in 7.1",
         arches=frozenset({"arm64"})),
    # -- s390
    Fact("s390-checks-every-change", "4.19", "The checks of s390 see deletes and flag changes too.",
         "source: 4.19 to 5.16", until="5.17", arches=frozenset({"s390x"})),
    Fact("s390-secure-vm-refuses", "5.7", "A secure VM refuses every change.", "source; first release from history",
         arches=frozenset({"s390x"})),
    Fact("s390-segment-alignment", "4.19", "userspace_addr and size are multiples of 1 MiB.",
         "source: 4.19 to 7.0", until="7.1", arches=frozenset({"s390x"})),
    Fact("s390-ucontrol-no-user-slots", "6.11", "A ucontrol VM takes no user slots.", "source, 6.11.11",
         arches=frozenset({"s390x"})),
    # -- capabilities that are about other things, see vm_capabilities
    Fact("cap-x86-base", "4.19", "Quirks, x2APIC, exits, platform info and payloads can be set.",
         "asked on every x86 kernel", arches=X86),
    Fact("cap-x86-user-space-msr", "5.10", "MSR exits can be set.", "asked, 5.10", arches=X86),
    Fact("cap-halt-poll", "5.10", "Halt polling can be set.", "asked, 5.10 on every architecture"),
    Fact("cap-x86-bus-lock", "5.12", "Bus-lock exits can be set.", "asked: not on 5.10, on 6.1", arches=X86),
    Fact("cap-x86-late", "6.1", "Hypercall, emulation-failure and triple-fault exits can be set.",
         "asked: not on 5.10, on 6.1; releases between are not told apart", arches=X86),
    Fact("cap-x86-max-vcpu-id", "6.0", "KVM_CAP_MAX_VCPU_ID can be set.", "asked: not on 5.10, on 6.1", arches=X86),
    Fact("cap-sev-context", "5.13", "Encryption contexts can be copied (AMD).", "asked: not on 5.10, on 6.1",
         arches=frozenset({"x86_64"})),
    Fact("cap-sev-context", "5.13", "Encryption contexts can be copied (AMD).",
         "asked: i386 6.1 and 6.5, not 7.2; the release between is not known", arches=frozenset({"i386"}),
         until="6.12"),
    Fact("cap-ppc64-hv", "5.12", "Nested HV can be set, DAWR1 is refused with ENODEV.", "asked, 6.1",
         arches=frozenset({"ppc64"})),
    Fact("cap-arm64-nisv", "5.5", "Exits without syndrome can be set.", "asked, 5.10", arches=frozenset({"arm64"})),
    Fact("cap-arm64-suspend", "5.19", "System suspend can be set.", "asked: not on 5.10, on 6.1",
         arches=frozenset({"arm64"})),
    Fact("cap-arm64-eager-split", "6.5", "Eager splitting can be set.", "asked: not on 6.1, on 6.12",
         arches=frozenset({"arm64"})),
    Fact("cap-arm64-7", "7.0", "Writable id registers and external aborts can be set.",
         "asked: not on 6.12, on 7.2; the release between is not known", arches=frozenset({"arm64"})),
    Fact("cap-riscv-gpa-bits", "7.1", "Guest-physical bits and the reset state can be set.",
         "asked: not on 6.12, on 7.2; source for the bits, 7.1", arches=frozenset({"riscv64"})),
    # -- others
    Fact("powerpc-rmap-cap", "5.16", "A reverse map larger than RAM is refused (HV).", "source, 5.16.10",
         arches=frozenset({"ppc64"})),
    Fact("loongarch-gpa-limit", "6.8", "A slot must end within the guest-physical size (ENOMEM).", "source, 6.8.1",
         arches=frozenset({"loongarch64"})),
    Fact("loongarch-gpa-full-width", "6.13", "The guest-physical size has all bits of the virtual one.",
         "source, 6.13.7", arches=frozenset({"loongarch64"})),
)
# fmt: on


class Limit:
    """A number with dates: what one kernel allows."""

    __slots__ = ("name", "source", "steps", "summary")

    def __init__(self, name: str, summary: str, source: str, steps: dict[str, tuple[tuple[str, int], ...]]) -> None:
        self.name = name
        self.summary = summary
        self.source = source
        self.steps = {
            arch: tuple((Version.parse(since), value) for since, value in dated) for arch, dated in steps.items()
        }
        """Architecture (or `*`): (first release, value), oldest first."""

    def value(self, version: Version, arch: str) -> int | None:
        """The number for this release and architecture; None if it says nothing of it."""
        found = None
        for since, value in self.steps.get(arch, self.steps.get("*", ())):
            if _reached(version, since):
                found = value
        return found


_X86_SLOTS = (("2.6", 509), ("5.12", 32764))
_X86_INTERNAL = (("2.6", 3),)

# fmt: off
LIMITS = (
    Limit("user-slots", "Slots that user space may name, per address space (KVM_CAP_NR_MEMSLOTS).",
          "specification 12.1; asked on every architecture but s390x, mips, loongarch64",
          {"x86_64": _X86_SLOTS, "i386": _X86_SLOTS, "arm64": (("2.6", 512), ("5.12", 32767)),
           "ppc64": (("2.6", 512), ("5.12", 32767)), "ppc32": (("2.6", 512), ("5.12", 32767)),
           "s390x": (("2.6", 32), ("5.12", 32767), ("6.14", 32766)),
           "mips": (("2.6", 8), ("5.7", 16), ("5.12", 32767)), "*": (("5.12", 32767),)}),
    Limit("internal-slots", "Slots that KVM keeps for itself, after the user slots.", "specification 12.1",
          {"x86_64": _X86_INTERNAL, "i386": _X86_INTERNAL, "s390x": (("2.6", 0), ("6.14", 1)), "*": (("2.6", 0),)}),
    Limit("max-vcpu-id", "First vCPU id that is refused (KVM_CAP_MAX_VCPU_ID).",
          "asked; a build option since 6.6 on x86",
          {"x86_64": (("2.6", 1023), ("5.15", 4096)), "i386": (("2.6", 1023), ("5.15", 4096)),
           "arm64": (("2.6", 512),), "riscv64": (("2.6", 1024),), "ppc64": (("2.6", 16384),), "ppc32": (("2.6", 1),)}),
    Limit("max-vcpus", "vCPUs of one VM (KVM_CAP_MAX_VCPUS).", "asked",
          {"x86_64": (("2.6", 288), ("5.15", 1024)), "i386": (("2.6", 288), ("5.15", 1024)),
           "arm64": (("2.6", 512),), "riscv64": (("2.6", 1024),), "ppc64": (("2.6", 2048),), "ppc32": (("2.6", 1),)}),
)
# fmt: on

FIRST_RELEASES = {"riscv64": Version(5, 16, 0), "loongarch64": Version(6, 7, 0)}
"""Release in which KVM came to an architecture."""

OLDEST, NEWEST_KNOWN = Version(4, 19, 0), Version(7, 2)
"""The releases that the facts cover."""

LAST_BRANCH = {4: 20, 5: 19, 6: 19, 7: 2}
"""Last minor number of each major one, as far as the facts reach."""

BRANCHES = tuple(
    Version(major, minor)
    for major, minors in ((4, range(19, 20)), (5, range(4, 20)), (6, range(20)), (7, range(3)))
    for minor in minors
    if (major, minor) not in {(5, 5), (5, 6), (5, 8), (5, 9), (5, 13)}
)
"""Branches worth asking about in a survey: each differs from some other, or has users."""
