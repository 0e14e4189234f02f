"""Making the model's VM what an observed success shows, whatever the model thought."""

from __future__ import annotations

from ..model.vm import Vm
from ..rules.answer import Undetermined
from ..state.change import CREATE, DELETE, SlotChange
from ..state.slot import Slot
from ..uapi.flags import KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY
from ..uapi.region import Region

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..rules.answer import NotAccepted

_MOST_PAGES = 1 << 52
_KEPT_FLAGS = KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY


def follow_accepted(
    vm: Vm, region: Region, answer: NotAccepted
) -> tuple[tuple[SlotChange, ...], SlotChange | None]:
    """The kernel accepted a region that the model did not: bring the VM to the state in which it
    must be now.

    Slots that stand in the way cannot exist (a deletion was not recorded, or a
    slot of KVM's own is not there on this host), and the slot is put in place.
    Returns the deletions that made room, and the change that the VM has made after them, None if
    it could make none.
    """
    state = vm.state
    machine = state.machine
    as_id, slot_id = region.slot >> 16, region.slot & 0xFFFF
    if as_id >= len(state.spaces) or slot_id >= machine.user_slots:
        return (), None
    slots = state.spaces[as_id]
    start = region.guest_phys_addr >> machine.page_shift
    npages = region.memory_size >> machine.page_shift
    end = start + npages
    if isinstance(answer, Undetermined):
        state.rule_out_possible(as_id, start, end)
    old = slots.by_id(slot_id)
    in_the_way = [] if not npages else slots.overlaps(start, end, slot_id)
    changes = []
    for slot in (*in_the_way, *((old,) if old is not None else ())):
        changes.append(SlotChange(DELETE, slot, None))
        state.apply(changes[-1])
    if npages and npages < _MOST_PAGES:
        hva = region.userspace_addr & machine.ulong_max
        new = Slot(as_id, slot_id, start, npages, hva, region.flags & _KEPT_FLAGS)
        changes.append(SlotChange(CREATE, None, new))
        state.apply(changes[-1])
    return (tuple(changes[:-1]), changes[-1]) if changes else ((), None)
