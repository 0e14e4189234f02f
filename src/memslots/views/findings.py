"""Findings as text, and the page of all kinds."""

from __future__ import annotations

from ..explain.finding_kinds import (
    BACKING_UNMAPPED,
    BACKINGS,
    BITMAPS_LARGE,
    CHURN,
    HOST_ALIAS,
    KINDS,
    LOGGING_TOGGLED,
    MISALIGNED,
    REFUSED_ELSEWHERE,
    SLOT_OVER_MMIO,
    SLOTS,
    SLOTS_NEARLY_USED,
    TIMES,
    TOTAL_NEAR_CAP,
    UNBACKED_WINDOW,
    WARNING,
    FindingKind,
)
from ..units import format_bytes
from .spans import release_spans
from .text import Paint, counted, duration_text, wrapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..explain.finding import Finding, Seen
    from ..explain.portability import RefusedElsewhere

_MOST_STEPS = 6
PAGE_SCHEMA = "memslots.finding/1"
_COUNTED = {SLOTS: "slots", BACKINGS: "pieces of host memory", TIMES: "times"}


def finding_lines(finding: Finding, paint: Paint, vm_text: str = "") -> list[str]:
    """One finding as text; vm_text: the VM, where there are several."""
    is_warning = finding.severity == WARNING
    head = f"{finding.kind.id}: {finding.kind.title}{_count_text(finding)}"
    lines = [paint("yellow" if is_warning else "blue", finding.severity) + f"  {head}"]
    if vm_text:
        lines += wrapped("", f"on {vm_text}", label_width=0, indent=4)
    for example in finding_examples(finding):
        lines += wrapped("", example, label_width=0, indent=4)
    if is_warning:
        lines += wrapped("do", finding.kind.remedy, indent=4, label_width=4)
    return lines


def _count_text(finding: Finding) -> str:
    count = finding.count
    if count <= 1 and not finding.is_at_least:
        return ""
    least = " or more" if finding.is_at_least else ""
    return f" ({count}{least} {_COUNTED[finding.kind.counts]})"


def finding_examples(finding: Finding) -> list[str]:
    """What was seen, in words: at most three sentences."""
    kind = finding.kind
    if kind is LOGGING_TOGGLED:
        return [_toggled(finding)]
    if (
        kind is HOST_ALIAS
        and finding.severity != WARNING
        and all(seen.numbers["is_window"] for seen in finding.seen)
    ):
        return ["ROM shadows or windows below 1 MiB, as firmware makes them"]
    seen = [finding.peak] if finding.peak is not None else finding.seen
    if kind is UNBACKED_WINDOW and not finding.is_known and finding.severity != WARNING:
        unknown = "the recording does not say whether a vCPU was in KVM_RUN"
        return [f"largest: {_window(seen[0])}", unknown]
    return [_SENTENCES[kind](each) for each in seen]


def _at(seen: Seen) -> str:
    return f"step {seen.step}: slot {slot_name(seen)}"


def slot_name(seen: Seen) -> str:
    """The slot's number, with its address space if that is not the first."""
    slot = seen.slot
    if slot is None:
        return "?"
    return f"{slot.id} of address space {slot.as_id}" if slot.as_id else str(slot.id)


def _window(seen: Seen) -> str:
    numbers = seen.numbers
    text = f"[{numbers['first_gpa']:#x}, {numbers['end_gpa']:#x})"
    text += f", from step {numbers['deleted_step']} to step {seen.step}"
    if "window_ns" in numbers:
        text += f", {duration_text(numbers['window_ns'])}"
    if "vcpus_in_run" in numbers:
        text += f", {counted(numbers['vcpus_in_run'], 'vCPU')} in KVM_RUN"
    return text


def _alias(seen: Seen) -> str:
    slot, other, shift = seen.slot, seen.other, seen.page_shift
    if slot is None or other is None:
        return ""
    shared = format_bytes(seen.numbers["shared_bytes"])
    return (
        f"step {seen.step}: slot {slot.id} (gpa {slot.base_gfn << shift:#x}) and slot {other.id} "
        f"(gpa {other.base_gfn << shift:#x}) share {shared} at host {seen.numbers['first_hva']:#x}"
    )


def _unmapped(seen: Seen) -> str:
    slot, numbers = seen.slot, seen.numbers
    if slot is None:
        return ""
    gpa, nbytes = slot.base_gfn << seen.page_shift, slot.npages << seen.page_shift
    where = f"{seen.what} of host [{numbers['first_hva']:#x}, {numbers['end_hva']:#x})"
    return f"step {seen.step}: {where} below slot {slot.id} (gpa {gpa:#x}, {format_bytes(nbytes)})"


def _misaligned(seen: Seen) -> str:
    nbytes, offset_bytes = seen.numbers["slot_bytes"], seen.numbers["offset_bytes"]
    return f"{_at(seen)}, {format_bytes(nbytes)}, off by {offset_bytes:#x}"


def _toggled(finding: Finding) -> str:
    slots = counted(len(finding.slots), "slot")
    return (
        f"{counted(finding.times, 'change')} of {slots}, steps {finding.steps[0]} to "
        f"{finding.steps[-1]}"
    )


