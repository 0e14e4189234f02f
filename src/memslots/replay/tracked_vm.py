"""One VM of a recording while it is replayed: it goes on living, steps do not look at it."""

from __future__ import annotations

from ..model.vm import Vm
from ..rules.fast_path import UNCHANGED
from ..state.change import SlotChange
from ..trace.recorded_region import FIRST, RecordedRegion
from ..uapi.calls import CALLS, REGION_CALLS
from .step import Before

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..rules.answer import Answer
    from ..trace.event import Event


_PLAIN_FIELDS = len(CALLS[REGION_CALLS[0]].fields)


class TrackedVm:
    """One VM and what is known of its history."""

    __slots__ = (
        "_before",
        "from_start",
        "last_event",
        "last_is_repeatable",
        "made_by",
        "name",
        "number",
        "process",
        "running",
        "uncertain_since",
        "vm",
    )

    def __init__(self, name: str, vm: Vm, number: int, *, from_start: bool, process: str) -> None:
        self.name = name
        self.number = number
        """Its place among all VMs of the recording."""
        self.process = process
        """The session's name of its process."""
        self.vm = vm
        self.from_start = from_start
        """Whether its creation was recorded.  If not, it may have slots that nobody saw."""
        self.uncertain_since = 0
        """Step from which its slots are no longer certain; 0 if they are."""
        self.running = False
        """Whether it has a vCPU."""
        self.made_by: dict[int, int] = {}
        """Slot word: the step that made or moved it."""
        self.last_event: Event | None = None
        """The call of it that was taken last."""
        self.last_is_repeatable = False
        """Whether an error message may repeat that call."""
        self._before: Before | None = None

    def before(self) -> Before:
        """The VM as it is now, for good; shared until the next change."""
        if self._before is None:
            self._before = Before(self.vm.fork(), dict(self.made_by))
        return self._before

    def carry_out(self, answer: Answer) -> None:
        """Do what an answer says."""
        if (
            getattr(answer, "change", None) is not None
            or getattr(answer, "traces", None) is not None
        ):
            self._before = None
        self.vm.carry_out(answer)

    def take_plain(self, number: int, event: Event) -> SlotChange | None:
        """Carry out a region call that was accepted, if the model accepts it at a glance.

        What it changes (UNCHANGED: nothing); None if the call wants a closer look.
        """
        if event.__class__ is RecordedRegion:
            row = event.row
            slot = row[FIRST]
            change = self.vm.take_fitting(
                slot, row[FIRST + 1], row[FIRST + 2], row[FIRST + 3], row[FIRST + 4]
            )
        else:
            fields = event.fields
            if len(fields) != _PLAIN_FIELDS:
                return None
            try:
                slot = fields["slot"]
                change = self.vm.take_plain(
                    slot, fields["flags"], fields["guest_phys_addr"], fields["memory_size"],
                    fields["userspace_addr"]
                )  # fmt: skip
            except KeyError:
                return None
        if change is None:
            return None
        if change is not UNCHANGED:
            self._before = None
            if change.new is not None:
                self.made_by[slot] = number
        self.last_event, self.last_is_repeatable = event, True
        return change

    def changed(self) -> None:
        """Say that the VM was changed in another way."""
        self._before = None
