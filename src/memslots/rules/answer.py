"""The answer to a call: accepted, refused, undetermined, or not modelled.

Refusals are values with an identity.  `unwrap()` turns an outcome into what a
program on the real device would see: the return value, or an OSError.
"""

from __future__ import annotations

import os

from ..errors import RefusedError, UndeterminedError, UnmodelledError, errno_name
from ..state.change import KIND_NAMES, NOTHING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

    from ..state.slot import Slot
    from .rule import Rule

    Outcome = "Accepted | Refused | Undetermined | Unmodelled"

ASSUMPTIONS = (
    "kernel memory allocations succeed",
    "host ranges that nobody described are ordinary writable memory",
)
"""What every `Accepted` takes for granted."""


class Accepted:
    """KVM accepts the call; for a region call also the change of the slots, which nothing can refuse any more."""

    __slots__ = ("kind", "new", "old")
    accepted = True
    errno = 0
    value = 0
    """What the call returns."""
    data: object = None
    """What the call hands out beside its value: the dirty bitmap, a guest_memfd."""

    def __init__(self, kind: int = NOTHING, old: Slot | None = None, new: Slot | None = None) -> None:
        self.kind = kind
        """CREATE, DELETE, MOVE, FLAGS_ONLY, or NOTHING."""
        self.old = old
        """The slot as it was; None for CREATE."""
        self.new = new
        """The slot as it will be; None for DELETE."""

    @property
    def result(self) -> int:
        """The return value, as a negated errno would be for a refusal."""
        return self.value

    @property
    def slot(self) -> Slot:
        """The slot concerned, new if there is a new one."""
        slot = self.new or self.old
        if slot is None:
            raise ValueError("nothing was changed, so there is no slot")
        return slot

    @property
    def reason(self) -> str:
        """`accepted`: for tables."""
        return "accepted"

    def unwrap(self) -> int:
        """The return value."""
        return self.value

    def __repr__(self) -> str:
        return (
            f"<Accepted {KIND_NAMES[self.kind]}: {self.old} -> {self.new}>" if self.kind else f"<Accepted {self.value}>"
        )


NO_CHANGE = Accepted()
"""The request is what the slot already is."""


class Answer(Accepted):
    """An accepted call that returns or hands out something and changes no slot."""

    __slots__ = ("data", "value")

    def __init__(self, value: int = 0, data: object = None) -> None:
        super().__init__()
        self.value = value
        self.data = data


class Refused:
    """KVM refuses the call: by which rule, with which numbers, because of which slot."""

    __slots__ = ("change", "numbers", "other", "rule")
    accepted = False

    def __init__(
        self,
        rule: Rule,
        numbers: Mapping[str, int | str],
        other: Slot | None = None,
        change: Accepted | None = None,
    ) -> None:
        self.rule = rule
        self.numbers = numbers
        """What decided, by name; addresses and sizes in bytes, gfns in host pages."""
        self.other = other
        """The slot in the way."""
        self.change = change
        """The change that the architecture refused after it had begun: it may leave traces."""

    @property
    def errno(self) -> int:
        """The positive errno."""
        number = self.numbers.get("errno")
        return number if isinstance(number, int) else self.rule.errno

    @property
    def result(self) -> int:
        """The negated errno."""
        return -self.errno

    @property
    def reason(self) -> str:
        """One line: errno, rule id, the numbers."""
        numbers = ", ".join(f"{name} {_shown(name, value)}" for name, value in self.numbers.items() if name != "errno")
        text = f"{errno_name(self.errno)} {self.rule.id}"
        if numbers:
            text += f": {numbers}"
        return f"{text}; {self.other}" if self.other else text

    def unwrap(self) -> NoReturn:
        """Raise RefusedError, an OSError with the true errno."""
        raise RefusedError(self)

    def __repr__(self) -> str:
        return f"<Refused {self.reason}>"


class Undetermined:
    """The answer depends on something that was not observed."""

    __slots__ = ("numbers", "question", "rule")
    accepted = None
    errno = None
    result = None

    def __init__(self, rule: Rule, question: str, numbers: Mapping[str, int | str] | None = None) -> None:
        self.rule = rule
        """The rule that could not be decided."""
        self.question = question
        """What would decide it."""
        self.numbers = numbers or {}

    @property
    def reason(self) -> str:
        """One line: the rule and the question."""
        return f"undetermined {self.rule.id}: {self.question}"

    def unwrap(self) -> NoReturn:
        """Raise UndeterminedError."""
        raise UndeterminedError(self)

    def __repr__(self) -> str:
        return f"<Undetermined {self.rule.id}: {self.question}>"


class Unmodelled:
    """memslots has no model of this case."""

    __slots__ = ("what",)
    accepted = None
    errno = None
    result = None

    def __init__(self, what: str) -> None:
        self.what = what

    @property
    def reason(self) -> str:
        """One line: what is not modelled."""
        return f"not modelled: {self.what}"

    def unwrap(self) -> NoReturn:
        """Raise UnmodelledError."""
        raise UnmodelledError(self.what)

    def __repr__(self) -> str:
        return f"<Unmodelled {self.what}>"


def _shown(name: str, value: int | str) -> str:
    if isinstance(value, str):
        return value
    return str(value) if name.endswith(("pages", "slots", "count", "fd", "id")) else hex(value)


def strerror(outcome: Accepted | Refused) -> str:
    """`0` or `-EEXIST (File exists)`."""
    if outcome.errno:
        return f"-{errno_name(outcome.errno)} ({os.strerror(outcome.errno)})"
    return str(outcome.value) if isinstance(outcome, Accepted) else ""
