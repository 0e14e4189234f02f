"""Runs a command for which one system call fails with EPERM: NUMBER COMMAND...; as in a container
that forbids it.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

number, *command = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(38, 1, 0, 0, 0)
code = b"".join(
    struct.pack("HBBI", *instruction)
    for instruction in (
        (0x20, 0, 0, 0),
        (0x15, 0, 1, int(number)),
        (6, 0, 0, 0x00050001),
        (6, 0, 0, 0x7FFF0000),
    )
)
instructions = ctypes.create_string_buffer(code, len(code))


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


program = Program(len(code) // 8, ctypes.addressof(instructions))
if libc.prctl(22, 2, ctypes.byref(program)):
    sys.exit(f"no filter: {os.strerror(ctypes.get_errno())}")
os.execvp(command[0], command)
