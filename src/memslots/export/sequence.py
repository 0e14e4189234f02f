"""Which VM and which file each recorded call is about: what a program that repeats them needs."""

from __future__ import annotations

from ..model.session import Session
from ..trace.event import Event
from ..uapi.calls import CALLS, SYSTEM, VCPU, VM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class SequenceCall:
    """One call of the sequence, with its VM and file as numbers from 0."""

    __slots__ = ("event", "file", "implicit", "number", "vcpu", "vm")

    def __init__(self, number: int, event: Event, vm: int, file: int | None = None) -> None:
        self.number = number
        """From 1, over all calls of the recording, as in `memslots replay`."""
        self.event = event
        self.vm = vm
        """-1 is /dev/kvm itself."""
        self.file = file
        """The guest_memfd made, named or closed; None if there is none or it was not recorded."""
        self.implicit = False
        """Whether the VM must be created first, because the recording does not show how it was."""
        self.vcpu: int | None = None
        """The number of the vCPU whose descriptor is called (KVM_SET_MSRS)."""


class Sequence:
    """Numbers the VMs and files of a recording; iterate over `calls()` once."""

    def __init__(self, events: Iterable[Event]) -> None:
        self._events = events
        self.vms = 0
        self.files = 0
        self.skipped = 0
        """Calls that cannot be repeated: not of a VM, or recorded without arguments."""
        self._session: Session[int] = Session()
        self._files: dict[tuple[str, int], int] = {}

    def calls(self) -> Iterator[SequenceCall]:
        """The calls that can be repeated."""
        for number, event in enumerate(self._events, 1):
            call = self._call(number, event)
            if call is None:
                self.skipped += 1
            else:
                yield call

    def _call(self, number: int, event: Event) -> SequenceCall | None:
        name, fields = event.call, event.fields
        process = self._session.process(event.process, event.pid)
        if event.format == "message":
            return None
        if name == "KVM_CREATE_VM":
            return self._create_vm(number, event, process)
        if name == "close" and event.fd is not None:
            self._session.closed(process, event.fd)
            file = self._files.pop((process, event.fd), None)
            vm = self._session.current(process)
            return (
                None
                if file is None
                else SequenceCall(number, event, -1 if vm is None else vm, file)
            )
        if name == "KVM_SET_MSRS":
            return (
                SequenceCall(number, event, self._session.current(process) or 0)
                if "data" in fields
                else None
            )
        known = CALLS.get(name)
        if known is None or known.is_frequent or known.on == SYSTEM or known.missing(fields):
            return None
        if known.is_beside_memory:
            return None  # their descriptors are the program's own
        place = self._session.place(name, process, event.fd)
        if place.on == VCPU and known.on != VCPU:
            return None
        call = SequenceCall(number, event, -1 if place.vm is None else place.vm)
        if place.vm is None and place.on != SYSTEM:
            call.vm, call.implicit = self._new_vm(), True
            self._session.opened(process, event.fd, VM, call.vm)
        made = event.new_fd if event.new_fd is not None else event.result
        if name == "KVM_CREATE_GUEST_MEMFD":
            call.file = self.files
            self.files += 1
            if made is not None and made >= 0:
                self._files[process, made] = call.file
        if known.makes and made is not None and made >= 0:
            self._session.opened(process, made, known.makes, call.vm)
        if name == "KVM_SET_USER_MEMORY_REGION2":
            call.file = self._files.get((process, fields.get("guest_memfd", -1)))
        return call

    def _new_vm(self) -> int:
        self.vms += 1
        return self.vms - 1

    def _create_vm(self, number: int, event: Event, process: str) -> SequenceCall:
        call = SequenceCall(number, event, self._new_vm())
        if event.result is None or event.result >= 0:
            made = event.new_fd if event.new_fd is not None else event.result
            self._session.opened(process, made, VM, call.vm)
        return call
