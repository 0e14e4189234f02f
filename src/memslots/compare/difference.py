"""What changes between two kernels: facts, limits, options, rules, and what a program notices.

from memslots.compare.difference import difference
found = difference(find("5.16/x86_64"), find("5.17/x86_64"))
[rule.id for rule in found.new_rules]
"""

from __future__ import annotations

from ..kernel.history import FACTS
from ..kernel.limits import LIMITS
from ..kernel.profile import OPTIONS, Profile
from ..rules.presence import rules_of
from .questions import answers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..kernel.fact import Fact
    from ..rules.answer import Rule
    from .questions import Question, QuestionReply


ONLY_NARROW = frozenset({"hva-compared-truncated", "size-fits-ulong", "zero-size-is-delete"})
"""Facts about what happens to 64-bit values on 32-bit hosts."""


WORD, PAGE = "word", "page"
"""Names of two changes that are no limits: bits of an unsigned long, bytes of a host page."""


class LimitChange:
    """Something with two values."""

    __slots__ = ("after", "before", "name", "summary")

    def __init__(self, name: str, summary: str, before: object, after: object) -> None:
        self.name = name
        self.summary = summary
        self.before = before
        self.after = after


class Noticed:
    """A question that two kernels answer differently."""

    __slots__ = ("after", "before", "question")

    def __init__(
        self, question: Question, before: QuestionReply | None, after: QuestionReply | None
    ) -> None:
        self.question = question
        self.before = before
        """None where it makes no sense on that architecture."""
        self.after = after


class Difference:
    """All that tells two kernels apart."""

    __slots__ = (
        "after",
        "before",
        "ended",
        "gone_rules",
        "idle",
        "limits",
        "new_rules",
        "noticed",
        "options",
        "started",
    )

    def __init__(self, before: Profile, after: Profile) -> None:
        self.before = before
        self.after = after
        wide = min(before.arch.long_bits, after.arch.long_bits) >= 64
        started = [fact_of(name, after) for name in after.facts if before.knows(name) is False]
        ended = [fact_of(name, before) for name in before.facts if after.knows(name) is False]
        self.started = [fact for fact in started if not (wide and fact.name in ONLY_NARROW)]
        """Facts that the second has and the first has not."""
        self.ended = [fact for fact in ended if not (wide and fact.name in ONLY_NARROW)]
        self.idle = [fact for fact in (*started, *ended) if wide and fact.name in ONLY_NARROW]
        """Facts that come or go and say nothing about hosts as wide as these."""
        self.limits = _limits(before, after)
        self.options = [
            LimitChange(
                option.name, option.summary, before.option(option.name), after.option(option.name)
            )
            for option in OPTIONS.values()
            if before.option(option.name) != after.option(option.name)
            and option.name not in _LIMIT_OPTIONS
        ]
        first, second = rules_of(before), rules_of(after)
        self.new_rules: list[Rule] = [rule for rule in second if rule not in first]
        self.gone_rules: list[Rule] = [rule for rule in first if rule not in second]
        self.noticed = _noticed(before, after)
        """Questions that the two answer differently."""

    @property
    def is_empty(self) -> bool:
        """Whether the two behave alike, as far as is known."""
        return not (self.started or self.ended or self.limits or self.options or self.noticed)


def difference(before: Profile, after: Profile) -> Difference:
    """What the second kernel does otherwise than the first."""
    return Difference(before, after)


def fact_of(name: str, profile: Profile) -> Fact:
    """The dated fact of that name, the one that speaks of the profile's architecture if there are
    several.
    """
    same = [fact for fact in FACTS if fact.name == name]
    return next((fact for fact in same if profile.arch.name in fact.arches), same[0])


_LIMIT_OPTIONS = frozenset(limit.name for limit in LIMITS)


def _limits(before: Profile, after: Profile) -> list[LimitChange]:
    found = [
        LimitChange(
            limit.name, limit.summary, limit_of(before, limit.name), limit_of(after, limit.name)
        )
        for limit in LIMITS
    ]
    found += [
        LimitChange(WORD, "", before.arch.long_bits, after.arch.long_bits),
        LimitChange(PAGE, "", 1 << before.page_shift, 1 << after.page_shift),
    ]
    return [change for change in found if change.before != change.after]


def limit_of(profile: Profile, name: str) -> int | None:
    """A limit; None if nothing is known of it."""
    from ..errors import UnknownKernelError

    try:
        return profile.limit(name)
    except UnknownKernelError:
        return None


def _noticed(before: Profile, after: Profile) -> list[Noticed]:
    first, second = answers(before), answers(after)
    return [
        Noticed(question, first.get(question), second.get(question))
        for question in {**first, **second}
        if first.get(question) != second.get(question)
    ]
