"""A VM whose vCPU runs in a loop on a thread while slots come and go; then a KVM_RUN that fails.

Prints its process id, waits for a line with the argument "wait".
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import struct
import sys
import threading
import time

CREATE_VM, CREATE_VCPU, RUN, SET_REGION = 0xAE01, 0xAE41, 0xAE80, 0x4020AE46
MMAP_SIZE, GET_SREGS, SET_SREGS, SET_REGS = 0xAE04, 0x8138AE83, 0x4138AE84, 0x4090AE82
libc = ctypes.CDLL(None, use_errno=True)
libc.ioctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong)
memory = mmap.mmap(-1, 1 << 16)
HVA = ctypes.addressof(ctypes.c_char.from_buffer(memory))
memory[0x1000:0x1002] = b"\xeb\xfe"  # jmp to itself


def region(vm, slot, nbytes, gpa):
    data = ctypes.create_string_buffer(struct.pack("=IIQQQ", slot, 0, gpa, nbytes, HVA))
    libc.ioctl(vm, SET_REGION, ctypes.addressof(data))


def main():
    kvm = os.open("/dev/kvm", os.O_RDWR)
    vm = libc.ioctl(kvm, CREATE_VM, 0)
    region(vm, 0, 1 << 16, 0)
    vcpu = libc.ioctl(vm, CREATE_VCPU, 0)
    shared = mmap.mmap(vcpu, libc.ioctl(kvm, MMAP_SIZE, 0))
    sregs = ctypes.create_string_buffer(312)
    libc.ioctl(vcpu, GET_SREGS, ctypes.addressof(sregs))
    struct.pack_into("=Q", sregs, 0, 0)
    struct.pack_into("=H", sregs, 12, 0)
    libc.ioctl(vcpu, SET_SREGS, ctypes.addressof(sregs))
    regs = ctypes.create_string_buffer(struct.pack("=128xQQ", 0x1000, 2))
    libc.ioctl(vcpu, SET_REGS, ctypes.addressof(regs))
    signal.signal(signal.SIGUSR1, lambda *_: None)
    ids, done = [], []

    def run():
        ids.append(threading.get_native_id())
        while not done:
            if libc.ioctl(vcpu, RUN, 0) and ctypes.get_errno() not in (4, 11):
                break

    region(vm, 1, 0x2000, 0x100000)
    if "wait" in sys.argv:
        print(os.getpid(), flush=True)
        sys.stdin.readline()
    region(vm, 1, 0, 0)
    region(vm, 1, 0x2000, 0x100000)
    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.3)
    region(vm, 1, 0, 0)
    region(vm, 1, 0x2000, 0x100000)
    shared[1] = 1  # immediate_exit
    done.append(True)
    while thread.is_alive():
        os.kill(os.getpid(), 0)
        libc.tgkill(os.getpid(), ids[0], signal.SIGUSR1)
        time.sleep(0.02)
    libc.ioctl(vcpu, RUN, 1)  # an argument where there is none: EINVAL
    shared.close()


main()
