"""The differential run: VM after VM, each with a few hundred random calls.

    from memslots.verify.verify import verify
    report = verify(operations=10_000, seed=1)
    report.disagreements

Each VM has its own seed, made from the run's seed and its number, so any of
them can be had again alone.  What plays the calls is a `Source`: the kernel under
us (`native`), or another one under QEMU (`booted`).
"""

from __future__ import annotations

import time

from ..errors import DeviceUnavailableError
from ..kernel.profile import Profile
from ..live.device import DEFAULT_PATH
from ..live.probe import probe
from ..trace.event import Event
from .native import Native
from .pair import AGREED, DIFFERED, UNASKED, UNDECIDED, ComparedCall
from .shrink import shrink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager
    from typing import Protocol

    class Source(Protocol):
        """A kernel and its model, taking the same calls."""

        @property
        def profile(self) -> Profile:
            """The model's kernel."""

        def draw(
            self, seed: int, first: int, operations: int | None
        ) -> Iterator[tuple[str, list[ComparedCall]]]:
            """Some VMs with random calls, numbered from `first`, as near to so many operations as
            it can.

            Each is a seed of its own and the steps up to the first that differs.
            """

        def play_all(
            self, candidates: Iterable[list[Event]]
        ) -> Iterator[tuple[int, list[ComparedCall]]]:
            """Number and steps of each sequence, on a fresh VM, in any order."""


_MOST_ALIKE = 100
"""VMs that differ after which a run ends, however alike they are."""


class DisagreeingVm:
    """Where the kernel and the model differ, with the calls that lead there."""

    __slots__ = ("found_after", "seed", "steps")

    def __init__(self, steps: list[ComparedCall], found_after: int, seed: str) -> None:
        self.steps = steps
        """The shortest sequence found; the last step differs."""
        self.found_after = found_after
        """Calls of the sequence before shrinking."""
        self.seed = seed

    @property
    def events(self) -> list[Event]:
        """The calls with the kernel's answers."""
        return [step.event for step in self.steps]


class Report:
    """What a run came to."""

    __slots__ = (
        "answers", "calls", "disagreements", "profile", "seconds", "seed", "unasked", "undecided",
        "verdicts", "vms",
    )  # fmt: skip

    def __init__(self, profile: Profile, seed: int) -> None:
        self.profile = profile
        self.seed = seed
        self.vms = 0
        self.seconds = 0.0
        self.verdicts = {AGREED: 0, DIFFERED: 0, UNDECIDED: 0, UNASKED: 0}
        self.calls: dict[str, int] = {}
        """Call: how often it was asked."""
        self.answers: dict[int, int] = {}
        """Errno, 0 for success: how often the kernel gave it."""
        self.undecided: dict[str, int] = {}
        """What the model does not tell: how often."""
        self.unasked: dict[str, int] = {}
        """Why a call was drawn and not asked: how often."""
        self.disagreements: list[DisagreeingVm] = []
        """One of each kind: which call, which answers."""

    @property
    def operations(self) -> int:
        """Calls that both answered."""
        return self.verdicts[AGREED] + self.verdicts[DIFFERED]

    @property
    def heard(self) -> int:
        """Calls that a kernel answered, whether the model knew better or not."""
        return self.operations + self.verdicts[UNDECIDED]

    def count(self, step: ComparedCall) -> None:
        """Add one step."""
        self.verdicts[step.verdict] += 1
        if step.verdict == UNDECIDED:
            self.undecided[step.note] = self.undecided.get(step.note, 0) + 1
        elif step.verdict == UNASKED:
            self.unasked[step.note] = self.unasked.get(step.note, 0) + 1
        else:
            event = step.event
            self.calls[event.call] = self.calls.get(event.call, 0) + 1
            errno = event.errno or 0
            self.answers[errno] = self.answers.get(errno, 0) + 1


def verify(
    *,
    operations: int | None = None,
    seconds: float | None = None,
    seed: int = 1,
    profile: Profile | None = None,
    device_path: str = DEFAULT_PATH,
    source: AbstractContextManager[Source] | None = None,
    most_disagreements: int = 5,
    progress: Callable[[Report], None] | None = None,
) -> Report:
    """Run until so many operations were compared, or so many seconds have passed (default: 10
    seconds).

    source: what plays the calls; by default the device, beside a model of `profile` (default:
    probed). Raises DeviceUnavailableError without a device, or what the source needs; ValueError if
    nothing shall be compared.
    """
    if (operations is not None and operations < 1) or (seconds is not None and not seconds > 0):
        raise ValueError(
            "a run that compares nothing agrees with everything: give operations or seconds above 0"
        )
    if operations is None and seconds is None:
        seconds = 10.0
    start = time.monotonic()
    with source or Native(
        probe(device_path) if profile is None else profile, device_path
    ) as kernel:
        report = Report(kernel.profile, seed)
        kinds: set[object] = set()
        while (
            len(report.disagreements) < most_disagreements
            and report.verdicts[DIFFERED] < _MOST_ALIKE
        ):
            report.seconds = time.monotonic() - start
            if (operations is not None and report.operations >= operations) or (
                seconds is not None and report.seconds >= seconds
            ):
                break
            before = report.heard
            left = None if operations is None else operations - report.operations
            for found in _some_vms(report, kernel, left):
                if _kind(found) not in kinds and len(report.disagreements) < most_disagreements:
                    kinds.add(_kind(found))
                    found.steps = shrink(found.events, kernel.play_all) or found.steps
                    report.disagreements.append(found)
            if report.heard == before:
                raise DeviceUnavailableError(
                    f"no call is answered any more: {', '.join(report.unasked)}"
                )
            if progress is not None:
                progress(report)
    report.seconds = time.monotonic() - start
    return report


def _some_vms(report: Report, kernel: Source, operations: int | None) -> list[DisagreeingVm]:
    """Count the steps of some VMs; those that end with a difference."""
    differing = []
    for name, steps in kernel.draw(report.seed, report.vms, operations):
        report.vms += 1
        for step in steps:
            report.count(step)
        asked = [step for step in steps if step.verdict != UNASKED]
        if asked and asked[-1].verdict == DIFFERED:
            differing.append(DisagreeingVm(asked, len(asked), name))
    return differing


def _kind(found: DisagreeingVm) -> object:
    """What makes two disagreements look alike."""
    last = found.steps[-1]
    return last.event.call, last.event.errno, last.expected, bool(last.note)
