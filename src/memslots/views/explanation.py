"""Explanations as text or JSON."""

from __future__ import annotations

from ..errors import errno_name
from ..explain.explain import CERTAIN, ELSEWHERE
from ..replay.step import DIFFERS
from ..trace.event import HOST, INJECTED, MESSAGE, MODEL
from ..uapi.flags import flag_text
from ..units import format_bytes
from .text import Paint, wrapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..explain.explain import Explanation
    from ..replay.step import Step

_MOST_POSSIBLE, _MOST_OTHERS, _MOST_FRAMES = 4, 2, 10
_HEADING = 70
_ANSWERED = {
    MODEL: "by the model, as the emulated kernel would; the host was not asked",
    HOST: "by the host, and the emulated kernel may answer otherwise",
}
"""Of a refused or surprising call of an emulated program: who answered it."""


def call_text(step: Step) -> str:
    """The call of a step in one line, with its result."""
    event, request = step.event, step.region
    if request is not None:
        space = f", address space {request.slot >> 16}" if request.slot >> 16 else ""
        flags = f", {flag_text(request.flags)}" if request.flags else ""
        nbytes = request.memory_size
        size = (
            "delete" if not nbytes else f"{nbytes} bytes" if nbytes % 1024 else format_bytes(nbytes)
        )
        text = (
            f"{event.call}(slot {request.slot & 0xFFFF}{space}{flags}, gpa "
            f"{request.guest_phys_addr:#x}, {size}"
        )
        if "userspace_addr" not in step.assumed:
            text += f", hva {request.userspace_addr:#x}"
        text += ")"
    elif event.call == MESSAGE:
        text = _first_words(event.text) or MESSAGE
    else:
        values = ", ".join(f"{name} {value:#x}" for name, value in event.fields.items())
        text = f"{event.call}({values})"
    return f"{text} = {result_text(step.observed)}"


def _first_words(text: str) -> str:
    """The first line, as many whole words of it as a heading holds."""
    first = text.strip().split("\n")[0].rstrip()
    if len(first) <= _HEADING:
        return first
    words = first[: _HEADING + 1].rsplit(None, 1)
    return f"{words[0] if len(words) > 1 else first[:_HEADING]} ..."


def result_text(result: int | None) -> str:
    """`0`, `-EEXIST` as `EEXIST`, `?` if not recorded."""
    if result is None:
        return "?"
    return errno_name(result) if result < 0 else str(result)


def explanation_lines(explanation: Explanation, paint: Paint, where: str = "") -> list[str]:
    """One explanation as text of at most 100 columns; where: its VM or file, if that has to be
    said.
    """
    step = explanation.step
    line = paint("dim", f"  (line {step.event.line})") if step.event.line and not where else ""
    lines = [paint("bold", f"step {step.number}") + f"  {call_text(step)}{line}"]
    if where:
        lines += wrapped("where", where)
    for label, text in paragraphs(explanation):
        lines += wrapped(label, text)
    return lines


def place_text(step: Step, vm_text: str, *, with_file: bool = False) -> str:
    """`VM 2 of qemu[77], vmm.strace line 12`: where a call stands; empty if there is one VM in one
    file.
    """
    event = step.event
    if not vm_text and not (with_file and event.source):
        return ""
    line = f"line {event.line}" if event.line else ""
    names_file = with_file and event.source != "-"  # standard input has no name
    place = f"{event.source} {line}".strip() if names_file else line
    return ", ".join(part for part in (vm_text, place) if part)


def paragraphs(explanation: Explanation) -> list[tuple[str, str]]:
    """(label, text) of everything that an explanation says, in order."""
    frames = explanation.step.event.backtrace
    made_by = [("made by", " < ".join(frames[:_MOST_FRAMES]))] if frames else []
    return _paragraphs(explanation) + made_by


