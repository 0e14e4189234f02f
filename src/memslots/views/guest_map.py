"""The guest-physical map: slots, holes, aliases, flags, huge-page alignment."""

from __future__ import annotations

from ..uapi.flags import flag_letters
from ..units import format_bytes
from .text import table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.vm import Vm
    from ..state.slot import Slot

SCHEMA = "memslots.map/1"
SLOT, HOLE = "slot", "hole"
_HUGE = ((1 << 30, "1G"), (1 << 21, "2M"))


def map_rows(vm: Vm, as_id: int = 0) -> list[dict[str, object]]:
    """The slots and holes of an address space in order, as JSON objects."""
    rows: list[dict[str, object]] = []
    shift, end_gfn = vm.page_shift, 0
    for slot in vm.slots(as_id):
        if slot.base_gfn > end_gfn and rows:
            rows.append(
                {"kind": HOLE, "gpa": end_gfn << shift, "bytes": (slot.base_gfn - end_gfn) << shift}
            )
        rows.append(_slot_row(vm, slot))
        end_gfn = slot.end_gfn
    return rows


def _slot_row(vm: Vm, slot: Slot) -> dict[str, object]:
    shift = vm.page_shift
    gpa, nbytes = slot.base_gfn << shift, slot.npages << shift
    end = slot.userspace_addr + nbytes
    aliases = [
        other.id
        for other in vm.slots_at_hva(slot.userspace_addr, end, slot.as_id)
        if other.id != slot.id
    ]
    return {
        "kind": SLOT,
        "slot": slot.id,
        "owner": slot.owner or None,
        "gpa": gpa,
        "bytes": nbytes,
        "userspace_addr": slot.userspace_addr,
        "flags": slot.flags,
        "largest_page": _largest_page(gpa, slot.userspace_addr, nbytes),
        "shares_host_memory_with": aliases,
    }


def _largest_page(gpa: int, hva: int, nbytes: int) -> str:
    """The largest page that could map part of the slot, by the alignment of both addresses."""
    for page_bytes, name in _HUGE:
        first = -(-gpa // page_bytes) * page_bytes
        if (gpa - hva) % page_bytes == 0 and first + page_bytes <= gpa + nbytes:
            return name
    return "4K"


def map_lines(vm: Vm, as_id: int = 0) -> list[str]:
    """The map as a table of at most 100 columns."""
    rows = []
    for row in map_rows(vm, as_id):
        gpa, nbytes = int(str(row["gpa"])), int(str(row["bytes"]))
        where = (f"{gpa:#014x}", f"{gpa + nbytes:#014x}", format_bytes(nbytes))
        if row["kind"] == HOLE:
            rows.append((*where, "-", "", "", "", HOLE))
            continue
        flags = int(str(row["flags"]))
        letters = flag_letters(flags)
        shared = row["shares_host_memory_with"]
        notes = [str(row["owner"])] if row["owner"] else []
        if isinstance(shared, list) and shared:
            notes.append("alias of " + ", ".join(f"slot {other}" for other in shared[:4]))
        hva = f"{int(str(row['userspace_addr'])):#x}"
        rows.append(
            (*where, str(row["slot"]), letters, hva, str(row["largest_page"]), "; ".join(notes))
        )
    return table(
        rows, ("gpa", "end", "length", "slot", "flags", "hva", "page", ""), frozenset({2, 3})
    )
