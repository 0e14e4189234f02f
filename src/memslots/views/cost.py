"""What a layout costs, as a table and as JSON."""

from __future__ import annotations

from ..check.cost import DESCRIPTORS, HEADS, LOGGING, NESTED, ONE_GIB, ONE_PAGE, SMM
from ..check.metadata import KINDS, has_rmaps, has_write_track
from ..kernel.footprint import FOOTPRINT_FACTS, has
from ..units import format_bytes
from .text import counted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..check.cost import Cost, SlotCost

SCHEMA = "memslots.cost/1"
MOST_SLOTS = 12
_MORE = {
    ONE_PAGE: "one more slot of one page",
    ONE_GIB: "one more slot of 1 GiB",
    LOGGING: "dirty logging of every slot",
    SMM: "showing every slot to SMM too",
    NESTED: "the first nested guest",
}
_UNKNOWN = {HEADS: "sets of slots", DESCRIPTORS: "descriptors"}


def cost_lines(found: Cost, most: int = MOST_SLOTS) -> list[str]:
    """The costliest slots, the kinds, the total, and what more would add."""
    lines = [f"{counted(len(found.slots), 'slot')} on {found.profile.name}{_conditions(found)}", ""]
    kinds = [kind for kind in KINDS if kind in found.by_kind]
    lines += _slot_lines(found, kinds, most)
    lines += ["", "In all"]
    for kind, nbytes in found.by_kind.items():
        lines.append(f"  {kind:18} {nbytes:14}  {format_bytes(nbytes)}")
    lines.append(f"  {'total':18} {found.total:14}  {format_bytes(found.total)}")
    lines += _notes(found)
    if found.what_if:
        lines += ["", "What more would add"]
        lines += [
            f"  {_MORE[what]:30} {nbytes:14}  {format_bytes(nbytes)}"
            for what, nbytes in found.what_if.items()
        ]
    return lines


def _conditions(found: Cost) -> str:
    profile = found.profile
    if not profile.arch.is_x86:
        return ""
    parts = ["two-dimensional paging" if profile.option("tdp") else "shadow paging"]
    if found.conditions.shadow:
        parts.append("nested guests")
    parts.append("reverse maps" if has_rmaps(profile, found.conditions) else "no reverse maps")
    parts.append(
        "write tracking" if has_write_track(profile, found.conditions) else "no write tracking"
    )
    return f" ({', '.join(parts)})"


def _slot_lines(found: Cost, kinds: list[str], most: int) -> list[str]:
    if not found.slots:
        return ["  no slots"]
    shown = sorted(found.slots, key=lambda each: -each.total)[:most]
    cells = [["slot", "pages", *kinds, "bytes"]] + [_slot_cells(each, kinds) for each in shown]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    names = [""] + [each.slot.owner or each.name for each in shown]
    lines = [
        f"  {'  '.join(f'{text:>{width}}' for text, width in zip(line, widths))}  {name}".rstrip()
        for line, name in zip(cells, names)
    ]
    if len(found.slots) > most:
        rest = sum(each.total for each in found.slots) - sum(each.total for each in shown)
        lines.append(
            f"  and {len(found.slots) - most} more with {rest} bytes ({format_bytes(rest)})"
        )
    return lines


def _slot_cells(each: SlotCost, kinds: list[str]) -> list[str]:
    slot = each.slot
    by_kind = {
        kind: sum(array.allocated for array in each.arrays if array.kind == kind) for kind in kinds
    }
    return [
        f"{slot.as_id}:{slot.id}",
        str(slot.npages),
        *(str(by_kind[kind]) for kind in kinds),
        str(each.total),
    ]


def _notes(found: Cost) -> list[str]:
    lines = []
    overhead = found.vmalloc_overhead
    if overhead:
        lines.append(
            f"  vmalloc keeps about {format_bytes(overhead)} besides, and a guard page of "
            "addresses for each area"
        )
    if not has(found.profile, "vmalloc-arrays"):
        since = FOOTPRINT_FACTS["vmalloc-arrays"].since
        lines.append(
            f"  before {since} large arrays may be contiguous memory, rounded up to a power of two"
        )
    if found.unknown:
        lines.append(
            "  not counted, as not known for this kernel: "
            f"{', '.join(_UNKNOWN[kind] for kind in found.unknown)}"
        )
    if found.refused:
        lines.append(
            f"  {counted(found.refused, 'call')} of the layout refused on this kernel: see "
            "`memslots check`"
        )
    return lines


def cost_json(found: Cost) -> str:
    """The cost as one JSON object, every slot and array."""
    import json

    return json.dumps(
        {
            "schema": SCHEMA,
            "kernel": found.profile.name,
            "nested": found.conditions.shadow,
            "tracker": found.conditions.tracker,
            "total_bytes": found.total,
            "by_kind_bytes": found.by_kind,
            "vmalloc_overhead_bytes_about": found.vmalloc_overhead,
            "not_known": [_UNKNOWN[kind] for kind in found.unknown],
            "refused_calls": found.refused,
            "what_if_bytes": {_MORE[what]: nbytes for what, nbytes in found.what_if.items()},
            "slots": [
                {
                    "space": each.slot.as_id,
                    "slot": each.slot.id,
                    "name": each.slot.owner or each.name,
                    "base_gfn": each.slot.base_gfn,
                    "pages": each.slot.npages,
                    "bytes": each.total,
                    "arrays": [
                        {
                            "kind": array.kind,
                            "level": array.level,
                            "requested_bytes": array.requested,
                            "allocated_bytes": array.allocated,
                        }
                        for array in each.arrays
                    ],
                }
                for each in found.slots
            ],
        }
    )
