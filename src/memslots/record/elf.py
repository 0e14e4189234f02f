"""What an ELF file of x86-64 says of an address in it: the function, and how to leave it.

Facts of the ELF and DWARF formats: .eh_frame says for each address of a program where the caller's
registers are; compilers leave it in because exceptions need it.
"""

from __future__ import annotations

import mmap
import os
import struct
from bisect import bisect_right

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_LOAD, _EH_FRAME_HDR = 1, 0x6474E550
_SYMTAB, _DYNSYM, _FUNCTION = 2, 11, 2
_HDR_ENCODINGS = b"\x01\x1b\x03\x3b"
"""Version 1, a table of 32-bit numbers relative to it: what linkers write."""
_ABSENT, _PC_RELATIVE, _SDATA4 = 0xFF, 0x10, 0x0B
_RETURN = 16
"""DWARF's number of the return address on x86-64; 7 is the stack pointer."""
_MOST_BYTES = 1 << 31


class Rules:
    """Where the caller's registers are: the frame's address is a register and an offset, and
    others lie at offsets from it.
    """

    __slots__ = ("at", "cfa_offset", "cfa_register")

    def __init__(self, register: int = 7, offset: int = 8) -> None:
        self.cfa_register, self.cfa_offset = register, offset
        self.at: dict[int, int] = {}

    def copy(self) -> Rules:
        """The same rules, apart."""
        twin = Rules(self.cfa_register, self.cfa_offset)
        twin.at = dict(self.at)
        return twin


class Elf:
    """One file.  Raises OSError, ValueError or struct.error where it is none that is known."""

    def __init__(self, path: str) -> None:
        with open(path, "rb") as file:
            if not 64 <= os.fstat(file.fileno()).st_size < _MOST_BYTES:
                raise ValueError("no program")
            self._data = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        head = struct.unpack_from("<16sHHIQQQIHHHHHH", self._data)
        if head[0][:6] != b"\x7fELF\x02\x01" or head[2] != 62:
            raise ValueError("no program of x86-64")
        self._loads: list[tuple[int, int, int]] = []
        """(offset in the file, bytes, address) of what is loaded."""
        self._hdr = 0
        for at in range(head[5], head[5] + head[10] * head[9], head[9]):
            kind, _, offset, address, _, nbytes = struct.unpack_from("<IIQQQQ", self._data, at)
            if kind == _LOAD:
                self._loads.append((offset, nbytes, address))
            elif kind == _EH_FRAME_HDR:
                self._hdr = address
        sections = [
            struct.unpack_from("<IIQQQQIIQQ", self._data, head[6] + number * head[11])
            for number in range(head[12])
        ]
        self._starts, self._functions = self._symbols(sections)
        self._entries: list[tuple[int, int]] = []
        """(address of a function, that of its entry), rising, of a file without a table of them."""
        if not self._hdr and head[13] < len(sections):
            self._entries = sorted(self._entries_of(sections, sections[head[13]][4]))

    def address_of(self, offset: int) -> int | None:
        """The address, as the file counts, of what lies at an offset in it."""
        for start, nbytes, address in self._loads:
            if start <= offset < start + nbytes:
                return address + offset - start
        return None

    def _offset_of(self, address: int) -> int:
        for start, nbytes, first in self._loads:
            if first <= address < first + nbytes:
                return start + address - first
        raise ValueError("an address that is not in the file")

    def _symbols(self, sections: list[tuple[int, ...]]) -> tuple[list[int], list[tuple[int, str]]]:
        """Addresses of functions, rising, and for each its bytes and name."""
        found: dict[int, tuple[int, str]] = {}
        for section in sections:
            if section[1] not in (_SYMTAB, _DYNSYM) or section[6] >= len(sections):
                continue
            names = sections[section[6]][4]
            table = self._data[section[4] : section[4] + section[5]]
            for name, info, _, index, value, nbytes in struct.iter_unpack("<IBBHQQ", table):
                if info & 15 == _FUNCTION and index:
                    end = self._data.find(b"\0", names + name)
                    text = self._data[names + name : min(end, names + name + 120)]
                    found[value] = (nbytes, text.decode(errors="replace"))
        starts = sorted(found)
        return starts, [found[start] for start in starts]

    def function(self, address: int) -> str:
        """`kvm_set_phys_mem+0x1a2`; empty if no symbol tells."""
        at = bisect_right(self._starts, address) - 1
        if at < 0:
            return ""
        nbytes, name = self._functions[at]
        into = address - self._starts[at]
        return f"{name}+{into:#x}" if into < max(nbytes, 1) else ""

    # -- how to leave a function

    def _entries_of(self, sections: list[tuple[int, ...]], names: int) -> Iterator[tuple[int, int]]:
        """What a linker's table of .eh_frame would say; linked statically there is often none."""
        for section in sections:
            name = names + section[0]
            if self._data[name : name + 10] != b".eh_frame\0":
                continue
            at, end, delta = section[4], section[4] + section[5], section[3] - section[4]
            while at + 16 <= end:
                nbytes, back = struct.unpack_from("<II", self._data, at)
                if nbytes in (0, 0xFFFF_FFFF):
                    break
                if back:  # else it is what entries have in common
                    (first,) = struct.unpack_from("<i", self._data, at + 8)
                    yield at + delta + 8 + first, at + delta
                at += 4 + nbytes

    def rules(self, address: int) -> Rules | None:
        """The rules at an address; None if the file has none for it."""
        if not self._hdr:
            place = bisect_right(self._entries, (address, 1 << 64)) - 1
            return self._of_entry(self._entries[place][1], address) if place >= 0 else None
        at = self._offset_of(self._hdr)
        if self._data[at : at + 4] != _HDR_ENCODINGS:
            return None
        (count,) = struct.unpack_from("<I", self._data, at + 8)
        low, high = 0, count
        while low < high:
            middle = (low + high) // 2
            (first,) = struct.unpack_from("<i", self._data, at + 12 + middle * 8)
            low, high = (middle + 1, high) if self._hdr + first <= address else (low, middle)
        if not low:
            return None
        (entry,) = struct.unpack_from("<i", self._data, at + 12 + (low - 1) * 8 + 4)
        return self._of_entry(self._hdr + entry, address)

    def _of_entry(self, entry: int, address: int) -> Rules | None:
        """The rules at an address by the entry (FDE) for its function."""
        at = self._offset_of(entry)
        nbytes, back = struct.unpack_from("<II", self._data, at)
        common = _Common(self._data, at + 4 - back)
        if common.encoding != _PC_RELATIVE | _SDATA4:
            return None
        start, length = struct.unpack_from("<iI", self._data, at + 8)
        start += entry + 8
        if not start <= address < start + length:
            return None
        body = _Bytes(self._data, at + 16, at + 4 + nbytes)
        if common.has_length:
            body.skip(body.unsigned())
        state = Rules()
        for _ in _run(common.body(), state, Rules(), common, 1 << 63):
            pass
        found = [state, *_run(body, state.copy(), state, common, address - start)]
        return found[-1]


