"""What the findings remember of one VM."""

from __future__ import annotations

from ..state.change import SlotChange
from ..state.slot import Slot
from ..uapi.flags import KVM_MEM_LOG_DIRTY_PAGES
from .finding import Seen
from .known_places import KnownPlaces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..trace.event import Event


class WatchedVm:
    """What is remembered of one VM."""

    __slots__ = (
        "aliases", "changes", "deleted", "dirty_pages", "from_start", "logged", "misaligned",
        "most_changes", "most_pages", "near_cap_pages", "places",
        "region_calls", "run_failed", "unbacked", "vcpu_threads", "windows",
    )  # fmt: skip

    def __init__(self, *, from_start: bool) -> None:
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
        self.near_cap_pages = 0
        """A larger total is near the most that the kernel counts."""
        self.most_changes = 0
        """The most changes of a slot that were told, or one less than is worth telling."""
        self.region_calls = 0
        self.vcpu_threads: set[int | None] = set()
        """Threads that made vCPUs; None where it was not recorded which."""
        self.windows: list[tuple[Seen, int]] = []
        """The longest windows of which it is not known who could see them, and their bytes."""
        self.run_failed = False
        """Whether a KVM_RUN failed."""

    def count_logging(self, change: SlotChange) -> None:
        """Keep the pages of all slots that log as a running total."""
        logged, new = self.logged, change.new
        self.dirty_pages -= logged.pop(change.slot.slot_word, 0)
        if new is not None and new.flags & KVM_MEM_LOG_DIRTY_PAGES:
            logged[new.slot_word] = new.npages
            self.dirty_pages += new.npages
