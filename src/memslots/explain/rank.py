"""From what a text says to candidates in order: causes of the catalogue, and rules that its words
name.
"""

from __future__ import annotations

from ..errors import errno_name
from .causes.catalogue import CAUSES
from .causes.cause import Cause
from .words import Words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from ..rules.answer import Rule
    from .facts import Facts

ENOUGH = 5.0
"""Points from which a candidate is worth naming."""
_NEAR, _FAR, _CALL = 8.0, 5.0, 5.0
_MORE, _SUPPORT, _AGAINST = 1.0, 2.0, -4.0
_MOST_MORE, _MOST_SUPPORT = 3, 4
_A_WORD = 0.3
_GENERAL = 5.2
"""The most that a cause gets which stands for what nobody has named more closely."""


class Candidate:
    """A cause or a rule, with its points."""

    __slots__ = ("cause", "named", "place", "points", "rule")

    def __init__(
        self,
        points: float,
        place: int,
        *,
        cause: Cause | None = None,
        rule: Rule | None = None,
        named: bool,
    ) -> None:
        self.points = points
        self.place = place
        """Where in the words the first of its names stands; -1 if the call and the errno alone
        make it a candidate.
        """
        self.cause = cause
        self.rule = rule
        self.named = named
        """Whether the text has it in words."""

    @property
    def id(self) -> str:
        """The id of the cause or rule."""
        return self.cause.id if self.cause else self.rule.id if self.rule else ""

    @property
    def title(self) -> str:
        """What it is, in one sentence."""
        return self.cause.title if self.cause else self.rule.title if self.rule else ""

    def __repr__(self) -> str:
        return f"<Candidate {self.id} {self.points:.1f}>"


def evidence(
    words: Words,
    near: Words | None,
    names: Collection[str],
    supports: Collection[str],
    against: Collection[str],
) -> tuple[float, int]:
    """(points, place of the first name) of signs in a text; the place is -1 if no name stands in
    it.
    """
    points, place, hits = 0.0, -1, 0
    for sign in names:
        at = words.find(sign)
        if at < 0:
            continue
        close = near is not None and sign in near
        value = (_NEAR if close else _FAR) + min(2.0, _A_WORD * sign.count(" "))
        points = max(points, value)
        place = at if place < 0 else min(place, at)
        hits += 1
    points += _MORE * min(max(0, hits - 1), _MOST_MORE)
    points += _SUPPORT * min(sum(sign in words for sign in supports), _MOST_SUPPORT)
    points += _AGAINST * sum(sign in words for sign in against)
    return points, place


def rank_causes(
    facts: Facts, near: Words | None = None, call: str = "", errno: int = 0
) -> list[Candidate]:
    """The causes that the text and the failed call speak for, the likeliest first.

    near: the words of the failing lines; call, errno: what failed, if it is known.
    """
    found = []
    failed = (call, errno_name(errno)) if call and errno else ("", "")
    for cause in CAUSES.values():
        points, place = evidence(facts.words, near, cause.names, cause.supports, cause.against)
        by_call = failed in cause.calls
        if place < 0 and not by_call:
            continue
        points += _CALL * by_call
        if call and not by_call and cause.calls and all(other != call for other, _ in cause.calls):
            points -= 3.0
        if cause.is_general:
            points = min(points, _GENERAL)
        if points >= ENOUGH:
            found.append(Candidate(points, place, cause=cause, named=place >= 0))
    found.sort(key=lambda each: -each.points)
    return found


def rule_points(facts: Facts, rule_id: str, near: Words | None = None) -> float:
    """Points that the words give to a rule."""
    from .rule_signs import RULE_SIGNS

    signs = RULE_SIGNS.get(rule_id)
    return evidence(facts.words, near, signs.names, signs.supports, ())[0] if signs else 0.0


def rules_named(facts: Facts) -> list[Candidate]:
    """Rules that the text names in words, the likeliest first."""
    from ..rules.catalogue import find_rule
    from .rule_signs import RULE_SIGNS

    found = []
    for rule_id, signs in RULE_SIGNS.items():
        points, place = evidence(facts.words, None, signs.names, signs.supports, ())
        if place >= 0:
            found.append(Candidate(points, place, rule=find_rule(rule_id), named=True))
    found.sort(key=lambda each: -each.points)
    return found
