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
from fcntl import ioctl

from ..rules.answer import Answer
from ..uapi import abi
from ..uapi.region import checked_uint
from ..units import U32_MAX, U64_MAX
from . import libc
from .bitmap import LiveBitmap
from .device import NUMBERS, Device
from .host_memory import MAKERS, PAGE_BYTES, HostMemory
from .known_slots import Lookups
from .outcome import LiveRefused, MemoryInUseError, outcome_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .outcome import Outcome

DEFAULT_BUDGET_BYTES = 1 << 30
_MSR_KVM_WALL_CLOCK = 0x4B564D00
_KVM_SET_MSRS = abi.request_number(0x89, 1, 8)


class LiveVm(Lookups):
    """One VM of the running kernel; a context manager that leaves nothing behind."""

    __slots__ = ("_creator", "_gmem_fds", "_own_device", "device", "memory", "vcpu_fds")

    def __init__(
        self, device: Device | str | None = None, vm_type: int = 0, *, budget_bytes: int = DEFAULT_BUDGET_BYTES
    ) -> None:
        """KVM_CREATE_VM.  budget_bytes: kernel memory that its slots may cost.

        Raises DeviceUnavailableError without a device, OSError for a type that is refused.
        """
        super().__init__(budget_bytes)
        self._own_device = not isinstance(device, Device)
        self.device = device if isinstance(device, Device) else Device(*(() if device is None else (device,)))
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

    # -- dirty logging

    def get_dirty_log(self, slot: int, buffer_bytes: int | None = None) -> Outcome:
        """KVM_GET_DIRTY_LOG; `outcome.data` is the bitmap handed out."""
        checked_uint("slot", slot, U32_MAX)
        known = self._slots.get(slot)
        npages = known[3] // PAGE_BYTES if known else 0
        nbytes = (npages + 63) // 64 * 8
        if buffer_bytes is None or buffer_bytes >= nbytes:
            raw = bytearray(nbytes or 8)
            result = self._with_pointer("KVM_GET_DIRTY_LOG", "=II", (slot, 0), raw)
            if result == 0:
                return Answer(data=LiveBitmap(npages, bytes(raw)))
            return LiveRefused(-result, "KVM_GET_DIRTY_LOG")
        pointer = self._guard.place(b"", buffer_bytes)
        data = bytearray(struct.pack(abi.KVM_DIRTY_LOG, slot, 0, pointer))
        return outcome_of(self._call("KVM_GET_DIRTY_LOG", data), "KVM_GET_DIRTY_LOG")

    def clear_dirty_log(
        self, slot: int, first_page: int, num_pages: int, mask: int | None = None, buffer_bytes: int | None = None
    ) -> Outcome:
        """KVM_CLEAR_DIRTY_LOG of pages [first_page, first_page + num_pages) named by `mask` (None: all)."""
        checked_uint("slot", slot, U32_MAX)
        checked_uint("first_page", first_page, U64_MAX)
        checked_uint("num_pages", num_pages, U32_MAX)
        nbytes = (num_pages + 63) // 64 * 8
        bits = (1 << nbytes * 8) - 1 if mask is None else mask & ((1 << nbytes * 8) - 1)
        raw = bytearray(bits.to_bytes(nbytes or 8, "little"))
        if buffer_bytes is None or buffer_bytes >= nbytes:
            result = self._with_pointer("KVM_CLEAR_DIRTY_LOG", "=IIQ", (slot, num_pages, first_page), raw)
        else:
            pointer = self._guard.place(raw, buffer_bytes)
            data = bytearray(struct.pack(abi.KVM_CLEAR_DIRTY_LOG, slot, num_pages, first_page, pointer))
            result = self._call("KVM_CLEAR_DIRTY_LOG", data)
        return outcome_of(result, "KVM_CLEAR_DIRTY_LOG")

    def reset_dirty_rings(self) -> Outcome:
        """KVM_RESET_DIRTY_RINGS."""
        return self._plain("KVM_RESET_DIRTY_RINGS")

    def mark_dirty(self, gpa: int, as_id: int = 0) -> None:
        """KVM itself writes 16 bytes at this guest-physical address (x86, needs a vCPU).

        It is the write of its wall-clock structure that a guest can ask for; a slot
        that is missing, read-only or unmapped is silently not written.
        """
        if not self.vcpu_fds:
            raise ValueError("mark_dirty needs a vCPU: call create_vcpu(0) first")
        data = bytearray(struct.pack("=IIIIQ", 1, 0, _MSR_KVM_WALL_CLOCK, 0, gpa))
        ioctl(next(iter(self.vcpu_fds.values())), _KVM_SET_MSRS, data)

    # -- other calls of a VM file descriptor

    def check_extension(self, capability: int, *, on_system: bool = False) -> Outcome:
        """KVM_CHECK_EXTENSION on the VM, or on /dev/kvm."""
        fd = self.device.fd if on_system else self.fd
        return outcome_of(libc.ioctl(fd, NUMBERS["KVM_CHECK_EXTENSION"], capability), "KVM_CHECK_EXTENSION")

    def enable_cap(self, capability: int, *arguments: int, flags: int = 0) -> Outcome:
        """KVM_ENABLE_CAP with up to four arguments."""
        four = (*arguments, 0, 0, 0, 0)[:4]
        data = bytearray(struct.pack(abi.KVM_ENABLE_CAP, capability, flags, *four))
        return outcome_of(self._call("KVM_ENABLE_CAP", data), f"KVM_ENABLE_CAP({capability})")

    def create_irqchip(self) -> Outcome:
        """KVM_CREATE_IRQCHIP."""
        return self._plain("KVM_CREATE_IRQCHIP")

    def create_vcpu(self, vcpu_id: int) -> Outcome:
        """KVM_CREATE_VCPU; the value is its file descriptor, which the VM closes."""
        result = libc.ioctl(self.fd, NUMBERS["KVM_CREATE_VCPU"], checked_uint("vcpu_id", vcpu_id))
        if result >= 0:
            self.vcpu_fds[vcpu_id] = result
        return outcome_of(result, "KVM_CREATE_VCPU")

    def set_tss_addr(self, gpa: int) -> Outcome:
        """KVM_SET_TSS_ADDR."""
        return self._plain("KVM_SET_TSS_ADDR", gpa)

    def set_identity_map_addr(self, gpa: int) -> Outcome:
        """KVM_SET_IDENTITY_MAP_ADDR."""
        data = bytearray(struct.pack("=Q", gpa))
        return outcome_of(self._call("KVM_SET_IDENTITY_MAP_ADDR", data), "KVM_SET_IDENTITY_MAP_ADDR")

    def set_nr_mmu_pages(self, npages: int) -> Outcome:
        """KVM_SET_NR_MMU_PAGES."""
        return self._plain("KVM_SET_NR_MMU_PAGES", npages)

    def get_nr_mmu_pages(self) -> Outcome:
        """KVM_GET_NR_MMU_PAGES (up to 6.3)."""
        return self._plain("KVM_GET_NR_MMU_PAGES")

    def create_guest_memfd(self, size_bytes: int, flags: int = 0) -> Outcome:
        """KVM_CREATE_GUEST_MEMFD; the value is the new file descriptor, which the VM closes at its end."""
        checked_uint("size_bytes", size_bytes)
        data = bytearray(struct.pack(abi.KVM_CREATE_GUEST_MEMFD, size_bytes, checked_uint("flags", flags)))
        result = self._call("KVM_CREATE_GUEST_MEMFD", data)
        if result >= 0:
            self._gmem_fds.add(result)
        return outcome_of(result, "KVM_CREATE_GUEST_MEMFD")

    def close_guest_memfd(self, fd: int) -> bool:
        """Close a guest_memfd's only descriptor; False if it is not one of this VM's."""
        if fd not in self._gmem_fds:
            return False
        self._gmem_fds.remove(fd)
        os.close(fd)
        return True

    def set_memory_attributes(self, gpa: int, size_bytes: int, attributes: int, flags: int = 0) -> Outcome:
        """KVM_SET_MEMORY_ATTRIBUTES on a range of bytes."""
        data = bytearray(struct.pack(abi.KVM_MEMORY_ATTRIBUTES, gpa, size_bytes, attributes, flags))
        return outcome_of(self._call("KVM_SET_MEMORY_ATTRIBUTES", data), "KVM_SET_MEMORY_ATTRIBUTES")

    def pre_fault_memory(self, gpa: int, size_bytes: int, flags: int = 0) -> Outcome:
        """KVM_PRE_FAULT_MEMORY on the first vCPU (EBADF without one)."""
        data = bytearray(struct.pack(abi.KVM_PRE_FAULT_MEMORY, gpa, size_bytes, flags))
        fd = next(iter(self.vcpu_fds.values()), -1)
        return outcome_of(self._call("KVM_PRE_FAULT_MEMORY", data, fd), "KVM_PRE_FAULT_MEMORY")

    # -- host memory

    def allocate(self, nbytes: int, kind: str = "anonymous") -> HostMemory:
        """Memory that the VM owns: kind is anonymous, memfd or sparse; see `live.memory` for files."""
        if kind not in MAKERS:
            raise ValueError(f"kind is one of {', '.join(MAKERS)}, not {kind!r}")
        return self.own(MAKERS[kind](nbytes))

    def own(self, memory: HostMemory) -> HostMemory:
        """Keep memory mapped for as long as the VM lives, or until `release`.  VMs may share it."""
        memory.keep()
        self.memory.append(memory)
        return memory

    def release(self, memory: HostMemory) -> None:
        """Unmap memory, unless another VM owns it too.  Raises MemoryInUseError if a slot lies on it."""
        for slot, _, _, nbytes, hva in self._slots.values():
            if hva < memory.end and memory.address < hva + nbytes:
                raise MemoryInUseError(f"slot {slot:#x} uses {memory!r}: delete the slot first")
        self.memory.remove(memory)
        memory.let_go()

    # -- how calls are made

    def _call(self, name: str, data: bytearray, fd: int | None = None) -> int:
        try:
            return int(ioctl(self.fd if fd is None else fd, NUMBERS[name], data))
        except OSError as error:
            return -(error.errno or 0)
        except ValueError:  # a negative file descriptor
            return -9

    def _with_pointer(self, name: str, layout: str, values: tuple[int, ...], raw: bytearray) -> int:
        import ctypes

        array = (ctypes.c_ubyte * len(raw)).from_buffer(raw)
        data = bytearray(struct.pack(layout, *values) + struct.pack("=Q", ctypes.addressof(array)))
        return self._call(name, data)

    def _plain(self, name: str, argument: int = 0) -> Outcome:
        return outcome_of(libc.ioctl(self.fd, NUMBERS[name], checked_uint("argument", argument)), name)

    # -- the end

    def close(self) -> None:
        """Close every descriptor, then unmap the memory that nobody views.  A second call does nothing."""
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
