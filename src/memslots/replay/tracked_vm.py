"""One VM of a recording while it is replayed: it goes on living, steps do not look at it."""

from __future__ import annotations

from ..model.vm import Vm
from .step import Before, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..rules.answer import Answer


class TrackedVm:
    """One VM and what is known of its history."""

    __slots__ = (
        "_before",
        "from_start",
        "last_step",
        "made_by",
        "name",
        "process",
        "running",
        "uncertain_since",
        "vm",
    )

    def __init__(self, name: str, vm: Vm, *, from_start: bool, process: str) -> None:
        self.name = name
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
        self.last_step: Step | None = None
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

    def changed(self) -> None:
        """Say that the VM was changed in another way."""
        self._before = None
