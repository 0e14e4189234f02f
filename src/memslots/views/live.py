"""Probe, run and guest as lines of text or JSON values."""

from __future__ import annotations

from ..errnos import errno_name, errno_text
from ..live.guest_demo import Shown
from ..live.probe import Probe, Probed
from ..live.rerun import Answered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SCHEMA = "memslots.probe/1"


def probe_lines(probe: Probe) -> Iterator[str]:
    """A table of what was asked."""
    yield f"KVM of {probe.release}"
    width = max(len(finding.name) for finding in probe.findings)
    for finding in probe.findings:
        mark = "  (the release alone would say otherwise)" if finding.differs else ""
        yield f"  {finding.name:{width}}  {_value(finding):>14}  {finding.how}{mark}"
    for note in probe.notes:
        yield f"note: {note}"
    yield "use it as `--kernel host`"


def _value(finding: Probed) -> str:
    value = finding.value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and value > 0xFFFF:
        return hex(value)
    return str(value)


def probe_value(probe: Probe) -> dict[str, object]:
    """The same for `json.dumps`."""
    findings = {
        finding.name: {"value": finding.value, "how": finding.how, "differs": finding.differs}
        for finding in probe.findings
    }
    return {"schema": SCHEMA, "release": probe.release, "findings": findings, "notes": probe.notes}


def run_lines(answers: Iterable[Answered], counted: list[int]) -> Iterator[str]:
    """One line for each call that differs or was not made, then the count.

    counted gets one number: how many differ.
    """
    made = differing = left_out = 0
    for number, answered in enumerate(answers, 1):
        if answered.result is None:
            left_out += 1
            if answered.note.startswith("a slot"):
                yield f"step {number}: not made: {answered.note}"
            continue
        made += 1
        if answered.differs:
            differing += 1
            event = answered.event
            fields = ", ".join(f"{name} {value:#x}" for name, value in event.fields.items())
            both = f"{_result(answered.result)} here, {_result(event.result)} recorded"
            yield f"step {number}: {event.call}({fields}): {both}"
    counted.append(differing)
    yield f"{made} calls made, {differing} answered otherwise than recorded, {left_out} not made"


def _result(result: int | None) -> str:
    if result is None:
        return "?"
    return f"-{errno_name(result)} ({errno_text(-result)})" if result < 0 else str(result)


def shown_lines(shown: Shown) -> Iterator[str]:
    """What the guest did."""
    yield f"guest wrote pages {shown.live_pages} as the kernel's dirty log has it"
    verdict = "equal" if shown.live_pages == shown.expected_pages else "DIFFERENT"
    yield f"the model's dirty log has {shown.expected_pages}: {verdict}"
    exit_ = shown.rom_exit
    access = "write" if exit_.is_write else "read"
    yield f"a write to the read-only slot: exit {exit_.name}, gpa {exit_.gpa:#x}, {access}"
    yield f"the read-only memory is {'changed' if any(shown.rom_bytes) else 'unchanged'}"
