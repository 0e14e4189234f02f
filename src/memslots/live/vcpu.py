"""A vCPU that runs a few bytes of real-mode code (x86): enough to show a guest that really
writes.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from fcntl import ioctl

from ..uapi.encoding import request_number
from . import libc
from .device import NUMBERS
from .live_vm import LiveVm

_GET_SREGS, _SET_SREGS = request_number(0x83, 2, 312), request_number(0x84, 1, 312)
_SET_REGS = request_number(0x82, 1, 144)
EXIT_IO, EXIT_HLT, EXIT_MMIO, EXIT_SHUTDOWN, EXIT_FAIL_ENTRY, EXIT_INTERNAL = 2, 5, 6, 8, 9, 17
EXIT_NAMES = {
    EXIT_IO: "io",
    EXIT_HLT: "hlt",
    EXIT_MMIO: "mmio",
    EXIT_SHUTDOWN: "shutdown",
    EXIT_FAIL_ENTRY: "fail-entry",
    EXIT_INTERNAL: "internal-error",
}
_UNION = 32
"""Offset of the exit's details in struct kvm_run."""


class Exit:
    """Why the guest stopped."""

    __slots__ = ("data", "gpa", "is_write", "reason")

    def __init__(
        self, reason: int, gpa: int = 0, data: bytes = b"", *, is_write: bool = False
    ) -> None:
        self.reason = reason
        self.gpa = gpa
        """Guest-physical address of an MMIO access."""
        self.data = data
        """What an MMIO write wrote."""
        self.is_write = is_write

    @property
    def name(self) -> str:
        """`mmio`, `hlt`, or the number of a rarer exit."""
        return EXIT_NAMES.get(self.reason, str(self.reason))

    def __repr__(self) -> str:
        return f"<Exit {self.name} gpa {self.gpa:#x}{' write' if self.is_write else ''}>"


class Vcpu:
    """One vCPU of a live VM, started in real mode at an address below 64 KiB."""

    def __init__(self, vm: LiveVm, vcpu_id: int = 0) -> None:
        self.fd = vm.create_vcpu(vcpu_id).unwrap()
        self._vm = vm  # the descriptor lives as long as the VM
        nbytes = vm.device.vcpu_mmap_bytes()
        self._run = libc.mmap(0, nbytes, libc.PROT_READ | libc.PROT_WRITE, libc.MAP_SHARED, self.fd)
        self._run_bytes = nbytes

    def start_at(self, gpa: int) -> None:
        """Set cs = ds = 0, ip = gpa and clean flags.  Raises OSError."""
        sregs = bytearray(312)
        ioctl(self.fd, _GET_SREGS, sregs)
        for segment in range(
            8
        ):  # cs ds es fs gs ss tr ldt: 24 bytes each, base first, selector at 12
            struct.pack_into("=Q", sregs, segment * 24, 0)
            struct.pack_into("=H", sregs, segment * 24 + 12, 0)
        ioctl(self.fd, _SET_SREGS, sregs)
        regs = bytearray(144)
        struct.pack_into("=QQ", regs, 128, gpa, 2)  # rip, rflags with its fixed bit
        ioctl(self.fd, _SET_REGS, regs)

    def run(self, seconds: int = 5) -> Exit:
        """KVM_RUN up to the next exit.

        Raises TimeoutError, or OSError where the host cannot run it.
        """
        previous = signal.signal(signal.SIGALRM, _expired)
        signal.alarm(seconds)
        try:
            result = libc.ioctl(self.fd, NUMBERS["KVM_RUN"])
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, previous)
        if result < 0:
            raise OSError(-result, f"KVM_RUN: {os.strerror(-result)}")
        header = ctypes.string_at(self._run, 64)
        (reason,) = struct.unpack_from("=I", header, 8)
        if reason != EXIT_MMIO:
            return Exit(reason)
        gpa, data, length, is_write = struct.unpack_from("=Q8sIB", header, _UNION)
        return Exit(reason, gpa, data[:length], is_write=bool(is_write))

    def close(self) -> None:
        """Unmap the shared page; the VM closes the descriptor."""
        if self._run:
            libc.munmap(self._run, self._run_bytes)
            self._run = 0

    def __del__(self) -> None:
        if getattr(self, "_run", 0):
            self.close()


def _expired(_signal: int, _frame: object) -> None:
    raise TimeoutError("the guest did not stop")


def writes(addresses: list[int], value: int = 0x5A) -> bytes:
    """Real-mode code that writes one byte to each guest-physical address below 1 MiB, then
    halts.
    """
    code = bytearray()
    for gpa in addresses:
        if not 0 <= gpa < 1 << 20:
            raise ValueError(f"real mode reaches addresses below 1 MiB, not {gpa:#x}")
        code += b"\xb8" + struct.pack("<H", gpa >> 4)  # mov ax, segment
        code += b"\x8e\xd8"  # mov ds, ax
        code += b"\xc6\x06" + struct.pack("<HB", gpa & 15, value)  # mov byte [offset], value
    return bytes(code + b"\xf4")  # hlt
