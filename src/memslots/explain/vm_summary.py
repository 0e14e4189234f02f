"""What each VM of a recording was: whose, how large at most, and how long its region calls took."""

from __future__ import annotations

from ..state.change import CREATE
from ..trace.recorded_region import TID, RecordedRegion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..replay.step import Step
    from ..state.change import SlotChange
    from ..state.vm_state import VmState
    from ..trace.event import Event

_MOST_THREADS = 4096


class VmSummary:
    """One VM from its first call to its last."""

    __slots__ = (
        "first_step", "last_step", "longest_ns", "longest_step", "most_pages", "most_slots", "name",
        "pid", "process",
        "refused_calls", "region_calls", "region_ns", "source", "threads", "timed_calls", "vcpus",
    )  # fmt: skip

    def __init__(self, number: int, event: Event, name: str) -> None:
        """number, event: its first call."""
        self.name = name
        self.process = event.process or ""
        """As the recording names it; empty if it does not."""
        self.pid = event.pid
        """Thread of the first call."""
        self.source = event.source
        """File in which it is first seen."""
        self.first_step = number
        self.last_step = number
        self.vcpus = 0
        """vCPUs that were made while it was recorded."""
        self.threads: set[int] = set()
        """Threads that made region calls."""
        self.region_calls = 0
        self.refused_calls = 0
        """Region calls that failed."""
        self.most_slots = 0
        self.most_pages = 0
        self.timed_calls = 0
        """Region calls of which the recording has the duration."""
        self.region_ns = 0
        """Nanoseconds inside these."""
        self.longest_ns = 0
        self.longest_step = 0

    def see(self, step: Step) -> None:
        """Count a call of the VM."""
        pages, _, slots = step.totals
        observed = step.observed
        if step.event.call == "KVM_CREATE_VCPU" and observed is not None and observed >= 0:
            self.vcpus += 1
        if step.is_region:
            self.refused_calls += observed is not None and observed < 0
            self._see_region(step.number, step.event)
        self.last_step = step.number
        self.most_slots = max(self.most_slots, slots)
        self.most_pages = max(self.most_pages, pages)

    def see_plain(
        self, number: int, event: Event, change: SlotChange | None, state: VmState
    ) -> None:
        """Count a region call that was accepted: what it changed, and the VM after it."""
        self.last_step = number
        if not self.region_calls or (change is not None and change.kind == CREATE):
            if state.total_pages > self.most_pages:
                self.most_pages = state.total_pages
            nr_slots = state.nr_slots
            if nr_slots > self.most_slots:
                self.most_slots = nr_slots
        self._see_region(number, event)

    def _see_region(self, number: int, event: Event) -> None:
        self.region_calls += 1
        if (
            event.__class__ is RecordedRegion
            and event.row[TID] in self.threads
            and not event.kind.duration_at
        ):
            return
        tid, duration_ns = event.taken()
        if tid is not None and tid not in self.threads and len(self.threads) < _MOST_THREADS:
            self.threads.add(tid)
        if duration_ns is not None:
            self.timed_calls += 1
            self.region_ns += duration_ns
            if duration_ns > self.longest_ns:
                self.longest_ns, self.longest_step = duration_ns, number
