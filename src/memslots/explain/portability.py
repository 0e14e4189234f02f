"""Accepted calls that other releases refuse: the recording's own calls, replayed on each of them.

Releases that answer alike what the calls ask of a kernel are asked once.  Work is
bounded: only calls that were accepted and that decide about slots are kept, and of
these only so many that all answers together stay within a budget.
"""

from __future__ import annotations

from ..kernel.asked import AlikeKernels
from ..kernel.profile import Profile, of_branches
from ..replay.replay import MAPPING_CALLS, Replay
from ..rules.answer import Refused, Rule
from ..rules.ioctl import IOCTL_UNKNOWN
from ..rules.region.arguments import ADDRESS_SPACE_UNKNOWN, FLAGS_INVALID
from ..trace.event import Event
from ..uapi.calls import CALLS, REGION_CALLS, VALUE_CALLS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..replay.step import Step

MOST_CALLS = 300
"""Accepted calls that are kept, the first ones, unless all are asked for."""
MOST_ANSWERS = 6000
"""Answers that are worked out unless all are asked for: calls times kinds of release."""
LACKS = frozenset((IOCTL_UNKNOWN, FLAGS_INVALID, ADDRESS_SPACE_UNKNOWN))
"""A kernel that lacks a call, a flag or an address space says so when it is asked for its
capabilities.
"""
_HARMLESS = frozenset(("KVM_GET_DIRTY_LOG", "KVM_CLEAR_DIRTY_LOG"))


class RefusedElsewhere:
    """Accepted region calls that some releases refuse by one rule."""

    __slots__ = ("among", "calls", "refused", "releases", "rule", "steps", "vm_names")

    def __init__(self, rule: Rule, refused: Refused, among: list[str]) -> None:
        self.rule = rule
        self.refused = refused
        """The first refusal, for its numbers."""
        self.among = among
        """All releases that were asked, oldest first."""
        self.releases: list[str] = []
        """Those that refuse."""
        self.steps: list[int] = []
        """The calls that the first of them refuses."""
        self.calls: set[str] = set()
        """Names of these calls."""
        self.vm_names: list[str] = []


class AcceptedCalls:
    """The accepted calls of a recording, as something to ask other releases."""

    __slots__ = ("_is_limited", "_surprises", "events", "left_out", "numbers", "plain_calls")

    def __init__(self, *, is_limited: bool = True) -> None:
        self._is_limited = is_limited
        self.events: list[Event] = []
        self.numbers: list[int] = []
        """Their steps."""
        self.left_out = 0
        """Accepted region calls that were not kept."""
        self.plain_calls = 0
        """Those that `see_accepted` has kept."""
        self._surprises: set[int] = set()
        """Steps that the recording's own kernel would have refused: they are reported as
        surprises.
        """

    def see_accepted(self, number: int, event: Event) -> bool:
        """Keep a region call that was accepted, by the recording's own kernel too.

        False if it was not kept, nor any that comes after it.
        """
        if self._is_limited and len(self.events) >= MOST_CALLS:
            return False
        self.plain_calls += 1
        self.events.append(event)
        self.numbers.append(number)
        return True

    def see(self, step: Step) -> None:
        """Keep a step's call if it was accepted and may decide about slots."""
        event = step.event
        name, observed = event.call, step.observed
        if name in VALUE_CALLS or name in _HARMLESS or name in MAPPING_CALLS:
            return
        if observed is not None and observed < 0:
            return
        if observed is None and (step.answer is None or not step.answer.accepted):
            return
        if name in CALLS and (CALLS[name].is_frequent or CALLS[name].is_beside_memory):
            return
        if self._is_limited and len(self.events) >= MOST_CALLS:
            self.left_out += step.is_region
            return
        if isinstance(step.answer, Refused):
            self._surprises.add(step.number)
        self.events.append(event)
        self.numbers.append(step.number)

    def refused_elsewhere(self, profile: Profile) -> list[RefusedElsewhere]:
        """Region calls that other releases refuse, by rule, the rule of the newest release
        first.
        """
        if not any(event.call in REGION_CALLS for event in self.events):
            return []
        stated = {name: setting.value for name, setting in profile.options.items()}
        releases = of_branches(profile.arch, stated)
        among = [str(each.version) for each in releases]
        kinds: dict[object, list[Profile]] = {}
        for release in releases:
            kinds.setdefault(release.behaviour, []).append(release)
        events = self.events
        if self._is_limited and len(events) * len(kinds) > MOST_ANSWERS:
            kept = MOST_ANSWERS // len(kinds)
            self.left_out += len(events) - kept
            events = events[:kept]
        found: dict[Rule, RefusedElsewhere] = {}
        work = AlikeKernels(lambda profile: self._refusals(events, profile), releases)
        for alike in reversed(list(kinds.values())):
            refusals = work.find(alike[0])
            for rule, (refused, steps) in refusals.items():
                each = found.setdefault(rule, RefusedElsewhere(rule, refused, among))
                each.releases += [str(same.version) for same in alike]
                if not each.steps:
                    each.steps = [step.number for step in steps]
                    each.calls = {step.event.call for step in steps}
                    each.vm_names = list(dict.fromkeys(step.vm_name for step in steps))
        for each in found.values():
            each.releases.sort(key=among.index)
        return list(found.values())

    def _refusals(
        self, events: list[Event], profile: Profile
    ) -> dict[Rule, tuple[Refused, list[Step]]]:
        """Rule: its first refusal of a region call that was accepted, and the steps of all of
        them.
        """
        found: dict[Rule, tuple[Refused, list[Step]]] = {}
        replay = Replay((), profile, most_kept=0, only_answers=True)
        for number, event in zip(self.numbers, events):
            if replay.advance(number, event):
                continue
            step = replay.step
            if number in self._surprises or not step.is_region or event.result:
                continue
            if isinstance(step.answer, Refused) and not (
                self._is_limited and step.answer.rule in LACKS
            ):
                found.setdefault(step.answer.rule, (step.answer, []))[1].append(step)
        return found
