"""What an accepted request does to the slots: the kernel's KVM_MR_* words."""

from __future__ import annotations

from .slot import Slot

NOTHING = 0
CREATE = 1
DELETE = 2
MOVE = 4
FLAGS_ONLY = 8
KIND_NAMES = {
    NOTHING: "nothing to do",
    CREATE: "create",
    DELETE: "delete",
    MOVE: "move",
    FLAGS_ONLY: "flags only",
}
PLACING = CREATE | MOVE
"""The kinds that put a slot somewhere."""
SWAPS = {NOTHING: 0, CREATE: 1, DELETE: 2, MOVE: 2, FLAGS_ONLY: 1}
"""How often the two slot sets of the address space change places."""


class Change:
    """One change of one slot, with nothing left that could refuse it."""

    __slots__ = ("kind", "new", "old")

    def __init__(self, kind: int, old: Slot | None, new: Slot | None) -> None:
        self.kind = kind
        self.old = old
        """The slot as it was; None for CREATE."""
        self.new = new
        """The slot as it will be; None for DELETE."""

    @property
    def slot(self) -> Slot:
        """The slot concerned, new if there is a new one."""
        slot = self.new or self.old
        if slot is None:
            raise ValueError("a change without a slot")
        return slot

    def __repr__(self) -> str:
        return f"<Change {KIND_NAMES[self.kind]}: {self.old} -> {self.new}>"
