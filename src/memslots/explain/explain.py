"""From a step to its explanation: which rule, which numbers, which other slot, what would pass.

A refusal that the model shares is explained by the model's own rule.  One that
it does not share is looked for: hosts and histories under which the model would
answer as observed are tried, and named as possibilities.  What is no call of the
memory-slot layer is explained by a cause of the catalogue.
"""

from __future__ import annotations

from ..errnos import EFAULT
from ..errors import errno_name
from ..replay.step import DIFFERS, ECHO, REFUSED, UNDETERMINED, Step
from ..rules.answer import Refused, Rule, Undetermined
from ..rules.ioctl import IOCTL_UNKNOWN
from ..state.slot import Slot
from ..trace.event import INJECTED
from ..units import format_bytes
from .facts import no_facts
from .other_causes import OTHER_HYPERVISOR, candidates_of, hypervisor_named, is_probe, since
from .other_kernels import kernels_line
from .remedies import next_refusal, remedies

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .causes.cause import Cause
    from .facts import Facts
    from .possibility import Possibility

CERTAIN, POSSIBLE, ELSEWHERE = "certain", "undetermined", "not a memslot problem"


class Explanation:
    """Why one call was refused, or surprises."""

    __slots__ = (
        "advice", "cause", "certainty", "errno", "kernels", "numbers", "other", "other_step",
        "passes", "possible",
        "questions", "rule", "step", "summary", "then",
    )  # fmt: skip

    def __init__(self, step: Step, certainty: str, summary: str) -> None:
        self.step = step
        self.certainty = certainty
        """`certain`, `undetermined`, or `not a memslot problem`."""
        self.summary = summary
        """One sentence."""
        self.errno = -step.observed if step.observed is not None and step.observed < 0 else 0
        """The errno observed, or expected if nothing was observed."""
        self.rule: Rule | None = None
        self.cause: Cause | None = None
        """What it is, if it is no rule."""
        self.advice: list[str] = []
        """Commands to copy: what to run or send next."""
        self.numbers: list[str] = []
        """What decided, in words."""
        self.other: Slot | None = None
        """The slot in the way."""
        self.other_step = 0
        """The step that made it; 0 if not recorded."""
        self.passes: list[str] = []
        """Changes that would be accepted, each verified."""
        self.then = ""
        """What would refuse once this is mended."""
        self.kernels = ""
        """On which kernels the answer differs."""
        self.possible: list[Possibility] = []
        """Under which circumstances the answer would be as observed."""
        self.questions: list[str] = []
        """What to find out or send."""


def needs_explanation(step: Step) -> bool:
    """Whether there is anything about this step that a user wants to know.  Every error is, but for
    a probing program's.
    """
    if step.verdict == DIFFERS:
        return True
    if step.verdict == ECHO or step.below_slot:
        return False
    if step.event.is_told:
        return True
    if step.verdict == UNDETERMINED:
        return step.observed is None or step.observed < 0
    if step.verdict == REFUSED:
        return step.is_region or not is_probe(step)
    return step.event.is_failure and not is_probe(step)


def explain(step: Step, facts: Facts | None = None) -> Explanation:
    """The explanation of a step, in the light of the text around it."""
    facts = no_facts() if facts is None else facts
    explanation = _explained(step, facts)
    if not explanation.advice and (explanation.certainty == POSSIBLE or explanation.questions):
        from .advice import recording

        explanation.advice = recording(facts)
    return explanation


def _explained(step: Step, facts: Facts) -> Explanation:
    answer = step.answer
    if step.event.answered_by == INJECTED:
        return Explanation(step, CERTAIN, "no kernel answered so: the result was injected")
    if isinstance(answer, Refused) and step.before is not None:
        if step.observed is None or step.observed == answer.result:
            if _depends_on_assumed(step, answer):
                return _possible(step, facts)
            return _refused(step, answer)
        if step.observed == 0:
            return _surprise(step, answer)
    if (
        step.is_region
        and step.observed is not None
        and step.observed < 0
        and step.before is not None
    ):
        return _possible(step, facts)
    if step.event.is_failure:
        return _by_causes(step, facts)
    explanation = Explanation(
        step, POSSIBLE, "the answer depends on something that was not observed"
    )
    if isinstance(answer, Undetermined):
        explanation.rule = answer.rule
        explanation.questions.append(answer.question)
    elif answer is not None:
        explanation.summary = answer.reason
    return explanation


