"""The calls that make, change and delete slots, and what they may cost: the part of `LiveVm` that
has to be quick.

The kernel takes 9 to 40 us for such a call and leaves cold caches behind, so each
object that Python touches here counts.
"""

from __future__ import annotations

import os
import struct
import sys
from fcntl import ioctl
from itertools import islice, repeat

from ..uapi.calls import CALLS
from ..uapi.flags import KVM_MEM_MAX_NR_PAGES
from ..uapi.region import Region
from . import libc
from .answer import ACCEPTED, KernelMemoryError, LiveRefused, answer_of
from .device import NUMBERS
from .host_memory import PAGE_BYTES, Guard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TypeAlias

    from .answer import LiveAnswer

    Numbers: TypeAlias = tuple[int, int, int, int, int]

METADATA_BYTES_A_PAGE = 11
"""Kernel memory for one page of a slot, at most: x86 with shadow paging keeps 8 bytes of reverse
map, 2 of write tracking, a quarter of dirty bitmap, and less than a byte for large pages."""
_BATCH = 1024
_FLAGS_AT = 4 if sys.byteorder == "little" else 7
"""The lowest byte of the flags in the struct: KVM has three flags."""
_REGION, _REGION2 = NUMBERS["KVM_SET_USER_MEMORY_REGION"], NUMBERS["KVM_SET_USER_MEMORY_REGION2"]
# native order: the fields have no gaps either way, and it packs in half the time of "="
_region = struct.Struct(CALLS["KVM_SET_USER_MEMORY_REGION"].struct.format.replace("=", "@"))
_pack_region, _new_region = _region.pack_into, _region.pack
_pack_region2 = CALLS["KVM_SET_USER_MEMORY_REGION2"].struct.pack_into


