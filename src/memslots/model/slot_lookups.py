"""What can be asked of a VM of the model beside its calls: slots, totals, generations."""

from __future__ import annotations

from ..uapi.flags import KVM_MEM_READONLY
from ..uapi.region import checked_uint
from ..units import U32_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..kernel.profile import Profile
    from ..state.set_pairs import IndexCosts
    from ..state.slot import Slot
    from ..state.slot_set import SlotSet
    from ..state.vm_state import VmState


class SlotLookups:
    """Look-ups and totals of a VM; they change nothing."""

    __slots__ = ()
    profile: Profile
    state: VmState

    @property
    def page_shift(self) -> int:
        """Bits of the offset within a host page."""
        return self.state.machine.page_shift

    def _space(self, as_id: int) -> SlotSet:
        """The slots of an address space; ValueError or TypeError with the value if the VM has no
        such space.
        """
        return self.state.spaces[checked_uint("as_id", as_id, len(self.state.spaces) - 1)]

    @property
    def total_pages(self) -> int:
        """Host pages of all slots, all address spaces, KVM's own included (nr_memslot_pages)."""
        return self.state.total_pages

    @property
    def mmu_budget(self) -> int | None:
        """The x86 shadow-MMU page budget in force (n_max_mmu_pages); None on other
        architectures.
        """
        return self.state.n_max_mmu_pages if self.profile.arch.is_x86 else None

    @property
    def generations(self) -> list[int]:
        """The generation number (u64) of each address space's slots."""
        return self.state.generations

    @property
    def swaps(self) -> tuple[int, ...]:
        """How often the two slot sets of each address space have changed places."""
        return tuple(self.state.swaps)

    def active_set(self, as_id: int = 0) -> int:
        """Which of the two slot sets of an address space guests see: 0 or 1."""
        self._space(as_id)
        return self.state.active_set(as_id)

    def index_costs(self, as_id: int = 0) -> IndexCosts:
        """What this kernel's look-ups and changes cost with the slots that there are now, in slots
        visited.
        """
        self._space(as_id)
        return self.state.sets.costs(as_id)

    def slots(self, as_id: int = 0) -> Iterator[Slot]:
        """The slots of an address space in gfn order."""
        return iter(self._space(as_id))

    def slot(self, slot_word: int) -> Slot | None:
        """The slot named as in a call: as_id << 16 | id."""
        as_id = checked_uint("slot_word", slot_word, U32_MAX) >> 16
        return (
            self.state.spaces[as_id].by_id(slot_word & 0xFFFF)
            if as_id < len(self.state.spaces)
            else None
        )

    def slot_at(self, gpa: int, as_id: int = 0) -> Slot | None:
        """The slot that holds a guest-physical address."""
        return self._space(as_id).at(checked_uint("gpa", gpa) >> self.page_shift)

    def gpa_to_hva(self, gpa: int, as_id: int = 0, *, write: bool = False) -> int | None:
        """The host address behind a guest-physical one; None without backing, or for a write to
        read-only memory.
        """
        slot = self.slot_at(gpa, as_id)
        if slot is None or slot.is_invalid or (write and slot.flags & KVM_MEM_READONLY):
            return None
        return slot.userspace_addr + gpa - (slot.base_gfn << self.page_shift)

    def slots_at_hva(self, start: int, end: int, as_id: int = 0) -> list[Slot]:
        """The slots backed by any of the host bytes [start, end).

        A slot that a kernel accepted may end beyond the last address: so may `end`.
        """
        last = min(checked_uint("end", end, 1 << 65), 1 << 64)
        return self._space(as_id).by_hva(checked_uint("start", start), last, self.page_shift)
