"""One recorded call beside the model's answer: a value that may be kept, sorted and explained
later.
"""

from __future__ import annotations

from ..trace.event import Event
from ..uapi.calls import REGION_CALLS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.vm import Vm
    from ..rules.answer import Answer
    from ..state.change import SlotChange
    from ..state.set_pairs import SetPairs
    from ..uapi.region import Region

# What a step comes to
ACCEPTED, REFUSED, DIFFERS = "accepted", "refused", "differs"
UNDETERMINED, INCOMPLETE, ECHO, OTHER = "undetermined", "incomplete", "echo", "other"
# ACCEPTED and REFUSED: as observed.  DIFFERS: the model expects another answer.  UNDETERMINED: a
# fact was not observed.  INCOMPLETE: arguments were not recorded.  ECHO: the call before it again,
# as an error message.  OTHER: not about memory slots.


class Before:
    """A VM as it was when a call was made, to try things on; nobody changes it."""

    __slots__ = ("made_by", "vm")

    def __init__(self, vm: Vm, made_by: dict[int, int]) -> None:
        self.vm = vm
        self.made_by = made_by
        """Slot word: the step that made or moved it."""


class Step:
    """One call of the recording beside the model's answer, and the totals after it."""

    __slots__ = (
        "answer", "assumed", "before", "below_slot", "change", "event", "from_start", "is_running",
        "made_room", "number",
        "page_shift", "region", "sets", "totals", "uncertain_since", "verdict", "vm_name",
    )  # fmt: skip

    def __init__(
        self, number: int, event: Event, vm_name: str, page_shift: int, *, from_start: bool
    ) -> None:
        self.number = number
        """From 1, over all calls of the recording."""
        self.event = event
        self.vm_name = vm_name
        """The VM that it is about; `/dev/kvm` for the device itself."""
        self.page_shift = page_shift
        """Bits of the offset within a host page of that VM."""
        self.from_start = from_start
        """Whether the creation of that VM was recorded; if not, it may have slots that nobody
        saw.
        """
        self.below_slot = False
        """Whether it is a mapping call on host memory of one of the VM's slots."""
        self.region: Region | None = None
        """The region call, if it is one and its arguments are known or could be assumed."""
        self.assumed: tuple[str, ...] = ()
        """Arguments that the recording does not have."""
        self.answer: Answer | None = None
        """The model's answer; None where it has none."""
        self.before: Before | None = None
        """The VM before the call, where there is something to explain."""
        self.change: SlotChange | None = None
        """What the call did to the slots, if it did anything."""
        self.made_room: tuple[SlotChange, ...] = ()
        """Deletions before it that nobody saw: what was observed is possible only with them."""
        self.verdict = OTHER
        self.is_running = False
        """Whether the VM has a vCPU."""
        self.totals: tuple[int, int | None, int] = (0, None, 0)
        """(pages of all slots, MMU budget or None, slots) after the call."""
        self.sets: SetPairs | None = None
        """The VM's slot sets after the call: generations, swaps, what look-ups cost."""
        self.uncertain_since = 0
        """The step from which the VM's slots are no longer certain; 0 if they are, after this
        call.
        """

    @property
    def observed(self) -> int | None:
        """The recorded return value or negated errno."""
        return self.event.result

    @property
    def is_region(self) -> bool:
        """Whether it is a region call."""
        return self.event.call in REGION_CALLS

    def __repr__(self) -> str:
        return f"<Step {self.number} {self.event.call} {self.observed} {self.verdict}>"
