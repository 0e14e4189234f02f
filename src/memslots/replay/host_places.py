"""Where the VMs of a process have had host memory: which VM a mapping call is about.

What is entered stays after its slot is gone, until a look-up finds nothing there.
"""

from __future__ import annotations

from ..state.hva_index import RangeIndex
from ..state.slot import Slot
from .tracked_vm import TrackedVm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..state.change import SlotChange
    from ..trace.event import Event
    from .step import Step


class HostPlaces:
    """The host memory of VMs, process by process, of those that made mapping calls."""

    def __init__(self) -> None:
        self.are_asked = False
        """Whether any process made one: until then, nobody asks where slots are."""
        self._of: dict[str, PlacesOfProcess] = {}

    def vm_behind(self, event: Event, process: str, vms: Iterable[TrackedVm]) -> TrackedVm | None:
        """The VM with a slot on the host memory that a mapping call is about.

        vms: those of the process, as they are now.
        """
        first = event.result if event.call == "mmap" else event.get("addr")
        nbytes = event.get("length")
        if not first or not nbytes or not 0 < first <= first + nbytes <= 1 << 64:
            return None
        if process not in self._of:
            self._of[process] = PlacesOfProcess(vms)
            self.are_asked = True
        return self._of[process].vm_behind(first, first + nbytes)

    def see(self, tracked: TrackedVm, step: Step) -> None:
        """Remember where a call of a VM put slots, for the mapping calls of its process."""
        if step.change is not None:
            self.see_change(tracked, step.change)
        elif step.answer is not None and tracked.process in self._of:
            self._of[tracked.process].add_own_slots(tracked)  # it may have made some

    def see_change(self, tracked: TrackedVm, change: SlotChange) -> None:
        """Remember where a change put a slot."""
        places = self._of.get(tracked.process)
        if places is not None and change.new is not None:
            places.add(tracked, change.new)


class PlacesOfProcess:
    """The host memory of the slots of all VMs of one process."""

    def __init__(self, vms: Iterable[TrackedVm]) -> None:
        self._index = RangeIndex()
        self._places: dict[int, tuple[TrackedVm, int, int]] = {}
        """Number of a place: its VM, its first byte and the one after its last."""
        self._numbers: dict[tuple[int, int, int], int] = {}
        """(place of the VM among all, first byte, end): number."""
        self._next = 0
        for tracked in vms:
            self.add_all(tracked)

    def add(self, tracked: TrackedVm, slot: Slot) -> None:
        """A slot was put somewhere."""
        first = slot.userspace_addr
        end = first + (slot.npages << tracked.vm.page_shift)
        if (tracked.number, first, end) not in self._numbers:
            number, self._next = self._next, self._next + 1
            self._numbers[tracked.number, first, end] = number
            self._places[number] = tracked, first, end
            self._index.add(number, first, end)

    def add_all(self, tracked: TrackedVm) -> None:
        """Enter all slots of a VM."""
        for slots in tracked.vm.state.spaces:
            for slot in slots:
                self.add(tracked, slot)

    def add_own_slots(self, tracked: TrackedVm) -> None:
        """Enter the slots that KVM has made for itself."""
        machine = tracked.vm.state.machine
        for slots in tracked.vm.state.spaces:
            for offset in range(machine.internal_slots):
                slot = slots.by_id(machine.user_slots + offset)
                if slot is not None:
                    self.add(tracked, slot)

    def vm_behind(self, first: int, end: int) -> TrackedVm | None:
        """The VM, the first one met, with a slot on any of the bytes [first, end)."""
        found: TrackedVm | None = None
        for number in self._index.meeting(first, end):
            tracked, low, high = self._places[number]
            if not _has_slot(tracked, low, high):
                self._index.remove(number)
                del self._places[number], self._numbers[tracked.number, low, high]
            elif (found is None or tracked.number < found.number) and _has_slot(
                tracked, first, end
            ):
                found = tracked
        return found


def _has_slot(tracked: TrackedVm, first: int, end: int) -> bool:
    vm = tracked.vm
    return any(vm.slots_at_hva(first, end, as_id) for as_id in range(len(vm.state.spaces)))
