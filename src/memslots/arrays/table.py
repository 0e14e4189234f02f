"""The slots of a VM as a structured array: one row a slot, one column a field."""

from __future__ import annotations

from ..units import U64_MAX
from .extra import np

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, TypeAlias

    import numpy.typing as npt

    from ..live import LiveVm
    from ..model.vm import Vm
    from ..state.slot import Slot

    Region: TypeAlias = tuple[int, int, int, int, int]
    Slots: TypeAlias = Vm | LiveVm | Iterable[Slot] | Iterable[Region] | npt.NDArray[np.void]

SLOT = np.dtype(
    [
        ("as_id", np.uint16),
        ("id", np.uint16),
        ("flags", np.uint32),
        ("base_gfn", np.uint64),
        ("npages", np.uint64),
        ("userspace_addr", np.uint64),
    ]
)
"""A row of a slot table, 32 bytes: the attributes of `Slot` by their names.

userspace_addr is in bytes.
"""


def slot_table(
    slots: Slots, as_id: int | None = None, *, page_shift: int | None = None
) -> npt.NDArray[np.void]:
    """The slots as a new array of dtype SLOT, by address space and then gfn.

    slots: a Vm, a LiveVm, or any iterable of `Slot`, of region calls
    (slot, flags, guest_phys_addr, memory_size, userspace_addr), or such a table.
    as_id: of this address space only; None takes all.
    page_shift: of the host that region calls are for; a VM and slots know better.
    Raises TypeError or ValueError for what is no slot.
    """
    vm_slots = getattr(slots, "slots", None)
    if vm_slots is not None:
        rows = [row_of(slot, 0) for space in _spaces(slots) for slot in vm_slots(space)]
    elif isinstance(slots, np.ndarray):
        return _sorted(_checked_table(slots), as_id)
    else:
        rows = [row_of(slot, page_shift) for slot in slots]  # type: ignore[union-attr]
    return _sorted(np.array(rows, SLOT), as_id)


def shift_of(slots: Slots, page_shift: int | None) -> int:
    """Bits of the offset within a page: the VM's, or as given.

    Raises TypeError if nobody says it.
    """
    known = getattr(slots, "page_shift", None)
    if known is None and page_shift is None:
        raise TypeError("page_shift is needed: slots do not say how large a page is")
    if known is not None and page_shift not in (None, known):
        raise ValueError(f"page_shift is {known} on this VM, not {page_shift}")
    shift = known if page_shift is None else page_shift
    if not isinstance(shift, int) or not 1 <= shift <= 63:
        raise ValueError(f"page_shift must be between 1 and 63, not {shift!r}")
    return shift


def row_of(slot: Slot | Region, page_shift: int | None) -> tuple[int, ...]:
    """One row, checked to fit its columns."""
    if isinstance(slot, tuple):
        if page_shift is None:
            raise TypeError("page_shift is needed: region calls do not say how large a page is")
        word, flags, gpa, memory_size, userspace_addr = slot
        if (gpa | memory_size) & ((1 << page_shift) - 1):
            raise ValueError(f"gpa {gpa:#x} and memory_size {memory_size:#x} must be whole pages")
        row = (
            word >> 16,
            word & 0xFFFF,
            flags,
            gpa >> page_shift,
            memory_size >> page_shift,
            userspace_addr,
        )
    elif hasattr(slot, "base_gfn"):
        row = (slot.as_id, slot.id, slot.flags, slot.base_gfn, slot.npages, slot.userspace_addr)
    else:
        raise TypeError(f"a slot or a region call of five numbers is needed, not {slot!r}")
    # numpy before 2.0 would cut what does not fit
    if min(row) < 0 or max(row) > U64_MAX or max(row[:2]) >> 16 or row[2] >> 32 or not row[4]:
        raise ValueError(f"no slot: {slot!r}")
    return row


def _spaces(vm: Any) -> range:
    state = getattr(vm, "state", None)
    return range(2) if state is None else range(len(state.spaces))


def _checked_table(table: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    if table.dtype != SLOT or table.ndim != 1:
        raise TypeError(
            f"a slot table is an array of dtype SLOT with one dimension, not {table.dtype}"
        )
    return table


def _sorted(table: npt.NDArray[np.void], as_id: int | None) -> npt.NDArray[np.void]:
    if as_id is not None and (table["as_id"] != as_id).any():
        table = table[table["as_id"] == as_id]
    spaces, gfns = table["as_id"], table["base_gfn"]
    in_order = (spaces[1:] > spaces[:-1]) | ((spaces[1:] == spaces[:-1]) & (gfns[1:] >= gfns[:-1]))
    return table.copy() if in_order.all() else table[np.lexsort((gfns, spaces))]
