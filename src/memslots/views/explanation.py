"""Explanations and findings as text, Markdown or JSON."""

from __future__ import annotations

from ..errors import errno_name
from ..uapi.flags import flag_text
from ..units import format_bytes
from .text import Paint, pages_text, wrapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..explain.analysis import Analysis
    from ..explain.explain import Explanation
    from ..explain.findings import Finding, FindingKind
    from ..explain.which_kernel import Evidence
    from ..replay.step import Step
    from ..replay.tracked_vm import TrackedVm

_MOST_VMS, _MOST_POSSIBLE, _MOST_OTHERS = 8, 4, 2
SCHEMA = "memslots.explain/1"


def call_text(step: Step) -> str:
    """The call of a step in one line, with its result."""
    event, request = step.event, step.region
    if request is not None:
        space = f", address space {request.slot >> 16}" if request.slot >> 16 else ""
        flags = f", {flag_text(request.flags)}" if request.flags else ""
        nbytes = request.memory_size
        size = "delete" if not nbytes else f"{nbytes} bytes" if nbytes % 1024 else format_bytes(nbytes)
        text = f"{event.call}(slot {request.slot & 0xFFFF}{space}{flags}, gpa {request.guest_phys_addr:#x}, {size}"
        if "userspace_addr" not in step.assumed:
            text += f", hva {request.userspace_addr:#x}"
        text += ")"
    elif event.call == "message":
        text = event.text.strip().splitlines()[0][:70] if event.text.strip() else "message"
    else:
        text = f"{event.call}({', '.join(f'{name} {value:#x}' for name, value in event.fields.items())})"
    return f"{text} = {result_text(step.observed)}"


def result_text(result: int | None) -> str:
    """`0`, `-EEXIST` as `EEXIST`, `?` if not recorded."""
    if result is None:
        return "?"
    return errno_name(result) if result < 0 else str(result)


def explanation_lines(explanation: Explanation, paint: Paint) -> list[str]:
    """One explanation as text of at most 100 columns."""
    step = explanation.step
    where = f"line {step.event.line}" if step.event.line else ""
    lines = [
        paint("bold", f"step {step.number}") + f"  {call_text(step)}" + (paint("dim", f"  ({where})") if where else "")
    ]
    for label, text in _paragraphs(explanation):
        lines += wrapped(label, text)
    return lines


def _paragraphs(explanation: Explanation) -> list[tuple[str, str]]:
    """(label, text) of everything that an explanation says, in order."""
    step, rule = explanation.step, explanation.rule
    found: list[tuple[str, str]] = []
    if explanation.cause is not None and explanation.certainty != "certain":
        return _about_cause(explanation)
    if rule is not None and explanation.certainty == "certain":
        found.append(("rule", f"{rule.id} ({explanation.summary})"))
    else:
        found.append(("unclear" if step.observed else "surprise", explanation.summary))
    if step.verdict == "differs" and step.answer is not None and not explanation.possible:
        found.append(("expected", step.answer.reason.split(";")[0]))
    if explanation.other is not None:
        found.append(("other", other_text(explanation)))
    if explanation.numbers:
        found.append(("numbers", "; ".join(explanation.numbers)))
    if explanation.certainty != "certain":
        shown = explanation.possible[:_MOST_POSSIBLE]
        found += [("perhaps", f"{possible.id}: {possible.text}") for possible in shown]
        left = explanation.possible[_MOST_POSSIBLE:]
        if left:
            found.append(("", f"or {', '.join(possible.id for possible in left)}"))
    for number, text in enumerate(explanation.passes):
        found.append(("passes" if number == 0 else "", text))
    if not explanation.passes and rule is not None and explanation.certainty == "certain":
        found.append(("do", rule.remedy))
    if explanation.kernels:
        found.append(("kernels", explanation.kernels))
    if explanation.then:
        found.append(("then", explanation.then))
    found += [("send", question) for question in explanation.questions]
    found += [("run" if number == 0 else "", command) for number, command in enumerate(explanation.advice)]
    return found


