"""A rule: one reason for which KVM refuses a call.

The rule holds what can be said about the reason; the check itself stands in a
column of checks in the kernel's order, next to the rules it names.
"""

from __future__ import annotations

from .answer import Accepted, Refused, Undetermined

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..state.slot import Slot


class Rule:
    """One reason for a refusal, with its page."""

    __slots__ = ("calls", "errno", "id", "needs", "page", "remedy", "source", "title", "without")

    def __init__(
        self,
        id: str,
        errno: int,
        title: str,
        page: str,
        remedy: str,
        source: str,
        *,
        calls: str = "KVM_SET_USER_MEMORY_REGION",
        needs: tuple[str, ...] = (),
        without: tuple[str, ...] = (),
    ) -> None:
        self.id = id
        """Kebab-case noun phrase for the fault; never reused."""
        self.errno = errno
        """Positive errno, the usual one where the kernel decides between two."""
        self.title = title
        """One line: refuses when."""
        self.page = " ".join(page.split())
        """Why KVM checks it, and what is easy to miss."""
        self.remedy = " ".join(remedy.split())
        """What to do."""
        self.source = source
        """Function in the kernel, or the specification's row."""
        self.calls = calls
        """The call that it belongs to."""
        self.needs = needs
        """Facts without which the rule does not exist."""
        self.without = without
        """Facts with which it does not exist."""

    def refuse(self, **numbers: int | str) -> Refused:
        """A refusal with the numbers that decided."""
        return Refused(self, numbers)

    def refuse_for(self, other: Slot, **numbers: int | str) -> Refused:
        """A refusal because of another slot."""
        return Refused(self, numbers, other)

    def refuse_late(self, change: Accepted, **numbers: int | str) -> Refused:
        """A refusal by the architecture's prepare hook, when the change has begun."""
        return Refused(self, numbers, None, change)

    def ask(self, question: str, **numbers: int | str) -> Undetermined:
        """The rule cannot be decided: say what would decide it."""
        return Undetermined(self, question, numbers)

    def __repr__(self) -> str:
        return f"<Rule {self.id}>"
