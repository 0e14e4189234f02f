"""The kernel's memory, to look at: a BPF program of a few instructions that copies what it is asked
for.

The program belongs to no probe and to no VM.  It runs when we run it
(BPF_PROG_TEST_RUN, once), on our thread, and copies up to 64 pieces of memory into
a page that we have mapped.  Addresses that are not there give an error and harm
nothing (bpf_probe_read_kernel).  Facts of linux/bpf.h, Linux 5.10 and later; the
helper is for programs whose licence is compatible with the GPL, as ours is.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import resource
import struct
import sys

from ..errors import DeviceUnavailableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    class KernelMemory(Protocol):
        """Memory of one kernel: of the running one (`RunningKernelMemory`), or of a dump
        (`drgn_vms`).
        """

        def read(self, pieces: Sequence[tuple[int, int]]) -> list[bytes | None]:
            """The bytes of each (address, bytes); None for what cannot be read."""


PIECES = 64
"""Read by one run of the program."""
PIECE_BYTES = 4096
_NUMBERS = {
    "x86_64": 321,
    "aarch64": 280,
    "riscv64": 280,
    "ppc64le": 361,
    "ppc64": 361,
    "s390x": 351,
    "loongarch64": 280,
}
"""Machine: number of the system call bpf."""
_MAP_CREATE, _PROG_LOAD, _PROG_TEST_RUN = 0, 5, 10
_ARRAY, _MMAPABLE = 2, 1 << 10
_RAW_TRACEPOINT = 17
_LICENSE = b"Dual MIT/GPL"
_GET_CURRENT_TASK, _PROBE_READ_KERNEL = 35, 113
_LOAD_IMM64, _LOAD, _STORE, _CALL, _EXIT = 0x18, 0x79, 0x7B, 0x85, 0x95
_MOV, _MOV_IMM, _ADD_IMM, _JUMP_IF_ZERO, _JUMP_IF_ABOVE = 0xBF, 0xB7, 0x07, 0x15, 0x25
_MAP_VALUE = 2
"""Source register of a 64-bit load: the value is the address of a map's contents."""
_TABLE = 16
"""Bytes of the mapped area before the requests: the current task stands there."""
_DATA = 4096
"""Bytes of it before what was read."""
_AREA_BYTES = _DATA + PIECES * PIECE_BYTES
_ATTRIBUTE_BYTES = 128
_LOCKED_BYTES = 1 << 23
"""Room for map and program below RLIMIT_MEMLOCK, which counts them up to 5.10."""
_request = struct.Struct("=QQ")


class RunningKernelMemory:
    """Reads the running kernel's memory.  A context manager.

    Raises DeviceUnavailableError where that is not allowed.
    """

    def __init__(self) -> None:
        self._fds: list[int] = []
        self._area: mmap.mmap
        self._libc = ctypes.CDLL(None, use_errno=True)
        machine = os.uname().machine
        number = _NUMBERS.get(machine)
        if number is None or struct.calcsize("P") != 8:
            raise DeviceUnavailableError(f"reading a running kernel is not there for {machine}")
        self._number = number
        try:
            try:
                self._open()
            except PermissionError:
                self.close()
                with _MoreLocked():
                    self._open()
        except OSError as error:
            self.close()
            raise _unavailable(error) from None

    def _open(self) -> None:
        map_fd = self._bpf(_MAP_CREATE, struct.pack("=IIIII", _ARRAY, 4, _AREA_BYTES, 1, _MMAPABLE))
        self._fds.append(map_fd)
        self._area = mmap.mmap(map_fd, _AREA_BYTES)
        code = program(map_fd)
        instructions = ctypes.create_string_buffer(code, len(code))
        license_text = ctypes.create_string_buffer(_LICENSE)
        self._program = self._bpf(
            _PROG_LOAD,
            struct.pack(
                "=IIQQ", _RAW_TRACEPOINT, len(code) // 8,
                ctypes.addressof(instructions), ctypes.addressof(license_text),
            ),
        )  # fmt: skip
        self._fds.append(self._program)
        self._run = struct.pack("=I", self._program).ljust(_ATTRIBUTE_BYTES, b"\0")
        self._bpf(_PROG_TEST_RUN, self._run)

    def _bpf(self, command: int, attributes: bytes) -> int:
        buffer = ctypes.create_string_buffer(attributes, _ATTRIBUTE_BYTES)
        result = int(self._libc.syscall(self._number, command, buffer, _ATTRIBUTE_BYTES))
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result

    def current_task(self) -> int:
        """The address of our own struct task_struct."""
        self._bpf(_PROG_TEST_RUN, self._run)
        return int(struct.unpack_from("=Q", self._area)[0])

    def read(self, pieces: Sequence[tuple[int, int]]) -> list[bytes | None]:
        """The bytes of each (address, bytes); None for what cannot be read."""
        if any(nbytes > PIECE_BYTES for _, nbytes in pieces):
            return [self._read_long(address, nbytes) for address, nbytes in pieces]
        found: list[bytes | None] = []
        for first in range(0, len(pieces), PIECES):
            found += self._read_some(pieces[first : first + PIECES])
        return found

    def _read_long(self, address: int, nbytes: int) -> bytes | None:
        parts = self.read(
            [(address + at, min(PIECE_BYTES, nbytes - at)) for at in range(0, nbytes, PIECE_BYTES)]
        )  # fmt: skip
        whole = [part for part in parts if part is not None]
        return b"".join(whole) if len(whole) == len(parts) else None

    def _read_some(self, pieces: Sequence[tuple[int, int]]) -> list[bytes | None]:
        area = self._area
        for number, (address, nbytes) in enumerate(pieces):
            _request.pack_into(area, _TABLE + 16 * number, address & (1 << 64) - 1, nbytes)
        if len(pieces) < PIECES:
            _request.pack_into(area, _TABLE + 16 * len(pieces), 0, 0)
        self._bpf(_PROG_TEST_RUN, self._run)
        return [
            None
            if _request.unpack_from(area, _TABLE + 16 * number)[1]
            else area[_DATA + PIECE_BYTES * number : _DATA + PIECE_BYTES * number + nbytes]
            for number, (_, nbytes) in enumerate(pieces)
        ]

    def close(self) -> None:
        """Let go of program and map; the kernel frees them.  A second call does nothing."""
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()

    def __enter__(self) -> RunningKernelMemory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _MoreLocked:
    """While it is entered we may lock more memory, if we may say so.

    Raises PermissionError if not.
    """

    def __enter__(self) -> None:
        self._before = resource.getrlimit(resource.RLIMIT_MEMLOCK)
        hard = self._before[1]
        more = hard if hard == resource.RLIM_INFINITY else max(hard, _LOCKED_BYTES)
        try:
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (_LOCKED_BYTES, more))
        except ValueError as error:
            raise PermissionError(errno.EPERM, str(error)) from None

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, self._before)


