"""What a differential run says: lines of text, a JSON value, files for each disagreement."""

from __future__ import annotations

import os

from ..errors import errno_name
from ..verify.pair import DIFFERED
from ..verify.verify import DisagreeingVm, Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = "memslots.verify/1"


def summary_lines(report: Report) -> Iterator[str]:
    """The run as text."""
    rate = report.operations / report.seconds if report.seconds else 0
    yield (
        f"{report.operations:,} operations on {report.vms:,} VMs in {report.seconds:.0f} s"
        f" ({rate:,.0f} a second), seed {report.seed}: {report.verdicts[DIFFERED]} disagreements"
    )
    answers = sorted(report.answers.items(), key=lambda pair: -pair[1])
    yield "answers: " + ", ".join(
        f"{'success' if not errno else errno_name(errno)} {n:,}" for errno, n in answers
    )
    calls = sorted(report.calls.items(), key=lambda pair: -pair[1])
    yield "calls: " + ", ".join(f"{call.removeprefix('KVM_')} {n:,}" for call, n in calls)
    for what, number in report.undecided.items():
        yield f"the model does not tell {number:,} times: {what}"
    for what, number in report.unasked.items():
        yield f"not asked {number:,} times: {what}"
    if report.verdicts[DIFFERED] > len(report.disagreements):
        yield f"one of each kind of disagreement is shown, {len(report.disagreements)} in all"
    for number, disagreement in enumerate(report.disagreements, 1):
        yield ""
        yield from _story(number, disagreement)


def _story(number: int, disagreement: DisagreeingVm) -> Iterator[str]:
    yield (
        f"disagreement {number}: {len(disagreement.steps)} calls, shrunk from "
        f"{disagreement.found_after},"
        f" seed {disagreement.seed}"
    )
    for step in disagreement.steps:
        event = step.event
        fields = ", ".join(f"{name} {value:#x}" for name, value in event.fields.items())
        line = f"  {event.call}({fields}) = {_result(event.result)}"
        if step.expected != event.result and step is disagreement.steps[-1]:
            line += f", the model says {_result(step.expected)}"
        yield line + (f"; {step.note}" if step.note else "")


def _result(result: int | None) -> str:
    if result is None:
        return "?"
    return f"-{errno_name(result)}" if result < 0 else str(result)


def json_value(report: Report) -> dict[str, object]:
    """The run for `json.dumps`."""
    return {
        "schema": SCHEMA,
        "seed": report.seed,
        "operations": report.operations,
        "vms": report.vms,
        "seconds": round(report.seconds, 1),
        "kernel": report.profile.name,
        "answers": report.answers,
        "calls": report.calls,
        "undecided": report.undecided,
        "unasked": report.unasked,
        "differed": report.verdicts[DIFFERED],
        "disagreements": [
            list(_story(n, found)) for n, found in enumerate(report.disagreements, 1)
        ],
    }


def write_files(report: Report, folder: str) -> list[str]:
    """Each disagreement as JSONL and as a C program; the names written."""
    from ..export import export

    names = []
    for number, disagreement in enumerate(report.disagreements, 1):
        for to, ending in (("jsonl", "jsonl"), ("c", "c")):
            name = os.path.join(folder, f"disagreement-{report.seed}-{number}.{ending}")
            with open(name, "w") as file:
                file.writelines(f"{line}\n" for line in export(disagreement.events, to))
            names.append(name)
    return names
