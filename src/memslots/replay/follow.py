"""Making the model's VM what an observed success shows, whatever the model thought."""

from __future__ import annotations

from ..model.vm import Vm
from ..rules.answer import Accepted, Undetermined
from ..state.change import CREATE, DELETE
from ..state.slot import Slot
from ..uapi.region import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..rules.answer import Refused, Unmodelled


def follow_accepted(
    vm: Vm, request: Request, outcome: Accepted | Refused | Undetermined | Unmodelled
) -> Accepted | None:
    """The kernel accepted the request: bring the VM to the state in which it must be now.

    If the model agrees, that is its own change.  Otherwise slots that stand in
    the way cannot exist (a deletion was not recorded, or a slot of KVM's own is
    not there on this host), and the slot is put in place.  Returns the change that
    the VM has made, None if it could make none.
    """
    if isinstance(outcome, Accepted):
        accepted = vm.submit(request)
        return accepted if isinstance(accepted, Accepted) else None
    state = vm.state
    machine = state.machine
    as_id, slot_id = request.slot >> 16, request.slot & 0xFFFF
    if as_id >= len(state.spaces) or slot_id >= machine.user_slots:
        return None
    slots = state.spaces[as_id]
    start = request.guest_phys_addr >> machine.page_shift
    npages = request.memory_size >> machine.page_shift
    end = start + npages
    if isinstance(outcome, Undetermined):
        state.possible_slots = tuple(
            slot for slot in state.possible_slots
            if slot.as_id != as_id or slot.base_gfn >= end or start >= slot.end_gfn
        )  # fmt: skip
    old = slots.by_id(slot_id)
    in_the_way = [] if not npages else slots.overlaps(start, end, slot_id)
    change = None
    for slot in (*in_the_way, *((old,) if old is not None else ())):
        change = Accepted(DELETE, slot)
        state.apply(change)
    if npages and npages < 1 << 52:
        hva = request.userspace_addr & machine.ulong_max
        change = Accepted(CREATE, None, Slot(as_id, slot_id, start, npages, hva, request.flags & 3))
        state.apply(change)
    return change