class _Bytes:
    """Bytes that are read one after the other."""

    def __init__(self, data: mmap.mmap, at: int, end: int) -> None:
        self._data, self.at, self.end = data, at, min(end, len(data))

    def __bool__(self) -> bool:
        return self.at < self.end

    def take(self, layout: str) -> int:
        (value,) = struct.unpack_from(layout, self._data, self.at)
        self.at += struct.calcsize(layout)
        return int(value)

    def skip(self, nbytes: int) -> None:
        self.at += nbytes

    def unsigned(self) -> int:
        """A number in as many bytes as it needs (ULEB128)."""
        value = shift = 0
        while True:
            byte = self.take("<B")
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80 or shift > 70:
                return value

    def signed(self) -> int:
        """The same with a sign (SLEB128)."""
        start = self.at
        value = self.unsigned()
        bits = 7 * (self.at - start)
        return value - (1 << bits) if value >> (bits - 1) & 1 else value

    def text(self) -> bytes:
        end = self._data.find(b"\0", self.at)
        text, self.at = self._data[self.at : end], end + 1
        return text


class _Common:
    """What the entries of many functions share (CIE)."""

    def __init__(self, data: mmap.mmap, at: int) -> None:
        nbytes, _ = struct.unpack_from("<II", data, at)
        self._data, self._end = data, at + 4 + nbytes
        found = _Bytes(data, at + 8, self._end)
        version, letters = found.take("<B"), found.text()
        self.code_factor, self.data_factor = found.unsigned(), found.signed()
        if version == 1:
            found.skip(1)
        else:
            found.unsigned()
        self.encoding = 0
        self.has_length = letters[:1] == b"z"
        self._begin = found.at
        if self.has_length:
            nbytes = found.unsigned()
            self._begin = found.at + nbytes
        for letter in letters[1:]:
            if letter == ord("R"):
                self.encoding = found.take("<B")
            elif letter == ord("L"):
                found.skip(1)
            elif letter == ord("P"):
                kind = found.take("<B") & 0x0F
                found.skip({0: 8, 4: 8, 12: 8, 2: 2, 10: 2}.get(kind, 4))

    def body(self) -> _Bytes:
        """The instructions with which every function begins."""
        return _Bytes(self._data, self._begin, self._end)


def _run(
    code: _Bytes, now: Rules, first: Rules, common: _Common, until: int
) -> Iterator[Rules]:  # fmt: skip
    """Carry out instructions up to a place in the function; the rules after each of them.

    Ends early at one that is not known: then nothing can be said.  Raises ValueError.
    """
    place, saved = 0, list[Rules]()
    while code and place <= until:
        word = code.take("<B")
        high, low = word & 0xC0, word & 0x3F
        if high == 0x40 or word in (0x02, 0x03, 0x04):
            step = low if high else code.take({2: "<B", 3: "<H", 4: "<I"}[word])
            place += step * common.code_factor
        elif high == 0x80:
            now.at[low] = code.unsigned() * common.data_factor
        elif high == 0xC0 or word == 0x06:
            register = low if high else code.unsigned()
            now.at.pop(register, None)
            if register in first.at:
                now.at[register] = first.at[register]
        elif word == 0x0C:
            now.cfa_register, now.cfa_offset = code.unsigned(), code.unsigned()
        elif word == 0x0D:
            now.cfa_register = code.unsigned()
        elif word == 0x0E:
            now.cfa_offset = code.unsigned()
        elif word == 0x05:
            register = code.unsigned()
            now.at[register] = code.unsigned() * common.data_factor
        elif word in (0x07, 0x08):
            now.at.pop(code.unsigned(), None)
        elif word == 0x0A:
            saved.append(now.copy())
        elif word == 0x0B and saved:
            now = saved.pop()
        elif word == 0x2E:
            code.unsigned()
        elif word == 0x10:
            register = code.unsigned()
            code.skip(code.unsigned())
            now.at.pop(register, None)
        elif word:
            raise ValueError(f"an instruction {word:#x} of the frame's description")
        if place <= until:
            yield now
