"""Page total and MMU budget of one VM, call by call, and a design of one's own judged, as text."""

from __future__ import annotations

from ..compare.design_faults import BUDGET, EVERY_TOTAL_TO, TOTAL
from ..compare.page_total import FILL, LOSE, OVER, REQUEST
from ..errors import errno_name
from ..units import format_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..compare.design_faults import Fault, WrongTotal
    from ..compare.own_design import OwnDesign
    from ..compare.page_total import Act

ACTS_SCHEMA = "memslots.page-total/1"
_MOST_SHOWN = 8


# -- calls on one VM


def act_lines(acts: Iterable[Act], page_bytes: int) -> list[str]:
    """A table: the call, its answer, total, budget, swaps of the slot sets."""
    rows = [("", "answer", "pages", "budget", "slots read", "swaps", "")]
    for act in acts:
        budget = "-" if act.budget is None else str(act.budget)
        numbers = (str(act.total), budget, str(act.slots_read), str(act.swaps))
        rows.append((_what(act, page_bytes), _answer(act), *numbers, act.undecided or act.rule_id))
    widths = [max(map(len, column)) for column in zip(*rows)]
    aligned = "<<>>>><"
    return [
        "  ".join(
            f"{cell:{side}{width}}" for cell, side, width in zip(row, aligned, widths)
        ).rstrip()
        for row in rows
    ]


def _what(act: Act, page_bytes: int) -> str:
    if act.kind == LOSE:
        return f"(the kernel loses count of {_pages(act.npages)})"
    if act.kind == REQUEST:
        return f"KVM_SET_NR_MMU_PAGES {act.npages}"
    if act.kind == FILL:
        memory = format_bytes(act.count * act.npages * page_bytes)
        return f"{act.count} slots of {_pages(act.npages)} ({memory})"
    if act.kind == OVER:
        return f"create over slot 0, {_pages(act.npages)}"
    return f"{act.kind} {_pages(act.npages)}"


def _answer(act: Act) -> str:
    if act.undecided:
        return "undetermined"
    return errno_name(act.errno) if act.errno else "" if act.kind == LOSE else "0"


def _pages(npages: int) -> str:
    return "1 page" if npages == 1 else f"{npages} pages"


def acts_json(title: str, acts: Iterable[Act]) -> str:
    """The same as one JSON object."""
    import json

    names = ("kind", "count", "npages", "errno", "total", "budget", "slots_read", "swaps")
    made = [
        {name: getattr(act, name) for name in names}
        | {"rule": act.rule_id or None, "undetermined": act.undecided or None}
        for act in acts
    ]
    return json.dumps({"schema": ACTS_SCHEMA, "kernel": title, "acts": made})


# -- a design of one's own


def own_design_lines(
    design: OwnDesign, totals: Mapping[int, WrongTotal | None], faults: Mapping[int, Fault | None]
) -> list[str]:
    """What was found of a design on each width."""
    lines = [f"Your design, {design.title}"]
    for bits, fault in faults.items():
        wrong = totals[bits]
        head = f"{bits}-bit host" if bits in (32, 64) else f"a word of {bits} bits"
        if fault is None and wrong is None:
            lines.append(f"  {head:19} nothing wrong was found")
            continue
        if wrong is not None:
            first = "is wrong first at" if wrong.is_smallest else "is wrong at"
            rest = (
                ""
                if wrong.is_smallest
                else f"; all up to {EVERY_TOTAL_TO} were tried, and those where words wrap"
            )
            unreached = ", which no VM reaches" if wrong.pages >> 47 else ""
            lines.append(
                f"  {head:19} {first} a total of {_pages(wrong.pages)}{unreached}: "
                f"{_verdict(wrong.fault)}{rest}"
            )
            head = ""
        if fault is not None:
            lines.append(f"  {head:19} after {_sequence(fault)}: {_verdict(fault)}")
    return lines


def _verdict(fault: Fault) -> str:
    if fault.about == TOTAL:
        return f"its total is {fault.found}, the slots have {fault.wanted}"
    if fault.about == BUDGET:
        found = "it has set no budget" if fault.found is None else f"its budget is {fault.found}"
        return f"{found}, as merged it is {fault.wanted}"
    if fault.changes[-1][0] == "delete":
        return "it refuses to delete a slot that it has let in"
    return f"it refuses a slot with which the total would be {fault.wanted}, which fits"


def _sequence(fault: Fault) -> str:
    named = [f"{kind} slot {slot} ({_pages(pages)})" for kind, slot, pages in fault.changes]
    if len(named) > _MOST_SHOWN:
        named = [*named[:2], f"{len(named) - 4} more changes", *named[-2:]]
    return ", ".join(named)


def own_design_json(
    design: OwnDesign, totals: Mapping[int, WrongTotal | None], faults: Mapping[int, Fault | None]
) -> dict[str, object]:
    """The same for a JSON object."""
    return {
        "title": design.title,
        "words": [
            {
                "bits": bits,
                "first_wrong_total": _wrong_json(totals[bits]),
                "fault": fault and _fault_json(fault),
            }
            for bits, fault in faults.items()
        ],
    }


def _wrong_json(wrong: WrongTotal | None) -> dict[str, object] | None:
    if wrong is None:
        return None
    return {"pages": wrong.pages, "is_smallest": wrong.is_smallest, **_fault_json(wrong.fault)}


def _fault_json(fault: Fault) -> dict[str, object]:
    changes = [
        {"kind": kind, "slot": slot, "npages": npages} for kind, slot, npages in fault.changes
    ]
    return {"about": fault.about, "found": fault.found, "wanted": fault.wanted, "changes": changes}
