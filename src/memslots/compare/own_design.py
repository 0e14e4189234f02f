"""An accounting design of one's own: a class of a few lines, in a Python file.

    class Cached:
        '''The total kept, a fiftieth of it the budget.'''

        def __init__(self, ulong, u64):
            self.total = ulong(0)

        def refuses(self, kind, npages):
            return kind == "create" and self.total + npages < self.total

        def commit(self, kind, npages, slots):
            if kind == "create":
                self.total += npages
            elif kind == "delete":
                self.total -= npages
            self.budget = max(self.total / 50, 64)

`ulong` and `u64` make integers that wrap as C's do (`memslots.compare.words`).  KVM asks
`refuses` before a slot is created (the answer is EINVAL) or deleted (EIO); it may be left out.
`commit` is called once the change is made: `kind` is "create", "delete", "move" or "flags",
`npages` the host pages of the slot, `slots` those of every slot of the VM after the change.
It sets `budget`, in shadow pages; a design that keeps a total has it in `total`.
"""

from __future__ import annotations

import traceback

from ..state.change import CREATE, DELETE, FLAGS_ONLY, MOVE
from ..state.mmu_pages import (
    KVM_MEMSLOT_PAGES_TO_MMU_PAGES_RATIO,
    KVM_MIN_ALLOC_MMU_PAGES,
    ratio_budget,
)
from .words import Word, word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator
    from typing import Any

KINDS = {CREATE: "create", DELETE: "delete", MOVE: "move", FLAGS_ONLY: "flags"}
"""What a design is told of a change."""


class Merged:
    """The design that was merged in 5.17: a capped unsigned long total, divided by 50."""

    def __init__(self, ulong: Callable[[int], Word], u64: Callable[[int], Word]) -> None:
        self.total: int = ulong(0)
        self.budget: int = 0

    def refuses(self, kind: str, npages: int) -> bool:
        """Whether the total would wrap, or take away more than there is."""
        return self.total + npages < self.total if kind == "create" else self.total < npages

    def commit(self, kind: str, npages: int, slots: Iterable[int]) -> None:
        """The generic layer updates the total, then the architecture's hook reads it."""
        self.update_total(kind, npages)
        self.commit_arch(kind)

    def update_total(self, kind: str, npages: int) -> None:
        """Creations and deletions change the total, nothing else does."""
        if kind == "create":
            self.total += npages
        elif kind == "delete":
            self.total -= npages

    def commit_arch(self, kind: str) -> None:
        """x86 sets its budget where the number of pages has changed."""
        if kind in ("create", "delete"):
            fiftieth = self.total // KVM_MEMSLOT_PAGES_TO_MMU_PAGES_RATIO
            self.budget = max(fiftieth, KVM_MIN_ALLOC_MMU_PAGES)


class BudgetFirst(Merged):
    """The merged design in the wrong order: the architecture's hook runs before the total is
    updated.
    """

    def commit(self, kind: str, npages: int, slots: Iterable[int]) -> None:
        """The budget is that of the change before."""
        self.commit_arch(kind)
        self.update_total(kind, npages)


BUILT_IN: dict[str, type[Any]] = {"merged": Merged, "budget-first": BudgetFirst}
"""Designs that need no file."""


