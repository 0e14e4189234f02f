"""A recording as Chrome's trace JSON, which the Perfetto UI opens.

Each VM is a process: its calls are one track, each slot id another with a
slice for as long as the slot stood in one place, and its totals are counters.
Recordings without times get a millisecond a call.
"""

from __future__ import annotations

import json

from ..errors import errno_name
from ..kernel.profile import Profile
from ..replay.replay import Replay
from ..replay.step import Step
from ..trace.event import Event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Row = dict[str, object]

_CALLS_TRACK = 1
_SLOT_TRACK = 10
"""Thread numbers: the calls, then the slots by their place in the order of appearance."""
_STEP_US = 1000.0


class _Vm:
    """What has been drawn of one VM."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.tracks: dict[int, int] = {}
        """Slot word: thread number."""
        self.open: dict[int, tuple[float, str, Row]] = {}
        """Slot word: (since when, label, details) of the slice that has not ended."""


def perfetto_lines(events: Iterable[Event], profile: Profile | None = None) -> Iterator[str]:
    """One JSON document, a line for each of its trace events."""
    if profile is None:
        from ..kernel.history import NEWEST_KNOWN
        from ..kernel.names import find

        profile = find(f"{NEWEST_KNOWN}/x86_64")
    yield '{"displayTimeUnit": "ms", "traceEvents": ['
    comma = ""
    for row in _rows(Replay(events, profile)):
        yield comma + json.dumps(row)
        comma = ","
    yield "]}"


def _rows(replay: Replay) -> Iterator[Row]:
    drawn: dict[str, _Vm] = {}
    first: int | None = None
    now = 0.0
    for step in replay:
        time_ns = step.event.time_ns
        if time_ns is not None and first is None:
            first = time_ns
        now = (
            (time_ns - first) / 1000
            if time_ns is not None and first is not None
            else now + _STEP_US
        )
        vm = drawn.get(step.vm_name)
        if vm is None:
            vm = drawn[step.vm_name] = _Vm(len(drawn) + 1)
            yield _named("process_name", vm.pid, 0, step.vm_name)
            yield _named("thread_name", vm.pid, _CALLS_TRACK, "calls")
        yield _call_row(step, vm, now)
        if step.is_region:
            yield from _slot_rows(step, replay, vm, now)
            yield from _counters(step, vm, now)
    for vm in drawn.values():
        for slot_word, (since, label, details) in vm.open.items():
            yield _slice(vm, slot_word, since, max(now, since + 1), label, details)


def _named(what: str, pid: int, tid: int, name: str) -> Row:
    return {"ph": "M", "name": what, "pid": pid, "tid": tid, "args": {"name": name}}


def _call_row(step: Step, vm: _Vm, now: float) -> Row:
    event = step.event
    failed = event.result is not None and event.result < 0
    name = f"{event.call} {errno_name(event.result or 0)}" if failed else event.call
    details: Row = {field: hex(value) for field, value in event.fields.items()}
    details["step"] = step.number
    if event.result is not None:
        details["result"] = event.result
    if step.answer is not None:
        details["expected"] = step.answer.reason
    return {
        "ph": "i",
        "s": "t",
        "name": name,
        "pid": vm.pid,
        "tid": _CALLS_TRACK,
        "ts": now,
        "args": details,
    }


def _slot_rows(step: Step, replay: Replay, vm: _Vm, now: float) -> Iterator[Row]:
    """End the slice of the slot that the call changed, and begin the next."""
    if step.region is None:
        return
    slot_word = step.region.slot
    slot = replay.tracked.vm.slot(slot_word)
    before = vm.open.get(slot_word)
    shift = step.page_shift
    label = "" if slot is None else f"{slot.base_gfn << shift:#x} + {slot.npages << shift:#x}"
    if slot is not None and slot.flags:
        label += f" flags {slot.flags}"
    if before is not None and before[1] != label:
        del vm.open[slot_word]
        yield _slice(vm, slot_word, before[0], now, before[1], before[2])
    if slot is not None and slot_word not in vm.open:
        if slot_word not in vm.tracks:
            vm.tracks[slot_word] = _SLOT_TRACK + len(vm.tracks)
            yield _named(
                "thread_name",
                vm.pid,
                vm.tracks[slot_word],
                f"slot {slot_word & 0xFFFF}" + _space(slot_word),
            )
        details: Row = {"userspace_addr": hex(slot.userspace_addr), "step": step.number}
        vm.open[slot_word] = (now, label, details)


def _space(slot_word: int) -> str:
    return f" of space {slot_word >> 16}" if slot_word >> 16 else ""


def _slice(vm: _Vm, slot_word: int, since: float, until: float, label: str, details: Row) -> Row:
    return {
        "ph": "X", "name": label, "pid": vm.pid, "tid": vm.tracks[slot_word], "ts": since,
        "dur": max(until - since, 0.001), "args": details,
    }  # fmt: skip


def _counters(step: Step, vm: _Vm, now: float) -> Iterator[Row]:
    pages, budget, slots = step.totals
    values = {"pages": pages, "slots": slots}
    if budget is not None:
        values["MMU budget (pages)"] = budget
    for name, value in values.items():
        yield {"ph": "C", "name": name, "pid": vm.pid, "ts": now, "args": {"value": value}}
