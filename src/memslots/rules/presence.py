"""On which kernels a rule exists: what its facts say, and what they leave to the architecture.

A rule that exists can refuse a call; one that does not cannot.  Where only the
width of a number keeps a rule from refusing (the page total on 64-bit hosts) it
exists all the same, as it does in the kernel.
"""

from __future__ import annotations

from ..kernel.arch import ARCHES
from ..kernel.profile import of_branches
from .catalogue import all_rules
from .region.arch.vma import VMA_NOT_WRITABLE
from .region.same_id import PAGE_TOTAL_CAP, PAGE_TOTAL_UNDERFLOW

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..kernel.profile import Profile
    from .answer import Rule


def exists(rule: Rule, profile: Profile) -> bool:
    """Whether this rule can refuse a call on this kernel."""
    arch = profile.arch.name
    if rule.arches and arch not in rule.arches:
        return False
    if (
        rule is VMA_NOT_WRITABLE
        and arch == "arm64"
        and profile.knows("arm64-vma-write-check") is False
    ):
        return False
    return (
        all(profile.knows(fact) is not False for fact in rule.needs)
        and not any(profile.knows(fact) for fact in rule.without)
        and (not rule.any_of or any(profile.knows(fact) is not False for fact in rule.any_of))
    )


def is_out_of_reach(rule: Rule, profile: Profile) -> bool:
    """Whether the rule exists, but on numbers that no VM of this word size reaches."""
    return profile.arch.long_bits >= 64 and rule in (PAGE_TOTAL_CAP, PAGE_TOTAL_UNDERFLOW)


def rules_of(profile: Profile) -> list[Rule]:
    """The rules that exist on a kernel, in the order in which they are checked."""
    return [rule for rule in all_rules() if exists(rule, profile)]


def releases_with(rule: Rule) -> dict[str, list[str]]:
    """Architecture: the releases surveyed on which the rule exists, oldest first; absent if on
    none.
    """
    found: dict[str, list[str]] = {}
    for profile in surveyed():
        if exists(rule, profile):
            found.setdefault(profile.arch.name, []).append(str(profile.version))
    return found


def surveyed() -> list[Profile]:
    """A dated profile for every architecture and branch worth asking about."""
    return [profile for arch in ARCHES.values() for profile in of_branches(arch)]