def _paragraphs(explanation: Explanation) -> list[tuple[str, str]]:
    step, rule = explanation.step, explanation.rule
    found: list[tuple[str, str]] = []
    if explanation.cause is not None and explanation.certainty != CERTAIN:
        return _about_cause(explanation)
    if step.event.answered_by == INJECTED:
        return [("injected", explanation.summary)]
    if step.event.answered_by in _ANSWERED:
        found.append(("answered", _ANSWERED[step.event.answered_by]))
    if rule is not None and explanation.certainty == CERTAIN:
        found.append(("rule", f"{rule.id} ({explanation.summary})"))
    else:
        found.append(("unclear" if step.observed else "surprise", explanation.summary))
    if step.verdict == DIFFERS and step.answer is not None and not explanation.possible:
        found.append(("expected", step.answer.reason.split(";")[0]))
    if explanation.other is not None:
        found.append(("other", other_text(explanation)))
    if explanation.numbers:
        found.append(("numbers", "; ".join(explanation.numbers)))
    if explanation.certainty != CERTAIN:
        shown = explanation.possible[:_MOST_POSSIBLE]
        found += [("perhaps", f"{possible.id}: {possible.text}") for possible in shown]
        left = explanation.possible[_MOST_POSSIBLE:]
        if left:
            found.append(("", f"or {', '.join(possible.id for possible in left)}"))
    for number, text in enumerate(explanation.passes):
        found.append(("passes" if number == 0 else "", text))
    if not explanation.passes and rule is not None and explanation.certainty == CERTAIN:
        found.append(("do", rule.remedy))
    if explanation.kernels:
        found.append(("kernels", explanation.kernels))
    if explanation.then:
        found.append(("then", explanation.then))
    found += [("send", question) for question in explanation.questions]
    found += [
        ("run" if number == 0 else "", command) for number, command in enumerate(explanation.advice)
    ]
    return found


def _about_cause(explanation: Explanation) -> list[tuple[str, str]]:
    """What is said of a failure that has a cause outside the rules."""
    cause = explanation.cause
    if cause is None:
        return []
    known = explanation.certainty == ELSEWHERE
    found = [("cause" if known else "perhaps", f"{cause.id}: {cause.title}")]
    if cause.page:
        found.append(("", cause.page))
    found.append(("decides", cause.decides))
    if cause.kernels.rstrip(".") not in ("all", "none"):
        found.append(("kernels", cause.kernels))
    others = [each for each in explanation.possible if each.cause is not cause]
    found += [
        ("or" if number == 0 else "", f"{each.id}: {each.text}")
        for number, each in enumerate(others[:_MOST_OTHERS])
    ]
    if others[_MOST_OTHERS:]:
        found.append(("", f"or {', '.join(each.id for each in others[_MOST_OTHERS:])}"))
    if not cause.is_commands_alone:
        found += [
            ("do" if number == 0 else "", text) for number, text in enumerate(explanation.passes)
        ]
    found += [
        ("run" if number == 0 else "", command) for number, command in enumerate(explanation.advice)
    ]
    return found


def other_text(explanation: Explanation) -> str:
    """The slot in the way, and where it comes from."""
    slot = explanation.other
    if slot is None:
        return ""
    shift = explanation.step.page_shift
    name = f"KVM's own {slot.owner}" if slot.owner else f"slot {slot.id}"
    space = f" of address space {slot.as_id}" if slot.as_id else ""
    text = (
        f"{name}{space}, gfns [{slot.base_gfn:#x}, {slot.end_gfn:#x}), gpa "
        f"{slot.base_gfn << shift:#x}, "
    )
    text += f"{format_bytes(slot.npages << shift)}, hva {slot.userspace_addr:#x}"
    return text + (f", made at step {explanation.other_step}" if explanation.other_step else "")


def explanation_json(explanation: Explanation) -> dict[str, object]:
    """An explanation as a JSON object."""
    step, other = explanation.step, explanation.other
    return {
        "step": step.number,
        "line": step.event.line,
        "source": step.event.source,
        "process": step.event.process,
        "pid": step.event.pid,
        "time_ns": step.event.time_ns,
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
