"""The filter that lets the kernel pick out memory calls by their ioctl number.

Everything else, KVM_RUN too, runs without a stop.  Facts of linux/seccomp.h,
linux/filter.h and linux/audit.h.
"""

from __future__ import annotations

import ctypes
import os
import struct

from ..errors import DeviceUnavailableError
from ..uapi.calls import CALLS
from ..uapi.encoding import KVMIO
from .calls import ANY_SIZE, REQUESTS
from .mappings import NUMBERS

OURS = 0x6D73
"""What a stop says that our filter asked for, and not one of the program's own."""
_RET_ALLOW, _RET_TRACE = 0x7FFF0000, 0x7FF00000 | OURS
_LOAD, _JUMP, _JUMP_EQUAL, _JUMP_ANY_BIT, _AND, _RETURN = 0x20, 0x05, 0x15, 0x45, 0x54, 0x06
_NR_AT, _ARCH_AT, _FLAGS_AT, _REQUEST_AT = 0, 4, 16, 24
"""Offsets in struct seccomp_data; clone's flags are the low half of the first argument, the
request of the second.
"""
CLONE_UNTRACED = 0x00800000
_X32_BIT = 0x40000000
# machine of uname: (seccomp's own number, ((audit architecture, numbers of ioctl), ...))
_MACHINES: dict[str, tuple[int, tuple[tuple[int, tuple[int, ...]], ...]]] = {
    "x86_64": (317, ((0xC000003E, (16, _X32_BIT | 514)), (0x40000003, (54,)))),
    "aarch64": (277, ((0xC00000B7, (29,)), (0x40000028, (54,)))),
    "riscv64": (277, ((0xC00000F3, (29,)),)),
    "ppc64le": (358, ((0xC0000015, (54,)),)),
}
_SET_MODE_FILTER, _SPEC_ALLOW = 1, 4
_PR_SET_NO_NEW_PRIVS = 38
IOCTL_NUMBERS = {arch: numbers for _, arches in _MACHINES.values() for arch, numbers in arches}
"""Audit architecture: numbers of the ioctl system call."""
CLONE_NUMBERS = {0xC000003E: (56, _X32_BIT | 56), 0x40000003: (120,)}
"""Audit architecture: numbers of clone, where its flags can be changed (`registers`)."""
PTRACE_NUMBERS = {
    0xC000003E: (101, _X32_BIT | 521),
    0x40000003: (26,),
    0xC00000B7: (117,),
    0xC00000F3: (117,),
    0xC0000015: (26,),
    0x40000028: (26,),
}
"""Audit architecture: numbers of ptrace."""


OPEN_NUMBERS = {0xC000003E: {2: 0, 257: 1, 437: 1}}
"""Audit architecture, where a device can be faked: numbers of open and its kin, and which argument
is the path.
"""
LOOK_NUMBERS = {0xC000003E: {4: 0, 6: 0, 21: 0, 262: 1, 269: 1, 332: 1, 439: 1}}
"""Likewise of stat, access and their kin."""


def check_machine() -> None:
    """Raise DeviceUnavailableError where the recorder has no filter."""
    machine = os.uname().machine
    if machine not in _MACHINES:
        raise DeviceUnavailableError(
            f"the recorder knows {', '.join(_MACHINES)}, not {machine}: use strace there"
        )


