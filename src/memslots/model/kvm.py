"""What the model, a live VM and a booted kernel have in common: calls by name, and the slots that
they made.
"""

from __future__ import annotations

from typing import Protocol

from ..uapi.calls import VM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..state.slot import Slot


class Reply(Protocol):
    """The part of an answer that every kernel gives."""

    @property
    def result(self) -> int | None:
        """The return value or the negated errno; None where the model cannot tell."""

    @property
    def accepted(self) -> bool | None:
        """Whether the call succeeded; None where the model cannot tell."""

    @property
    def reason(self) -> str:
        """One line."""


class Kvm(Protocol):
    """One VM that takes calls."""

    def call(
        self,
        name: str,
        fields: Mapping[str, int] | None = None,
        *,
        on: str = VM,
        buffer_bytes: int | None = None,
        new_fd: int | None = None,
        by_other_process: bool = False,
    ) -> Reply:
        """Make a call of `uapi.calls.CALLS`: see `Vm.call`."""

    def slots(self, as_id: int = 0) -> Iterator[Slot]:
        """The slots of an address space in gfn order."""