def program(map_fd: int) -> bytes:
    """The BPF program: for each request (address, bytes), up to one of 0 bytes, copy and put the
    result over `bytes`.

    No loop, so that every verifier is content: straight through, register 6 at the mapped area.
    """
    head = [
        _instruction(_LOAD_IMM64, 6, _MAP_VALUE, 0, map_fd),
        _instruction(0),
        _instruction(_CALL, immediate=_GET_CURRENT_TASK),
        _instruction(_STORE, 6, 0, 0),
    ]
    body: list[bytes] = []
    each = 8
    for number in range(PIECES):
        to_end = each * (PIECES - number)
        place = _TABLE + 16 * number
        body += [
            _instruction(_LOAD, 2, 6, place + 8),
            _instruction(_JUMP_IF_ZERO, 2, 0, to_end - 2),
            _instruction(_JUMP_IF_ABOVE, 2, 0, to_end - 3, PIECE_BYTES),
            _instruction(_MOV, 1, 6),
            _instruction(_ADD_IMM, 1, 0, 0, _DATA + PIECE_BYTES * number),
            _instruction(_LOAD, 3, 6, place),
            _instruction(_CALL, immediate=_PROBE_READ_KERNEL),
            _instruction(_STORE, 6, 0, place + 8),
        ]
    return b"".join([*head, *body, _instruction(_MOV_IMM), _instruction(_EXIT)])


def _instruction(
    code: int, to: int = 0, source: int = 0, offset: int = 0, immediate: int = 0
) -> bytes:
    """struct bpf_insn; its two registers are four bits each, in the order of the machine's bit
    fields.
    """
    registers = source << 4 | to if sys.byteorder == "little" else to << 4 | source
    return struct.pack("=BBhi", code, registers, offset, immediate)


def _unavailable(error: OSError) -> DeviceUnavailableError:
    """What to do about it."""
    if error.errno in (errno.EPERM, errno.EACCES):
        if os.geteuid() != 0:
            return DeviceUnavailableError(
                "reading the slots of running VMs needs root (it looks at the kernel's memory "
                "with BPF): use sudo"
            )
        return DeviceUnavailableError(
            "the kernel does not let us read its memory with BPF: a container needs CAP_BPF and "
            "CAP_PERFMON,"
            " and lockdown must not be `confidentiality` (/sys/kernel/security/lockdown)"
        )
    if error.errno == errno.ENOSYS:
        return DeviceUnavailableError("this kernel has no BPF (CONFIG_BPF_SYSCALL)")
    return DeviceUnavailableError(
        f"the kernel does not run our BPF program ({error.strerror}): it takes Linux 5.10 with "
        "CONFIG_BPF_EVENTS"
    )
