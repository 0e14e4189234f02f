"""Where nobody knows whether a release has a fact, the call that needs it is undetermined.

`Profile.has` raises UnobservedError; the two functions that decide calls catch it, by `decided`.
"""

from __future__ import annotations

from ..errors import InvariantBrokenError, UnobservedError
from . import create_vm, dirty_log, enable_cap, ioctl, irqchip
from .answer import Undetermined
from .region import arguments, gmem_bind, overlap, same_id
from .region.arch import hooks, vma

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from .answer import Answer, Rule

    A = TypeVar("A")

_RULES = (
    *ioctl.RULES, *arguments.RULES, *same_id.RULES, *overlap.RULES, *gmem_bind.RULES, *hooks.RULES,
    *create_vm.RULES,
)  # fmt: skip
_WITHIN: dict[str, Rule] = {
    "arm64-vma-write-check": vma.VMA_NOT_WRITABLE,
    "avic-stopped-by-pit": overlap.SLOT_OVERLAP,
    "cap-arm64-external-aborts": enable_cap.CAPABILITY_UNKNOWN,
    "cap-riscv-reset": enable_cap.CAPABILITY_UNKNOWN,
    "cap-sev-copy": enable_cap.CAPABILITY_UNKNOWN,
    "cap-sev-move": enable_cap.CAPABILITY_UNKNOWN,
    "clear-to-odd-end": dirty_log.CLEAR_RANGE,
    "dirty-log-initially-set": enable_cap.MANUAL_PROTECT_ARGUMENT,
    "guest-memfd-offset-unsigned": gmem_bind.GMEM_RANGE,
    "loongarch-irqchip": ioctl.IOCTL_UNKNOWN,
    "mips-trap-and-emulate": create_vm.VM_TYPE_UNSUPPORTED,
    "mips-vm-type-auto": create_vm.VM_TYPE_UNSUPPORTED,
    "pre-fault-memory": ioctl.IOCTL_UNKNOWN,
    "tdx-irqchip-split-only": irqchip.IRQCHIP_PROTECTED,
}
"""Facts that decide within a rule, not whether it exists; of the others the rule itself says so
(`needs`).
"""


def rule_about(fact: str) -> Rule:
    """The rule that cannot be decided without this fact."""
    if fact in _WITHIN:
        return _WITHIN[fact]
    for rule in _RULES:
        if fact in (*rule.needs, *rule.without):
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
