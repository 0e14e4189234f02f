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

from .. import abi
from ..outcome import Answer
from ..request import Request, checked_uint
from ..units import U32_MAX, U64_MAX
from . import libc
from .bitmap import LiveBitmap
from .device import NUMBERS, Device, number_of
from .memory import MAKERS, PAGE_BYTES, Guard, HostMemory
from .outcome import ACCEPTED, KernelMemoryError, LiveRefused, MemoryInUseError

TYPE_CHECKING = False
if TYPE_CHECKING:
    Outcome = Answer | LiveRefused

METADATA_BYTES_A_PAGE = 11
"""Kernel memory for one page of a slot, at most: x86 with shadow paging keeps 8 bytes of reverse
map, 2 of write tracking, a quarter of dirty bitmap, and less than a byte for large pages."""
DEFAULT_BUDGET_BYTES = 1 << 30
_MSR_KVM_WALL_CLOCK = 0x4B564D00
_KVM_SET_MSRS = number_of(0x89, 1, 8)
_REGION, _REGION2 = NUMBERS["KVM_SET_USER_MEMORY_REGION"], NUMBERS["KVM_SET_USER_MEMORY_REGION2"]
_pack_region = struct.Struct(abi.KVM_USERSPACE_MEMORY_REGION).pack_into
_pack_region2 = struct.Struct(abi.KVM_USERSPACE_MEMORY_REGION2).pack_into