def _about_cause(explanation: Explanation) -> list[tuple[str, str]]:
    """What is said of a failure that has a cause outside the rules."""
    cause = explanation.cause
    if cause is None:
        return []
    known = explanation.certainty == "not a memslot problem"
    found = [("cause" if known else "perhaps", f"{cause.id}: {cause.title}")]
    if cause.page:
        found.append(("", cause.page))
    found.append(("decides", cause.decides))
    if cause.kernels.rstrip(".") not in ("all", "none"):
        found.append(("kernels", cause.kernels))
    others = [each for each in explanation.possible if each.cause is not cause]
    found += [
        ("or" if number == 0 else "", f"{each.id}: {each.text}") for number, each in enumerate(others[:_MOST_OTHERS])
    ]
    if others[_MOST_OTHERS:]:
        found.append(("", f"or {', '.join(each.id for each in others[_MOST_OTHERS:])}"))
    if not cause.is_commands_alone:
        found += [("do" if number == 0 else "", text) for number, text in enumerate(explanation.passes)]
    found += [("run" if number == 0 else "", command) for number, command in enumerate(explanation.advice)]
    return found


def other_text(explanation: Explanation) -> str:
    """The slot in the way, and where it comes from."""
    slot = explanation.other
    if slot is None:
        return ""
    shift = explanation.step.page_shift
    name = f"KVM's own {slot.owner}" if slot.owner else f"slot {slot.id}"
    space = f" of address space {slot.as_id}" if slot.as_id else ""
    text = f"{name}{space}, gfns [{slot.base_gfn:#x}, {slot.end_gfn:#x}), gpa {slot.base_gfn << shift:#x}, "
    text += f"{format_bytes(slot.npages << shift)}, hva {slot.userspace_addr:#x}"
    return text + (f", made at step {explanation.other_step}" if explanation.other_step else "")


def finding_lines(finding: Finding, paint: Paint) -> list[str]:
    """One finding as text."""
    colour = "yellow" if finding.severity == "warning" else "blue"
    times = f" ({finding.count} times)" if finding.count > 1 else ""
    lines = [f"{paint(colour, finding.severity)}  {finding.kind.id}: {finding.kind.title}{times}"]
    for example in finding.examples:
        lines += wrapped("", example, label_width=0, indent=4)
    if finding.severity == "warning":
        lines += wrapped("do", finding.kind.remedy, indent=4, label_width=4)
    return lines


def totals_lines(tracked: TrackedVm) -> list[str]:
    """The totals of one VM at the end of its recording."""
    vm = tracked.vm
    machine = vm.state.machine
    used = ", ".join(
        f"{slots.count} of {machine.user_slots}" + (f" in address space {as_id}" if len(vm.state.spaces) > 1 else "")
        for as_id, slots in enumerate(vm.state.spaces)
    )
    text = f"{tracked.name}: slots {used}; {pages_text(vm.total_pages, vm.page_shift)}"
    if vm.mmu_budget is not None:
        text += f"; MMU budget {vm.mmu_budget} pages"
    if tracked.uncertain_since:
        text += f"; uncertain since step {tracked.uncertain_since}"
    elif not tracked.from_start:
        text += "; its creation was not recorded, so it may have slots that are not known"
    return wrapped("", text, indent=0, label_width=0)


def report_lines(analysis: Analysis, paint: Paint) -> list[str]:
    """What stands below the explanations: findings, totals, evidence, what could not be read."""
    from ..explain.which_kernel import describe

    lines = []
    for finding in analysis.watch.findings.values():
        lines += ["", *finding_lines(finding, paint)]
    lines.append("")
    if analysis.left_out:
        lines.append(f"{analysis.left_out} more refused calls of the kinds above are not shown")
    if not analysis.explanations and analysis.region_calls:
        lines.append(paint("green", f"{analysis.region_calls} memory-region calls, none refused, none surprising"))
    with_slots = [tracked for tracked in analysis.replay.vms if tracked.made_by]
    for tracked in with_slots[-_MOST_VMS:]:
        lines += totals_lines(tracked)
    if len(with_slots) > _MOST_VMS:
        lines.append(f"{len(with_slots) - _MOST_VMS} earlier VMs are not shown")
    if analysis.evidence is not None:
        lines += [line for text in describe(analysis.evidence) for line in wrapped("", f"kernel: {text}", 0, 0)]
    else:
        lines.append(f"kernel: {analysis.profile.name}, stated")
    reading = analysis.reading
    for why, count in reading.skipped.items():
        lines.append(f"not read: {count} x {why}")
    lines += [f"note: {note}" for note in reading.notes]
    return lines


def evidence_lines(evidence: Evidence) -> list[str]:
    """Each kernel that the recording rules out, with the first call that it would have answered otherwise."""
    return [f"ruled out: {name}, {first}" for name, first in evidence.ruled_out.items()]


