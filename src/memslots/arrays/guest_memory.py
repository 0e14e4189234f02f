"""Host and guest memory as numpy arrays of bytes.

A window onto memory copies nothing and keeps the memory mapped: closing the VM
or releasing the memory takes effect when the last array is gone.  What the host
writes, through a window or `write_guest`, KVM does not see: it marks nothing
dirty, and read-only slots are read-only for the guest.
"""

from __future__ import annotations

from ..uapi.region import checked_uint
from ..units import U64_MAX
from .extra import np
from .integers import checked_out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    import numpy.typing as npt

    from ..live import LiveVm
    from ..live.host_memory import HostMemory

    Octets: TypeAlias = npt.NDArray[np.uint8]
    Span: TypeAlias = tuple[HostMemory, int, int]


def host_memory(memory: HostMemory) -> Octets:
    """All bytes of host memory (uint8, writable), not copied.

    Raises ValueError if it is unmapped.
    """
    return np.frombuffer(memory.view(), np.uint8)


def guest_memory(vm: LiveVm, gpa: int, nbytes: int, as_id: int = 0) -> Octets:
    """Bytes [gpa, gpa + nbytes) of the guest (uint8, writable), not copied.

    It shows what the slots were backed by when it was made.  Raises ValueError
    for a hole, for memory that the VM does not own, and where the bytes do
    not follow each other in the host (`read_guest` copies those together).
    """
    spans = _spans(vm, gpa, nbytes, as_id)
    if not spans:
        return np.empty(0, np.uint8)
    if len(spans) > 1:
        memory, offset, length = spans[0]
        raise ValueError(
            f"gpas {gpa:#x} to {gpa + nbytes:#x} do not follow each other in the host:"
            f" after {length:#x} bytes at {memory.address + offset:#x} comes "
            f"{spans[1][0].address + spans[1][1]:#x}"
        )
    return _window(spans[0])


def read_guest(
    vm: LiveVm, gpa: int, nbytes: int, as_id: int = 0, *, out: Octets | None = None
) -> Octets:
    """A copy of the guest's bytes [gpa, gpa + nbytes) (uint8), over any number of slots.

    out: a contiguous uint8 array of nbytes for it.  Raises ValueError for a hole, and
    for memory that the VM does not own.
    """
    spans = _spans(vm, gpa, nbytes, as_id)
    result = checked_out(out, (nbytes,), np.uint8)
    done = 0
    for span in spans:
        np.copyto(result[done : done + span[2]], _window(span))
        done += span[2]
    return result


def write_guest(
    vm: LiveVm, gpa: int, data: bytes | bytearray | memoryview | npt.NDArray[Any], as_id: int = 0
) -> None:
    """Write bytes to the guest's memory from gpa on, over any number of slots.

    data: anything with a contiguous buffer; an array is written as it lies in
    memory.  Raises ValueError for a hole, and for memory that the VM does not
    own; nothing is written then.
    """
    octets = np.frombuffer(data, np.uint8) if len(data) else np.empty(0, np.uint8)
    done = 0
    for span in _spans(vm, gpa, octets.size, as_id):
        np.copyto(_window(span), octets[done : done + span[2]])
        done += span[2]


def _window(span: Span) -> Octets:
    memory, offset, nbytes = span
    return np.frombuffer(memory.view(), np.uint8, nbytes, offset)


def _spans(vm: LiveVm, gpa: int, nbytes: int, as_id: int) -> list[Span]:
    """(memory, offset, bytes) of each stretch that lies together in the host."""
    checked_uint("gpa", gpa)
    end = gpa + checked_uint("nbytes", nbytes, U64_MAX + 1 - gpa)
    spans: list[Span] = []
    while gpa < end:
        slot = vm.slot_at(gpa, as_id)
        if slot is None:
            raise ValueError(f"no slot at gpa {gpa:#x}")
        length = min(end, slot.end_gfn << vm.page_shift) - gpa
        hva = slot.userspace_addr + gpa - (slot.base_gfn << vm.page_shift)
        memory, offset = _owner(vm, hva, length, slot.slot_word)
        gpa += length
        if spans and spans[-1][0] is memory and spans[-1][1] + spans[-1][2] == offset:
            offset, length = spans[-1][1], spans.pop()[2] + length
        spans.append((memory, offset, length))
    return spans


def _owner(vm: LiveVm, hva: int, nbytes: int, slot_word: int) -> tuple[HostMemory, int]:
    for memory in vm.memory:
        if memory.address <= hva and hva + nbytes <= memory.end:
            return memory, hva - memory.address
    raise ValueError(
        f"slot {slot_word:#x} lies on memory that the VM does not own: vm.own(memory) keeps it "
        "mapped"
    )