_UNNAMED = "an error whose words name no cause that is known here"
_WHOLE_LOG = (
    "the lines before and after it, the command line of the program, uname -rm, and the end of "
    "dmesg"
)


def _by_causes(step: Step, facts: Facts) -> Explanation:
    """What is no region call: the causes and rules that the call, its errno and the words speak
    for.
    """
    from .advice import fitted, recording

    found = candidates_of(step, facts)
    if not found:
        explanation = Explanation(step, POSSIBLE, _UNNAMED)
        explanation.questions.append(_WHOLE_LOG)
        return explanation
    first = found[0]
    explanation = Explanation(step, POSSIBLE, first.title)
    explanation.possible = found
    if first.cause is None:
        explanation.rule = first.rule
        explanation.certainty = CERTAIN if first.certain and len(found) == 1 else POSSIBLE
        explanation.summary = first.text
        explanation.kernels = since(step.event.call) if first.rule is IOCTL_UNKNOWN else ""
        explanation.advice = recording(facts)
        return explanation
    cause = explanation.cause = first.cause
    is_told = (first.named or len(found) == 1) and not cause.is_general
    explanation.certainty = ELSEWHERE if is_told else POSSIBLE
    if cause.id == OTHER_HYPERVISOR:
        explanation.summary = f"{cause.title[:-1]}: {hypervisor_named(facts)}"
    explanation.questions.append(f"what decides: {cause.decides}")
    explanation.passes = [fitted(cause.next.replace("`", ""), facts)]
    explanation.advice = [
        fitted(command, facts) for command in cause.commands if not command.startswith("-")
    ]  # options are for a command line that is there already
    return explanation


_ARGUMENT_OF_RULE = {
    "flags": ("flags-", "readonly-change"),
    "userspace_addr": ("hva-", "userspace-addr-change", "vma-"),
    "vcpu_id": ("vcpu-",),
}


def _depends_on_assumed(step: Step, refused: Refused) -> bool:
    """Whether the rule was decided by an argument that the recording does not have."""
    return any(
        refused.rule.id.startswith(prefix)
        for name in step.assumed
        for prefix in _ARGUMENT_OF_RULE[name]
    )


def _refused(step: Step, refused: Refused) -> Explanation:
    explanation = Explanation(step, CERTAIN, refused.rule.title)
    explanation.errno = refused.errno
    explanation.rule = refused.rule
    explanation.other = refused.other
    explanation.numbers = number_lines(refused, step.page_shift)
    before = step.before
    if before is None:
        return explanation
    if refused.other is not None:
        explanation.other_step = before.made_by.get(refused.other.slot_word, 0)
    bound = refused.numbers.get("bound_slot")
    if isinstance(bound, int):
        explanation.other = before.vm.slot(bound)
        explanation.other_step = before.made_by.get(bound, 0)
    request = step.region
    if request is not None:
        vm = before.vm
        explanation.passes = remedies(vm, request, refused)
        following = next_refusal(vm, request, refused)
        explanation.then = (
            _following_text(following, vm.page_shift)
            if following
            else "nothing else would refuse this request"
        )
        explanation.kernels = kernels_line(vm, request, refused)
    return explanation


