"""A recording's calls on the kernel under us: what it answers here, beside what was recorded."""

from __future__ import annotations

from ..model.session import Session
from ..trace.event import Event
from ..uapi.calls import CALLS, GUEST_MEMFD, REGION_CALLS, SYSTEM, VALUE_CALLS, VCPU, VM
from ..uapi.capabilities import KVM_CAP_DIRTY_LOG_RING, KVM_CAP_DIRTY_LOG_RING_ACQ_REL
from .answer import KernelMemoryError
from .device import DEFAULT_PATH, Device
from .live_vm import DEFAULT_BUDGET_BYTES, LiveVm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


_VM_BYTES, _VCPU_BYTES = 256 << 10, 64 << 10
"""Kernel memory of a VM without slots, and of a vCPU without a dirty ring, about."""
_RING_CAPABILITIES = (KVM_CAP_DIRTY_LOG_RING, KVM_CAP_DIRTY_LOG_RING_ACQ_REL)
_CLOSED = 0xFFFF_FFFF
"""-1 as the 32 bits of guest_memfd: no file, whatever the recorded number stands for here."""


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
        """Whether this kernel answered otherwise than the recorded one."""
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
        self._session: Session[LiveVm] = Session()
        self._vms: list[LiveVm] = []
        self._files: dict[tuple[str, int], int] = {}
        """Process and recorded number of a guest_memfd: its number here, or _CLOSED."""
        self._taken_bytes = 0
        """Of the budget, by all VMs together."""
        self._ring_bytes: dict[int, int] = {}
        """Descriptor of a VM: bytes of the dirty ring of each of its vCPUs."""

    def __enter__(self) -> LivePlayer:
        return self

    def __exit__(self, *_: object) -> None:
        for vm in self._vms:
            vm.close()

    def play(self, event: Event) -> Answered:
        """Make one call, if it is one that a VM takes and was recorded in full."""
        process = self._session.process(event.process, event.pid)
        if event.call == "KVM_CREATE_VM":
            return self._create_vm(event, process)
        if event.call == "close" and event.fd is not None:
            return self._close(event, process, event.fd)
        call = CALLS.get(event.call)
        if call is None or call.is_frequent or call.on == SYSTEM:
            return Answered(event, None, "not a call of a VM")
        if call.is_beside_memory:
            return Answered(event, None, "about no memory, and on descriptors of the program's own")
        if call.missing(event.fields):
            return Answered(event, None, "arguments were not recorded")
        place = self._session.place(event.call, process, event.fd)
        if place.on == VCPU and call.on != VCPU:
            return Answered(event, None, "a call on a vCPU")
        try:
            vm = place.vm or self._adopted(event, process)
        except KernelMemoryError as error:
            return Answered(event, None, str(error))
        fields = dict(event.fields)
        file = self._files.get((process, fields.get("guest_memfd", -1)))
        if file is not None:
            fields["guest_memfd"] = file
        try:
            result = self._call(vm, event.call, fields, place.on)
        except KernelMemoryError as error:
            return Answered(event, None, str(error))
        except ValueError as error:
            return Answered(event, None, f"no such call can be made: {error}")
        recorded = event.new_fd if event.new_fd is not None else event.result
        if result >= 0 and call.makes and recorded is not None and recorded >= 0:
            self._session.opened(process, recorded, call.makes, vm)
            if call.makes == GUEST_MEMFD:
                self._files[process, recorded] = result
        return Answered(event, result)

    def _call(self, vm: LiveVm, name: str, fields: dict[str, int], on: str) -> int:
        """Make a call within the budget of all.  Raises KernelMemoryError."""
        if name in REGION_CALLS:
            own = vm.metadata_bytes
            vm.share(self._taken_bytes - own)
            try:
                return vm.call(name, fields, on=on).result
            finally:
                self._taken_bytes += vm.metadata_bytes - own
        if name == "KVM_CREATE_VCPU":
            self._take(_VCPU_BYTES + self._ring_bytes.get(vm.fd, 0), "a vCPU with its dirty ring")
        result = vm.call(name, fields, on=on).result
        if name == "KVM_ENABLE_CAP" and result == 0 and fields["cap"] in _RING_CAPABILITIES:
            self._ring_bytes[vm.fd] = fields["arg0"]
        return result

    def _take(self, nbytes: int, what: str) -> None:
        if self._taken_bytes + nbytes > self._budget_bytes:
            raise KernelMemoryError(
                f"{what} may bring this run to {self._taken_bytes + nbytes >> 20} MiB of kernel "
                f"memory; the budget is {self._budget_bytes >> 20} MiB (--budget allows more)"
            )
        self._taken_bytes += nbytes

    def _close(self, event: Event, process: str, fd: int) -> Answered:
        self._session.closed(process, fd)
        file = self._files.get((process, fd), _CLOSED)
        if file == _CLOSED:
            return Answered(event, None, "not a call of a VM")
        self._files[process, fd] = _CLOSED
        for vm in self._vms:
            vm.close_guest_memfd(file)
        return Answered(event, 0)

    def _create_vm(self, event: Event, process: str) -> Answered:
        try:
            self._take(_VM_BYTES, "a VM")
            vm = LiveVm(self._device, event.fields.get("type", 0), budget_bytes=self._budget_bytes)
        except KernelMemoryError as error:
            return Answered(event, None, str(error))
        except OSError as error:
            return Answered(event, -(error.errno or 0))
        self._vms.append(vm)
        recorded = event.new_fd if event.new_fd is not None else event.result
        self._session.opened(
            process, recorded if recorded is not None and recorded >= 0 else None, VM, vm
        )
        return Answered(event, vm.fd)

    def _adopted(self, event: Event, process: str) -> LiveVm:
        """A VM whose creation was not recorded is made now.  Raises KernelMemoryError."""
        self._take(_VM_BYTES, "a VM")
        vm = LiveVm(self._device, budget_bytes=self._budget_bytes)
        self._vms.append(vm)
        self._session.opened(process, event.fd, VM, vm)
        return vm


def run(
    events: Iterable[Event],
    *,
    device_path: str = DEFAULT_PATH,
    budget_bytes: int = DEFAULT_BUDGET_BYTES,
) -> Iterator[Answered]:
    """Each call of a recording on this kernel.  Raises DeviceUnavailableError without a device."""
    with Device(device_path) as device, LivePlayer(device, budget_bytes) as player:
        for event in events:
            yield player.play(event)