def program(*, mappings: bool = False, runs: bool = False, faked: bool = False) -> bytes:
    """The filter as an array of struct sock_filter.

    mappings: stop at mmap and its kin too.  runs: at KVM_RUN too.  faked: at every call of KVM, and
    at those by which programs look for files.
    """
    check_machine()
    code: list[tuple[int, int, int, int]] = [(_LOAD, 0, 0, _ARCH_AT)]
    for arch, numbers in _MACHINES[os.uname().machine][1]:
        block = _block(arch, numbers, mappings=mappings, runs=runs, faked=faked)
        code += [(_JUMP_EQUAL, 1, 0, arch), (_JUMP, 0, 0, len(block)), *block]
    code.append((_RETURN, 0, 0, _RET_ALLOW))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def _block(
    arch: int, ioctls: tuple[int, ...], *, mappings: bool, runs: bool, faked: bool
) -> list[tuple[int, int, int, int]]:
    """What is done with the calls of one architecture: compared by number, then by what matters of
    each kind.
    """
    always = [*PTRACE_NUMBERS[arch], *(sorted(NUMBERS[arch]) if mappings else ())]
    if faked:
        always += [*OPEN_NUMBERS.get(arch, ()), *LOOK_NUMBERS.get(arch, ())]
    requests = _every_request() if faked else _request_code(runs=runs)
    clone = [
        (_LOAD, 0, 0, _FLAGS_AT),
        (_JUMP_ANY_BIT, 0, 1, CLONE_UNTRACED),
        (_RETURN, 0, 0, _RET_TRACE),
    ]
    allow = (_RETURN, 0, 0, _RET_ALLOW)
    # the kinds lie one behind the other, the last with the return that asks for a stop
    targets = {
        "clone": 1,
        "ioctl": 1 + len(clone) + 1,
        "always": 1 + len(clone) + 1 + len(requests) - 1,
    }
    compare = [(number, "ioctl") for number in ioctls]
    compare += [(number, "clone") for number in CLONE_NUMBERS.get(arch, ())]
    compare += [(number, "always") for number in always]
    block = [(_LOAD, 0, 0, _NR_AT)]
    block += [
        (_JUMP_EQUAL, len(compare) - at - 1 + targets[kind], 0, number)
        for at, (number, kind) in enumerate(compare)
    ]
    return [*block, allow, *clone, allow, *requests]


def _request_code(*, runs: bool) -> list[tuple[int, int, int, int]]:
    """Allow or trace by the request: its type is KVM's, its number one of the memory calls."""
    compare = [*sorted(REQUESTS), None, *sorted(ANY_SIZE)]
    code = [(_LOAD, 0, 0, _REQUEST_AT)]
    # most ioctls of a VMM by far: do not compare them with all the others
    code += [(_JUMP_EQUAL, 0, 1, CALLS["KVM_RUN"].request())]
    code.append((_RETURN, 0, 0, _RET_TRACE if runs else _RET_ALLOW))
    for at, value in enumerate(compare):
        to_trace = len(compare) - at
        code.append((_AND, 0, 0, 0xFFFF) if value is None else (_JUMP_EQUAL, to_trace, 0, value))
    return [*code, (_RETURN, 0, 0, _RET_ALLOW), (_RETURN, 0, 0, _RET_TRACE)]


def _every_request() -> list[tuple[int, int, int, int]]:
    """Allow or trace by the request's type alone."""
    load, mask = (_LOAD, 0, 0, _REQUEST_AT), (_AND, 0, 0, 0xFF00)
    compare = (_JUMP_EQUAL, 1, 0, KVMIO << 8)
    return [load, mask, compare, (_RETURN, 0, 0, _RET_ALLOW), (_RETURN, 0, 0, _RET_TRACE)]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


class Filter:
    """The filter, made ready before a fork so that the child only has to install it."""

    def __init__(self, *, mappings: bool = False, runs: bool = False, faked: bool = False) -> None:
        code = program(mappings=mappings, runs=runs, faked=faked)
        self._code = ctypes.create_string_buffer(code, len(code))
        self._program = _Program(len(code) // 8, ctypes.addressof(self._code))
        self._number = _MACHINES[os.uname().machine][0]
        self._libc = ctypes.CDLL(None, use_errno=True)

    def install(self) -> int:
        """Install it on the calling thread: 0 or an errno.

        Without privilege the kernel wants the promise that programs started later gain none.
        """
        error = self._try()
        if error:
            self._libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            error = self._try()
        return error

    def _try(self) -> int:
        # without the second flag older kernels slow the whole program down against speculation
        done = self._libc.syscall(
            self._number, _SET_MODE_FILTER, _SPEC_ALLOW, ctypes.byref(self._program)
        )
        return ctypes.get_errno() if done else 0
