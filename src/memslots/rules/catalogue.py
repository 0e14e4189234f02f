"""All rules in the order in which the kernel checks them, and the hooks of each architecture.

Order is meaning: the kernel reports the first check that fails.
"""

from __future__ import annotations

from errno import ENOMEM

from ..errors import UnknownKernelError
from .region.arch import arm64, others, riscv, s390, vma, x86
from .region.arguments import ARGUMENT_RULES
from .region.overlap import BINDING_RULES, PLACEMENT_RULES
from .region.same_id import IDENTITY_RULES
from .rule import Rule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .answer import Accepted, Refused, Undetermined
    from .attempt import Attempt

    Prepare = Callable[[Attempt, Accepted], Refused | Undetermined | None]

PREPARE_HOOKS: dict[str, Prepare] = {
    "x86_64": x86.prepare,
    "i386": x86.prepare,
    "arm64": arm64.prepare,
    "riscv64": riscv.prepare,
    "s390x": s390.prepare,
    "loongarch64": others.prepare_loongarch,
    "ppc64": others.prepare_powerpc,
    "ppc32": others.prepare_powerpc,
    "mips": others.prepare_nothing,
}
"""kvm_arch_prepare_memory_region() by architecture."""

REGION_RULES = (
    *ARGUMENT_RULES,
    *IDENTITY_RULES,
    *PLACEMENT_RULES,
    *BINDING_RULES,
    *x86.RULES,
    *arm64.RULES,
    *riscv.RULES,
    *s390.RULES,
    *others.RULES,
    *vma.VMA_RULES,
)
"""Rules of the region calls, in order."""


ALLOCATION_FAILED = Rule(
    "allocation-failed",
    ENOMEM,
    "The kernel could not allocate what the slot needs.",
    """The model assumes that allocations succeed.  Slots cost kernel memory: reverse maps of 8 bytes a page with
    shadow paging or nested guests, write tracking, dirty bitmaps; 32-bit hosts have little of it.""",
    "See `memslots cost` for what this layout needs; look for allocation failures in the kernel log.",
    "kvm_alloc_memslot_metadata() and kvm_set_memslot()",
)
"""A reason that the model never gives: it is named where a kernel has answered so."""


def all_rules() -> tuple[Rule, ...]:
    """Every rule, those of the region calls first."""
    from .vm_calls import VM_CALL_RULES

    return (*REGION_RULES, *VM_CALL_RULES)


def find_rule(rule_id: str) -> Rule:
    """The rule with this id.  Raises UnknownKernelError with the nearest ones."""
    rules = {rule.id: rule for rule in (*all_rules(), ALLOCATION_FAILED)}
    if rule_id not in rules:
        from difflib import get_close_matches

        near = get_close_matches(rule_id, rules, 3)
        hint = f"; did you mean {' or '.join(near)}?" if near else "; `memslots rules` lists them"
        raise UnknownKernelError(f"no rule {rule_id!r}{hint}")
    return rules[rule_id]
