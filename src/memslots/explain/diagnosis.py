"""The diagnosis of one paste: what its calls and its words say together, each problem told once."""

from __future__ import annotations

from ..trace.event import MESSAGE, TEXT, Event
from ..uapi.calls import CALLS
from .explain import Explanation, explain
from .facts import Facts
from .other_causes import LAYOUT, names_a_failure
from .rank import rank_causes, rules_named
from .text_events import call_failures, call_in
from .words import Words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..replay.step import Step

MOST_FROM_TEXT = 2
"""Problems that the text alone tells, beside those of recorded calls."""
_BESIDE = 7.0
"""Points that a cause needs to be told beside a problem that was explained already."""
_ALONE = 5.0
_RULE_ALONE = 5.0
_LINE_MAX = 400


class Diagnosis:
    """Facts of a text, and what has been said of it so far."""

    __slots__ = ("_failed", "_told", "count", "facts")

    def __init__(self, text: str) -> None:
        self.facts = Facts(text)
        self.count = 0
        """Explanations given."""
        self._told: set[str] = set()
        """Ids of rules and causes that stand in an explanation."""
        self._failed: set[tuple[str, int]] = set()
        """(call, errno) of what failed among the recorded calls."""

    def explain(self, step: Step) -> Explanation | None:
        """The explanation of a step; None if it is the problem of an earlier one in other words."""
        event = step.event
        if event.result is not None and event.result < 0:
            self._failed.add((event.call.removesuffix("2"), -event.result))
        explanation = explain(step, self.facts)
        first = (
            explanation.cause.id
            if explanation.cause
            else explanation.rule.id
            if explanation.rule
            else ""
        )
        is_same = (
            (event.is_told or event.format in (MESSAGE, TEXT))
            and not step.is_region
            and (first in self._told or not first)
        )
        if is_same and self.count:
            return None
        if not first and self._is_told_later(event):
            return None
        self.count += 1
        self._told.add(first)
        self._told.update(possible.id for possible in explanation.possible[:4])
        return explanation

    def _is_told_later(self, event: Event) -> bool:
        """Whether a message that no reader takes for a call names one in its words: `events` has
        it, with the numbers around it.
        """
        if event.call != MESSAGE or event.format != MESSAGE or not names_a_failure(self.facts):
            return False
        call, errno = call_in(Words(event.text), -(event.result or 0))
        return call in CALLS and any(
            (told.call, told.result) == (call, -errno)
            for told in call_failures(self.facts, frozenset(self._failed))
        )

    def events(self) -> Iterator[Event]:
        """What the text tells of failures beside the events that were read: to be asked for after
        these.
        """
        if not self.facts.text or not names_a_failure(self.facts):
            return
        yield from call_failures(self.facts, frozenset(self._failed))
        found = rank_causes(self.facts)
        told = 0
        if not self.count:
            rules = rules_named(self.facts)
            if rules and rules[0].points >= max(_RULE_ALONE, found[0].points if found else 0.0):
                yield self._message(rules[0].place)
                told += 1
        for each in found:
            enough = _BESIDE if self.count else _ALONE
            if (
                told < MOST_FROM_TEXT
                and each.named
                and each.points >= enough
                and each.id not in self._told
            ):
                if each.id == LAYOUT:
                    continue
                yield self._message(each.place)
                told += 1

    def _message(self, place: int) -> Event:
        line = self.facts.words.line_at(place)
        lines = self.facts.text.split("\n")
        shown = " ".join(lines[max(0, line - 1) : line + 2]) if line else ""
        return Event(MESSAGE, {}, None, text=shown.strip()[:_LINE_MAX], line=line, format=TEXT)
