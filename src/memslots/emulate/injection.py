"""`--inject`: calls that are to fail, as strace writes them, with what memory calls are about.

KVM_SET_USER_MEMORY_REGION:error=ENOMEM:when=3+2
KVM_SET_USER_MEMORY_REGION*:error=ENOMEM:kind=create:gpa=0x100000000-
KVM_CHECK_EXTENSION:retval=0:cap=KVM_CAP_USER_MEMORY2
KVM_RUN:error=EFAULT:memory_fault=0x1000,4096:when=1
"""

from __future__ import annotations

import errno
import random
from fnmatch import fnmatchcase

from ..errors import errno_name
from ..state.change import CREATE, DELETE, FLAGS_ONLY, MOVE
from ..uapi.calls import CALLS
from ..uapi.capabilities import CAPS
from ..uapi.flags import FLAGS_BY_NAME
from ..units import U64_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .other_kernel import MadeCall

KINDS = {"create": CREATE, "delete": DELETE, "move": MOVE, "flags": FLAGS_ONLY}
_MOST_ERRNO = 4095
_MOST_DELAY_US = 60_000_000
_NUMBERS = ("error", "retval", "when", "delay_us", "prob", "seed", "memory_fault")
_TESTS = ("slot", "gpa", "size", "flags", "kind", "cap")
KEYS = (*_NUMBERS, *_TESTS)


class Injection:
    """One expression: which calls, and what becomes of them."""

    __slots__ = (
        "_chance", "_matched", "_random", "_tests", "_when", "calls", "delay_us", "memory_fault",
        "result", "text", "times",
    )  # fmt: skip

    def __init__(self, text: str) -> None:
        """Raises ValueError that says what is wrong with the expression."""
        self.text = text
        """As it was given."""
        words = text.split(":")
        self.calls = _calls_of(words[0], text)
        self.result: int | None = None
        """What the call returns, a negated errno for a failure; None: it is made."""
        self.delay_us = 0
        """How long it is held before."""
        self.memory_fault: tuple[int, int, int] | None = None
        """gpa, bytes and flags of KVM_EXIT_MEMORY_FAULT."""
        self.times = 0
        """How often it has hit."""
        self._matched = 0
        self._when: Callable[[int], bool] = lambda _number: True
        self._chance = 1.0
        self._tests: list[Callable[[MadeCall], bool]] = []
        given: dict[str, str] = {}
        for word in words[1:]:
            key, is_there, value = word.partition("=")
            if key == "delay_enter":
                key = "delay_us"  # as strace calls it
            if not is_there or key not in KEYS:
                raise ValueError(
                    f"--inject {text}: {word!r} is none of {', '.join(f'{key}=' for key in KEYS)}"
                )
            if key in given:
                raise ValueError(f"--inject {text}: {key}= is given twice")
            given[key] = value
        self._random = random.Random(_number(given.get("seed", "0"), "seed", text))
        for key, value in given.items():
            self._take(key, value)
        if self.result is None and not self.delay_us:
            raise ValueError(f"--inject {text}: say what happens: error=, retval= or delay_us=")

    def _take(self, key: str, value: str) -> None:
        text = self.text
        if key in ("error", "retval") and self.result is not None and self.memory_fault is None:
            raise ValueError(f"--inject {text}: error= or retval=, not both")
        if key == "error":
            self.result = -_errno_of(value, text)
        elif key == "retval":
            self.result = _number(value, key, text)
        elif key == "delay_us":
            self.delay_us = _number(value, key, text)
            if self.delay_us > _MOST_DELAY_US:
                raise ValueError(f"--inject {text}: at most a minute of delay")
        elif key == "prob":
            self._chance = _share(value, text)
        elif key == "when":
            self._when = _when_of(value, text)
        elif key == "memory_fault":
            self._take_fault(value)
        elif key != "seed":
            self._tests.append(_test_of(key, value, text))

    def _take_fault(self, value: str) -> None:
        """KVM_EXIT_MEMORY_FAULT is told beside a failure of KVM_RUN only."""
        numbers = [_number(word, "memory_fault", self.text) for word in value.split(",")]
        if self.calls != {"KVM_RUN"} or not 2 <= len(numbers) <= 3:
            raise ValueError(
                f"--inject {self.text}: memory_fault=GPA,BYTES[,FLAGS] is for KVM_RUN alone"
            )
        self.memory_fault = (numbers[0], numbers[1], numbers[2] if len(numbers) > 2 else 0)
        if self.result is None:
            self.result = -errno.EFAULT

    def hits(self, made: MadeCall) -> bool:
        """Whether this call is one of those; counts it."""
        if made.call.name not in self.calls or not all(test(made) for test in self._tests):
            return False
        self._matched += 1
        if not self._when(self._matched):
            return False
        if self._chance < 1 and self._random.random() >= self._chance:
            return False
        self.times += 1
        return True

    def __repr__(self) -> str:
        return f"<Injection {self.text}>"


