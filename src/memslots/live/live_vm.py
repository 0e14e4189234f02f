"""`LiveVm`: the calls of `memslots.Vm`, answered by the kernel under us.

    with LiveVm() as vm:
        memory = vm.allocate(16 << 20)
        vm.set_user_memory_region(0, 0, 0, memory.nbytes, memory.address).unwrap()

Outcomes have `result`, `errno`, `accepted` and `unwrap()` as the model's have.
One VM belongs to one thread at a time: its calls share one buffer.  Slots cost
kernel memory that no limit of the process counts, so each VM has a budget.
"""

from __future__ import annotations

import os
import struct
from errno import EBADF
from fcntl import ioctl

from ..rules.answer import Accepted
from ..uapi.calls import CALLS, GUEST_MEMFD, REGION_CALLS, SYSTEM, VCPU, VM
from ..uapi.region import checked_uint, region_of
from . import libc
from .answer import LiveRefused, MemoryInUseError, answer_of
from .bitmap import LiveBitmap
from .device import NUMBERS, Device
from .host_memory import MAKERS, PAGE_BYTES, HostMemory
from .known_slots import Lookups

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..uapi.calls import Call
    from .answer import LiveAnswer

DEFAULT_BUDGET_BYTES = 1 << 30
WALL_CLOCK_MSR = 0x4B564D00


