"""What was asked of a kernel: another one that answers the same questions alike gives the same
answers.

A replay on an `AskedProfile` notes each fact, option, limit and number of a machine that decided
something.  A kernel with the same answers to these questions would have replayed alike, step by
step, and need not be asked (`AlikeKernels.find`).  Finer than `Profile.behaviour`, which compares
all that could ever be asked.
"""

from __future__ import annotations

from functools import lru_cache

from .machine import Machine
from .profile import Profile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Generic, TypeVar

    from .profile import OptionValue

    T = TypeVar("T")
else:
    T = None

    class Generic:
        """In place of typing's, which takes longer to load than this module."""

        def __class_getitem__(cls, _kind: object) -> type:
            return cls


@lru_cache(maxsize=512)
def _machine(profile: Profile, vm_type: int | None) -> Machine:
    return Machine(profile, vm_type)


def machine_of(profile: Profile, vm_type: int | None = 0) -> Machine:
    """The machine of a kernel and a type of VM (None: not known); kept, since it never changes."""
    if isinstance(profile, AskedProfile):
        return profile.machine(vm_type)
    return _machine(profile, vm_type)


class AskedProfile(Profile):
    """A profile that notes what it is asked."""

    __slots__ = ("_machines", "asked", "others", "plain")

    def __init__(self, plain: Profile, others: Sequence[Profile] = ()) -> None:
        super().__init__(
            plain.name, plain.version, plain.arch, plain.facts, plain.options, plain.unobserved
        )
        self.plain = plain
        """The profile itself."""
        self.others = others
        """Kernels that may turn out to be alike."""
        self.asked: dict[tuple[object, ...], object] = {}
        """Question (a kind, and what): the answer."""
        self._machines: dict[int | None, Machine] = {}

    def has(self, fact: str) -> bool:
        """See Profile; a fact of which nobody knows is an answer too."""
        self.asked["fact", fact] = self.plain.knows(fact)
        return self.plain.has(fact)

    def knows(self, fact: str) -> bool | None:
        """See Profile."""
        known = self.asked["fact", fact] = self.plain.knows(fact)
        return known

    def option(self, name: str) -> OptionValue:
        """See Profile."""
        value = self.asked["option", name] = self.plain.option(name)
        return value

    def limit(self, name: str) -> int:
        """See Profile."""
        value = self.asked["limit", name] = self.plain.limit(name)
        return value

    def machine(self, vm_type: int | None) -> Machine:
        """The machine of a type of VM, which notes what it is asked, too."""
        if vm_type not in self._machines:
            self._machines[vm_type] = _AskedMachine(self, vm_type)
        return self._machines[vm_type]


class _AskedMachine(Machine):
    """A machine that notes which of its numbers are looked at."""

    __slots__ = ("_asked", "_type", "others")

    def __init__(self, profile: AskedProfile, vm_type: int | None) -> None:
        plain = _machine(profile.plain, vm_type)
        for name in Machine.__slots__:
            setattr(self, name, getattr(plain, name))
        self.profile = profile
        self.others = [plain, *(_machine(other, vm_type) for other in profile.others)]
        """The machine itself, and those of the kernels that may turn out to be alike."""
        self._type = vm_type
        self._asked = profile.asked

        for name in _ENDS:
            setattr(self, name, _End(getattr(plain, name), name, vm_type, profile.asked))

    def __getattribute__(self, name: str) -> object:
        value = object.__getattribute__(self, name)
        if name in _NUMBERS:
            self._asked["machine", self._type, name] = value
        return value


_ENDS = ("user_slots", "gfn_end", "hva_end")
_NUMBERS = frozenset(Machine.__slots__) - {"arch", "profile", "vm_type", *_ENDS}
"""What kernels of one architecture may differ in."""


class _End(int):
    """The first value that is too large.

    As long as nothing reaches it, another kernel's only has to be no lower than what came nearest;
    whatever else is done with it tells its value.
    """

    _note: Callable[[int | None], None]

    def __new__(
        cls, value: int, name: str, vm_type: int | None, asked: dict[tuple[object, ...], object]
    ) -> _End:
        self = super().__new__(cls, value)

        def note(least: int | None) -> None:
            if least is None:
                asked["machine", vm_type, name] = value
            else:
                known = asked.get(("least", vm_type, name), 0)
                if isinstance(known, int) and least > known:
                    asked["least", vm_type, name] = least

        self._note = note
        return self

    def __gt__(self, value: int) -> bool:
        is_within = int.__gt__(self, value)
        self._note(value + 1 if is_within else None)
        return is_within

    def __ge__(self, value: int) -> bool:
        is_within = int.__ge__(self, value)
        self._note(value if is_within else None)
        return is_within

    def __le__(self, value: int) -> bool:
        return not self > value

    def __lt__(self, value: int) -> bool:
        return not self >= value


def _told(name: str) -> Callable[..., object]:
    """An operation of int that tells the value."""
    plain = getattr(int, name)

    def operation(self: _End, *others: object) -> object:
        self._note(None)
        return plain(self, *others)

    return operation


for _name in (
    "add", "radd", "sub", "rsub", "mul", "rmul", "lshift", "rshift", "and", "rand", "or", "ror",
    "floordiv", "mod", "neg", "invert", "bool", "eq", "ne", "hash", "format", "str", "repr", "int",
    "index",
):  # fmt: skip
    setattr(_End, f"__{_name}__", _told(f"__{_name}__"))


def others_of(machine: Machine) -> Sequence[Machine]:
    """Machines that may turn out to be alike, itself first; a plain one has none."""
    return machine.others if isinstance(machine, _AskedMachine) else ()


def _answers(profile: Profile, question: tuple[object, ...], answer: object) -> bool:
    """Whether a kernel gives the same answer to a question."""
    kind, *what = question
    if kind in ("machine", "least"):
        vm_type, name = what
        value = getattr(_machine(profile, vm_type), str(name))
        return bool(value >= answer if kind == "least" else value == answer)
    ask: Callable[[str], object] = getattr(profile, _METHODS[str(kind)])
    return ask(str(what[0])) == answer


_METHODS = {"fact": "knows", "option": "option", "limit": "limit"}


class AlikeKernels(Generic[T]):
    """What some work came to on kernels of one architecture, done once for those that are alike."""

    def __init__(self, work: Callable[[Profile], T], kernels: Sequence[Profile]) -> None:
        """work: what is to be done on a kernel; kernels: all that it may be wanted for."""
        self._work = work
        self._kernels = kernels
        self._done: list[tuple[Profile, dict[tuple[object, ...], object], T]] = []

    def find(self, profile: Profile) -> T:
        """What the work comes to on a kernel."""
        for done, asked, result in self._done:
            if done.arch is profile.arch and all(
                _answers(profile, question, answer) for question, answer in asked.items()
            ):
                return result
        watching = AskedProfile(
            profile, [other for other in self._kernels if other.arch is profile.arch]
        )
        result = self._work(watching)
        self._done.append((profile, watching.asked, result))
        return result
