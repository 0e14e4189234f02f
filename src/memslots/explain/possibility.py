"""What may be behind a refusal: a rule or a cause, and when."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..rules.answer import Rule
    from .causes.cause import Cause


class Possibility:
    """A rule, or a cause, that would give the observed answer, and when."""

    __slots__ = ("cause", "certain", "named", "points", "rule", "text")

    def __init__(
        self,
        rule: Rule | None,
        text: str,
        *,
        certain: bool = False,
        cause: Cause | None = None,
        points: float = 0.0,
        named: bool = False,
    ) -> None:
        self.rule = rule
        self.cause = cause
        self.text = text
        self.certain = certain
        """Whether nothing but this rule gives this answer, whatever the circumstances."""
        self.points = points
        """What speaks for it; only the order counts."""
        self.named = named
        """Whether the text has it in words."""

    @property
    def id(self) -> str:
        """The id of the rule or cause."""
        return (
            self.rule.id
            if self.rule is not None
            else self.cause.id
            if self.cause is not None
            else ""
        )

    @property
    def title(self) -> str:
        """What it is, in one sentence."""
        return (
            self.rule.title
            if self.rule is not None
            else self.cause.title
            if self.cause is not None
            else ""
        )
