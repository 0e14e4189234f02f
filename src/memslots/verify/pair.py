"""One VM of the model and one of the kernel, taking the same calls."""

from __future__ import annotations

from ..kernel.profile import Profile
from ..live.calls import VALUE_CALLS, WALL_CLOCK_MSR, perform
from ..live.device import Device
from ..live.live_vm import LiveVm
from ..live.outcome import KernelMemoryError
from ..model.vm import Vm
from ..rules.answer import Undetermined, Unmodelled
from ..state.process import Host
from ..trace.event import Event
from .draw import POOL_ADDRESS, POOL_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

AGREED, DIFFERED, UNDECIDED, UNASKED = "agreed", "differed", "undecided", "unasked"
PAIR_BUDGET_BYTES = 64 << 20
_TOO_MUCH = f"a slot would cost more kernel memory than {PAIR_BUDGET_BYTES >> 20} MiB for each VM"
FIRST_FD = 100
"""Recorded numbers of guest_memfd files begin here, whatever the process gives."""


class Step:
    """One call and both answers."""

    __slots__ = ("event", "expected", "note", "verdict")

    def __init__(self, event: Event, verdict: str, expected: int | None = None, note: str = "") -> None:
        self.event = event
        """The call with the kernel's answer."""
        self.verdict = verdict
        self.expected = expected
        """The model's answer."""
        self.note = note
        """What differed beside the answers, or why there is none."""

    def __repr__(self) -> str:
        return f"<Step {self.verdict} {self.event} expected {self.expected} {self.note}>"


class Pair:
    """A context manager; closing it closes the kernel's VM."""

    def __init__(self, profile: Profile, device: Device) -> None:
        self.live = LiveVm(device, budget_bytes=PAIR_BUDGET_BYTES)
        self.model = Vm(profile, host=Host())
        self._live_fds: dict[int, int] = {}
        self._next_fd = FIRST_FD
        # other files that a call may name by number
        for fd in (0, 1, 2):
            self.model.host.fds[fd] = None

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *_: object) -> None:
        self.live.close()

    def step(self, event: Event) -> Step:
        """Ask both; the model's invariants are checked after it."""
        if event.call == "KVM_SET_MSRS":
            step = self._write(event)
        elif event.call == "close":
            step = self._close(event)
        else:
            step = self._ask(event)
        self.model.state.check()
        return step

    def _ask(self, event: Event) -> Step:
        before = self.model.state.copy() if event.call == "KVM_ENABLE_CAP" else None
        try:
            seen = perform(self.live, event, self._live_fds)
        except KernelMemoryError:
            return Step(event, UNASKED, note=_TOO_MUCH)
        expected = self._expect(event, seen.result)
        if isinstance(expected, (Undetermined, Unmodelled)):
            if before is not None:
                self.model.state = before
            return Step(_answered(event, seen.result), UNDECIDED, note=expected.reason)
        same = seen.result == expected.result
        if not same and event.call not in VALUE_CALLS:
            same = seen.result >= 0 and expected.result >= 0
        note = ""
        if same and event.call == "KVM_GET_DIRTY_LOG" and seen.accepted:
            long_bits = self.model.state.machine.long_bits
            if seen.data.to_bytes(long_bits) != expected.data.to_bytes(long_bits):
                same, note = False, f"dirty pages {_some(seen.data)}, expected {_some(expected.data)}"
        answered = _answered(event, seen.result, new_fd=self._made_file(event, seen))
        return Step(answered, AGREED if same else DIFFERED, expected.result, note)

    def _expect(self, event: Event, seen: int) -> Any:
        """The model's answer; files have the recorded numbers on both sides."""
        if event.call == "KVM_CREATE_GUEST_MEMFD":
            return self.model.create_guest_memfd(event.fields["size"], event.fields["flags"], self._next_fd)
        return perform(self.model, event, {})

    def _made_file(self, event: Event, seen: Any) -> int | None:
        if event.call != "KVM_CREATE_GUEST_MEMFD" or not seen.accepted:
            return None
        fd, self._next_fd = self._next_fd, self._next_fd + 1
        self._live_fds[fd] = seen.result
        return fd

    def _write(self, event: Event) -> Step:
        """KVM writes its wall clock into guest memory: it sets the bit of that page, if it can write there."""
        gpa = event.fields["data"]
        if not self.live.vcpu_fds or event.fields["index"] != WALL_CLOCK_MSR:
            return Step(event, UNASKED, note="no vCPU that could write")
        self.live.mark_dirty(gpa)
        hva = self.model.gpa_to_hva(gpa, write=True)
        if hva is not None and POOL_ADDRESS <= hva < POOL_ADDRESS + POOL_BYTES:
            self.model.mark_dirty(gpa)
        return Step(_answered(event, 1), AGREED, 1)

    def _close(self, event: Event) -> Step:
        fd = -1 if event.fd is None else event.fd
        live_fd = self._live_fds.pop(fd, None)
        if live_fd is None:
            return Step(event, UNASKED, note="no such file")
        self.live.close_guest_memfd(live_fd)
        self.model.close_guest_memfd(fd)
        return Step(Event("close", {}, 0, fd=fd, format="jsonl"), AGREED, 0)


def _answered(event: Event, result: int, new_fd: int | None = None) -> Event:
    return Event(
        event.call, event.fields, new_fd if new_fd is not None else result, new_fd=new_fd, fd=3, format="jsonl"
    )


def _some(bitmap: Any) -> str:
    pages = list(bitmap.pages())
    return f"{pages[:8]}{'...' if len(pages) > 8 else ''} ({len(pages)} of {bitmap.npages})"
