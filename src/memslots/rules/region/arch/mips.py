"""kvm_arch_prepare_memory_region() of mips, which refuses nothing."""

from __future__ import annotations

from ....state.change import SlotChange
from ...attempt import RegionAttempt


def prepare(attempt: RegionAttempt, change: SlotChange) -> None:
    """Finds nothing against any change."""
