"""What the descriptors of processes stand for: VMs, vCPUs and guest_memfd files, of the model or
live.

The same number means another file in another process.  A forked child begins
with its parent's descriptors; a thread has those of its process.
"""

from __future__ import annotations

from ..uapi.calls import ANY, CALLS, GUEST_MEMFD, SYSTEM, VCPU, VM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Generic, TypeVar

    V = TypeVar("V")
else:
    V = None

    class Generic:
        """In place of typing's, which costs more time than all of this module."""

        def __class_getitem__(cls, _kind: object) -> type:
            return cls


class Descriptor(Generic[V]):
    """What one open descriptor is."""

    __slots__ = ("kind", "vm")

    def __init__(self, kind: str, vm: V) -> None:
        self.kind = kind
        """VM, VCPU or GUEST_MEMFD of `uapi.calls`."""
        self.vm = vm
        """The VM itself, or the one that made it."""


class Place(Generic[V]):
    """Where a call goes."""

    __slots__ = ("is_sure", "on", "vm")

    def __init__(self, on: str, vm: V | None, *, is_sure: bool = True) -> None:
        self.on = on
        """SYSTEM, VM or VCPU."""
        self.vm = vm
        """The VM concerned; None for /dev/kvm itself, or a VM that nobody saw made."""
        self.is_sure = is_sure
        """Whether the descriptor was seen to be what `on` says."""


class Session(Generic[V]):
    """The descriptors of all processes of one recording, or of one run of a program."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[int, Descriptor[V]]] = {}
        self._current: dict[str, V] = {}
        self._processes: dict[int, str] = {}
        """Thread: its process, where it is not the first one."""
        self._unplaced: list[V] = []
        """VMs that were made on a descriptor that was not recorded."""

    def process(self, name: str | None, tid: int | None, *, is_told: bool = False) -> str:
        """The process of a call: by the name that the recording gives, or by its thread; the first
        is ``.  A message (is_told) that names neither speaks of the only process that has VMs.
        """
        if name is not None:
            return name
        if is_told and tid is None and len(self._current) == 1:
            return next(iter(self._current))
        return self._processes.get(-1 if tid is None else tid, "")

    def forked(self, process: str, child_tid: int, *, is_thread: bool) -> None:
        """A thread of `process` has made another thread, or a process of its own."""
        if is_thread:
            if process:
                self._processes[child_tid] = process
            return
        child = f"{process}>{child_tid}"
        self._processes[child_tid] = child
        self._tables[child] = dict(self._tables.get(process, {}))
        if process in self._current:
            self._current[child] = self._current[process]

    def opened(self, process: str, fd: int | None, kind: str, vm: V) -> None:
        """A call has made a VM, a vCPU or a file; fd None: the recording does not say on which
        number.
        """
        if kind == VM:
            self._current[process] = vm
        if fd is not None:
            self._tables.setdefault(process, {})[fd] = Descriptor(kind, vm)
        elif kind == VM:
            self._unplaced.append(vm)

    def closed(self, process: str, fd: int) -> Descriptor[V] | None:
        """A descriptor is closed: what it was."""
        return self._tables.get(process, {}).pop(fd, None)

    def look_up(self, process: str, fd: int) -> Descriptor[V] | None:
        """What a descriptor is; None if nobody saw it made."""
        return self._tables.get(process, {}).get(fd)

    def vm_on(self, process: str, fd: int | None) -> V | None:
        """The VM of a VM's descriptor; None if it is of another kind, or nobody saw it made."""
        table = self._tables.get(process)
        known = table.get(fd) if table is not None and fd is not None else None
        return known.vm if known is not None and known.kind == VM else None

    def use(self, process: str, vm: V) -> None:
        """A process has made a call on a VM."""
        self._current[process] = vm

    def current(self, process: str) -> V | None:
        """The VM that the process has last used."""
        return self._current.get(process)

    def files(self, process: str) -> Iterator[tuple[int, V]]:
        """The guest_memfd files of a process, with the VMs that made them."""
        for fd, descriptor in self._tables.get(process, {}).items():
            if descriptor.kind == GUEST_MEMFD:
                yield fd, descriptor.vm

    def place(self, name: str, process: str, fd: int | None) -> Place[V]:
        """Where a call goes that is made on a descriptor, or on one that the recording does not
        show (None).
        """
        kind = CALLS[name].on
        if kind == SYSTEM:
            return Place(SYSTEM, None)
        known = None if fd is None else self.look_up(process, fd)
        if known is not None and known.kind in (VM, VCPU):
            self._current[process] = known.vm
            return Place(known.kind, known.vm)
        current = self._current.get(process)
        if name == "KVM_CHECK_EXTENSION" and (fd is not None or current is None):
            return Place(SYSTEM, None, is_sure=self._has_vm(process))
        if fd is None or kind == VCPU:
            return Place(VCPU if kind == VCPU else VM, current, is_sure=kind != ANY)
        if kind == ANY and self._has_vm(process):
            return Place(VCPU, current)
        vm = self._unplaced.pop() if self._unplaced else None
        if vm is not None:
            self.opened(process, fd, VM, vm)
        return Place(VM, vm)

    def _has_vm(self, process: str) -> bool:
        """Whether a VM of the process is known with its descriptor."""
        return any(descriptor.kind == VM for descriptor in self._tables.get(process, {}).values())