class LiveVm(Lookups):
    """One VM of the running kernel; a context manager that leaves nothing behind."""

    __slots__ = ("_creator", "_gmem_fds", "_own_device", "device", "memory", "vcpu_fds")

    def __init__(
        self,
        device: Device | str | None = None,
        vm_type: int = 0,
        *,
        budget_bytes: int = DEFAULT_BUDGET_BYTES,
    ) -> None:
        """KVM_CREATE_VM.  budget_bytes: kernel memory that its slots may cost.

        Raises DeviceUnavailableError without a device, OSError for a type that is refused.
        """
        super().__init__(budget_bytes)
        self._own_device = not isinstance(device, Device)
        self.device = (
            device if isinstance(device, Device) else Device(*(() if device is None else (device,)))
        )
        result = self.device.create_vm(vm_type)
        if result < 0:
            self._close_device()
            LiveRefused(-result, f"KVM_CREATE_VM({vm_type})").unwrap()
        self.fd = result
        self.vcpu_fds: dict[int, int] = {}
        """vCPU id: file descriptor."""
        self.memory: list[HostMemory] = []
        """Host memory that the VM keeps mapped."""
        self._gmem_fds: set[int] = set()
        self._creator = os.getpid()

    # -- the one door

    def call(
        self,
        name: str,
        fields: Mapping[str, int] | None = None,
        *,
        on: str = VM,
        buffer_bytes: int | None = None,
        new_fd: int | None = None,
        by_other_process: bool = False,
    ) -> LiveAnswer:
        """Make any call of `uapi.calls.CALLS` by name, as `memslots.Vm.call` decides it.

        on VCPU: on the first vCPU (EBADF without one).  The kernel chooses the numbers of
        descriptors: new_fd is not looked at.  Raises ValueError or TypeError as the model does.
        """
        fields = fields or {}
        if name in REGION_CALLS:
            return self.submit(region_of(name, fields), by_other_process=by_other_process)
        call = CALLS[name]
        missing = call.missing(fields)
        if missing:
            raise ValueError(f"{name} lacks {', '.join(missing)}")
        for field in call.fields:
            checked_uint(field.name, fields.get(field.name, 0), (1 << field.bits) - 1)
        if name == "KVM_GET_DIRTY_LOG":
            return self._get_dirty_log(fields, buffer_bytes)
        if name == "KVM_CLEAR_DIRTY_LOG":
            return self._clear_dirty_log(fields, buffer_bytes)
        result = self._ask(call, fields, self._fd_for(on))
        if result >= 0 and call.makes == VCPU:
            self.vcpu_fds[fields["vcpu_id"]] = result
        elif result >= 0 and call.makes == GUEST_MEMFD:
            self._gmem_fds.add(result)
        return answer_of(result, name)

    def _fd_for(self, on: str) -> int:
        if on == VCPU:
            return next(iter(self.vcpu_fds.values()), -1)
        return self.device.fd if on == SYSTEM else self.fd

    def _ask(self, call: Call, fields: Mapping[str, int], fd: int, pointer: int = 0) -> int:
        """The return value or the negated errno."""
        if not call.has_structure:
            return libc.ioctl(
                fd, NUMBERS[call.name], fields[call.names[0]] if call.is_number else 0
            )
        try:
            return int(ioctl(fd, NUMBERS[call.name], call.pack(fields, pointer)))
        except OSError as error:
            return -(error.errno or 0)
        except ValueError:  # a negative file descriptor
            return -EBADF

    def _get_dirty_log(self, fields: Mapping[str, int], buffer_bytes: int | None) -> LiveAnswer:
        call = CALLS["KVM_GET_DIRTY_LOG"]
        known = self._slots.get(fields["slot"])
        npages = known[3] // PAGE_BYTES if known else 0
        nbytes = (npages + 63) // 64 * 8
        if buffer_bytes is not None and buffer_bytes < nbytes:
            return answer_of(
                self._ask(call, fields, self.fd, self._guard.place(b"", buffer_bytes)), call.name
            )
        raw = bytearray(nbytes or 8)
        result = self._ask(call, fields, self.fd, _address(raw))
        return (
            Accepted(data=LiveBitmap(npages, bytes(raw)))
            if result == 0
            else answer_of(result, call.name)
        )

    def _clear_dirty_log(self, fields: Mapping[str, int], buffer_bytes: int | None) -> LiveAnswer:
        call, mask = CALLS["KVM_CLEAR_DIRTY_LOG"], fields.get("mask")
        nbytes = (fields["num_pages"] + 63) // 64 * 8
        ones = (1 << nbytes * 8) - 1
        raw = bytearray((ones if mask is None else mask & ones).to_bytes(nbytes or 8, "little"))
        if buffer_bytes is not None and buffer_bytes < nbytes:
            pointer = self._guard.place(raw, buffer_bytes)
        else:
            pointer = _address(raw)
        return answer_of(self._ask(call, fields, self.fd, pointer), call.name)

    # -- the calls by their names

    def get_dirty_log(self, slot: int, buffer_bytes: int | None = None) -> LiveAnswer:
        """KVM_GET_DIRTY_LOG; `answer.data` is the bitmap handed out."""
        return self.call("KVM_GET_DIRTY_LOG", {"slot": slot}, buffer_bytes=buffer_bytes)

    def clear_dirty_log(
        self,
        slot: int,
        first_page: int,
        num_pages: int,
        mask: int | None = None,
        buffer_bytes: int | None = None,
    ) -> LiveAnswer:
        """KVM_CLEAR_DIRTY_LOG of pages [first_page, first_page + num_pages) named by `mask` (None:
        all).
        """
        fields = {"slot": slot, "first_page": first_page, "num_pages": num_pages}
        if mask is not None:
            fields["mask"] = mask
        return self.call("KVM_CLEAR_DIRTY_LOG", fields, buffer_bytes=buffer_bytes)

    def reset_dirty_rings(self) -> LiveAnswer:
        """KVM_RESET_DIRTY_RINGS."""
        return self.call("KVM_RESET_DIRTY_RINGS")

    def mark_dirty(self, gpa: int, as_id: int = 0) -> None:
        """KVM itself writes 16 bytes at this guest-physical address (x86, needs a vCPU).

        It is the write of its wall-clock structure that a guest can ask for; a slot
        that is missing, read-only or unmapped is silently not written.
        """
        if not self.vcpu_fds:
            raise ValueError("mark_dirty needs a vCPU: call create_vcpu(0) first")
        data = bytearray(struct.pack("=IIIIQ", 1, 0, WALL_CLOCK_MSR, 0, gpa))
        ioctl(next(iter(self.vcpu_fds.values())), NUMBERS["KVM_SET_MSRS"], data)

    def check_extension(self, capability: int, *, on_system: bool = False) -> LiveAnswer:
        """KVM_CHECK_EXTENSION on the VM, or on /dev/kvm."""
        return self.call("KVM_CHECK_EXTENSION", {"cap": capability}, on=SYSTEM if on_system else VM)

    def enable_cap(self, capability: int, *arguments: int, flags: int = 0) -> LiveAnswer:
        """KVM_ENABLE_CAP with up to four arguments."""
        four = (*arguments, 0, 0, 0, 0)[:4]
        fields = {f"arg{number}": argument for number, argument in enumerate(four)}
        return self.call("KVM_ENABLE_CAP", {"cap": capability, "flags": flags, **fields})

    def create_irqchip(self) -> LiveAnswer:
        """KVM_CREATE_IRQCHIP."""
        return self.call("KVM_CREATE_IRQCHIP")

    def create_vcpu(self, vcpu_id: int) -> LiveAnswer:
        """KVM_CREATE_VCPU; the value is its file descriptor, which the VM closes."""
        return self.call("KVM_CREATE_VCPU", {"vcpu_id": vcpu_id})

    def set_tss_addr(self, gpa: int) -> LiveAnswer:
        """KVM_SET_TSS_ADDR."""
        return self.call("KVM_SET_TSS_ADDR", {"addr": gpa})

    def set_identity_map_addr(self, gpa: int) -> LiveAnswer:
        """KVM_SET_IDENTITY_MAP_ADDR."""
        return self.call("KVM_SET_IDENTITY_MAP_ADDR", {"addr": gpa})

    def set_nr_mmu_pages(self, npages: int) -> LiveAnswer:
        """KVM_SET_NR_MMU_PAGES."""
        return self.call("KVM_SET_NR_MMU_PAGES", {"nr_pages": npages})

    def get_nr_mmu_pages(self) -> LiveAnswer:
        """KVM_GET_NR_MMU_PAGES (up to 6.3)."""
        return self.call("KVM_GET_NR_MMU_PAGES")

    def create_guest_memfd(self, size_bytes: int, flags: int = 0) -> LiveAnswer:
        """KVM_CREATE_GUEST_MEMFD; the value is the new file descriptor, which the VM closes at its
        end.
        """
        return self.call("KVM_CREATE_GUEST_MEMFD", {"size": size_bytes, "flags": flags})

    def close_guest_memfd(self, fd: int) -> bool:
        """Close a guest_memfd's only descriptor; False if it is not one of this VM's."""
        if fd not in self._gmem_fds:
            return False
        self._gmem_fds.remove(fd)
        os.close(fd)
        return True

    def set_memory_attributes(
        self, gpa: int, size_bytes: int, attributes: int, flags: int = 0
    ) -> LiveAnswer:
        """KVM_SET_MEMORY_ATTRIBUTES on a range of bytes."""
        fields = {"address": gpa, "size": size_bytes, "attributes": attributes, "flags": flags}
        return self.call("KVM_SET_MEMORY_ATTRIBUTES", fields)

    def pre_fault_memory(self, gpa: int, size_bytes: int, flags: int = 0) -> LiveAnswer:
        """KVM_PRE_FAULT_MEMORY on the first vCPU (EBADF without one)."""
        return self.call(
            "KVM_PRE_FAULT_MEMORY", {"gpa": gpa, "size": size_bytes, "flags": flags}, on=VCPU
        )

    # -- host memory

    def allocate(self, nbytes: int, kind: str = "anonymous") -> HostMemory:
        """Memory that the VM owns: kind is anonymous, memfd or sparse; see `live.memory` for
        files.
        """
        if kind not in MAKERS:
            raise ValueError(f"kind is one of {', '.join(MAKERS)}, not {kind!r}")
        return self.own(MAKERS[kind](nbytes))

    def own(self, memory: HostMemory) -> HostMemory:
        """Keep memory mapped for as long as the VM lives, or until `release`.  VMs may share it."""
        memory.keep()
        self.memory.append(memory)
        return memory

    def release(self, memory: HostMemory) -> None:
        """Unmap memory, unless another VM owns it too.

        Raises MemoryInUseError if a slot lies on it.
        """
        for slot, _, _, nbytes, hva in self._slots.values():
            if hva < memory.end and memory.address < hva + nbytes:
                raise MemoryInUseError(f"slot {slot:#x} uses {memory!r}: delete the slot first")
        self.memory.remove(memory)
        memory.let_go()

    # -- the end

    def close(self) -> None:
        """Close every descriptor, then unmap the memory that nobody views.

        A second call does nothing.
        """
        if self.fd >= 0 and self._creator == os.getpid():
            for fd in (*self.vcpu_fds.values(), *self._gmem_fds, self.fd):
                os.close(fd)
            for memory in self.memory:
                memory.let_go()
        self.fd = -1
        self.vcpu_fds, self.memory, self._gmem_fds = {}, [], set()
        self._forget_slots()
        self._close_device()

    def _close_device(self) -> None:
        if self._own_device:
            self.device.close()

    def __enter__(self) -> LiveVm:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if self.fd >= 0:
            self.close()


def _address(raw: bytearray) -> int:
    """Where the bytes lie, as long as they are neither freed nor resized."""
    import ctypes

    return ctypes.addressof((ctypes.c_ubyte * len(raw)).from_buffer(raw))