def explanation_json(explanation: Explanation) -> dict[str, object]:
    """An explanation as a JSON object."""
    step, other = explanation.step, explanation.other
    return {
        "step": step.number,
        "line": step.event.line,
        "source": step.event.source,
        "vm": step.vm_name,
        "call": step.event.call,
        "fields": dict(step.event.fields),
        "observed": step.observed,
        "expected": step.answer.result if step.answer is not None else None,
        "verdict": step.verdict,
        "certainty": explanation.certainty,
        "rule": explanation.rule.id if explanation.rule else None,
        "cause": explanation.cause.id if explanation.cause else None,
        "errno": errno_name(explanation.errno) if explanation.errno else None,
        "summary": explanation.summary,
        "numbers": explanation.numbers,
        "other": None
        if other is None
        else {
            "slot": other.slot_word,
            "owner": other.owner or None,
            "base_gfn": other.base_gfn,
            "npages": other.npages,
            "userspace_addr": other.userspace_addr,
            "made_at_step": explanation.other_step or None,
        },
        "passes": explanation.passes,
        "then": explanation.then,
        "kernels": explanation.kernels,
        "possible": [
            {
                "rule": each.rule.id if each.rule else None,
                "cause": each.cause.id if each.cause else None,
                "when": each.text,
            }
            for each in explanation.possible
        ],
        "questions": explanation.questions,
        "advice": explanation.advice,
    }


def analysis_json(analysis: Analysis) -> dict[str, object]:
    """The whole analysis as a JSON object."""
    from ..explain.which_kernel import describe

    return {
        "schema": SCHEMA,
        "kernel": analysis.profile.name,
        "evidence": describe(analysis.evidence) if analysis.evidence is not None else ["stated"],
        "ruled_out": analysis.evidence.ruled_out if analysis.evidence is not None else {},
        "region_calls": analysis.region_calls,
        "explanations": [explanation_json(each) for each in analysis.explanations],
        "not_shown": analysis.left_out,
        "findings": [
            {
                "id": finding.kind.id,
                "severity": finding.severity,
                "vm": finding.vm_name,
                "count": finding.count,
                "examples": finding.examples,
                "steps": finding.steps,
            }
            for finding in analysis.watch.findings.values()
        ],
        "vms": [vm_json(tracked) for tracked in analysis.replay.vms],
        "not_read": analysis.reading.skipped,
        "notes": analysis.reading.notes,
    }


def vm_json(tracked: TrackedVm) -> dict[str, object]:
    """The totals of a VM as a JSON object."""
    vm = tracked.vm
    return {
        "name": tracked.name,
        "slots": vm.state.nr_slots,
        "slots_left": [vm.state.machine.user_slots - slots.count for slots in vm.state.spaces],
        "pages": vm.total_pages,
        "mmu_budget": vm.mmu_budget,
        "uncertain_since_step": tracked.uncertain_since or None,
        "recorded_from_start": tracked.from_start,
    }


def markdown_lines(analysis: Analysis) -> list[str]:
    """The answer as Markdown, to be pasted into an issue."""
    lines = ["### Memory slots", ""]
    for explanation in analysis.explanations:
        lines.append(f"**step {explanation.step.number}** `{call_text(explanation.step)}`")
        lines += [f"- *{label or 'or'}*: {text}" for label, text in _paragraphs(explanation)]
        lines.append("")
    lines += [line for line in report_lines(analysis, Paint(False)) if line]
    return lines


def finding_page(kind: FindingKind) -> list[str]:
    """The page of one kind of finding, for a terminal."""
    lines = [f"{kind.id} ({kind.severity}): {kind.title}", ""]
    return [*lines, *wrapped("", kind.page, 0, 0), "", *wrapped("do", kind.remedy, 0, 4)]


def findings_markdown() -> str:
    """The page of all findings on accepted calls."""
    from ..explain.findings import KINDS

    lines = [
        "# Findings",
        "",
        "`memslots explain` reports these on calls that were accepted. `--ignore ID` leaves one out. A note becomes a",
        "warning where it concerns 64 MiB of guest memory or more. Warnings count for the exit code, notes do not.",
    ]
    for kind in KINDS.values():
        lines += [
            "",
            f"## {kind.id}",
            "",
            f"{kind.severity}: {kind.title}",
            "",
            kind.page,
            "",
            f"**Do:** {kind.remedy}",
        ]
    return "\n".join(lines) + "\n"