def injections_of(texts: Iterable[str | Injection]) -> list[Injection]:
    """The injections that expressions describe.  Raises ValueError."""
    return [text if isinstance(text, Injection) else Injection(text) for text in texts]


def expression(call: str, result: int, number: int) -> str:
    """The expression by which one call, the so manieth of its name, gets this result."""
    what = f"error={errno_name(result)}" if result < 0 else f"retval={result}"
    return f"{call}:{what}:when={number}"


def _calls_of(pattern: str, text: str) -> frozenset[str]:
    found = {
        name for word in pattern.split(",") for name in CALLS if fnmatchcase(name, word.strip())
    }
    if not found:
        from difflib import get_close_matches

        near = get_close_matches(pattern.upper(), CALLS, 2) or sorted(CALLS)
        raise ValueError(
            f"--inject {text}: {pattern!r} names no memory call; there is {', '.join(near)}"
        )
    return frozenset(found)


def _number(value: str, key: str, text: str) -> int:
    try:
        return int(value, 0)
    except ValueError:
        raise ValueError(f"--inject {text}: {key}= takes a number, not {value!r}") from None


def _errno_of(value: str, text: str) -> int:
    number = getattr(errno, value, None) if value.isupper() else None
    if number is None:
        try:
            number = int(value, 0)
        except ValueError:
            raise ValueError(f"--inject {text}: {value!r} is no errno (ENOMEM, 12)") from None
    if not 0 < number <= _MOST_ERRNO:
        raise ValueError(f"--inject {text}: an errno is from 1 to {_MOST_ERRNO}")
    return int(number)


def _share(value: str, text: str) -> float:
    try:
        share = float(value)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ValueError(f"--inject {text}: prob= takes a number from 0 to 1, not {value!r}")
    return share


def _when_of(value: str, text: str) -> Callable[[int], bool]:
    """`3`, `3+`, `3+2`, `3..7`, `3..7+2`, as strace has it; calls count from 1."""
    span, has_step, step_text = value.partition("+")
    first_text, has_last, last_text = span.partition("..")
    first = _number(first_text, "when", text)
    step = _number(step_text, "when", text) if step_text else 1
    if has_last:
        last = _number(last_text, "when", text)
    else:
        last = U64_MAX if has_step else first
    if first < 1 or step < 1 or last < first:
        raise ValueError(f"--inject {text}: when= counts from 1: 3, 3+, 3+2, 3..7")
    return lambda number: first <= number <= last and (number - first) % step == 0


def _test_of(key: str, value: str, text: str) -> Callable[[MadeCall], bool]:
    """One predicate on the call's arguments."""
    if key == "kind":
        if value not in KINDS:
            raise ValueError(f"--inject {text}: kind= is one of {', '.join(KINDS)}")
        kind = KINDS[value]
        return lambda made: made.kind == kind
    if key == "flags":
        bits = _flags_of(value, text)
        return lambda made: bool(bits & made.fields.get("flags", 0) == bits)
    if key == "cap":
        capability = CAPS.get(value)
        if capability is None:
            capability = _number(value, key, text)
        return lambda made: made.fields.get("cap") == capability
    first, last = _range_of(value, key, text)
    if key == "gpa":
        return lambda made: _meets(made, first, last)
    name = {"slot": "slot", "size": "memory_size"}[key]
    return lambda made: first <= made.fields.get(name, -1) <= last


def _range_of(value: str, key: str, text: str) -> tuple[int, int]:
    """`5`, `5-9`, `5-`: first and last."""
    first_text, is_range, last_text = value.partition("-")
    first = _number(first_text, key, text)
    if not is_range:
        return first, first
    return first, _number(last_text, key, text) if last_text else U64_MAX


def _meets(made: MadeCall, first: int, last: int) -> bool:
    """Whether a region meets guest-physical bytes first to last."""
    gpa = made.fields.get("guest_phys_addr")
    if gpa is None:
        return False
    return gpa <= last and gpa + max(made.fields.get("memory_size", 0), 1) > first


def _flags_of(value: str, text: str) -> int:
    bits = 0
    for word in value.split("|"):
        name = word if word.startswith("KVM_MEM_") else f"KVM_MEM_{word}"
        bits |= FLAGS_BY_NAME[name] if name in FLAGS_BY_NAME else _number(word, "flags", text)
    return bits
