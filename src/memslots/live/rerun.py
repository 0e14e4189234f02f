"""A recording's calls on the kernel under us: what it answers here, beside what was recorded."""

from __future__ import annotations

from ..trace.event import Event
from .calls import VALUE_CALLS, VM_CALLS, perform
from .device import DEFAULT_PATH, Device
from .live_vm import DEFAULT_BUDGET_BYTES, LiveVm
from .outcome import KernelMemoryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Answered:
    """One recorded call and what this kernel answered."""

    __slots__ = ("event", "note", "result")

    def __init__(self, event: Event, result: int | None, note: str = "") -> None:
        self.event = event
        self.result = result
        """Return value or negated errno; None where the call was not made."""
        self.note = note
        """Why it was not made."""

    @property
    def differs(self) -> bool:
        """Did this kernel answer otherwise than the recorded one?"""
        recorded = self.event.result
        if self.result is None or recorded is None:
            return False
        if self.result >= 0 and recorded >= 0:
            return self.event.call in VALUE_CALLS and self.result != recorded
        return self.result != recorded


class LivePlayer:
    """Plays recorded calls on VMs of this kernel; a context manager.

    Host addresses are passed as recorded: KVM does not ask what lies there when a
    slot is made (x86, newer arm64).  Recorded file descriptors are translated.
    """

    def __init__(self, device: Device, budget_bytes: int = DEFAULT_BUDGET_BYTES) -> None:
        self._device = device
        self._budget_bytes = budget_bytes
        self._vms: dict[int | None, LiveVm] = {}
        self._last: LiveVm | None = None
        self._files: dict[int, tuple[LiveVm, int]] = {}

    def __enter__(self) -> LivePlayer:
        return self

    def __exit__(self, *_: object) -> None:
        for vm in self._vms.values():
            vm.close()

    def play(self, event: Event) -> Answered:
        """Make one call, if it is one that a VM takes and was recorded in full."""
        if event.call == "KVM_CREATE_VM":
            return self._create_vm(event)
        if event.call == "close" and event.fd in self._files:
            vm, fd = self._files.pop(event.fd)
            vm.close_guest_memfd(fd)
            return Answered(event, 0)
        if event.call not in VM_CALLS:
            return Answered(event, None, "not a call of a VM")
        fds = {recorded: fd for recorded, (_, fd) in self._files.items()}
        vm = self._vm_of(event)
        try:
            outcome = perform(vm, event, fds)
        except KernelMemoryError as error:
            return Answered(event, None, str(error))
        if outcome is None:
            return Answered(event, None, "arguments were not recorded")
        if event.call == "KVM_CREATE_GUEST_MEMFD" and outcome.accepted:
            recorded = event.new_fd if event.new_fd is not None else event.result
            if recorded is not None and recorded >= 0:
                self._files[recorded] = (vm, outcome.value)
        return Answered(event, outcome.result)

    def _create_vm(self, event: Event) -> Answered:
        fd = event.new_fd if event.new_fd is not None else event.result
        try:
            vm = LiveVm(self._device, event.fields.get("type", 0), budget_bytes=self._budget_bytes)
        except OSError as error:
            return Answered(event, -(error.errno or 0))
        old = self._vms.pop(fd, None)
        if old is not None:
            old.close()
        self._vms[fd] = self._last = vm
        return Answered(event, vm.fd)

    def _vm_of(self, event: Event) -> LiveVm:
        """The VM of the recorded descriptor; one whose creation was not recorded is made now."""
        vm = self._vms.get(event.fd) if event.fd is not None else self._last
        if vm is None and event.fd is not None:
            vm = self._vms.pop(None, None)  # created before, on a descriptor that was not recorded
        if vm is None:
            vm = LiveVm(self._device, budget_bytes=self._budget_bytes)
        self._vms[event.fd] = self._last = vm
        return vm


def run(
    events: Iterable[Event], *, device_path: str = DEFAULT_PATH, budget_bytes: int = DEFAULT_BUDGET_BYTES
) -> Iterator[Answered]:
    """Each call of a recording on this kernel.  Raises DeviceUnavailableError without a device."""
    with Device(device_path) as device, LivePlayer(device, budget_bytes) as player:
        for event in events:
            yield player.play(event)
