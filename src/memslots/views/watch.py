"""What `memslots watch` shows: a VM's slots and holes, its totals, refusals."""

from __future__ import annotations

from ..errors import errno_name
from ..rules.answer import Refused
from ..uapi.flags import flag_letters
from ..units import format_bytes
from .explanation import call_text
from .guest_map import HOLE, map_rows
from .text import counted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..record.watching import GrowingVm, WatchedState
    from ..replay.step import Step

HEAD = ("gpa", "length", "slot", "flags", "hva", "share")
_BAR = 12
SCHEMA = "memslots.watch/1"


def slot_rows(seen: GrowingVm) -> list[tuple[str, ...]]:
    """The map of a VM: each slot and hole of each address space, with a bar of its part."""
    found: list[tuple[str, ...]] = []
    for as_id in range(len(seen.vm.state.spaces)):
        rows = map_rows(seen.vm, as_id)
        most = max((_number(row["bytes"]) for row in rows if row["kind"] != HOLE), default=1)
        for row in rows:
            nbytes = _number(row["bytes"])
            gpa = f"{_number(row['gpa']):#x}"
            if row["kind"] == HOLE:
                found.append((gpa, format_bytes(nbytes), "", "", "no slot", ""))
                continue
            name = f"{as_id}:{row['slot']}" if as_id else str(row["slot"])
            if row["owner"]:
                name = str(row["owner"])
            found.append(
                (
                    gpa,
                    format_bytes(nbytes),
                    name,
                    flag_letters(_number(row["flags"])),
                    f"{_number(row['userspace_addr']):#x}",
                    "#" * max(1, nbytes * _BAR // most),
                )
            )
    return found


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def totals_text(seen: GrowingVm) -> str:
    """`VM 1: 2 of 32764 slots, 787456 pages (3 GiB), MMU budget 15749`."""
    vm = seen.vm
    text = (
        f"{seen.name}: {vm.state.nr_slots} of {vm.state.machine.user_slots} slots, "
        f"{vm.total_pages} pages ({format_bytes(vm.total_pages << vm.page_shift)})"
    )
    if vm.mmu_budget is not None:
        text += f", MMU budget {vm.mmu_budget}"
    return text if seen.from_start else f"{text}; seen from the middle"


def state_text(seen: WatchedState, kernel: str, what: str) -> str:
    """What is watched, and how much of it there was."""
    state = "ended" if seen.is_over else "running"
    return (
        f"{what}: {state}; {counted(seen.region_calls, 'region call')}, "
        f"{len(seen.refusals)} refused; as on {kernel}"
    )


def refusal_text(step: Step) -> str:
    """`step 5  KVM_SET_USER_MEMORY_REGION(…) = EEXIST  slot-overlap`."""
    rule = f"  {step.answer.rule.id}" if isinstance(step.answer, Refused) else ""
    if isinstance(step.answer, Refused) and step.observed is not None:
        observed = -step.observed
        rule += "" if observed == step.answer.errno else f" (here {errno_name(observed)})"
    return f"step {step.number}  {call_text(step)}{rule}"


def seen_json(seen: WatchedState, kernel: str) -> dict[str, object]:
    """The state as one JSON object."""
    return {
        "schema": SCHEMA,
        "kernel": kernel,
        "region_calls": seen.region_calls,
        "refusals": [refusal_text(step) for step in seen.refusals],
        "vms": [
            {
                "vm": each.name,
                "slots": each.vm.state.nr_slots,
                "pages": each.vm.total_pages,
                "mmu_budget": each.vm.mmu_budget,
                "recorded_from_start": each.from_start,
                "spaces": [map_rows(each.vm, as_id) for as_id in range(len(each.vm.state.spaces))],
            }
            for each in seen.vms
        ],
    }
