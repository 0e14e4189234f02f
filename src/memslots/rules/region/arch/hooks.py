"""The prepare hook of each architecture: kvm_arch_prepare_memory_region()."""

from __future__ import annotations

from ....late import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ....state.change import SlotChange
    from ...answer import Refused, Rule, Undetermined
    from ...attempt import RegionAttempt

    Prepare = Callable[[RegionAttempt, SlotChange], Refused | Undetermined | None]

PREPARE_HOOKS = {
    "x86_64": "x86",
    "i386": "x86",
    "arm64": "arm64",
    "riscv64": "riscv",
    "s390x": "s390",
    "loongarch64": "loongarch",
    "ppc64": "powerpc",
    "ppc32": "powerpc",
    "mips": "mips",
}
"""Architecture: the file here with its hook."""


def prepare_hook(arch: str) -> Prepare:
    """The hook of an architecture."""
    hook: Prepare = load(f"rules.region.arch.{PREPARE_HOOKS[arch]}:prepare")
    return hook


def hook_rules() -> tuple[Rule, ...]:
    """Rules of the hooks, architecture by architecture."""
    from . import arm64, loongarch, powerpc, riscv, s390, vma, x86

    return (
        *x86.RULES, *arm64.RULES, *riscv.RULES, *s390.RULES, *loongarch.RULES, *powerpc.RULES,
        *vma.RULES,
    )  # fmt: skip
