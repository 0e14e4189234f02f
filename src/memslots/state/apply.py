"""Making changes other than those of slots: called by `VmState.apply`, and by nothing else."""

from __future__ import annotations

from . import change as kinds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .change import Change
    from .vm_state import VmState


def make(state: VmState, change: Change) -> None:
    """Make a change that is not one of a slot."""
    _MAKERS[change.__class__](state, change)


def _own_slots(state: VmState, change: kinds.OwnSlotsMade) -> None:
    for made in change.made:
        state.apply(made)
    if change.possible:
        owners = {slot.owner for slot in change.possible}
        kept = tuple(slot for slot in state.possible_slots if slot.owner not in owners)
        state.suppose_slots(kept + change.possible)


def _vcpu(state: VmState, change: kinds.VcpuMade) -> None:
    _own_slots(state, change.own_slots)
    config = state.config
    config.vcpu_ids = (*config.vcpu_ids, change.vcpu_id)
    config.max_vcpu_id = change.max_vcpu_id


def _tss(state: VmState, change: kinds.TssPlaced) -> None:
    _own_slots(state, change.own_slots)
    state.config.tss_gpa = change.gpa


def _identity_map(state: VmState, change: kinds.IdentityMapPlaced) -> None:
    state.config.identity_map_gpa = change.gpa


def _irqchip(state: VmState, change: kinds.IrqchipMade) -> None:
    state.config.irqchip = True
    state.config.split_irqchip = change.split


def _budget(state: VmState, change: kinds.BudgetRequested) -> None:
    state.budget.set_goal(change.npages)
    state.budget.n_requested = change.npages


def _manual_protect(state: VmState, change: kinds.ManualProtectSet) -> None:
    state.config.manual_protect = change.mode
    state.flags_matter = True


def _ring(state: VmState, change: kinds.RingEnabled) -> None:
    state.config.ring_bytes = change.ring_bytes
    state.flags_matter = True


def _ring_bitmap(state: VmState, change: kinds.RingBitmapEnabled) -> None:
    state.config.ring_with_bitmap = True


def _memory_tagging(state: VmState, change: kinds.MemoryTaggingEnabled) -> None:
    state.config.arm64_mte = True


def _vcpu_ids(state: VmState, change: kinds.VcpuIdsLimited) -> None:
    state.config.max_vcpu_id = change.limit


def _log_read(state: VmState, change: kinds.DirtyLogRead) -> None:
    bitmap = state.bitmap_to_change(change.slot_word)
    if bitmap is not None:
        bitmap.clear_all()


def _log_cleared(state: VmState, change: kinds.DirtyLogCleared) -> None:
    bitmap = state.bitmap_to_change(change.slot_word)
    if bitmap is not None:
        bitmap.clear(change.first_page, change.num_pages, change.mask)


def _attributes(state: VmState, change: kinds.AttributesSet) -> None:
    state.attributes.set(change.start_gfn, change.end_gfn, change.attributes)


def _nothing(state: VmState, change: kinds.FileMade) -> None:
    """A file belongs to the process, which keeps it; the VM learns of it when a slot is bound to
    it.
    """


_MAKERS: dict[type, Callable[[VmState, Any], None]] = {
    kinds.OwnSlotsMade: _own_slots,
    kinds.VcpuMade: _vcpu,
    kinds.TssPlaced: _tss,
    kinds.IdentityMapPlaced: _identity_map,
    kinds.IrqchipMade: _irqchip,
    kinds.BudgetRequested: _budget,
    kinds.ManualProtectSet: _manual_protect,
    kinds.RingEnabled: _ring,
    kinds.RingBitmapEnabled: _ring_bitmap,
    kinds.MemoryTaggingEnabled: _memory_tagging,
    kinds.VcpuIdsLimited: _vcpu_ids,
    kinds.DirtyLogRead: _log_read,
    kinds.DirtyLogCleared: _log_cleared,
    kinds.AttributesSet: _attributes,
    kinds.FileMade: _nothing,
}
