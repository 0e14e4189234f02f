"""What a call that the kernel does not make leaves in the program's memory.

Facts of struct kvm_run and struct kvm_dirty_log in linux/kvm.h.
"""

from __future__ import annotations

import errno
import os
import struct

from ..record.runs import EXIT_REASON_AT, KVM_EXIT_MEMORY_FAULT, UNION_AT, kvm_run_at
from ..rules.answer import Accepted
from ..state.dirty_bitmap import DirtyBitmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..record.memory import Memory
    from .other_kernel import MadeCall


def write(tid: int, *pieces: tuple[int, bytes]) -> bool:
    """Write (address, bytes) into a thread's memory; False if not all could be written."""
    try:
        fd = os.open(f"/proc/{tid}/mem", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return all(os.pwrite(fd, data, address) == len(data) for address, data in pieces)
    except (OSError, OverflowError):
        return False
    finally:
        os.close(fd)


def write_memory_fault(tid: int, fd: int, fault: tuple[int, int, int]) -> bool:
    """KVM_EXIT_MEMORY_FAULT in the kvm_run page, as KVM_RUN leaves it beside EFAULT: gpa, bytes,
    flags.

    False if nobody knows where the page is.
    """
    gpa, nbytes, flags = fault
    reason, rest = struct.pack("=I", KVM_EXIT_MEMORY_FAULT), struct.pack("=QQQ", flags, gpa, nbytes)
    address = kvm_run_at(tid, fd)
    if address:
        return write(tid, (address + EXIT_REASON_AT, reason), (address + UNION_AT, rest))
    return write_page(tid, fd, (EXIT_REASON_AT, reason), (UNION_AT, rest))


def write_page(tid: int, fd: int, *pieces: tuple[int, bytes]) -> bool:
    """Write (offset, bytes) into the memory file that is a faked vCPU; False if it is none."""
    path = f"/proc/{tid}/fd/{fd}"
    try:
        if not os.readlink(path).startswith("/memfd:"):
            return False
        page = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return all(os.pwrite(page, data, at) == len(data) for at, data in pieces)
    except OSError:
        return False
    finally:
        os.close(page)


def write_bitmap(made: MadeCall, memory: Memory) -> int:
    """The dirty bitmap of an accepted KVM_GET_DIRTY_LOG, where the program wants it: 0, or the
    negated errno of a buffer that cannot be written.
    """
    answer, call = made.answer, made.call
    bitmap = answer.data if isinstance(answer, Accepted) else None
    if not isinstance(bitmap, DirtyBitmap) or made.vm is None:
        return 0
    pointer = memory.read(made.tid, made.argument + call.pointer_at, 8)
    if pointer is None:
        return -errno.EFAULT
    data = bitmap.to_bytes(made.vm.model.state.machine.long_bits)
    done = write(made.tid, (struct.unpack("=Q", pointer)[0], data))
    return 0 if done else -errno.EFAULT
