"""The report on a recording: explanations, findings, VMs and the kernel, as text, Markdown or
JSON.
"""

from __future__ import annotations

from .evidence import evidence_texts
from .explanation import call_text, explanation_json, explanation_lines, paragraphs, place_text
from .text import Paint, counted, duration_text, pages_text, wrapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..explain.analysis import Alike, Analysis
    from ..explain.vm_summary import VmSummary
    from ..replay.tracked_vm import TrackedVm
    from ..trace.event import Reading

_MOST_VMS, _MOST_STEPS = 8, 8
SCHEMA = "memslots.explain/1"


def owner_text(summary: VmSummary | None) -> str:
    """`qemu-system-x86[1234]`, `thread 77`: whose VM it is; empty if the recording does not say."""
    if summary is None:
        return ""
    if summary.process:
        return summary.process
    return f"thread {summary.pid}" if summary.pid is not None else ""


def vm_text(name: str, analysis: Analysis) -> str:
    """`VM 2 of qemu-system-x86[1234]`: empty where there is one VM only."""
    if not analysis.vms_to_name:
        return ""
    owner = owner_text(analysis.summaries.get(name))
    return f"{name} of {owner}" if owner and owner not in name else name


def alike_lines(analysis: Analysis, paint: Paint) -> list[str]:
    """The explanations, surprises first, each with the number of calls that it is for."""
    lines = []
    for each in analysis.alike:
        step = each.explanation.step
        where = place_text(
            step, vm_text(step.vm_name, analysis), with_file=len(analysis.reading.sources) > 1
        )
        lines += [
            *explanation_lines(each.explanation, paint, where),
            *_again_lines(each, analysis),
            "",
        ]
    return lines


def _again_lines(each: Alike, analysis: Analysis) -> list[str]:
    return wrapped("again", again_text(each, analysis)) if each.count > 1 else []


def again_text(each: Alike, analysis: Analysis) -> str:
    """`4156 calls more, at steps 10, 11, 12, ...`."""
    others = each.numbers[1 : _MOST_STEPS + 1]
    more = ", ..." if each.count - 1 > len(others) else ""
    text = (
        f"{counted(each.count - 1, 'call')} more, at step{'s'[: each.count > 2]} "
        f"{', '.join(map(str, others))}{more}"
    )
    if analysis.vms_to_name and len(each.vm_names) > 1:
        rest = ", ..." if len(each.vm_names) > _MOST_VMS else ""
        text += f"; on {', '.join(each.vm_names[:_MOST_VMS])}{rest}"
    return text


def totals_lines(tracked: TrackedVm, summary: VmSummary | None = None) -> list[str]:
    """The totals of one VM at the end of its recording, and what it was."""
    vm = tracked.vm
    machine = vm.state.machine
    used = ", ".join(
        f"{slots.count} of {machine.user_slots}" + (f" in address space {as_id}" if as_id else "")
        for as_id, slots in enumerate(vm.state.spaces)
        if slots.count or not as_id
    )
    who = _who_text(summary)
    text = (
        f"{tracked.name}{f' ({who})' if who else ''}: slots {used}; "
        f"{pages_text(vm.total_pages, vm.page_shift)}"
    )
    if vm.mmu_budget is not None:
        text += f"; MMU budget {vm.mmu_budget} pages"
    if tracked.uncertain_since:
        text += f"; uncertain since step {tracked.uncertain_since}"
    elif not tracked.from_start:
        text += "; its creation was not recorded, so it may have slots that are not known"
    if summary is not None:
        text += _work_text(summary)
    return wrapped("", text, indent=0, label_width=0)


def _who_text(summary: VmSummary | None) -> str:
    if summary is None:
        return ""
    vcpus = counted(summary.vcpus, "vCPU") if summary.vcpus else ""
    return ", ".join(part for part in (owner_text(summary), vcpus) if part)


def _work_text(summary: VmSummary) -> str:
    """How many region calls there were, slots at most, and the time inside the calls."""
    text = (
        f"; {counted(summary.region_calls, 'region call')}, at most "
        f"{counted(summary.most_slots, 'slot')}"
    )
    if summary.timed_calls:
        part = (
            f" of {summary.timed_calls} calls" if summary.timed_calls < summary.region_calls else ""
        )
        text += f", {duration_text(summary.region_ns)} inside them{part}"
        text += f" (longest {duration_text(summary.longest_ns)}, at step {summary.longest_step})"
    return text


def report_lines(analysis: Analysis, paint: Paint) -> list[str]:
    """What stands below the explanations: findings, totals, evidence, what could not be read."""
    lines = []
    if analysis.watch.findings or analysis.elsewhere:
        from .findings import elsewhere_lines, finding_lines

        for finding in analysis.watch.findings.values():
            lines += ["", *finding_lines(finding, paint, vm_text(finding.vm_name, analysis))]
        if analysis.elsewhere:
            lines += ["", *elsewhere_lines(analysis.elsewhere, paint)]
    lines.append("")
    if analysis.not_shown:
        left_out = counted(analysis.not_shown, "more refused or surprising call")
        lines.append(f"{left_out} of other kinds: a larger --most shows them")
    if not analysis.alike and not analysis.not_shown and analysis.region_calls:
        lines.append(
            paint(
                "green",
                f"{analysis.region_calls} memory-region calls, none refused, none surprising",
            )
        )
    with_slots = [tracked for tracked in analysis.replay.vms if tracked.made_by]
    for tracked in with_slots[-_MOST_VMS:]:
        lines += totals_lines(tracked, analysis.summaries.get(tracked.name))
    if len(with_slots) > _MOST_VMS:
        lines.append(f"{counted(len(with_slots) - _MOST_VMS, 'earlier VM')} not shown")
    return lines + kernel_lines(analysis) + _reading_lines(analysis)


