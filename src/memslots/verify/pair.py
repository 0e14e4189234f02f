"""One VM of the model and one of the kernel, taking the same calls."""

from __future__ import annotations

from ..kernel.profile import Profile
from ..live.answer import KernelMemoryError
from ..live.bitmap import LiveBitmap
from ..live.device import Device
from ..live.live_vm import WALL_CLOCK_MSR, LiveVm
from ..model.vm import Vm
from ..rules.answer import Accepted, Undetermined, Unmodelled
from ..state.dirty_bitmap import DirtyBitmap
from ..state.process import Mapping as HostMapping
from ..state.process import Process
from ..trace.event import Event
from ..uapi.calls import CALLS, VALUE_CALLS, VCPU, VM
from .draw_numbers import POOL_ADDRESS, POOL_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

AGREED, DIFFERED, UNDECIDED, UNASKED = "agreed", "differed", "undecided", "unasked"
PAIR_BUDGET_BYTES = 64 << 20
_TOO_MUCH = f"a slot would cost more kernel memory than {PAIR_BUDGET_BYTES >> 20} MiB for each VM"
FIRST_FD = 100
"""Recorded numbers of guest_memfd files begin here, whatever the process gives."""


class ComparedCall:
    """One call and both answers."""

    __slots__ = ("event", "expected", "note", "verdict")

    def __init__(
        self, event: Event, verdict: str, expected: int | None = None, note: str = ""
    ) -> None:
        self.event = event
        """The call with the kernel's answer."""
        self.verdict = verdict
        self.expected = expected
        """The model's answer."""
        self.note = note
        """What differed beside the answers, or why there is none."""

    def __repr__(self) -> str:
        return f"<ComparedCall {self.verdict} {self.event} expected {self.expected} {self.note}>"


class Pair:
    """A context manager; closing it closes the kernel's VM."""

    def __init__(self, profile: Profile, device: Device) -> None:
        self.live = LiveVm(device, budget_bytes=PAIR_BUDGET_BYTES)
        self.model = Vm(profile, process=Process(mappings_known=True))
        self.model.process.mmap(HostMapping(POOL_ADDRESS, POOL_ADDRESS + POOL_BYTES))
        self._live_fds: dict[int, int] = {}
        self._next_fd = FIRST_FD
        # other files that a call may name by number
        for fd in (0, 1, 2):
            self.model.process.fds[fd] = None

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *_: object) -> None:
        self.live.close()

    def step(self, event: Event) -> ComparedCall:
        """Ask both; the model's invariants are checked after it."""
        if event.call == "KVM_PRE_FAULT_MEMORY" and not self.live.vcpu_fds:
            return ComparedCall(event, UNASKED, note="no vCPU")
        if event.call == "KVM_SET_MSRS":
            step = self._write(event)
        elif event.call == "close":
            step = self._close(event)
        else:
            step = self._ask(event)
        self.model.state.check()
        return step

    def _ask(self, event: Event) -> ComparedCall:
        on = VCPU if CALLS[event.call].on == VCPU else VM
        expected = self.model.what_if(event.call, event.fields, on=on, new_fd=self._next_fd)
        try:
            seen = self.live.call(event.call, self._live_fields(event), on=on)
        except KernelMemoryError:
            return ComparedCall(event, UNASKED, note=_TOO_MUCH)
        if isinstance(expected, (Undetermined, Unmodelled)):
            return ComparedCall(_answered(event, seen.result), UNDECIDED, note=expected.reason)
        self.model.carry_out(expected)
        same = seen.result == expected.result
        if not same and event.call not in VALUE_CALLS:
            same = seen.result >= 0 and expected.result >= 0
        note = ""
        if same and isinstance(seen, Accepted) and isinstance(expected, Accepted):
            live_bitmap, bitmap = seen.data, expected.data
            if isinstance(live_bitmap, LiveBitmap) and isinstance(bitmap, DirtyBitmap):
                long_bits = self.model.state.machine.long_bits
                if live_bitmap.to_bytes(long_bits) != bitmap.to_bytes(long_bits):
                    same, note = (
                        False,
                        f"dirty pages {_some(live_bitmap)}, expected {_some(bitmap)}",
                    )
        answered = _answered(event, seen.result, new_fd=self._made_file(event, seen.result))
        return ComparedCall(answered, AGREED if same else DIFFERED, expected.result, note)

    def _live_fields(self, event: Event) -> Mapping[str, int]:
        """The arguments with the number that a file has in this process, in place of the recorded
        one.
        """
        fd = event.fields.get("guest_memfd")
        return (
            event.fields
            if fd not in self._live_fds
            else {**event.fields, "guest_memfd": self._live_fds[fd]}
        )

    def _made_file(self, event: Event, seen: int) -> int | None:
        if event.call != "KVM_CREATE_GUEST_MEMFD" or seen < 0:
            return None
        fd, self._next_fd = self._next_fd, self._next_fd + 1
        self._live_fds[fd] = seen
        return fd

    def _write(self, event: Event) -> ComparedCall:
        """KVM writes its wall clock into guest memory: it sets the bit of that page, if it can
        write there.
        """
        gpa = event.fields["data"]
        if not self.live.vcpu_fds or event.fields["index"] != WALL_CLOCK_MSR:
            return ComparedCall(event, UNASKED, note="no vCPU that could write")
        self.live.mark_dirty(gpa)
        hva = self.model.gpa_to_hva(gpa, write=True)
        if hva is not None and POOL_ADDRESS <= hva < POOL_ADDRESS + POOL_BYTES:
            self.model.mark_dirty(gpa)
        return ComparedCall(_answered(event, 1), AGREED, 1)

    def _close(self, event: Event) -> ComparedCall:
        fd = -1 if event.fd is None else event.fd
        live_fd = self._live_fds.pop(fd, None)
        if live_fd is None:
            return ComparedCall(event, UNASKED, note="no such file")
        self.live.close_guest_memfd(live_fd)
        self.model.close_guest_memfd(fd)
        return ComparedCall(Event("close", {}, 0, fd=fd, format="jsonl"), AGREED, 0)


def _answered(event: Event, result: int, new_fd: int | None = None) -> Event:
    return Event(
        event.call,
        event.fields,
        new_fd if new_fd is not None else result,
        new_fd=new_fd,
        fd=3,
        format="jsonl",
    )


def _some(bitmap: LiveBitmap | DirtyBitmap) -> str:
    pages = list(bitmap.pages())
    return f"{pages[:8]}{'...' if len(pages) > 8 else ''} ({len(pages)} of {bitmap.npages})"