class OwnDesign:
    """A class that keeps accounts, and where it stands."""

    __slots__ = ("maker", "path", "title")

    def __init__(self, maker: type[Any], path: str = "") -> None:
        """Raises ValueError if the class lacks what a design must have."""
        self.maker = maker
        self.path = path
        """The file; empty for a class given in Python."""
        lines = (maker.__doc__ or "").strip().splitlines()
        self.title = f"{maker.__name__}: {lines[0]}" if lines else maker.__name__
        if not callable(getattr(maker, "commit", None)):
            raise ValueError(
                f"{path or maker.__name__}: class {maker.__name__} has no method commit()"
            )

    def books(self, host_bits: int) -> OwnBooks:
        """Empty books on a host whose unsigned long has this many bits."""
        return OwnBooks(self, host_bits)

    def call(self, what: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a piece of the design; whatever it raises becomes a ValueError that names the
        line.
        """
        try:
            return function(*arguments)
        except (Exception, SystemExit) as error:
            raise ValueError(
                f"{self._place(error)}{what} raised {type(error).__name__}: {error}"
            ) from error

    def _place(self, error: BaseException) -> str:
        if isinstance(error, SyntaxError):
            return f"{self.path}, line {error.lineno}: "
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            if frame.filename == self.path:
                return f"{self.path}, line {frame.lineno}: "
        return f"{self.path or self.maker.__name__}: "


def load_design(name: str) -> OwnDesign:
    """The design of a Python file, or a built-in one by name.

    The file is run.  Raises ValueError, with the line, if it cannot be, or if not exactly one class
    in it has a method commit() and is derived from no other of them; OSError if it cannot be read.
    """
    if name in BUILT_IN:
        return OwnDesign(BUILT_IN[name])
    with open(name, encoding="utf-8") as file:
        try:
            text = file.read()
        except UnicodeDecodeError as error:
            raise ValueError(f"{name}: no Python file: {error}") from None
    space: dict[str, Any] = {"__name__": "own_design", "__file__": name}
    holder = OwnDesign(Merged, name)
    holder.call("the file", lambda: exec(compile(text, name, "exec"), space))
    classes = [
        value for value in space.values()
        if isinstance(value, type) and value.__module__ == "own_design" and callable(getattr(value,
        "commit", None))
    ]  # fmt: skip
    leaves = [
        one
        for one in classes
        if not any(other is not one and issubclass(other, one) for other in classes)
    ]
    if len(leaves) != 1:
        found = ", ".join(sorted(one.__name__ for one in leaves)) or "none"
        raise ValueError(
            f"{name}: one class with a method commit(kind, npages, slots) is wanted; found: {found}"
        )
    return OwnDesign(leaves[0], name)


class _Pages:
    """The pages of every slot, made into words only where a design walks them."""

    __slots__ = ("_slots", "_ulong")

    def __init__(self, slots: dict[Hashable, int], ulong: type[Word]) -> None:
        self._slots, self._ulong = slots, ulong

    def __iter__(self) -> Iterator[Word]:
        return map(self._ulong, self._slots.values())

    def __len__(self) -> int:
        return len(self._slots)


class OwnBooks:
    """One VM's slots, and the accounts that a design keeps of them."""

    __slots__ = ("_accounts", "_refuses", "_ulong", "design", "exact", "host_bits", "slots")

    def __init__(self, design: OwnDesign, host_bits: int) -> None:
        self.design = design
        self.host_bits = host_bits
        self._ulong = word(host_bits)
        self._accounts = design.call("__init__()", design.maker, self._ulong, word(64))
        self._refuses = getattr(self._accounts, "refuses", None)
        self.slots: dict[Hashable, int] = {}
        """Pages by slot, as KVM has them: without those that the design has refused."""
        self.exact = 0
        """Their sum."""

    def refuses(self, kind: str, npages: int) -> bool:
        """Whether the design refuses the change."""
        if self._refuses is None:
            return False
        return bool(self.design.call("refuses()", self._refuses, kind, self._ulong(npages)))

    def commit(self, kind: str, slot: Hashable, npages: int) -> None:
        """Make a change to the slots, then tell the design."""
        if kind == "create":
            self.slots[slot] = npages
            self.exact += npages
        elif kind == "delete":
            del self.slots[slot]
            self.exact -= npages
        after = _Pages(self.slots, self._ulong)
        self.design.call("commit()", self._accounts.commit, kind, self._ulong(npages), after)

    @property
    def total(self) -> int | None:
        """The total that the design keeps; None if it keeps none."""
        total = getattr(self._accounts, "total", None)
        return None if total is None else self._number("total", total)

    @property
    def budget(self) -> int | None:
        """The budget that the design has set, cut to an unsigned long; None if it has set none
        yet.
        """
        budget = getattr(self._accounts, "budget", None)
        return None if budget is None else int(self._ulong(self._number("budget", budget)))

    def _number(self, name: str, value: object) -> int:
        if not isinstance(value, int):
            raise ValueError(
                f"{self.design.path or self.design.maker.__name__}: {name} is {value!r}, not an "
                "integer"
            )
        # a plain integer counts as an unsigned long; a wider one says so by its type
        return int(value) if isinstance(value, Word) else int(self._ulong(value))

    @property
    def is_right(self) -> bool:
        """Whether total and budget are what the slots make them."""
        return self.total in (None, self.exact) and self.budget == ratio_budget(self.exact)