class LiveVm:
    """One VM of the running kernel; a context manager that leaves nothing behind."""

    def __init__(
        self, device: Device | str | None = None, vm_type: int = 0, *, budget_bytes: int = DEFAULT_BUDGET_BYTES
    ) -> None:
        """KVM_CREATE_VM.  budget_bytes: kernel memory that its slots may cost.

        Raises DeviceUnavailableError without a device, OSError for a type that is refused.
        """
        self.fd = -1
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
        self._slots: dict[int, tuple[int, int]] = {}
        """Slot word: (memory_size, userspace_addr)."""
        self._buffer = bytearray(struct.calcsize(abi.KVM_USERSPACE_MEMORY_REGION))
        self._buffer2 = bytearray(struct.calcsize(abi.KVM_USERSPACE_MEMORY_REGION2))
        self._gmem_fds: set[int] = set()
        self._all_bytes = budget_bytes // METADATA_BYTES_A_PAGE * PAGE_BYTES
        self._room = self._all_bytes
        self._creator = os.getpid()
        self._guard = Guard()

    # -- the region calls

    def set_user_memory_region(
        self, slot: int, flags: int, guest_phys_addr: int, memory_size: int, userspace_addr: int
    ) -> Outcome:
        """KVM_SET_USER_MEMORY_REGION.  Raises KernelMemoryError beyond the budget, ValueError as the model."""
        try:
            if memory_size > self._room:
                self._refuse_beyond_budget(slot, memory_size)
            _pack_region(self._buffer, 0, slot, flags, guest_phys_addr, memory_size, userspace_addr)
            ioctl(self.fd, _REGION, self._buffer)
        except OSError as error:
            return LiveRefused(error.errno or 0, "KVM_SET_USER_MEMORY_REGION")
        except (struct.error, TypeError):
            Request(slot, flags, guest_phys_addr, memory_size, userspace_addr)  # names the culprit
            raise
        if self._slots.get(slot) != (memory_size, userspace_addr):
            self._remember(slot, memory_size, userspace_addr)
        return ACCEPTED

    def set_user_memory_region2(
        self,
        slot: int,
        flags: int,
        guest_phys_addr: int,
        memory_size: int,
        userspace_addr: int,
        guest_memfd: int = 0,
        guest_memfd_offset: int = 0,
    ) -> Outcome:
        """KVM_SET_USER_MEMORY_REGION2 (6.8 and later)."""
        request = Request(
            slot, flags, guest_phys_addr, memory_size, userspace_addr, guest_memfd, guest_memfd_offset, True
        )  # fmt: skip
        if memory_size > self._room:
            self._refuse_beyond_budget(slot, memory_size)
        self._pack2(request)
        try:
            ioctl(self.fd, _REGION2, self._buffer2)
        except OSError as error:
            return LiveRefused(error.errno or 0, "KVM_SET_USER_MEMORY_REGION2")
        self._remember(request.slot, request.memory_size, request.userspace_addr)
        return ACCEPTED

    def submit(self, request: Request, *, by_other_process: bool = False) -> Outcome:
        """A region call as a value; by_other_process makes a forked child call."""
        if request.memory_size > self._room:
            self._refuse_beyond_budget(request.slot, request.memory_size)
        if by_other_process:
            return self._in_child(request)
        if request.readable_bytes < (160 if request.region2 else 32):
            return self._cut_short(request)
        if request.region2:
            return self.set_user_memory_region2(
                request.slot, request.flags, request.guest_phys_addr, request.memory_size, request.userspace_addr,
                request.guest_memfd, request.guest_memfd_offset,
            )  # fmt: skip
        return self.set_user_memory_region(
            request.slot, request.flags, request.guest_phys_addr, request.memory_size, request.userspace_addr
        )

    def _pack2(self, request: Request) -> None:
        _pack_region2(
            self._buffer2, 0, request.slot, request.flags, request.guest_phys_addr, request.memory_size,
            request.userspace_addr, request.guest_memfd_offset, request.guest_memfd, 0,
        )  # fmt: skip

    def _remember(self, slot: int, memory_size: int, userspace_addr: int) -> None:
        old = self._slots.pop(slot, None)
        if old is not None:
            self._room += old[0]
        if memory_size:
            self._slots[slot] = (memory_size, userspace_addr)
            self._room -= memory_size

    def _refuse_beyond_budget(self, slot: int, memory_size: int) -> None:
        """Raise KernelMemoryError, unless the kernel refuses such a size before it allocates anything."""
        if memory_size // PAGE_BYTES > abi.KVM_MEM_MAX_NR_PAGES or memory_size % PAGE_BYTES:
            return
        old = self._slots.get(slot)
        # a slot that stays in place allocates nothing; one that moves is allocated anew
        needed = (self._all_bytes - self._room + memory_size) // PAGE_BYTES * METADATA_BYTES_A_PAGE
        if old is None or old[0] == memory_size:
            budget = self._all_bytes // PAGE_BYTES * METADATA_BYTES_A_PAGE
            raise KernelMemoryError(
                f"a slot of {memory_size:#x} bytes may bring this VM's slots to {needed >> 20} MiB of kernel memory;"
                f" the budget is {budget >> 20} MiB (give LiveVm another budget_bytes to allow it)"
            )

    def _packed(self, request: Request) -> tuple[int, bytearray]:
        if request.region2:
            self._pack2(request)
            return _REGION2, self._buffer2
        _pack_region(
            self._buffer, 0, request.slot, request.flags, request.guest_phys_addr, request.memory_size,
            request.userspace_addr,
        )  # fmt: skip
        return _REGION, self._buffer

    def _cut_short(self, request: Request) -> Outcome:
        number, data = self._packed(request)
        result = libc.ioctl(self.fd, number, self._guard.place(data, request.readable_bytes))
        if result == 0:
            self._remember(request.slot, request.memory_size, request.userspace_addr)
        return self._outcome(result, request.ioctl)

    def _in_child(self, request: Request) -> Outcome:
        number, data = self._packed(request)
        child = os.fork()
        if child == 0:
            try:
                ioctl(self.fd, number, data)
                os._exit(0)
            except OSError as error:
                os._exit(error.errno or 255)
        _, status = os.waitpid(child, 0)
        return self._outcome(-os.waitstatus_to_exitcode(status), request.ioctl)

    # -- dirty logging

    def get_dirty_log(self, slot: int, buffer_bytes: int | None = None) -> Outcome:
        """KVM_GET_DIRTY_LOG; `outcome.data` is the bitmap handed out."""
        checked_uint("slot", slot, U32_MAX)
        npages = self._slots.get(slot, (0, 0))[0] // PAGE_BYTES
        nbytes = (npages + 63) // 64 * 8
        if buffer_bytes is None or buffer_bytes >= nbytes:
            raw = bytearray(nbytes or 8)
            result = self._with_pointer("KVM_GET_DIRTY_LOG", "=II", (slot, 0), raw)
            if result == 0:
                return Answer(data=LiveBitmap(npages, bytes(raw)))
            return LiveRefused(-result, "KVM_GET_DIRTY_LOG")
        pointer = self._guard.place(b"", buffer_bytes)
        data = bytearray(struct.pack(abi.KVM_DIRTY_LOG, slot, 0, pointer))
        return self._outcome(self._call("KVM_GET_DIRTY_LOG", data), "KVM_GET_DIRTY_LOG")

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
        return self._outcome(result, "KVM_CLEAR_DIRTY_LOG")

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
        return self._outcome(libc.ioctl(fd, NUMBERS["KVM_CHECK_EXTENSION"], capability), "KVM_CHECK_EXTENSION")

    def enable_cap(self, capability: int, *arguments: int, flags: int = 0) -> Outcome:
        """KVM_ENABLE_CAP with up to four arguments."""
        four = (*arguments, 0, 0, 0, 0)[:4]
        data = bytearray(struct.pack(abi.KVM_ENABLE_CAP, capability, flags, *four))
        return self._outcome(self._call("KVM_ENABLE_CAP", data), f"KVM_ENABLE_CAP({capability})")

    def create_irqchip(self) -> Outcome:
        """KVM_CREATE_IRQCHIP."""
        return self._plain("KVM_CREATE_IRQCHIP")

    def create_vcpu(self, vcpu_id: int) -> Outcome:
        """KVM_CREATE_VCPU; the value is its file descriptor, which the VM closes."""
        result = libc.ioctl(self.fd, NUMBERS["KVM_CREATE_VCPU"], checked_uint("vcpu_id", vcpu_id))
        if result >= 0:
            self.vcpu_fds[vcpu_id] = result
        return self._outcome(result, "KVM_CREATE_VCPU")

    def set_tss_addr(self, gpa: int) -> Outcome:
        """KVM_SET_TSS_ADDR."""
        return self._plain("KVM_SET_TSS_ADDR", gpa)

    def set_identity_map_addr(self, gpa: int) -> Outcome:
        """KVM_SET_IDENTITY_MAP_ADDR."""
        data = bytearray(struct.pack("=Q", gpa))
        return self._outcome(self._call("KVM_SET_IDENTITY_MAP_ADDR", data), "KVM_SET_IDENTITY_MAP_ADDR")

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
        return self._outcome(result, "KVM_CREATE_GUEST_MEMFD")

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
        return self._outcome(self._call("KVM_SET_MEMORY_ATTRIBUTES", data), "KVM_SET_MEMORY_ATTRIBUTES")

    def pre_fault_memory(self, gpa: int, size_bytes: int, flags: int = 0) -> Outcome:
        """KVM_PRE_FAULT_MEMORY on the first vCPU (EBADF without one)."""
        data = bytearray(struct.pack(abi.KVM_PRE_FAULT_MEMORY, gpa, size_bytes, flags))
        fd = next(iter(self.vcpu_fds.values()), -1)
        return self._outcome(self._call("KVM_PRE_FAULT_MEMORY", data, fd), "KVM_PRE_FAULT_MEMORY")

    # -- host memory

    def allocate(self, nbytes: int, kind: str = "anonymous") -> HostMemory:
        """Memory that the VM owns: kind is anonymous, memfd or sparse; see `live.memory` for files."""
        if kind not in MAKERS:
            raise ValueError(f"kind is one of {', '.join(MAKERS)}, not {kind!r}")
        return self.own(MAKERS[kind](nbytes))

    def own(self, memory: HostMemory) -> HostMemory:
        """Keep memory mapped for as long as the VM lives."""
        self.memory.append(memory)
        return memory

    def release(self, memory: HostMemory) -> None:
        """Unmap memory.  Raises MemoryInUseError if a slot lies on it."""
        for slot, (nbytes, hva) in self._slots.items():
            if hva < memory.end and memory.address < hva + nbytes:
                raise MemoryInUseError(f"slot {slot:#x} uses {memory!r}: delete the slot first")
        self.memory.remove(memory)
        memory.unmap()

    # -- look-ups

    @property
    def total_pages(self) -> int:
        """Host pages of all user slots."""
        return sum(nbytes for nbytes, _ in self._slots.values()) // PAGE_BYTES

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
        return self._outcome(libc.ioctl(self.fd, NUMBERS[name], checked_uint("argument", argument)), name)

    def _outcome(self, result: int, call: str) -> Outcome:
        if result < 0:
            return LiveRefused(-result, call)
        return Answer(value=result) if result else ACCEPTED

    # -- the end

    def close(self) -> None:
        """Close every descriptor, then unmap the memory.  A second call does nothing."""
        if self.fd >= 0 and self._creator == os.getpid():
            for fd in (*self.vcpu_fds.values(), *self._gmem_fds, self.fd):
                os.close(fd)
            for memory in self.memory:
                memory.unmap()
        self.fd = -1
        self.vcpu_fds, self._slots, self.memory, self._gmem_fds = {}, {}, [], set()
        self._room = self._all_bytes
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
