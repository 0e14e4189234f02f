"""The step table of a replay: call, result, expected, totals."""

from __future__ import annotations

from ..errors import errno_name
from ..replay.step import DIFFERS, REFUSED, UNDETERMINED
from ..uapi.calls import REGION_CALLS
from ..uapi.flags import KVM_MEM_USER_FLAGS, flag_letters, flag_text
from ..units import format_bytes
from .explanation import result_text
from .text import Paint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..replay.step import Step

SCHEMA = "memslots.step/1"
HEAD = (
    f"{'step':>5} {'call':46} {'result':>8} {'expected':>8} {'pages':>11} {'budget':>8} "
    f"{'slots':>6}"
)
_COLOURS = {DIFFERS: "red", REFUSED: "yellow", UNDETERMINED: "blue"}
_SHORT = dict(zip(REGION_CALLS, ("region", "region2")))


def step_line(step: Step, paint: Paint) -> str:
    """One step in at most 100 columns."""
    pages, budget, slots = step.totals
    expected = "" if step.answer is None else _expected(step)
    line = (
        f"{step.number:5} {_call(step):46.46} {result_text(step.observed):>8} {expected:>8} "
        f"{pages:11} "
        f"{'' if budget is None else budget:>8} {slots:6}"
    )
    colour = _COLOURS.get(step.verdict)
    return paint(colour, line) if colour else line


def _expected(step: Step) -> str:
    outcome = step.answer
    if outcome is None or outcome.result is None:
        return "?"
    if outcome.result < 0:
        return errno_name(outcome.result)
    # a number that the kernel is free to choose (a file descriptor) is not expected
    return "" if step.event.new_fd is not None else str(outcome.result)


def _call(step: Step) -> str:
    request = step.region
    name = _SHORT.get(step.event.call, step.event.call.removeprefix("KVM_").lower())
    if request is None:
        fields = " ".join(f"{key}={value:#x}" for key, value in step.event.fields.items())
        return f"{name} {fields}"
    flags = flag_letters(request.flags)
    if request.flags & ~KVM_MEM_USER_FLAGS:
        flags = flag_text(request.flags)
    what = format_bytes(request.memory_size) if request.memory_size else "delete"
    return f"{name} {request.slot:#x} {request.guest_phys_addr:#x} {what} {flags}".rstrip()


def step_json(step: Step) -> dict[str, object]:
    """A step as a JSON object."""
    outcome = step.answer
    pages, budget, slots = step.totals
    rule = getattr(outcome, "rule", None)
    return {
        "schema": SCHEMA,
        "file": step.event.source,
        "process": step.event.process,
        "pid": step.event.pid,
        "time_ns": step.event.time_ns,
        "step": step.number,
        "line": step.event.line,
        "vm": step.vm_name,
        "call": step.event.call,
        "fields": dict(step.event.fields),
        "observed": step.observed,
        "expected": None if outcome is None else outcome.result,
        "rule": rule.id if rule is not None else None,
        "verdict": step.verdict,
        "duration_ns": step.event.duration_ns,
        "uncertain": bool(step.uncertain_since),
        "pages": pages,
        "mmu_budget": budget,
        "slots": slots,
        **_sets(step),
    }


def _sets(step: Step) -> dict[str, object]:
    """The slot sets after the step, by address space, and what a look-up in the step's own space
    now costs.
    """
    sets = step.sets
    if sets is None:
        return {}
    as_id = step.region.slot >> 16 if step.region is not None else 0
    return {
        "generations": sets.generations,
        "swaps": list(sets.swaps),
        "active_sets": [sets.active_set(one) for one in range(len(sets.swaps))],
        "visits": sets.costs(as_id if as_id < len(sets.swaps) else 0).as_dict(),
    }
