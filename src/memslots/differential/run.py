"""The differential run: VM after VM, each with a few hundred random calls.

    from memslots.differential.run import verify
    report = verify(operations=10_000, seed=1)
    report.disagreements

Each VM has its own seed, made from the run's seed and its number, so any of
them can be had again alone.
"""

from __future__ import annotations

import time
from random import Random

from ..kernel.profile import Profile
from ..live import libc
from ..live.device import DEFAULT_PATH, Device
from ..live.memory import HostMemory
from ..live.probe import probe
from ..trace.event import Event
from .generate import POOL_ADDRESS, POOL_BYTES, Generator
from .pair import AGREED, DIFFERED, UNASKED, UNDECIDED, Pair, Step
from .shrink import shrink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_MAP_FIXED_NOREPLACE = 0x100000
_VM_CALLS = (40, 120, 400)


class Disagreement:
    """Where the kernel and the model differ, with the calls that lead there."""

    __slots__ = ("found_after", "seed", "steps")

    def __init__(self, steps: list[Step], found_after: int, seed: str) -> None:
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

    __slots__ = ("answers", "calls", "disagreements", "profile", "seconds", "seed", "undecided", "verdicts", "vms")

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
        self.disagreements: list[Disagreement] = []

    @property
    def operations(self) -> int:
        """Calls that both answered."""
        return self.verdicts[AGREED] + self.verdicts[DIFFERED]

    def count(self, step: Step) -> None:
        """Add one step."""
        self.verdicts[step.verdict] += 1
        if step.verdict == UNDECIDED:
            self.undecided[step.note] = self.undecided.get(step.note, 0) + 1
        elif step.verdict != UNASKED:
            event = step.event
            self.calls[event.call] = self.calls.get(event.call, 0) + 1
            errno = event.errno or 0
            self.answers[errno] = self.answers.get(errno, 0) + 1


def pool() -> HostMemory:
    """The host memory that random slots lie on, always at the same address.  Raises OSError."""
    flags = libc.MAP_PRIVATE | libc.MAP_ANONYMOUS | libc.MAP_NORESERVE | _MAP_FIXED_NOREPLACE
    address = libc.mmap(POOL_ADDRESS, POOL_BYTES, libc.PROT_READ | libc.PROT_WRITE, flags)
    return HostMemory(address, POOL_BYTES, "anonymous")


def verify(
    *,
    operations: int | None = None,
    seconds: float | None = None,
    seed: int = 1,
    profile: Profile | None = None,
    device_path: str = DEFAULT_PATH,
    most_disagreements: int = 5,
    progress: Callable[[Report], None] | None = None,
) -> Report:
    """Run until so many operations were compared, or so many seconds have passed (default: 10 seconds).

    Raises DeviceUnavailableError without a device.
    """
    if operations is None and seconds is None:
        seconds = 10.0
    report = Report(probe(device_path) if profile is None else profile, seed)
    start = time.monotonic()
    memory = pool()
    try:
        with Device(device_path) as device:
            while len(report.disagreements) < most_disagreements:
                report.seconds = time.monotonic() - start
                if (operations is not None and report.operations >= operations) or (
                    seconds is not None and report.seconds >= seconds
                ):
                    break
                _one_vm(report, device)
                if progress is not None:
                    progress(report)
    finally:
        memory.unmap()
    report.seconds = time.monotonic() - start
    return report


def _one_vm(report: Report, device: Device) -> None:
    name = f"{report.seed}:{report.vms}"
    report.vms += 1
    random = Random(name)
    steps: list[Step] = []
    with Pair(report.profile, device) as pair:
        generator = Generator(random, pair.model, many_slots=random.random() < 0.02)
        for _ in range(random.choice(_VM_CALLS)):
            step = pair.step(generator.next())
            report.count(step)
            _follow_files(generator, step)
            if step.verdict != UNASKED:
                steps.append(step)
            if step.verdict in (DIFFERED, UNDECIDED):
                break  # from here on the two VMs are not the same
    if steps and steps[-1].verdict == DIFFERED:
        shortest = shrink([step.event for step in steps], lambda events: play(report.profile, device, events))
        report.disagreements.append(Disagreement(shortest or steps, len(steps), name))


def _follow_files(generator: Generator, step: Step) -> None:
    event = step.event
    if event.new_fd is not None:
        generator.files[event.new_fd] = event.fields["size"]
    elif event.call == "close" and event.fd is not None:
        generator.files.pop(event.fd, None)


def play(profile: Profile, device: Device, events: list[Event]) -> list[Step]:
    """The steps of a sequence on a fresh VM, up to the first that differs."""
    steps = []
    with Pair(profile, device) as pair:
        for event in events:
            step = pair.step(event)
            steps.append(step)
            if step.verdict in (DIFFERED, UNDECIDED):
                break
    return steps
