"""BTF: the kernel's own description of its types (/sys/kernel/btf), read for the places of members.

A file is a header, type records of varying lengths and a table of names.  The
number of a type is its place among the records, so all are walked once.  A
module's file goes on where that of the kernel ends, in numbers and in names.
Layout: Documentation/bpf/btf.rst.
"""

from __future__ import annotations

import os
import struct

from ..errors import DeviceUnavailableError, MemslotsError
from .kernel_types import StructField

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

BTF_FOLDER = "/sys/kernel/btf"
_OF_THE_KERNEL, _OF_KVM = "vmlinux", "kvm"
_MAGIC = 0xEB9F
_INT, _PTR, _ARRAY, _STRUCT, _UNION, _ENUM = range(1, 7)
_TYPEDEF, _VOLATILE, _CONST, _RESTRICT, _FLOAT, _TYPE_TAG, _ENUM64 = 8, 9, 10, 11, 16, 18, 19
_SAME_AS = frozenset((_TYPEDEF, _VOLATILE, _CONST, _RESTRICT, _TYPE_TAG))
"""Kinds that stand for another type."""
_SIZED = frozenset((_INT, _STRUCT, _UNION, _ENUM, _FLOAT, _ENUM64))
_FIXED_BYTES = (0, 4, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 4, 0, 0)
"""Kind: bytes after the common part of a record."""
_EACH_BYTES = (0, 0, 0, 0, 12, 12, 8, 0, 0, 0, 0, 0, 0, 8, 0, 12, 0, 0, 0, 12)
"""Kind: bytes for each member, value or parameter."""
_RECORD = struct.Struct("=III")
_POINTER_BYTES = struct.calcsize("P")
_DEPTH = 32
"""Types that stand for one another are followed so far."""


class BtfError(MemslotsError):
    """A description of types that cannot be read."""