def kernel_lines(analysis: Analysis) -> list[str]:
    """Which kernel the calls are explained for, and why."""
    node = analysis.reading.node
    host = [f"host: {node}"] if node else []
    if analysis.evidence is None:
        emulated = analysis.reading.kernel == analysis.profile.name
        why = "as which the program was answered" if emulated else "stated"
        return host + wrapped("", f"kernel: {analysis.profile.name}, {why}", 0, 0)
    return host + [
        line
        for text in evidence_texts(analysis.evidence)
        for line in wrapped("", f"kernel: {text}", 0, 0)
    ]


def _reading_lines(analysis: Analysis) -> list[str]:
    reading = analysis.reading
    lines = [f"not read: {count} x {why}" for why, count in reading.skipped.items()]
    return lines + [f"note: {note}" for note in reading.notes]


def markdown_lines(analysis: Analysis) -> list[str]:
    """The answer as Markdown, to be pasted into an issue."""
    lines = ["### Memory slots", ""]
    for each in analysis.alike:
        explanation = each.explanation
        call = call_text(explanation.step).replace("`", "'")
        lines.append(f"**step {explanation.step.number}** `{call}`")
        lines += [f"- *{label or 'or'}*: {plain(text)}" for label, text in paragraphs(explanation)]
        if each.count > 1:
            lines.append(f"- *again*: {plain(again_text(each, analysis))}")
        lines.append("")
    lines += [plain(line) for line in report_lines(analysis, Paint(False)) if line]
    return lines


def plain(text: str) -> str:
    """Text for Markdown: nothing in it is a tag or an image."""
    return text.replace("<", "&lt;").replace("![", "!\\[")


def analysis_json(analysis: Analysis) -> dict[str, object]:
    """The whole analysis as a JSON object."""
    from .findings import elsewhere_json, finding_json

    findings = [finding_json(finding) for finding in analysis.watch.findings.values()]
    return {
        "schema": SCHEMA,
        "files": analysis.reading.sources,
        "host": host_json(analysis.reading),
        "kernel": analysis.profile.name,
        "evidence": evidence_texts(analysis.evidence)
        if analysis.evidence is not None
        else ["stated"],
        "ruled_out": analysis.evidence.ruled_out if analysis.evidence is not None else {},
        "region_calls": analysis.region_calls,
        "explanations": [alike_json(each) for each in analysis.alike],
        "not_shown": analysis.not_shown,
        "findings": findings + [elsewhere_json(found) for found in analysis.elsewhere],
        "vms": [
            vm_json(tracked, analysis.summaries.get(tracked.name))
            for tracked in analysis.replay.vms
        ],
        "not_read": analysis.reading.skipped,
        "notes": analysis.reading.notes,
    }


def host_json(reading: Reading) -> dict[str, object]:
    """Where it was recorded, as far as the recording says, as a JSON object."""
    return {
        "name": reading.node or None,
        "release": reading.release or None,
        "machine": reading.machine or None,
        "page_bytes": reading.page_bytes or None,
    }


def alike_json(each: Alike) -> dict[str, object]:
    """An explanation with the calls that it is for, as a JSON object."""
    return {
        **explanation_json(each.explanation),
        "surprise": each.is_surprise,
        "count": each.count,
        "steps": each.numbers,
        "vms": each.vm_names,
    }


def vm_json(tracked: TrackedVm, summary: VmSummary | None = None) -> dict[str, object]:
    """The totals of a VM as a JSON object."""
    vm = tracked.vm
    found: dict[str, object] = {
        "name": tracked.name,
        "slots": vm.state.nr_slots,
        "slots_left": [vm.state.machine.user_slots - slots.count for slots in vm.state.spaces],
        "pages": vm.total_pages,
        "mmu_budget": vm.mmu_budget,
        "uncertain_since_step": tracked.uncertain_since or None,
        "recorded_from_start": tracked.from_start,
    }
    if summary is not None:
        found |= {
            "process": owner_text(summary) or None,
            "source": summary.source,
            "vcpus": summary.vcpus,
            "most_slots": summary.most_slots,
            "most_pages": summary.most_pages,
            "region_calls": summary.region_calls,
            "refused_calls": summary.refused_calls,
            "region_ns": summary.region_ns if summary.timed_calls else None,
            "timed_calls": summary.timed_calls,
            "longest_ns": summary.longest_ns if summary.timed_calls else None,
            "longest_step": summary.longest_step or None,
        }
    return found