def _of(name: str, most: str, unit: str) -> Callable[[Seen], str]:
    """`at most 30 of 32 slots, at step 7`: how near something came to its mark."""

    def sentence(seen: Seen) -> str:
        return f"at most {seen.numbers[name]} of {seen.numbers[most]} {unit}, at step {seen.step}"

    return sentence


def _bitmaps(seen: Seen) -> str:
    return f"at most {format_bytes(seen.numbers['bitmap_bytes'])} of bitmaps, at step {seen.step}"


def _churn(seen: Seen) -> str:
    return f"most: slot {slot_name(seen)}, {seen.numbers['changes']} changes by step {seen.step}"


def _device(seen: Seen) -> str:
    return f"{_at(seen)} covers the {seen.what} at {seen.numbers['gpa']:#x}"


_SENTENCES: dict[FindingKind, Callable[[Seen], str]] = {
    UNBACKED_WINDOW: _window,
    HOST_ALIAS: _alias,
    SLOT_OVER_MMIO: _device,
    MISALIGNED: _misaligned,
    SLOTS_NEARLY_USED: _of("used", "most", "slots"),
    CHURN: _churn,
    TOTAL_NEAR_CAP: _of("pages", "most", "pages"),
    BACKING_UNMAPPED: _unmapped,
    BITMAPS_LARGE: _bitmaps,
}


def seen_json(seen: Seen) -> dict[str, object]:
    """What was seen once, as numbers."""
    found: dict[str, object] = {"step": seen.step, **seen.numbers}
    if seen.what:
        found["what"] = seen.what
    for name, slot in (("slot", seen.slot), ("other_slot", seen.other)):
        if slot is not None:
            found[name] = slot.slot_word
    return found


def finding_json(finding: Finding) -> dict[str, object]:
    """A finding as a JSON object."""
    return {
        "id": finding.kind.id,
        "severity": finding.severity,
        "vm": finding.vm_name,
        "count": finding.count,
        "counts": finding.kind.counts,
        "times": finding.times,
        "examples": finding_examples(finding),
        "steps": [seen.step for seen in finding.seen],
        "seen": [seen_json(seen) for seen in finding.seen],
        "is_known": finding.is_known,
    }


# -- accepted here, refused elsewhere


def elsewhere_text(found: RefusedElsewhere) -> str:
    """`step 12: accepted here, refused by 7.1 and later (EINVAL gmem-range)`."""
    steps = ", ".join(map(str, found.steps[:_MOST_STEPS]))
    more = f" and {len(found.steps) - _MOST_STEPS} more" if len(found.steps) > _MOST_STEPS else ""
    releases = release_spans(found.releases, found.among)
    where = "step" if len(found.steps) == 1 else "steps"
    reason = found.refused.reason.split(";")[0]
    return f"{where} {steps}{more}: accepted here, refused by {releases}: {reason}"


def elsewhere_lines(found: list[RefusedElsewhere], paint: Paint) -> list[str]:
    """All accepted calls that other releases refuse."""
    if not found:
        return []
    lines = [
        f"{paint('blue', REFUSED_ELSEWHERE.severity)}  {REFUSED_ELSEWHERE.id}: "
        f"{REFUSED_ELSEWHERE.title}"
    ]
    for each in found:
        lines += wrapped("", elsewhere_text(each), label_width=0, indent=4)
    return lines


def elsewhere_json(found: RefusedElsewhere) -> dict[str, object]:
    """The same as a finding in JSON."""
    return {
        "id": REFUSED_ELSEWHERE.id,
        "severity": REFUSED_ELSEWHERE.severity,
        "vm": found.vm_names[0] if len(found.vm_names) == 1 else None,
        "count": len(found.steps),
        "examples": [elsewhere_text(found)],
        "steps": found.steps,
        "rule": found.rule.id,
        "releases": found.releases,
    }


# -- the pages of the kinds


def finding_page(kind: FindingKind) -> list[str]:
    """The page of one kind of finding, for a terminal."""
    lines = [f"{kind.id} ({kind.severity}): {kind.title}", ""]
    return [*lines, *wrapped("", kind.page, 0, 0), "", *wrapped("do", kind.remedy, 0, 4)]


def finding_page_json(kind: FindingKind) -> dict[str, object]:
    """The page of one kind of finding as a JSON object."""
    return {
        "schema": PAGE_SCHEMA,
        "id": kind.id,
        "severity": kind.severity,
        "counts": kind.counts,
        "title": kind.title,
        "page": kind.page,
        "remedy": kind.remedy,
    }


def findings_markdown() -> str:
    """The page of all findings on accepted calls."""
    lines = [
        "# Findings",
        "",
        "`memslots explain` reports these on calls that were accepted. `--ignore ID` leaves one "
        "out. A note",
        "becomes a warning where it concerns 64 MiB of guest memory or more, as the page of its "
        "kind says.",
        "Warnings count for the exit code, notes do not. What is counted: slots, pieces of host "
        "memory, or",
        "how often it happened.",
    ]
    for kind in KINDS.values():
        lines += [
            "",
            f"## {kind.id}",
            "",
            f"{kind.severity}, counts {_COUNTED[kind.counts]}: {kind.title}",
            "",
            kind.page,
            "",
            f"**Do:** {kind.remedy}",
        ]
    return "\n".join(lines) + "\n"
