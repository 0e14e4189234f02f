"""On which kernels a rule exists: what its facts say, and what they leave to the architecture.

A rule that exists can refuse a call; one that does not cannot.  Where only the
width of a number keeps a rule from refusing (the page total on 64-bit hosts) it
exists all the same, as it does in the kernel.
"""

from __future__ import annotations

from ..kernel.arch import ARCHES
from ..kernel.history import BRANCHES
from ..kernel.profile import dated
from .catalogue import all_rules
from .region.arch import arm64, others, riscv, s390, vma, x86

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..kernel.profile import Profile
    from .rule import Rule

_X86 = frozenset({"x86_64", "i386"})
_ARM64 = frozenset({"arm64"})
_NARROW = frozenset(arch.name for arch in ARCHES.values() if arch.long_bits < 64)

_ARCHES: dict[str, frozenset[str]] = {
    **{rule.id: _X86 for rule in x86.RULES},
    **{rule.id: _ARM64 for rule in arm64.RULES},
    **{rule.id: frozenset({"riscv64"}) for rule in riscv.RULES},
    **{rule.id: frozenset({"s390x"}) for rule in s390.RULES},
    others.LOONGARCH_GPA_LIMIT.id: frozenset({"loongarch64"}),
    others.POWERPC_RMAP_TOO_LARGE.id: frozenset({"ppc64"}),
    **{rule.id: frozenset({"arm64", "riscv64"}) for rule in vma.VMA_RULES},
    vma.VMA_MTE.id: _ARM64,
    "size-exceeds-ulong": _NARROW,
    "hva-tagged": _ARM64,
    "mmu-pages-too-few": _X86,
    "irqchip-exists": _X86,
    "irqchip-too-late": _X86,
    "irqchip-unsupported": _ARM64,
    "tss-too-high": _X86,
    "identity-map-too-late": _X86,
}
"""Architectures of rules that not all have."""

_ANY_FACT: dict[str, tuple[str, ...]] = {
    "vma-mte": ("arm64-mte-shared", "arm64-mte-vma"),
    "attributes-invalid": ("memory-attributes",),
    "pre-fault-range": ("pre-fault-memory",),
    "pre-fault-no-slot": ("pre-fault-memory",),
    "first-page-unaligned": ("clear-dirty-log",),
    "clear-range": ("clear-dirty-log",),
    "dirty-ring-too-large": ("dirty-ring", "dirty-ring-acq-rel"),
    "dirty-ring-too-late": ("dirty-ring", "dirty-ring-acq-rel"),
    "no-dirty-ring": ("reset-dirty-rings",),
}
"""Facts of which one must hold, where the rule itself does not say."""


def exists(rule: Rule, profile: Profile) -> bool:
    """Can this rule refuse a call on this kernel?"""
    if profile.arch.name not in _ARCHES.get(rule.id, ARCHES):
        return False
    if rule.id == "vma-not-writable" and profile.arch.name == "arm64" and not profile.has("arm64-vma-write-check"):
        return False
    facts = _ANY_FACT.get(rule.id, ())
    return (
        all(profile.has(fact) for fact in rule.needs)
        and not any(profile.has(fact) for fact in rule.without)
        and (not facts or any(profile.has(fact) for fact in facts))
    )


def is_out_of_reach(rule: Rule, profile: Profile) -> bool:
    """Does the rule exist, but on numbers that no VM of this word size reaches?"""
    return profile.arch.long_bits >= 64 and rule.id in ("page-total-cap", "page-total-underflow")


def rules_of(profile: Profile) -> list[Rule]:
    """The rules that exist on a kernel, in the order in which they are checked."""
    return [rule for rule in all_rules() if exists(rule, profile)]


def releases_with(rule: Rule) -> dict[str, list[str]]:
    """Architecture: the releases surveyed on which the rule exists, oldest first; absent if on none."""
    found: dict[str, list[str]] = {}
    for profile in surveyed():
        if exists(rule, profile):
            found.setdefault(profile.arch.name, []).append(str(profile.version))
    return found


_surveyed: list[Profile] = []


def surveyed() -> list[Profile]:
    """A dated profile for every architecture and branch worth asking about."""
    from ..errors import UnknownKernelError

    if not _surveyed:
        for arch in ARCHES.values():
            for version in BRANCHES:
                try:
                    _surveyed.append(dated(version, arch))
                except UnknownKernelError:
                    continue  # before KVM came to this architecture
    return _surveyed


def spans(releases: list[str], among: list[str]) -> str:
    """`4.19 to 5.10, 6.1 to 7.2`, or `all`: runs of releases that follow each other in `among`."""
    if releases == among:
        return "all"
    runs: list[list[str]] = []
    for name in releases:
        if runs and among.index(name) == among.index(runs[-1][-1]) + 1:
            runs[-1].append(name)
        else:
            runs.append([name])
    newest = among[-1]
    return ", ".join(
        run[0] if len(run) == 1 else f"{run[0]} and later" if run[-1] == newest else f"{run[0]} to {run[-1]}"
        for run in runs
    )
