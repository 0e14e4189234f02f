"""A recording from end to end: evidence, replay, explanations and findings in one pass."""

from __future__ import annotations

from itertools import chain, islice

from ..kernel.names import find
from ..kernel.profile import Profile
from ..replay.replay import Replay
from ..replay.step import DIFFERS, Step
from ..rules.answer import Refused, Undetermined, Unmodelled
from ..trace import read
from ..trace.event import TEXT, Reading
from .diagnosis import Diagnosis
from .explain import Explanation, needs_explanation
from .finding_kinds import REFUSED_ELSEWHERE, WARNING
from .findings import Watch
from .portability import AcceptedCalls, RefusedElsewhere
from .text_events import complete
from .vm_summary import VmSummary
from .which_kernel import ASSUMED, MOST_EVENTS, Evidence, weigh

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..trace.event import Event

_MOST_NUMBERS = 64
_KVM = "KVM_"
IRQCHIP = "irqchip"
"""Word of `host`: VMs made before the recording have one in the kernel."""


class Alike:
    """Calls that want the same explanation: the first one is explained, the others are counted."""

    __slots__ = ("count", "explanation", "is_surprise", "numbers", "vm_names")

    def __init__(self, explanation: Explanation) -> None:
        self.explanation = explanation
        self.is_surprise = explanation.step.verdict == DIFFERS
        self.count = 0
        self.numbers: list[int] = []
        """Their steps, the first 64."""
        self.vm_names: list[str] = []
        """Their VMs, the first 64."""

    def add(self, step: Step) -> None:
        """Count one."""
        self.count += 1
        if len(self.numbers) < _MOST_NUMBERS:
            self.numbers.append(step.number)
        if step.vm_name not in self.vm_names and len(self.vm_names) < _MOST_NUMBERS:
            self.vm_names.append(step.vm_name)


