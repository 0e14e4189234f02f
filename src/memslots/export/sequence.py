"""Which VM and which file each recorded call is about: what a program that repeats them needs."""

from __future__ import annotations

from ..live.calls import VM_CALLS
from ..trace.event import Event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Call:
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
        """Must the VM be created first, because the recording does not show how it was?"""
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
        self._vm_of_fd: dict[int | None, int] = {}
        self._file_of_fd: dict[int, int] = {}
        self._vcpu_fds: set[int] = set()
        self._last = -1

    def calls(self) -> Iterator[Call]:
        """The calls that can be repeated."""
        for number, event in enumerate(self._events, 1):
            call = self._call(number, event)
            if call is None:
                self.skipped += 1
            else:
                yield call

    def _call(self, number: int, event: Event) -> Call | None:
        name, fields = event.call, event.fields
        if event.format == "message":
            return None
        if name == "KVM_CREATE_VM":
            return self._create_vm(number, event)
        if name == "close":
            file = self._file_of_fd.pop(-1 if event.fd is None else event.fd, None)
            return None if file is None else Call(number, event, self._last, file)
        if name == "KVM_SET_MSRS":
            return Call(number, event, max(self._last, 0)) if "data" in fields else None
        if name not in VM_CALLS or not _complete(event):
            return None
        if event.fd is not None and event.fd in self._vcpu_fds:
            return None
        call = self._placed(number, event)
        if name == "KVM_CREATE_VCPU" and event.result is not None and event.result >= 0:
            self._vcpu_fds.add(event.new_fd if event.new_fd is not None else event.result)
        if name == "KVM_CREATE_GUEST_MEMFD":
            call.file = self.files
            self.files += 1
            made = event.new_fd if event.new_fd is not None else event.result
            if made is not None and made >= 0:
                self._file_of_fd[made] = call.file
        if name == "KVM_SET_USER_MEMORY_REGION2":
            call.file = self._file_of_fd.get(fields.get("guest_memfd", -1))
        return call

    def _create_vm(self, number: int, event: Event) -> Call:
        call = Call(number, event, self.vms)
        self.vms += 1
        if event.result is None or event.result >= 0:
            self._last = call.vm
            made = event.new_fd if event.new_fd is not None else event.result
            self._vm_of_fd[made] = call.vm
            if made is not None:
                self._vcpu_fds.discard(made)
        return call

    def _placed(self, number: int, event: Event) -> Call:
        vm = self._vm_of_fd.get(event.fd, -1) if event.fd is not None else self._last
        if vm < 0 and event.call == "KVM_CHECK_EXTENSION":
            return Call(number, event, -1)
        call = Call(number, event, vm)
        if vm < 0:
            unplaced = self._vm_of_fd.pop(None, None)
            if unplaced is None:
                call.vm, call.implicit = self.vms, True
                self.vms += 1
            else:
                call.vm = unplaced
            self._vm_of_fd[event.fd] = call.vm
        self._last = call.vm
        return call


_NEEDED = {
    "KVM_SET_USER_MEMORY_REGION": ("slot", "flags", "guest_phys_addr", "memory_size", "userspace_addr"),
    "KVM_SET_USER_MEMORY_REGION2": ("slot", "flags", "guest_phys_addr", "memory_size", "userspace_addr"),
    "KVM_CHECK_EXTENSION": ("cap",),
    "KVM_ENABLE_CAP": ("cap",),
    "KVM_CREATE_VCPU": ("vcpu_id",),
    "KVM_SET_TSS_ADDR": ("addr",),
    "KVM_SET_IDENTITY_MAP_ADDR": ("addr",),
    "KVM_GET_DIRTY_LOG": ("slot",),
    "KVM_CLEAR_DIRTY_LOG": ("slot", "first_page", "num_pages"),
    "KVM_SET_NR_MMU_PAGES": ("nr_pages",),
    "KVM_CREATE_GUEST_MEMFD": ("size",),
    "KVM_SET_MEMORY_ATTRIBUTES": ("address", "size", "attributes"),
}


def _complete(event: Event) -> bool:
    return all(name in event.fields for name in _NEEDED.get(event.call, ()))