def _surprise(step: Step, refused: Refused) -> Explanation:
    """Accepted, where the model expects a refusal: the history or the host is not what it seems."""
    explanation = Explanation(
        step, POSSIBLE, f"accepted, though {refused.rule.title[0].lower()}{refused.rule.title[1:]}"
    )
    explanation.errno = 0
    explanation.rule = refused.rule
    explanation.other = refused.other
    explanation.numbers = number_lines(refused, step.page_shift)
    if refused.other is not None and step.before is not None:
        explanation.other_step = step.before.made_by.get(refused.other.slot_word, 0)
    if refused.rule.id in (
        "slot-overlap",
        "size-change",
        "userspace-addr-change",
        "readonly-change",
    ):
        explanation.questions.append(
            "a deletion in between was not recorded: record all threads (strace -f)"
        )
    elif not step.from_start:
        explanation.questions.append(
            "the recording began after the VM was made: record from the start"
        )
    explanation.questions.append("which kernel is it?  State it with --kernel")
    return explanation


def _possible(step: Step, facts: Facts) -> Explanation:
    """Refused, where the model would not refuse, or cannot tell: look for circumstances under
    which it would.
    """
    from .hypotheses import possibilities  # what certain refusals do not need

    explanation = Explanation(step, POSSIBLE, "")
    explanation.possible = possibilities(step, facts)
    certain = [possible for possible in explanation.possible if possible.certain]
    name = errno_name(explanation.errno)
    # our recorder reads every argument that can be read
    unreadable = (
        step.event.format == "recording" and not step.event.fields and explanation.errno == EFAULT
    )
    if unreadable and explanation.possible:
        explanation.certainty = CERTAIN
        explanation.rule = explanation.possible[0].rule
        explanation.summary = explanation.possible[0].text
    elif len(certain) == 1 and len(explanation.possible) == 1:
        explanation.certainty = CERTAIN
        explanation.rule = certain[0].rule
        explanation.summary = certain[0].text
    elif explanation.possible:
        explanation.rule = explanation.possible[0].rule
        explanation.summary = f"{name}: what was recorded does not decide between these"
    else:
        explanation.summary = f"no rule of the memory-slot layer answers {name} to this"
    if explanation.rule is IOCTL_UNKNOWN:
        explanation.kernels = since(step.event.call)
    if explanation.possible and explanation.certainty != CERTAIN:
        explanation.cause = explanation.possible[0].cause
    if isinstance(step.answer, Undetermined):
        explanation.questions.append(step.answer.question)
    if not unreadable and (step.region is None or step.assumed):
        others = "all other arguments" if step.event.fields else "all arguments"
        missing = ", ".join(step.assumed) or others
        explanation.questions.append(f"not recorded: {missing}")
    if not step.from_start:
        explanation.questions.append(
            "the calls before this one were not recorded: slots registered earlier are not known"
        )
    return explanation


def _following_text(following: Refused, page_shift: int) -> str:
    """What would refuse next, with its numbers in words."""
    numbers = "; ".join(number_lines(following, page_shift))
    text = f"{errno_name(following.errno)} {following.rule.id}"
    return f"{text}: {numbers}" if numbers else text


def number_lines(refused: Refused, page_shift: int) -> list[str]:
    """The deciding numbers in words; pairs of gfns as half-open ranges."""
    numbers = dict(refused.numbers)
    numbers.pop("errno", None)
    lines = []
    for prefix, what in (("", "request gfns"), ("overlap_", "overlap gfns")):
        start, end = numbers.pop(prefix + "start_gfn", None), numbers.pop(prefix + "end_gfn", None)
        if isinstance(start, int) and isinstance(end, int):
            nbytes = (end - start) << page_shift
            lines.append(
                f"{what} [{start:#x}, {end:#x}), {end - start} pages, {format_bytes(nbytes)}"
            )
    for name, value in numbers.items():
        lines.append(f"{name} {_shown(name, value)}")
    return lines


def _shown(name: str, value: int | str) -> str:
    if isinstance(value, str):
        return value
    if name.endswith(("pages", "slots", "count")):
        return str(value)
    if name in ("memory_size",) or name.endswith("_bytes"):
        return (
            f"{value:#x} ({value} bytes)" if value % 1024 else f"{value:#x} ({format_bytes(value)})"
        )
    return str(value) if name.endswith(("_id", "fd")) else hex(value)
