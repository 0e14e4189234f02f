"""Which memory a run gave its guests, to tell whether another run gave less."""

from __future__ import annotations

from ..kernel.names import find
from ..replay.replay import Replay
from ..trace import read
from ..trace.event import INJECTED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..replay.step import Step
    from ..state.slot import Slot

    Piece = tuple[int, int, int]
    """Address space, gpa, bytes."""


class GuestMemory:
    """The slots of all VMs of one run."""

    __slots__ = ("end", "is_hit", "made")

    def __init__(self) -> None:
        self.made: list[Piece] = []
        """What was ever in a slot."""
        self.end: list[Piece] = []
        """What was in one at the end."""
        self.is_hit = False
        """Whether a call was answered by an injection."""

    def lacks(self, whole: GuestMemory) -> list[Piece]:
        """What another run had at its end, or at any time, and this one had not."""
        return _minus([*_minus(whole.end, self.end), *_minus(whole.made, self.made)], [])

    def left(self, whole: GuestMemory) -> list[Piece]:
        """What this run left in place at its end, and another did not."""
        return _minus(self.end, whole.end)


def steps_of(path: str, kernel: str) -> list[Step]:
    """The steps of a recording.  Raises TraceError."""
    return list(Replay(read(path), find(kernel)))


def memory_of(path: str, kernel: str) -> GuestMemory:
    """What the guests of a recording had.  Raises TraceError."""
    memory = GuestMemory()
    replay = Replay(read(path), find(kernel))
    for step in replay:
        memory.is_hit |= step.event.answered_by == INJECTED
        if step.change is not None and step.change.new is not None:
            memory.made.append(_piece(step.change.new, step.page_shift))
    for tracked in replay.vms:
        for slots in tracked.vm.state.spaces:
            memory.end += [_piece(slot, tracked.vm.page_shift) for slot in slots]
    return memory


def _piece(slot: Slot, page_shift: int) -> Piece:
    return slot.as_id, slot.base_gfn << page_shift, slot.npages << page_shift


def _minus(pieces: Iterable[Piece], others: Iterable[Piece]) -> list[Piece]:
    """What the pieces cover and the others do not, in pieces that neither meet nor touch."""
    edges: list[tuple[int, int, int, int]] = []
    for sign_of, each in ((0, pieces), (1, others)):
        for as_id, gpa, nbytes in each:
            edges += [(as_id, gpa, sign_of, 1), (as_id, gpa + nbytes, sign_of, -1)]
    edges.sort()
    found: list[Piece] = []
    depth = [0, 0]
    start = -1
    for number, (as_id, gpa, which, step) in enumerate(edges):
        depth[which] += step
        after = edges[number + 1] if number + 1 < len(edges) else None
        if after is not None and after[:2] == (as_id, gpa):
            continue  # all that begins and ends here counts at once
        is_missing = depth[0] > 0 and depth[1] == 0
        if is_missing and start < 0:
            start = gpa
        elif not is_missing and start >= 0:
            found.append((as_id, start, gpa - start))
            start = -1
    return found
