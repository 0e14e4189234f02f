"""The kernel under us beside the model: one VM after the other, call by call."""

from __future__ import annotations

from random import Random

from ..kernel.profile import Profile
from ..live import libc
from ..live.device import Device
from ..live.host_memory import HostMemory
from ..trace.event import Event
from .draw import VM_CALLS, Generator
from .draw_numbers import POOL_ADDRESS, POOL_BYTES
from .pair import DIFFERED, UNASKED, UNDECIDED, ComparedCall, Pair

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MAP_FIXED_NOREPLACE = 0x100000


def pool() -> HostMemory:
    """The host memory that random slots lie on, always at the same address.  Raises OSError."""
    flags = libc.MAP_PRIVATE | libc.MAP_ANONYMOUS | libc.MAP_NORESERVE | _MAP_FIXED_NOREPLACE
    address = libc.mmap(POOL_ADDRESS, POOL_BYTES, libc.PROT_READ | libc.PROT_WRITE, flags)
    return HostMemory(address, POOL_BYTES, "anonymous")


class Native:
    """Plays calls on /dev/kvm and on the model; a context manager."""

    def __init__(self, profile: Profile, device_path: str) -> None:
        """Raises DeviceUnavailableError without a device."""
        self.profile = profile
        self._device = Device(device_path)
        self._memory = pool()

    def __enter__(self) -> Native:
        return self

    def __exit__(self, *_: object) -> None:
        self._memory.unmap()
        self._device.close()

    def draw(
        self, seed: int, first: int, operations: int | None
    ) -> Iterator[tuple[str, list[ComparedCall]]]:
        """One VM with random calls, up to the first that differs: its own seed, and the steps."""
        name = f"{seed}:{first}"
        random = Random(name)
        steps: list[ComparedCall] = []
        with Pair(self.profile, self._device) as pair:
            generator = Generator(random, pair.model, many_slots=random.random() < 0.02)
            for _ in range(random.choice(VM_CALLS)):
                step = pair.step(generator.next())
                steps.append(step)
                _follow_files(generator, step)
                if step.verdict in (DIFFERED, UNDECIDED):
                    break  # from here on the two VMs are not the same
        yield name, steps

    def play_all(
        self, candidates: Iterable[list[Event]]
    ) -> Iterator[tuple[int, list[ComparedCall]]]:
        """The steps of each sequence on a fresh VM, up to the first that differs; played as they
        are taken.
        """
        for number, events in enumerate(candidates):
            yield number, self._play(events)

    def _play(self, events: list[Event]) -> list[ComparedCall]:
        steps = []
        with Pair(self.profile, self._device) as pair:
            for event in events:
                step = pair.step(event)
                steps.append(step)
                if step.verdict in (DIFFERED, UNDECIDED):
                    break
        return steps


def _follow_files(generator: Generator, step: ComparedCall) -> None:
    event = step.event
    if step.verdict == UNASKED:
        return
    if event.new_fd is not None:
        generator.files[event.new_fd] = event.fields["size"]
    elif event.call == "close" and event.fd is not None:
        generator.files.pop(event.fd, None)
