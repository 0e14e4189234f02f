"""Who made a call: the functions above it, read from a thread that stands at the call's exit.

x86-64 only.  Where a file does not say how its functions are left, the frame pointer is taken.
"""

from __future__ import annotations

import ctypes
import os
import struct
from bisect import bisect_right

from . import ptrace
from .elf import Elf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .memory import Memory

MOST_FRAMES = 24
_GETREGS = 12
_WORDS = 27
_PLACES = (10, 12, 11, 5, 13, 14, 4, 19, 9, 8, 7, 6, 3, 2, 1, 0, 16)
"""Where the registers, in DWARF's order, stand in struct user_regs_struct."""
_CS, _CS_OF_64_BIT = 17, 0x33
_RBP, _RSP, _RIP = 6, 7, 16
_CALL_BYTES = 1


class Frame:
    """One function on the way to a call."""

    __slots__ = ("address", "text")

    def __init__(self, address: int, text: str) -> None:
        self.address = address
        self.text = text
        """`function+0x12 (file+0x3456)`, as much of it as is known."""


class _Map:
    """The files that a process has mapped to be executed."""

    def __init__(self, pid: int) -> None:
        self._starts: list[int] = []
        self._places: list[tuple[int, int, str]] = []
        with open(f"/proc/{pid}/maps", errors="surrogateescape") as file:
            for line in file:
                words = line.split(None, 5)
                if "x" in words[1]:
                    first, end = (int(word, 16) for word in words[0].split("-"))
                    path = words[5].strip() if len(words) > 5 else ""
                    self._starts.append(first)
                    self._places.append((end, int(words[2], 16) - first, path))

    def place(self, address: int) -> tuple[str, int] | None:
        """The file that lies at an address, and the offset in it."""
        at = bisect_right(self._starts, address) - 1
        if at < 0 or address >= self._places[at][0]:
            return None
        _, delta, path = self._places[at]
        return path, address + delta


class Backtraces:
    """Reads the frames of threads; keeps what it has learned of files."""

    def __init__(self) -> None:
        self._files: dict[tuple[int, int], Elf | None] = {}

    def frames(self, tid: int, memory: Memory) -> list[Frame]:
        """The frames of a stopped thread, the innermost first; none where they cannot be read."""
        words = (ctypes.c_uint64 * _WORDS)()
        if not ptrace.ask(_GETREGS, tid, 0, ctypes.addressof(words)):
            return []
        if words[_CS] != _CS_OF_64_BIT:
            return []
        registers = {number: words[place] for number, place in enumerate(_PLACES)}
        found: list[Frame] = []
        try:
            mapped = _Map(tid)
            while len(found) < MOST_FRAMES:
                # a return address may lie behind the last byte of its function
                address = registers[_RIP] - (_CALL_BYTES if found else 0)
                place = mapped.place(address)
                if place is None:
                    break
                path, offset = place
                elf = self._file(tid, path)
                found.append(Frame(registers[_RIP], _text(elf, path, offset)))
                if not self._leave(elf, offset, registers, tid, memory):
                    break
        except (OSError, ValueError, struct.error):
            return found
        return found

    def _file(self, tid: int, path: str) -> Elf | None:
        """What is known of a file, as the thread sees it."""
        if not path.startswith("/"):
            return None
        name = f"/proc/{tid}/root{path}"
        try:
            there = os.stat(name)
            key = (there.st_dev, there.st_ino)
            if key not in self._files:
                self._files[key] = None
                self._files[key] = Elf(name)
            return self._files[key]
        except (OSError, ValueError, struct.error):
            return None

    def _leave(
        self, elf: Elf | None, offset: int, registers: dict[int, int], tid: int, memory: Memory
    ) -> bool:
        """Make the registers those of the caller; False if that is not known."""
        address = None if elf is None else elf.address_of(offset)
        rules = None if elf is None or address is None else elf.rules(address)
        if rules is not None:
            if rules.cfa_register not in registers or _RIP not in rules.at:
                return False
            frame, places = registers[rules.cfa_register] + rules.cfa_offset, rules.at
        else:
            frame, places = registers[_RBP] + 16, {_RBP: -16, _RIP: -8}
        if not registers[_RSP] < frame < registers[_RSP] + (1 << 30):
            return False
        read = {}
        for number, at in places.items():
            data = memory.read(tid, frame + at, 8)
            if data is None:
                return False
            (read[number],) = struct.unpack("<Q", data)
        registers.update(read)
        registers[_RSP] = frame
        return registers[_RIP] != 0


def _text(elf: Elf | None, path: str, offset: int) -> str:
    name = os.path.basename(path) or "no file"
    address = None if elf is None else elf.address_of(offset)
    function = "" if elf is None or address is None else elf.function(address)
    where = f"{name}+{offset if address is None else address:#x}"
    return f"{function} ({where})" if function else where