class Analysis:
    """One recording (or several files of one) under analysis.  `run()` yields the steps."""

    __slots__ = (
        "_accepted",
        "_alike",
        "_events",
        "_other_calls",
        "_other_region_calls",
        "_plain_calls",
        "_seen_alike",
        "diagnosis",
        "elsewhere",
        "evidence",
        "explained",
        "left_out",
        "profile",
        "reading",
        "replay",
        "summaries",
        "watch",
    )

    def __init__(
        self,
        source: object,
        profile: Profile | None = None,
        ignored: frozenset[str] = frozenset(),
        most: int = 200,
        host: Sequence[str] = (),
        *,
        every_release: bool = False,
    ) -> None:
        """Open `source` (see trace.read).  Raises TraceError if it cannot be read.

        profile: the kernel, if the user states it; otherwise the newest one that the recording
        allows. most: different explanations kept; more are only counted.  0: only the steps are
        wanted. host: what is known of the host, as the parts of a kernel's name (`intel`, `apicv`,
        `pa46`, `-smm`), and
            `irqchip` where VMs made before the recording have one in the kernel.
        every_release: put all accepted calls to all releases, not only the first ones.
        """
        self.reading = Reading()
        events: Iterator[Event] = iter(read(source, reading=self.reading))  # type: ignore[arg-type]
        head = list(islice(events, MOST_EVENTS))
        self.diagnosis = Diagnosis(self.reading.excerpt.text())
        """What the text around the calls says."""
        complete(head, self.diagnosis.facts)
        self.evidence: Evidence | None = None
        if profile is None and self.reading.kernel:
            profile = find(self.reading.kernel)
        if profile is None:
            self.evidence = weigh(
                head,
                release=self.reading.release,
                machine=self.reading.machine,
                page_bytes=self.reading.page_bytes,
                host=self.reading.host,
                facts=self.diagnosis.facts,
            )
            profile = self.evidence.chosen
            self.diagnosis.facts.arch_is_known = self.evidence.arch_reason != ASSUMED
        edits = "".join(
            word if word[:1] in "+-" else f"+{word}" for word in host if word != IRQCHIP
        )
        if edits:
            profile = find(profile.name + edits)
        self.profile = profile
        told = self.diagnosis.events() if most else ()
        self._events = chain(head, events, told)
        self.replay = Replay((), profile, irqchip=IRQCHIP in host, wanted=self._is_new)
        self.watch = Watch(ignored)
        self.summaries: dict[str, VmSummary] = {}
        """VM: what it was, in the order in which they are met."""
        self.elsewhere: list[RefusedElsewhere] = []
        """Accepted calls that other releases refuse."""
        self.explained = most
        self.left_out = 0
        """Calls that want an explanation of their own, beyond the most that are kept."""
        self._plain_calls = self._other_calls = self._other_region_calls = 0
        self._alike: dict[object, Alike] = {}
        self._seen_alike = {True: 0, False: 0}
        wants_elsewhere = most > 0 and REFUSED_ELSEWHERE.id not in ignored
        self._accepted = AcceptedCalls(is_limited=not every_release) if wants_elsewhere else None

    @property
    def alike(self) -> list[Alike]:
        """What was explained, surprises first, each kind once."""
        return sorted(self._alike.values(), key=lambda each: not each.is_surprise)[: self.explained]

    @property
    def explanations(self) -> list[Explanation]:
        """The explanations, surprises first."""
        return [each.explanation for each in self.alike]

    @property
    def not_shown(self) -> int:
        """Calls whose explanation is not among `explanations`."""
        shown = self.alike
        return (
            self.left_out
            + sum(each.count for each in self._alike.values())
            - sum(each.count for each in shown)
        )

    @property
    def vms_to_name(self) -> bool:
        """Whether a report has to say which VM it speaks of."""
        return sum(1 for each in self.summaries.values() if each.region_calls) > 1

    def run(self) -> Iterator[tuple[Step, Explanation | None]]:
        """Each step with its explanation, if it needs one and is the first of its kind."""
        for is_plain in self._looked_at(every=True):
            step = self.replay.step
            yield step, None if is_plain else self._explained(step)

    def finish(self) -> Analysis:
        """Run to the end."""
        for _ in self._looked_at(every=False):
            self._explained(self.replay.step)
        return self

    def _looked_at(self, *, every: bool) -> Iterator[bool]:
        """Take all calls and look at each; whether it was plain (see Replay.advance).

        every: say it of plain ones, too.
        """
        replay, accepted = self.replay, self._accepted
        advance, see, summaries = replay.advance, self.watch.see, self.summaries
        is_explained = self.explained > 0
        is_kept = accepted is not None
        for number, event in enumerate(self._events, 1):
            is_plain = advance(number, event)
            if is_explained:
                see(replay, is_plain=is_plain)
            tracked = replay.tracked
            summary = summaries.get(tracked.name)
            if summary is None:
                summary = summaries[tracked.name] = VmSummary(number, event, tracked.name)
            if is_plain:
                self._plain_calls += 1
                summary.see_plain(number, event, replay.change, tracked.vm.state)
                if is_kept and accepted is not None:
                    is_kept = accepted.see_accepted(number, event)
                if every:
                    yield True
            else:
                step = replay.step
                self._other_calls += event.call.startswith(_KVM)
                self._other_region_calls += step.is_region and event.format != TEXT
                summary.see(step)
                if accepted is not None:
                    accepted.see(step)
                yield False
        self.watch.finish()
        if accepted is not None:
            accepted.left_out += self._plain_calls - accepted.plain_calls
            self.elsewhere = accepted.refused_elsewhere(self.profile)

    @property
    def kvm_calls(self) -> int:
        """Calls of KVM, whatever they were about."""
        return self._plain_calls + self._other_calls

    @property
    def region_calls(self) -> int:
        """Region calls that were recorded, not only told of."""
        return self._plain_calls + self._other_region_calls

    def _explained(self, step: Step) -> Explanation | None:
        if not _is_to_be_explained(step):
            return None
        key = _alike_key(step)
        found, first = self._alike.get(key), None
        if found is None:
            if step.before is None:
                self.left_out += 1
                return None
            first = self.diagnosis.explain(step)
            if first is None:
                return None
            found = self._alike[key] = Alike(first)
            self._seen_alike[found.is_surprise] += 1
        found.add(step)
        return first

    def _is_new(self, step: Step) -> bool:
        """Whether the VM before this step has to be kept: nothing like it has been explained
        yet.
        """
        return (
            self._seen_alike[step.verdict == DIFFERS] < self.explained
            and _alike_key(step) not in self._alike
        )

    @property
    def is_about_kvm(self) -> bool:
        """Whether anything was read that could be judged."""
        return bool(self.kvm_calls or self.reading.runs or self._alike or self.left_out)

    @property
    def has_findings(self) -> bool:
        """Whether there is anything that a user should look at."""
        warnings = any(finding.severity == WARNING for finding in self.watch.findings.values())
        return bool(self._alike or self.left_out) or warnings


def _is_to_be_explained(step: Step) -> bool:
    """A call that nobody answered, about something outside the model, is not worth a word; a
    message of a failure always is.
    """
    is_call = not step.event.is_told
    if is_call and step.observed is None and isinstance(step.answer, Unmodelled):
        return False
    return needs_explanation(step)


def _alike_key(step: Step) -> object:
    """Steps with the same key want the same explanation: call, result, rule, and the slot in the
    way.
    """
    answer, event = step.answer, step.event
    rule = answer.rule if isinstance(answer, (Refused, Undetermined)) else None
    other = (
        answer.other.slot_word if isinstance(answer, Refused) and answer.other is not None else None
    )
    if rule is None or step.assumed:
        # what was not recorded has to be guessed from each call by itself
        text = event.text if not event.fields else ""
        return event.call, step.verdict, step.observed, text, tuple(event.fields.items())
    return event.call, step.verdict, step.observed, rule, other
