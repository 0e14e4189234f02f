"""Which slots a real VM has: the look-ups of `memslots.Vm`, from the calls that were accepted.

KVM hands no slots out, so slots of its own (TSS, identity map, APIC page) are not among them.
"""

from __future__ import annotations

from ..state.slot import Slot
from ..uapi.flags import KVM_MEM_READONLY
from ..uapi.region import checked_uint
from ..units import U32_MAX
from .host_memory import PAGE_BYTES
from .regions import Regions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .regions import Numbers

PAGE_SHIFT = PAGE_BYTES.bit_length() - 1


class Lookups(Regions):
    """The slots that user space made, as this process knows them; each look-up but `slot` walks
    over all.
    """

    __slots__ = ()

    @property
    def page_shift(self) -> int:
        """Bits of the offset within a host page."""
        return PAGE_SHIFT

    @property
    def total_pages(self) -> int:
        """Host pages of all user slots."""
        return sum(region[3] for region in self._slots.values()) // PAGE_BYTES

    def slots(self, as_id: int = 0) -> Iterator[Slot]:
        """The slots of an address space in gfn order."""
        self._settle()
        mine = [region for region in self._slots.values() if region[0] >> 16 == as_id]
        mine.sort(key=lambda region: region[2])
        return map(self._as_slot, mine)

    def slot(self, slot_word: int) -> Slot | None:
        """The slot named as in a call: as_id << 16 | id."""
        self._settle()
        region = self._slots.get(checked_uint("slot_word", slot_word, U32_MAX))
        return None if region is None else self._as_slot(region)

    def slot_at(self, gpa: int, as_id: int = 0) -> Slot | None:
        """The slot that holds a guest-physical address."""
        checked_uint("gpa", gpa)
        self._settle()
        for region in self._slots.values():
            word, _, start, nbytes, _ = region
            if start <= gpa < start + nbytes and word >> 16 == as_id:
                return self._as_slot(region)
        return None

    def gpa_to_hva(self, gpa: int, as_id: int = 0, *, write: bool = False) -> int | None:
        """The host address behind a guest-physical one; None without backing, or for a write to
        read-only memory.
        """
        slot = self.slot_at(gpa, as_id)
        if slot is None or (write and slot.flags & KVM_MEM_READONLY):
            return None
        return slot.userspace_addr + gpa - (slot.base_gfn << PAGE_SHIFT)

    def _as_slot(self, region: Numbers) -> Slot:
        word, flags, gpa, nbytes, hva = region
        return Slot(word >> 16, word & 0xFFFF, gpa >> PAGE_SHIFT, nbytes >> PAGE_SHIFT, hva, flags)
