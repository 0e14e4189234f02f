"""Slots and totals over time: one line for each change of the slots."""

from __future__ import annotations

from ..state.change import CREATE, DELETE, FLAGS_ONLY, KIND_NAMES, MOVE
from ..units import format_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..replay.step import Step

_SIGNS = {CREATE: "+", DELETE: "-", MOVE: ">", FLAGS_ONLY: "~"}
_BAR_COLUMNS = 24
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
    """One line a change in at most 100 columns; the bar is the page total of its VM.

    Where there are several VMs, each has a number in a column of its own, and its name below.
    """
    changes = [step for step in steps if step.change is not None]
    most = max((step.totals[0] for step in changes), default=0) or 1
    first = next((step.event.time_ns for step in changes if step.event.time_ns is not None), None)
    owners: dict[str, str] = {}
    for step in changes:
        owners.setdefault(step.vm_name, _owner(step))
    numbers = {name: number for number, name in enumerate(owners, 1)} if len(owners) > 1 else {}
    head = f"{'step':>5} {'vm':>3} " if numbers else f"{'step':>5} "
    lines = [f"{head}{'time':>10}    {'slot':>6} {'gpa':>14} {'length':>10} {'slots':>5}  pages"]
    bar_columns = _BAR_COLUMNS - (4 if numbers else 0)
    for step in changes:
        change = step.change
        if change is None:
            continue
        slot, shift = change.slot, step.page_shift
        bar = "#" * round(step.totals[0] / most * bar_columns)
        time = (
            ""
            if first is None or step.event.time_ns is None
            else f"{(step.event.time_ns - first) / 1e6:.3f}ms"
        )
        where = f"{step.number:5} {numbers[step.vm_name]:3} " if numbers else f"{step.number:5} "
        lines.append(
            f"{where}{time:>10}  {_SIGNS[change.kind]} {slot.slot_word:#6x} "
            f"{slot.base_gfn << shift:#14x} "
            f"{format_bytes(slot.npages << shift):>10} {step.totals[2]:5}  "
            f"{bar} {format_bytes(step.totals[0] << shift)}"
        )
    lines += [f"vm {number}: {name}{owners[name]}" for name, number in numbers.items()]
    return lines


def _owner(step: Step) -> str:
    """` of qemu[77]`, as far as the recording names it."""
    event = step.event
    if event.process:
        return "" if event.process in step.vm_name else f" of {event.process}"
    return f" of thread {event.pid}" if event.pid is not None else ""
