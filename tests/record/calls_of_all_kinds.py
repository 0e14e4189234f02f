"""Makes calls in a fixed order: from threads, forked and executed processes, with arguments that
are hard to read.

With an argument: so many pairs of calls on a VM of its own, with pauses of a millisecond, and no
more.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import sys
import tempfile
import threading
import time

CREATE_VM, CHECK_EXTENSION, RUN, SET_REGION, GET_DIRTY_LOG, ENABLE_CAP = (
    0xAE01, 0xAE03, 0xAE80, 0x4020AE46, 0x4010AE42, 0x4068AEA3,
)  # fmt: skip
libc = ctypes.CDLL(None)
libc.ioctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong)
memory = mmap.mmap(-1, 1 << 20)
memory[:64] = b"\x11" * 64
HVA = ctypes.addressof(ctypes.c_char.from_buffer(memory))


def region(vm, slot, size, gpa=0, flags=0, hva=HVA):
    data = ctypes.create_string_buffer(struct.pack("=IIQQQ", slot, flags, gpa, size, hva))
    libc.ioctl(vm, SET_REGION, ctypes.addressof(data))


def hidden(data, at=0):
    """Address of bytes that lie in a file of which no page is in our page tables."""
    with tempfile.TemporaryFile() as file:
        file.write(bytes(at) + data)
        file.truncate(8192)
        file.flush()
        mapping = mmap.mmap(file.fileno(), 8192, mmap.MAP_PRIVATE)
    KEPT.append(mapping)
    return ctypes.addressof(ctypes.c_char.from_buffer(mapping)) + at


KEPT: list[mmap.mmap] = []


def in_a_process(work):
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    os.waitpid(child, 0)


def main():
    kvm = os.open("/dev/kvm", os.O_RDWR)
    libc.ioctl(kvm, CHECK_EXTENSION, 10)
    vm = libc.ioctl(kvm, CREATE_VM, 0)
    region(vm, 0, 0x2000)
    region(vm, 0, 0x2000, flags=1)
    libc.ioctl(vm, RUN, 0)
    region(vm, 0, 0)
    region(vm, 0, 0, hva=0)  # all zero, and not there: EINVAL
    region(vm, 7, 0xFFFF_FFFF_FFFF_F000, gpa=0xFFFF_FFFF_FFFF_0000)
    libc.ioctl(vm, SET_REGION, 8)  # EFAULT
    libc.ioctl(vm, 0x4018AE46, HVA)  # a size that no kernel knows: ENOTTY
    libc.ioctl(-1, SET_REGION, 0)
    plain = struct.pack("=IIQQQ", 9, 0, 0x9000, 0x1000, HVA)
    libc.ioctl(vm, SET_REGION, hidden(plain))
    libc.ioctl(
        vm,
        SET_REGION,
        hidden(plain.replace(b"\x09", b"\x0a", 1).replace(b"\x00\x90", b"\x00\xa0"), 4096 - 16),
    )
    libc.ioctl(vm, ctypes.c_ulong(0xFFFF_FFFF_0000_0000 | GET_DIRTY_LOG).value, hidden(bytes(16)))
    libc.ioctl(vm, ENABLE_CAP, hidden(struct.pack("=IIQQQQ64x", 9999, 0, 1, 2, 3, 4)))
    thread = threading.Thread(target=region, args=(vm, 20, 0x1000, 0x20000))
    thread.start()
    thread.join()

    def with_a_vm():
        own = libc.ioctl(kvm, CREATE_VM, 0)
        region(own, 1, 0x1000)
        in_a_process(lambda: os.execv(sys.executable, [sys.executable, __file__, "2"]))

    in_a_process(with_a_vm)

    def exec_from_a_thread():
        other = threading.Thread(
            target=os.execv, args=(sys.executable, [sys.executable, __file__, "3"])
        )
        other.start()
        other.join()

    in_a_process(exec_from_a_thread)
    region(vm, 21, 0x1000, 0x21000)


def pairs(count):
    kvm = os.open("/dev/kvm", os.O_RDWR)
    vm = libc.ioctl(kvm, CREATE_VM, 0)
    for _ in range(count):
        region(vm, 1, 0x1000)
        region(vm, 1, 0)
        time.sleep(0.001)


if len(sys.argv) > 1:
    pairs(int(sys.argv[1]))
else:
    main()
