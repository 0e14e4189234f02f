"""The prepare hook of each architecture: kvm_arch_prepare_memory_region()."""

from __future__ import annotations

from . import arm64, loongarch, mips, powerpc, riscv, s390, vma, x86

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ....state.change import SlotChange
    from ...answer import Refused, Undetermined
    from ...attempt import RegionAttempt

    Prepare = Callable[[RegionAttempt, SlotChange], Refused | Undetermined | None]

PREPARE_HOOKS: dict[str, Prepare] = {
    "x86_64": x86.prepare,
    "i386": x86.prepare,
    "arm64": arm64.prepare,
    "riscv64": riscv.prepare,
    "s390x": s390.prepare,
    "loongarch64": loongarch.prepare,
    "ppc64": powerpc.prepare,
    "ppc32": powerpc.prepare,
    "mips": mips.prepare,
}
"""Architecture: its hook."""
RULES = (
    *x86.RULES, *arm64.RULES, *riscv.RULES, *s390.RULES, *loongarch.RULES, *powerpc.RULES,
    *vma.RULES,
)  # fmt: skip
"""Rules of the hooks, architecture by architecture."""
