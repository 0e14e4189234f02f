"""What the findings remember of one VM."""

from __future__ import annotations

from ..state.slot import Slot
from ..uapi.flags import KVM_MEM_LOG_DIRTY_PAGES
from .finding import Seen
from .known_places import KnownPlaces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..kernel.machine import Machine
    from ..trace.event import Event

CHURN_CHANGES = 100
"""Changes of one slot that are worth telling."""


class WatchedVm:
    """What is remembered of one VM."""

    __slots__ = (
        "aliases",
        "changes",
        "deleted",
        "dirty_pages",
        "from_start",
        "logged",
        "many_slots",
        "misaligned",
        "most_changes",
        "most_pages",
        "near_cap_pages",
        "page_shift",
        "places",
        "region_calls",
        "run_failed",
        "unbacked",
        "vcpu_threads",
        "windows",
    )  # fmt: skip

    def __init__(self, machine: Machine, *, from_start: bool) -> None:
        self.page_shift = machine.page_shift
        self.many_slots = (machine.user_slots * 9 + 9) // 10
        """Slots of an address space from which most of its numbers are used."""
        self.near_cap_pages = (machine.ulong_max * 9 - 1) // 10
        """A larger total is near the most that the kernel counts."""
        self.from_start = from_start
        """Whether its creation was recorded."""
        self.places = KnownPlaces()
        self.deleted: list[tuple[Slot, int, Event]] = []
        """Slots that are gone and whose range nobody has taken since, with the number and the call
        that deleted them.
        """
        self.changes: dict[int, int] = {}
        """Slot word: changes of it."""
        self.unbacked: set[int] = set()
        """Words of slots whose host memory is gone."""
        self.logged: dict[int, int] = {}
        """Slot word: its pages, for slots that log."""
        self.dirty_pages = 0
        """The sum of these."""
        self.misaligned: dict[int, Seen] = {}
        """Slot word: how it lies, for slots that can have no huge page."""
        self.aliases: set[int] = set()
        """Words of slots that share host memory with another."""
        self.most_pages = 0
        """The largest page total so far."""
        self.most_changes = CHURN_CHANGES - 1
        """The most changes of a slot that were told, or one less than is worth telling."""
        self.region_calls = 0
        self.vcpu_threads: set[int | None] = set()
        """Threads that made vCPUs; None where it was not recorded which."""
        self.windows: list[tuple[Seen, int]] = []
        """The longest windows of which it is not known who could see them, and their bytes."""
        self.run_failed = False
        """Whether a KVM_RUN failed."""

    def count_logging(self, word: int, new: Slot | None) -> None:
        """Keep the pages of all slots that log as a running total: a slot is like this now."""
        logged = self.logged
        if word in logged:
            self.dirty_pages -= logged.pop(word)
        if new is not None and new.flags & KVM_MEM_LOG_DIRTY_PAGES:
            logged[word] = new.npages
            self.dirty_pages += new.npages
