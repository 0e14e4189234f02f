"""One finding: what was seen, how often, on which VM, about which slots and which host memory."""

from __future__ import annotations

from bisect import bisect_left

from .finding_kinds import BACKINGS, SLOTS, WARNING, FindingKind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..state.slot import Slot

MOST_SEEN = 3
"""Times that are kept; all are counted."""


class HostRanges:
    """Host memory as separate ranges of bytes; ranges that touch are one."""

    __slots__ = ("_ends", "_starts")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    @property
    def count(self) -> int:
        """How many separate ranges there are."""
        return len(self._starts)

    def add(self, first: int, end: int) -> bool:
        """Add [first, end); True if it touches nothing that was there."""
        low = bisect_left(self._ends, first)
        high = low
        while high < len(self._starts) and self._starts[high] <= end:
            high += 1
        if low < high:
            first, end = min(first, self._starts[low]), max(end, self._ends[high - 1])
        self._starts[low:high], self._ends[low:high] = [first], [end]
        return low == high


class Seen:
    """One time that something was seen: where, about which slots, with which numbers."""

    __slots__ = ("numbers", "other", "page_shift", "slot", "step", "what")

    def __init__(
        self, step: int, page_shift: int, slot: Slot | None = None, other: Slot | None = None,
        what: str = "", **numbers: int | None
    ) -> None:  # fmt: skip
        self.step = step
        """Its number."""
        self.page_shift = page_shift
        self.slot = slot
        self.other = other
        """The slot that it has to do with."""
        self.what = what
        """A device, or a call, by name."""
        self.numbers = {name: number for name, number in numbers.items() if number is not None}
        """Addresses and sizes in bytes, times in nanoseconds; by name."""


class Finding:
    """One kind of finding on one VM."""

    __slots__ = (
        "height", "is_at_least", "is_known", "kind", "peak", "ranges", "seen", "severity", "slots",
        "steps", "times",
        "vm_name",
    )  # fmt: skip

    def __init__(self, kind: FindingKind, vm_name: str) -> None:
        self.kind = kind
        self.severity = kind.severity
        """The kind's, or WARNING where main memory is concerned."""
        self.vm_name = vm_name
        self.times = 0
        """How often it was seen."""
        self.slots: set[int] = set()
        """Slot words concerned."""
        self.ranges = HostRanges()
        """Host memory concerned."""
        self.seen: list[Seen] = []
        """The first times, the most telling one first."""
        self.steps: list[int] = []
        """The first and the last step."""
        self.peak: Seen | None = None
        """The highest point, of what grows."""
        self.height = 0
        """How high that is, in the unit of the kind."""
        self.is_known = True
        """Whether the recording says all that decides (who was in KVM_RUN)."""
        self.is_at_least = False
        """Whether there are more than were counted."""

    @property
    def count(self) -> int:
        """Slots, pieces of host memory, or times, as the kind counts."""
        if self.kind.counts == BACKINGS:
            return self.ranges.count
        return len(self.slots) or 1 if self.kind.counts == SLOTS else self.times

    def add(self, seen: Seen) -> None:
        """Count one more time, and keep it if it is one of the first."""
        if len(self.seen) < MOST_SEEN:
            self.seen.append(seen)
        self.count_one(seen.step, seen.slot)

    def count_one(self, step: int, slot: Slot | None) -> None:
        """Count one more time."""
        self.times += 1
        if slot is not None:
            self.slots.add(slot.slot_word)
        self.steps = [self.steps[0] if self.steps else step, step]

    def warn(self, seen: Seen | None = None) -> None:
        """Make it a warning; the first thing that does so is shown first."""
        if self.severity != WARNING and seen is not None:
            self.seen = [seen, *(each for each in self.seen if each is not seen)][:MOST_SEEN]
        self.severity = WARNING

    def rise(self, seen: Seen, height: int) -> None:
        """Keep the highest point."""
        if height > self.height:
            self.peak, self.height = seen, height
