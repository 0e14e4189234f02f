"""All rules, in the order in which the kernel checks them.

Order is meaning: the kernel reports the first check that fails.
"""

from __future__ import annotations

import re

from ..errnos import ENOMEM, NUMBERS
from ..errors import UnknownKernelError
from . import (
    create_vcpu,
    create_vm,
    dirty_log,
    dirty_ring,
    enable_cap,
    guest_memfd,
    ioctl,
    irqchip,
    memory_attributes,
    nr_mmu_pages,
    pre_fault,
    tss_and_identity,
)
from .answer import Rule
from .region import arguments, gmem_bind, overlap, same_id
from .region.arch.hooks import hook_rules

REGION_RULES = (
    *ioctl.RULES, *arguments.RULES, *same_id.RULES, *overlap.RULES, *gmem_bind.RULES,
    *hook_rules(),
)  # fmt: skip
"""Rules of the region calls, in order."""
OTHER_RULES = (
    *create_vm.RULES, *enable_cap.RULES, *nr_mmu_pages.RULES, *irqchip.RULES, *create_vcpu.RULES,
    *tss_and_identity.RULES, *guest_memfd.RULES, *memory_attributes.RULES, *pre_fault.RULES,
    *dirty_log.RULES,
    *dirty_ring.RULES,
)  # fmt: skip
"""Rules of the other calls, call by call."""


ALLOCATION_FAILED = Rule(
    "allocation-failed",
    ENOMEM,
    "The kernel could not allocate what the slot needs.",
    """The model assumes that allocations succeed.  Slots cost kernel memory: reverse maps of 8
    bytes a page with shadow paging or nested guests, write tracking, dirty bitmaps; 32-bit hosts
    have little of it.""",
    "See `memslots cost` for what this layout needs; look for allocation failures in the kernel "
    "log.",
    "kvm_alloc_memslot_metadata() in arch/x86/kvm/x86.c; kvm_set_memslot() in virt/kvm/kvm_main.c",
)
"""A reason that the model never gives: it is named where a kernel has answered so."""


def all_rules() -> tuple[Rule, ...]:
    """Every rule, those of the region calls first."""
    return (*REGION_RULES, *OTHER_RULES)


def rules_beside(rule: Rule) -> tuple[Rule, ...]:
    """The rules of the same call, in the order of the kernel's checks."""
    if rule in REGION_RULES:
        return REGION_RULES
    return tuple(other for other in OTHER_RULES if other.calls == rule.calls)


def find_rule(rule_id: str) -> Rule:
    """The rule with this id.  Raises UnknownKernelError with the nearest ones."""
    rules = {rule.id: rule for rule in (*all_rules(), ALLOCATION_FAILED)}
    if rule_id not in rules:
        by_case = rules.get(rule_id.lower())
        if by_case is not None:
            return by_case
        from difflib import get_close_matches

        near = get_close_matches(rule_id, rules, 3)
        raise UnknownKernelError(
            f"no rule {rule_id!r}; "
            + (f"did you mean {' or '.join(near)}?" if near else "`memslots rules` lists them")
        )
    return rules[rule_id]


def rules_with(word: str) -> list[Rule]:
    """The rules about an errno, call or function, or with the word in their id or title.

    Raises UnknownKernelError if there are none.
    """
    key = word.lower()
    found = [rule for rule in all_rules() if key in rule.id or key in rule.title.lower()]
    return found or rules_about(word)


def rules_about(word: str) -> list[Rule]:
    """The rules with this id, errno (`EEXIST`), call, or function of the kernel, or at this place
    (`27`) in the order of a call's checks.

    Raises UnknownKernelError, with the nearest ids, if there are none.
    """
    rules = (*all_rules(), ALLOCATION_FAILED)
    key = word.removesuffix("()")
    if key.isdecimal() and len(key) < 4:
        columns = dict.fromkeys(map(rules_beside, all_rules()))
        at_place = [column[int(key) - 1] for column in columns if 0 < int(key) <= len(column)]
        if at_place:
            return at_place
    number = NUMBERS.get(key.upper())
    found = [
        rule
        for rule in rules
        if (number is not None and rule.errno == number)
        or key.upper() in re.findall(r"\w+", rule.calls)
        or re.search(rf"(?<!\w){re.escape(key.lower())}\(\)", rule.source)
    ]
    return found or [find_rule(word)]
