"""What KVM answers to a call: accepted, refused by a rule, undetermined, or not modelled.

Answers are values with an identity.  `unwrap()` turns one into what a program
on the real device would see: the return value, or an OSError.
"""

from __future__ import annotations

from ..errnos import errno_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn, TypeAlias

    from ..state.change import Change
    from ..state.slot import Slot

    Answer: TypeAlias = "Accepted | Refused | Undetermined | Unmodelled"
    NotAccepted: TypeAlias = "Refused | Undetermined | Unmodelled"

ASSUMPTIONS = (
    "kernel memory allocations succeed",
    "host ranges that nobody described are ordinary writable memory",
)
"""What every `Accepted` takes for granted."""


class Rule:
    """One reason for which KVM refuses a call, with its page.

    The check itself stands in a column of checks in the kernel's order, next to
    the rules it names.
    """

    __slots__ = (
        "_page", "_remedy", "any_of", "arches", "calls", "errno", "id", "needs", "numberless",
        "source", "title", "without",
    )  # fmt: skip

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
        arches: tuple[str, ...] = (),
        needs: tuple[str, ...] = (),
        any_of: tuple[str, ...] = (),
        without: tuple[str, ...] = (),
        numberless: bool = False,
    ) -> None:
        self.id = id
        """Kebab-case noun phrase for the fault; never reused."""
        self.errno = errno
        """Positive errno, the usual one where the kernel decides between two."""
        self.title = title
        """One line: refuses when."""
        self._page, self._remedy = page, remedy
        self.source = source
        """Function in the kernel, or the specification's row."""
        self.calls = calls
        """The call that it belongs to."""
        self.arches = arches
        """Architectures that have it; empty: all."""
        self.needs = needs
        """Facts without which the rule does not exist."""
        self.any_of = any_of
        """Facts of which one must hold for it to exist; empty: none is needed."""
        self.without = without
        """Facts with which it does not exist."""
        self.numberless = numberless
        """Whether a state decides, and no number: its refusals tell none."""

    @property
    def page(self) -> str:
        """Why KVM checks it, and what is easy to miss."""
        from ..kernel.dated_text import dated

        return dated(" ".join(self._page.split()))

    @property
    def remedy(self) -> str:
        """What to do."""
        from ..kernel.dated_text import dated

        return dated(" ".join(self._remedy.split()))

    def refuse(self, **numbers: int | str) -> Refused:
        """A refusal with the numbers that decided."""
        return Refused(self, numbers)

    def refuse_for(self, other: Slot, **numbers: int | str) -> Refused:
        """A refusal because of another slot."""
        return Refused(self, numbers, other)

    def refuse_late(self, traces: Change, **numbers: int | str) -> Refused:
        """A refusal after the kernel had begun: it leaves traces."""
        return Refused(self, numbers, None, traces)

    def ask(self, question: str, **numbers: int | str) -> Undetermined:
        """The rule cannot be decided: say what would decide it."""
        return Undetermined(self, question, numbers)

    def __repr__(self) -> str:
        return f"<Rule {self.id}>"


class Accepted:
    """KVM accepts the call."""

    __slots__ = ("change", "data", "value")
    accepted = True
    errno = 0

    def __init__(self, change: Change | None = None, value: int = 0, data: object = None) -> None:
        self.change = change
        """What the call does, which nothing can refuse any more; None if it changes nothing."""
        self.value = value
        """What the call returns."""
        self.data = data
        """What the call hands out beside its value: the dirty bitmap, a guest_memfd."""

    @property
    def result(self) -> int:
        """The return value, as a negated errno would be for a refusal."""
        return self.value

    @property
    def reason(self) -> str:
        """`accepted`: for tables."""
        return "accepted"

    def unwrap(self) -> int:
        """The return value."""
        return self.value

    def __repr__(self) -> str:
        return (
            f"<Accepted {self.value}>"
            if self.change is None
            else f"<Accepted {self.value}: {self.change}>"
        )


NO_CHANGE = Accepted()
"""The call asks for what is already so, or has no effect on memory."""


class Refused:
    """KVM refuses the call: by which rule, with which numbers, because of which slot."""

    __slots__ = ("numbers", "other", "rule", "traces")
    accepted = False

    def __init__(
        self,
        rule: Rule,
        numbers: Mapping[str, int | str],
        other: Slot | None = None,
        traces: Change | None = None,
    ) -> None:
        self.rule = rule
        self.numbers = numbers
        """What decided, by name; addresses and sizes in bytes, gfns in host pages."""
        self.other = other
        """The slot in the way."""
        self.traces = traces
        """What the kernel had begun when it refused, and does not take back in full."""

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
        numbers = ", ".join(
            f"{name} {shown_number(name, value)}"
            for name, value in self.numbers.items()
            if name != "errno"
        )
        text = f"{errno_name(self.errno)} {self.rule.id}"
        if numbers:
            text += f": {numbers}"
        return f"{text}; {self.other}" if self.other else text

    def unwrap(self) -> NoReturn:
        """Raise RefusedError, an OSError with the true errno."""
        from .raised import RefusedError

        raise RefusedError(self)

    def _repr_html_(self) -> str:
        """The table of a notebook."""
        from ..views.notebook import refused_html

        return refused_html(self)

    def __repr__(self) -> str:
        return f"<Refused {self.reason}>"


class Undetermined:
    """The answer depends on something that was not observed."""

    __slots__ = ("numbers", "question", "rule")
    accepted = None
    errno = None
    result = None

    def __init__(
        self, rule: Rule, question: str, numbers: Mapping[str, int | str] | None = None
    ) -> None:
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
        from .raised import UndeterminedError

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
        from .raised import UnmodelledError

        raise UnmodelledError(self.what)

    def __repr__(self) -> str:
        return f"<Unmodelled {self.what}>"


def shown_number(name: str, value: int | str) -> str:
    """A number of a refusal: counts and ids in decimal, addresses and gfns in hex."""
    if isinstance(value, str):
        return value
    return str(value) if name.endswith(("pages", "slots", "count", "fd", "id")) else hex(value)
