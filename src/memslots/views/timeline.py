"""Slots and totals over time: one line for each change of the slots."""

from __future__ import annotations

from ..state.change import CREATE, DELETE, FLAGS_ONLY, KIND_NAMES, MOVE
from ..units import format_bytes
from .slot_strip import NONE, PART, WHOLE, SlotStrip
from .text import wrapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..replay.step import Step
    from ..state.change import SlotChange

_SIGNS = {CREATE: "+", DELETE: "-", MOVE: ">", FLAGS_ONLY: "~"}
_STRIP_COLUMNS = 24
SCHEMA = "memslots.timeline/1"


def timeline_rows(steps: list[Step]) -> list[dict[str, object]]:
    """The changes as JSON objects."""
    rows: list[dict[str, object]] = []
    for step in steps:
        change = step.change
        if change is None:
            continue
        slot = change.slot
        rows.append(
            {
                "step": step.number,
                "time_ns": step.event.time_ns,
                "duration_ns": step.event.duration_ns,
                "vm": step.vm_name,
                "process": step.event.process,
                "pid": step.event.pid,
                "change": KIND_NAMES[change.kind],
                "slot": slot.slot_word,
                "base_gfn": slot.base_gfn,
                "npages": slot.npages,
                "pages": step.totals[0],
                "mmu_budget": step.totals[1],
                "slots": step.totals[2],
            }
        )
    return rows


def timeline_lines(steps: list[Step]) -> list[str]:
    """One line a change in at most 100 columns: the totals of its VM, and its memory as a strip.

    Where there are several VMs, each has a number in a column of its own, and its name below.
    """
    changes = [step for step in steps if step.change is not None]
    first = next((step.event.time_ns for step in changes if step.event.time_ns is not None), None)
    owners: dict[str, str] = {}
    for step in changes:
        owners.setdefault(step.vm_name, _owner(step))
    numbers = {name: number for number, name in enumerate(owners, 1)} if len(owners) > 1 else {}
    head = f"{'step':>5} {'vm':>3} " if numbers else f"{'step':>5} "
    lines = [
        f"{head}{'seconds':>10}    {'slot':>7} {'gpa':>14} {'length':>10} {'slots':>5} "
        f"{'total':>10}  map"
    ]
    strips = _strips(changes, _STRIP_COLUMNS - (4 if numbers else 0))
    for step in changes:
        change = step.change
        if change is None:
            continue
        slot, shift = change.slot, step.page_shift
        time = (
            ""
            if first is None or step.event.time_ns is None
            else f"{(step.event.time_ns - first) / 1e9:.6f}"
        )
        where = f"{step.number:5} {numbers[step.vm_name]:3} " if numbers else f"{step.number:5} "
        lines.append(
            f"{where}{time:>10}  {_SIGNS[change.kind]} {slot.slot_word:#7x} "
            f"{slot.base_gfn << shift:#14x} "
            f"{format_bytes(slot.npages << shift):>10} {step.totals[2]:5} "
            f"{format_bytes(step.totals[0] << shift):>10}  {_strip_text(strips, step)}"
        )
    lines += [f"vm {number}: {name}{owners[name]}" for name, number in numbers.items()]
    return lines + _legend(strips, {step.vm_name: step.page_shift for step in changes}, numbers)


def _changes_of(step: Step) -> Iterator[SlotChange]:
    """Deletions that nobody saw, then what the call did."""
    yield from step.made_room
    if step.change is not None:
        yield step.change


def _strips(steps: list[Step], columns: int) -> dict[str, dict[int, SlotStrip]]:
    """An empty strip for each address space of each VM."""
    found: dict[str, dict[int, list[SlotChange]]] = {}
    for step in steps:
        for change in _changes_of(step):
            found.setdefault(step.vm_name, {}).setdefault(change.slot.as_id, []).append(change)
    return {
        vm: {as_id: SlotStrip(changes, columns // len(spaces))
             for as_id, changes in sorted(spaces.items())}
        for vm, spaces in found.items()
    }  # fmt: skip


def _strip_text(strips: dict[str, dict[int, SlotStrip]], step: Step) -> str:
    spaces = strips[step.vm_name]
    for change in _changes_of(step):
        spaces[change.slot.as_id].apply(change)
    return "|".join(strip.text() for strip in spaces.values())


def _legend(
    strips: dict[str, dict[int, SlotStrip]], shifts: dict[str, int], numbers: dict[str, int]
) -> list[str]:
    """What the strips mean: where their columns end."""
    lines = []
    for vm, spaces in strips.items():
        for as_id, strip in spaces.items():
            which = f"map of vm {numbers[vm]}" if numbers else "map"
            which += f", address space {as_id}" if len(spaces) > 1 else ""
            shift = shifts[vm]
            if strip.is_exact:
                bounds = " ".join(f"{gfn << shift:#x}" for gfn in strip.bounds)
                text = f"the slot in each piece ({NONE} none) between {bounds}"
            else:
                text = (
                    f"[{strip.bounds[0] << shift:#x}, {strip.bounds[-1] << shift:#x}), "
                    f"{strip.pieces} pieces in {strip.columns} columns: {NONE} no slot, {PART} in "
                    f"part, {WHOLE} whole"
                )
            lines += wrapped(f"{which}: ", text, 0, 0)
    return ["", *lines] if lines else []


def _owner(step: Step) -> str:
    """` of qemu[77]`, as far as the recording names it."""
    event = step.event
    if event.process:
        return "" if event.process in step.vm_name else f" of {event.process}"
    return f" of thread {event.pid}" if event.pid is not None else ""