class Regions:
    """The slots of one VM and the calls that set them.  Refuses what is beyond the budget."""

    __slots__ = (
        "_all_bytes",
        "_buffer",
        "_buffer2",
        "_described",
        "_guard",
        "_last_flags",
        "_room",
        "_shared",
        "_slots",
        "fd",
    )

    def __init__(self, budget_bytes: int) -> None:
        self.fd = -1
        self._slots: dict[int, Numbers] = {}
        """Slot word: the last accepted call that did more than change flags."""
        self._last_flags: int | None = None
        """Flags that the slot of `_described` has been given since its entry in `_slots`."""
        self._buffer = bytearray(_region.size)
        self._described: tuple[int, int, int, int] | None = None
        """What the buffer holds besides flags, if that slot was accepted so and no slot has
        changed since.
        """
        self._buffer2 = bytearray(CALLS["KVM_SET_USER_MEMORY_REGION2"].argument_bytes)
        self._all_bytes = self._room = budget_bytes // METADATA_BYTES_A_PAGE * PAGE_BYTES
        self._shared = 0
        """Of these, bytes that are not for this VM: see `share`."""
        self._guard = Guard()

    @property
    def metadata_bytes(self) -> int:
        """Kernel memory that the slots may cost, at most."""
        return (self._all_bytes - self._shared - self._room) // PAGE_BYTES * METADATA_BYTES_A_PAGE

    def share(self, taken_bytes: int) -> None:
        """Of the budget, so much kernel memory is taken by others."""
        shared = taken_bytes // METADATA_BYTES_A_PAGE * PAGE_BYTES
        self._room -= shared - self._shared
        self._shared = shared
        self._settle()
        self._described = None

    def set_user_memory_region(
        self, slot: int, flags: int, guest_phys_addr: int, memory_size: int, userspace_addr: int
    ) -> LiveAnswer:
        """KVM_SET_USER_MEMORY_REGION.

        Raises KernelMemoryError beyond the budget, ValueError as the model.
        """
        described = (slot, guest_phys_addr, memory_size, userspace_addr)
        try:
            if described == self._described:  # only the flags can differ: no budget
                buffer = self._buffer
                buffer[_FLAGS_AT] = flags
                ioctl(self.fd, _REGION, buffer)
                self._last_flags = flags
                return ACCEPTED
            if memory_size > self._room:
                self._refuse_beyond_budget(slot, memory_size)
            if self._last_flags is not None:
                self._settle()
            self._described = None
            _pack_region(self._buffer, 0, slot, flags, guest_phys_addr, memory_size, userspace_addr)
            ioctl(self.fd, _REGION, self._buffer)
        except OSError as error:
            return LiveRefused(error.errno or 0, "KVM_SET_USER_MEMORY_REGION")
        except (struct.error, TypeError, ValueError):
            Region(slot, flags, guest_phys_addr, memory_size, userspace_addr)  # names the culprit
            if described != self._described:
                raise
            self._settle()
            self._described = None  # flags beyond a byte: the long way
            return self.set_user_memory_region(
                slot, flags, guest_phys_addr, memory_size, userspace_addr
            )
        region = (slot, flags, guest_phys_addr, memory_size, userspace_addr)
        if (
            memory_size and slot not in self._slots
        ):  # as _remember, without a call: most calls make slots
            self._slots[slot] = region
            self._room -= memory_size
        else:
            self._remember(region)
        if (
            0 < memory_size <= self._room and flags < 256
        ):  # else the next call goes the long way too
            self._described = described
        return ACCEPTED

    def set_user_memory_regions(self, regions: Iterable[Numbers]) -> list[int]:
        """KVM_SET_USER_MEMORY_REGION for each (slot, flags, guest_phys_addr, memory_size,
        userspace_addr).

        The results in order, 0 or the negated errno; a refused call does not keep the
        following from being made.  Up to 1024 calls are prepared before the first of
        them is made.  Raises as `set_user_memory_region` does.
        """
        results: list[int] = []
        remaining: Iterator[Numbers] = map(tuple, regions)  # type: ignore[arg-type]
        while batch := list(islice(remaining, _BATCH)):
            self._make_batch(batch, results)
        return results

    def _make_batch(self, batch: list[Numbers], results: list[int]) -> None:
        try:
            buffers = [bytearray(_new_region(*region)) for region in batch]
            beyond = sum([region[3] for region in batch]) > self._room
        except (struct.error, TypeError):
            beyond = True
        if (
            beyond
        ):  # some call may be, or is no call at all: one at a time, to raise where it is due
            results += [self.set_user_memory_region(*region).result for region in batch]
            return
        answers: list[int] = []
        calls = map(ioctl, repeat(self.fd), repeat(_REGION), buffers)
        try:
            while len(answers) < len(batch):
                try:
                    answers.extend(
                        calls
                    )  # no byte code between calls; those before a refused one stay
                except OSError as error:
                    answers.append(-(error.errno or 0))
        finally:  # whatever stopped it, the kernel has made these
            self._remember_batch(batch, answers)
        results += answers

    def _remember_batch(self, batch: list[Numbers], answers: list[int]) -> None:
        self._settle()
        known = self._slots
        for region, answer in zip(batch, answers):
            if answer:
                continue
            if region[3] and region[0] not in known:
                known[region[0]] = region
                self._room -= region[3]
            else:
                self._remember(region)
        self._described = None

    def set_user_memory_region2(
        self,
        slot: int,
        flags: int,
        guest_phys_addr: int,
        memory_size: int,
        userspace_addr: int,
        guest_memfd: int = 0,
        guest_memfd_offset: int = 0,
    ) -> LiveAnswer:
        """KVM_SET_USER_MEMORY_REGION2 (6.8 and later)."""
        request = Region(
            slot, flags, guest_phys_addr, memory_size, userspace_addr, guest_memfd,
            guest_memfd_offset, True
        )  # fmt: skip
        if memory_size > self._room:
            self._refuse_beyond_budget(slot, memory_size)
        self._pack2(request)
        try:
            ioctl(self.fd, _REGION2, self._buffer2)
        except OSError as error:
            return LiveRefused(error.errno or 0, "KVM_SET_USER_MEMORY_REGION2")
        self._remember_request(request)
        return ACCEPTED

    def submit(self, request: Region, *, by_other_process: bool = False) -> LiveAnswer:
        """A region call as a value; by_other_process makes a forked child call."""
        if request.memory_size > self._room:
            self._refuse_beyond_budget(request.slot, request.memory_size)
        if by_other_process:
            return self._in_child(request)
        if request.readable_bytes < (160 if request.region2 else 32):
            return self._cut_short(request)
        if request.region2:
            return self.set_user_memory_region2(
                request.slot, request.flags, request.guest_phys_addr, request.memory_size,
                request.userspace_addr,
                request.guest_memfd, request.guest_memfd_offset,
            )  # fmt: skip
        return self.set_user_memory_region(
            request.slot,
            request.flags,
            request.guest_phys_addr,
            request.memory_size,
            request.userspace_addr,
        )

    def _pack2(self, request: Region) -> None:
        _pack_region2(
            self._buffer2, 0, request.slot, request.flags, request.guest_phys_addr,
            request.memory_size,
            request.userspace_addr, request.guest_memfd_offset, request.guest_memfd,
        )  # fmt: skip

    def _remember(self, region: Numbers) -> None:
        slot, memory_size = region[0], region[3]
        self._settle()
        self._described = None
        old = self._slots.pop(slot, None)
        if old is not None:
            self._room += old[3]
        if memory_size:
            self._slots[slot] = region
            self._room -= memory_size

    def _settle(self) -> None:
        """Write the flags of the last calls into `_slots`."""
        if self._described is not None and self._last_flags is not None:
            slot = self._described[0]
            _, _, guest_phys_addr, memory_size, userspace_addr = self._slots[slot]
            self._slots[slot] = (
                slot,
                self._last_flags,
                guest_phys_addr,
                memory_size,
                userspace_addr,
            )
        self._last_flags = None

    def _remember_request(self, request: Region) -> None:
        self._remember(
            (
                request.slot,
                request.flags,
                request.guest_phys_addr,
                request.memory_size,
                request.userspace_addr,
            )
        )

    def _forget_slots(self) -> None:
        self._slots = {}
        self._room = self._all_bytes - self._shared
        self._described = self._last_flags = None

    def _refuse_beyond_budget(self, slot: int, memory_size: int) -> None:
        """Raise KernelMemoryError, unless the kernel refuses such a size before it allocates
        anything.
        """
        if memory_size // PAGE_BYTES > KVM_MEM_MAX_NR_PAGES or memory_size % PAGE_BYTES:
            return
        old = self._slots.get(slot)
        # a slot that stays in place allocates nothing; one that moves is allocated anew
        needed = (self._all_bytes - self._room + memory_size) // PAGE_BYTES * METADATA_BYTES_A_PAGE
        if old is None or old[3] == memory_size:
            budget = self._all_bytes // PAGE_BYTES * METADATA_BYTES_A_PAGE
            raise KernelMemoryError(
                f"a slot of {memory_size:#x} bytes may bring this VM's slots to {needed >> 20} "
                "MiB of kernel memory;"
                f" the budget is {budget >> 20} MiB (give LiveVm another budget_bytes to allow it)"
            )

    def _packed(self, request: Region) -> tuple[int, bytearray]:
        if request.region2:
            self._pack2(request)
            return _REGION2, self._buffer2
        data = _new_region(
            request.slot,
            request.flags,
            request.guest_phys_addr,
            request.memory_size,
            request.userspace_addr,
        )
        return _REGION, bytearray(data)

    def _cut_short(self, request: Region) -> LiveAnswer:
        number, data = self._packed(request)
        result = libc.ioctl(self.fd, number, self._guard.place(data, request.readable_bytes))
        if result == 0:
            self._remember_request(request)
        return answer_of(result, request.ioctl)

    def _in_child(self, request: Region) -> LiveAnswer:
        number, data = self._packed(request)
        child = os.fork()
        if child == 0:
            try:
                ioctl(self.fd, number, data)
                os._exit(0)
            except OSError as error:
                os._exit(error.errno or 255)
        _, status = os.waitpid(child, 0)
        return answer_of(-os.waitstatus_to_exitcode(status), request.ioctl)
