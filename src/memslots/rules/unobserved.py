"""Where nobody knows whether a release has a fact, the call that needs it is undetermined.

`Profile.has` raises UnobservedError; the two functions that decide calls catch it, by `decided`.
"""

from __future__ import annotations

from ..errors import InvariantBrokenError, UnobservedError
from ..late import load
from .answer import Undetermined

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from .answer import Answer, Rule

    A = TypeVar("A")

_WITHIN = {
    "arm64-vma-write-check": "rules.region.arch.vma:VMA_NOT_WRITABLE",
    "avic-stopped-by-pit": "rules.region.overlap:SLOT_OVERLAP",
    "cap-arm64-external-aborts": "rules.enable_cap:CAPABILITY_UNKNOWN",
    "cap-riscv-reset": "rules.enable_cap:CAPABILITY_UNKNOWN",
    "cap-sev-copy": "rules.enable_cap:CAPABILITY_UNKNOWN",
    "cap-sev-move": "rules.enable_cap:CAPABILITY_UNKNOWN",
    "clear-to-odd-end": "rules.dirty_log:CLEAR_RANGE",
    "dirty-log-initially-set": "rules.enable_cap:MANUAL_PROTECT_ARGUMENT",
    "guest-memfd-offset-unsigned": "rules.region.gmem_bind:GMEM_RANGE",
    "loongarch-irqchip": "rules.ioctl:IOCTL_UNKNOWN",
    "mips-trap-and-emulate": "rules.create_vm:VM_TYPE_UNSUPPORTED",
    "mips-vm-type-auto": "rules.create_vm:VM_TYPE_UNSUPPORTED",
    "pre-fault-memory": "rules.ioctl:IOCTL_UNKNOWN",
    "tdx-irqchip-split-only": "rules.irqchip:IRQCHIP_PROTECTED",
}
"""Facts that decide within a rule, not whether it exists; of the others the rule itself says so
(`needs`).
"""


def rule_about(fact: str) -> Rule:
    """The rule that cannot be decided without this fact."""
    if fact in _WITHIN:
        rule: Rule = load(_WITHIN[fact])
        return rule
    from . import create_vm, ioctl
    from .region import arguments, gmem_bind, overlap, same_id
    from .region.arch.hooks import hook_rules

    for rule in (
        *ioctl.RULES, *arguments.RULES, *same_id.RULES, *overlap.RULES, *gmem_bind.RULES,
        *hook_rules(), *create_vm.RULES,
    ):  # fmt: skip
        if fact in rule.needs or fact in rule.without:
            return rule
    raise InvariantBrokenError(f"no rule is known to hang on {fact}")


def decided(decide: Callable[[A], Answer]) -> Callable[[A], Answer]:
    """Decide as the function does, and answer Undetermined where it meets a fact that nobody
    knows.
    """

    def answer(attempt: A) -> Answer:
        try:
            return decide(attempt)
        except UnobservedError as error:
            return Undetermined(rule_about(error.fact), error.question)

    answer.__doc__, answer.__name__ = decide.__doc__, decide.__name__
    return answer