class Btf:
    """One file, with that of the kernel below it if it is a module's."""

    def __init__(self, data: bytes, base: Btf | None = None) -> None:
        """Walk the records.  Raises BtfError."""
        self._base = base
        try:
            magic, _, _, header_bytes, type_at, type_bytes, name_at, name_bytes = (
                struct.unpack_from("=HBBIIIII", data)
            )
        except struct.error:
            raise BtfError("BTF ends within its header") from None
        if magic != _MAGIC:
            raise BtfError("this is no BTF of this machine's byte order")
        self._data = data
        first = header_bytes + type_at
        self._names = data[header_bytes + name_at : header_bytes + name_at + name_bytes]
        if len(self._names) != name_bytes or first + type_bytes > len(data):
            raise BtfError("BTF is cut")
        self._first_id = base.nr_types if base else 1
        self._first_name = base.name_bytes if base else 0
        self._at: list[int] = []
        self._by_name: dict[int, list[int]] = {}
        """Where a name stands: the structures of that name."""
        self._walk(first, first + type_bytes)

    def _walk(self, at: int, end: int) -> None:
        data, unpack, places, by_name = self._data, _RECORD.unpack_from, self._at, self._by_name
        number = self._first_id
        try:
            while at < end:
                name, info, _ = unpack(data, at)
                kind = info >> 24 & 0x1F
                if kind == _STRUCT:
                    by_name.setdefault(name, []).append(number)
                places.append(at)
                at += 12 + _FIXED_BYTES[kind] + _EACH_BYTES[kind] * (info & 0xFFFFFF)
                number += 1
        except IndexError:
            raise BtfError(f"BTF has a type of a kind that is not known: {kind}") from None
        except struct.error:
            raise BtfError("BTF is cut") from None
        if at != end:
            raise BtfError("BTF is cut")

    @property
    def nr_types(self) -> int:
        """The number that the first type of a module would have."""
        return self._first_id + len(self._at)

    @property
    def name_bytes(self) -> int:
        """Where the first name of a module would stand."""
        return self._first_name + len(self._names)

    def _record(self, number: int) -> tuple[Btf, int, int, int, int, int]:
        """(file, place of what follows, name, kind, members, size or type) of a type."""
        if number < self._first_id:
            if self._base is None:
                raise BtfError(f"BTF has no type {number}")
            return self._base._record(number)
        if number >= self.nr_types:
            raise BtfError(f"BTF has no type {number}")
        at = self._at[number - self._first_id]
        name, info, third = _RECORD.unpack_from(self._data, at)
        return self, at + 12, name, info >> 24 & 0x1F, info & 0xFFFFFF, third

    def _name(self, at: int) -> str:
        if at < self._first_name and self._base is not None:
            return self._base._name(at)
        start = at - self._first_name
        return self._names[start : self._names.find(b"\0", start)].decode(errors="replace")

    def structures(self, name: str) -> list[int]:
        """The numbers of all structures of a name; a module's own come first."""
        found = [
            number
            for place in self._places_of(name.encode())
            for number in self._by_name.get(place, ())
        ]  # fmt: skip
        return found + (self._base.structures(name) if self._base else [])

    def _places_of(self, name: bytes) -> Iterator[int]:
        if self._base is not None:
            yield from self._base._places_of(name)
        at = self._names.find(b"\0" + name + b"\0")
        while at >= 0:
            yield self._first_name + at + 1
            at = self._names.find(b"\0" + name + b"\0", at + 1)

    def nbytes(self, name: str) -> int | None:
        """Bytes of a structure; None if there is none of this name."""
        for number in self.structures(name):
            return self._record(number)[5]
        return None

    def field(self, name: str, path: str) -> StructField | None:
        """Where a member lies in the structure of a name; path: names with dots, into members that
        are structures.

        None if there is no such structure or no such member, or if it is some bits of a word.
        """
        for number in self.structures(name):
            found = self._follow(number, path.split("."))
            if found is not None:
                return found
        return None

    def _follow(self, number: int, path: list[str]) -> StructField | None:
        offset = 0
        for word in path:
            member = self._member(number, word, 0)
            if member is None:
                return None
            number, offset = member[0], offset + member[1]
        nbytes, count = self._extent(number)
        return StructField(offset, nbytes, count)

    def _member(self, number: int, word: str, depth: int) -> tuple[int, int] | None:
        """(type, offset in bytes) of a member, also of one within members without a name."""
        file, at, _, kind, count, _ = self._record(self._plain(number))
        if kind not in (_STRUCT, _UNION) or depth > _DEPTH:
            return None
        has_bits = self._has_bits(self._plain(number))
        for name, inner, bits in struct.iter_unpack("=III", file._data[at : at + 12 * count]):
            nbits, offset = (bits >> 24, bits & 0xFFFFFF) if has_bits else (0, bits)
            if name == 0:
                found = self._member(inner, word, depth + 1)
                if found is not None:
                    return found[0], found[1] + offset // 8
            elif file._name(name) == word:
                return None if nbits or offset % 8 else (inner, offset // 8)
        return None

    def _has_bits(self, number: int) -> bool:
        """Whether the offsets of a structure carry widths in bits."""
        file, at, _, _, _, _ = self._record(number)
        info: int = _RECORD.unpack_from(file._data, at - 12)[1]
        return bool(info >> 31)

    def _plain(self, number: int) -> int:
        """The type that a type stands for."""
        for _ in range(_DEPTH):
            _, _, _, kind, _, third = self._record(number)
            if kind not in _SAME_AS:
                return number
            number = third
        raise BtfError("BTF has a type that stands for itself")

    def _extent(self, number: int) -> tuple[int, int]:
        """(bytes, elements) of a type; of an array: bytes of each element.

        A type without a size has 0 bytes.
        """
        count = 1
        for _ in range(_DEPTH):
            number = self._plain(number)
            file, at, _, kind, _, third = self._record(number)
            if kind == _PTR:
                return _POINTER_BYTES, count
            if kind != _ARRAY:
                return (third if kind in _SIZED else 0), count
            element, _, elements = _RECORD.unpack_from(file._data, at)
            number, count = element, count * elements
        raise BtfError("BTF has an array of itself")


def running_kernel_types(folder: str = BTF_FOLDER) -> Btf:
    """The types of the running kernel and of its module kvm, if that is one.

    Raises DeviceUnavailableError where the kernel does not describe them.
    """
    try:
        types = Btf(_content(folder, _OF_THE_KERNEL))
        if not types.structures("kvm") or os.path.exists(os.path.join(folder, _OF_KVM)):
            types = Btf(_content(folder, _OF_KVM), types)
    except BtfError as error:
        raise DeviceUnavailableError(f"{folder}: {error}") from None
    return types


def _content(folder: str, name: str) -> bytes:
    path = os.path.join(folder, name)
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        if name == _OF_THE_KERNEL:
            raise DeviceUnavailableError(
                f"{path} does not exist: this kernel does not describe its types "
                "(CONFIG_DEBUG_INFO_BTF),"
                " so its slots cannot be read"
            ) from None
        raise DeviceUnavailableError(
            f"{path} does not exist: KVM is not loaded, or this kernel does not describe the "
            "types of modules"
            " (CONFIG_DEBUG_INFO_BTF_MODULES, Linux 5.11)"
        ) from None
    except OSError as error:
        raise DeviceUnavailableError(f"{path}: {error.strerror}") from None
