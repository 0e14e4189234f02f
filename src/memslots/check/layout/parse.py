"""A layout from the tables of a TOML or JSON file.  Every error names the place and the value."""

from __future__ import annotations

import re

from ...uapi.flags import KVM_MEM_GUEST_MEMFD, KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY
from .mistake import LayoutError, line_of_key
from .model import Layout, LayoutSlot, Then

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    T = TypeVar("T")
    D = TypeVar("D")

FLAGS = {
    "readonly": KVM_MEM_READONLY,
    "log": KVM_MEM_LOG_DIRTY_PAGES,
    "log-dirty": KVM_MEM_LOG_DIRTY_PAGES,
    "guest-memfd": KVM_MEM_GUEST_MEMFD,
}
_UNITS = {
    "": 0,
    "b": 0,
    "k": 10,
    "kib": 10,
    "m": 20,
    "mib": 20,
    "g": 30,
    "gib": 30,
    "t": 40,
    "tib": 40,
    "p": 50,
    "pib": 50,
}
_SIZE = re.compile(r"(0x[0-9a-f_]+|[0-9][0-9_]*(?:\.[0-9]+)?)\s*([a-z]*)", re.IGNORECASE | re.ASCII)
_MOST_SLOTS = 1 << 16
"""Of a layout: no address space has more ids."""
_MOST_VCPUS = 1 << 13
"""More than any kernel takes."""
_MOST_DIGITS = 80
DOINGS = ("delete", "move", "flags", "vcpu")


def layout_of(tables: object, source: str = "", text: str = "") -> Layout:
    """The layout that a file's tables describe; `text` is the file, for line numbers.

    Raises LayoutError with the line, the table, the key and the value that is wrong.
    """
    file = _File(source, text)
    top = _table(tables, "layout", file)
    top.only("name", "kernels", "vm", "slot", "then")
    slots = [_slot(_table(*entry)) for entry in _entries(top, "slot")]
    names = set()
    for number, slot in enumerate(slots, 1):
        if slot.alias and slot.alias not in names:
            raise file.mistake(
                f"slot {number}: alias {slot.alias!r} is not the name of a slot above it",
                slot.line,
                "alias",
            )
        names.add(slot.name)
    if sum(slot.count for slot in slots) > _MOST_SLOTS:
        raise ValueError(f"{top.where}: more than {_MOST_SLOTS} slots")
    kernels = top.get("kernels", _list_of_text, [])
    return Layout(
        slots,
        name=top.get("name", _text, ""),
        vm=_vm(top),
        then=[_then(_table(*entry)) for entry in _entries(top, "then")],
        kernels=kernels,
        source=source,
    )


def size_of(value: object) -> int:
    """Bytes of a size or address: a number, `0x1000`, `3 GiB`, `512M`, `1.5 GiB`.

    Raises ValueError with the value.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise ValueError("a negative number")
        return _fitting(value, value)
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or match[2].lower() not in _UNITS:
        raise ValueError(f"{value!r} is not a number of bytes (examples: 4096, 0x1000, '3 GiB')")
    shift = _UNITS[match[2].lower()]
    if "." not in match[1]:
        base = 16 if match[1][:2].lower() == "0x" else 10
        digits = match[1].replace("_", "")
        return _fitting(
            int(digits, base) << shift if len(digits) <= _MOST_DIGITS else 1 << 64, value
        )
    whole, digits = match[1].split(".")
    if len(match[1]) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(match[1])} digits")
    scaled = int(whole + digits) << shift
    tenths = int("1" + "0" * len(digits))
    if scaled % tenths:
        raise ValueError(f"{value!r} is not a whole number of bytes")
    return _fitting(scaled // tenths, value)


def _fitting(nbytes: int, value: object) -> int:
    """The number, if an address of 64 bits can hold it."""
    if nbytes >> 64:
        shown = repr(value) if not isinstance(value, int) or value >> 256 == 0 else "the number"
        raise ValueError(f"{shown[:80]} does not fit 64 bits")
    return nbytes


class _File:
    """Name and text of a file, to say where a mistake stands."""

    def __init__(self, source: str, text: str) -> None:
        self.source = source
        self.text = text

    def mistake(self, text: str, line: int, key: str = "") -> LayoutError:
        if key and self.text:
            line = line_of_key(self.text, key, line)
        return LayoutError(text, self.source, line)


class _Table:
    """A table of the file with the place where it stands."""

    def __init__(self, values: Mapping[str, object], where: str, file: _File, line: int) -> None:
        self.values = values
        self.where = where
        self.file = file
        self.line = line

    def mistake(self, text: str, key: str = "") -> LayoutError:
        return self.file.mistake(f"{self.where}: {text}", self.line, key)

    def only(self, *names: str) -> None:
        for key in self.values:
            if key not in names:
                from difflib import get_close_matches

                near = get_close_matches(key, names, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
                raise self.mistake(f"no such key: {key!r}; {hint}", key)

    def need(self, key: str, read: Callable[[object], T]) -> T:
        if key not in self.values:
            raise self.mistake(f"{key!r} is missing")
        try:
            return read(self.values[key])
        except ValueError as error:
            raise self.mistake(f"{key}: {error}", key) from None

    def get(self, key: str, read: Callable[[object], T], default: D) -> T | D:
        return self.need(key, read) if key in self.values else default


def _table(values: object, where: str, file: _File, line: int = 0) -> _Table:
    if not isinstance(values, dict):
        raise file.mistake(f"{where}: a table is expected, not {values!r}", line)
    return _Table(values, where, file, line)


def _entries(top: _Table, key: str) -> list[tuple[object, str, _File, int]]:
    """The tables under `[[key]]`, each with its name for messages, the file and its line."""
    entries = top.values.get(key, [])
    if not isinstance(entries, list):
        raise top.mistake(f"{key} is a list of tables: write [[{key}]]", key)
    lines = [
        number
        for number, line in enumerate(top.file.text.splitlines(), 1)
        if line.partition("#")[0].strip() == f"[[{key}]]"
    ]
    lines += [0] * (len(entries) - len(lines))
    return [
        (each, f"{key} {number}", top.file, line)
        for number, (each, line) in enumerate(zip(entries, lines), 1)
    ]


def _slot(table: _Table) -> LayoutSlot:
    table.only(
        "name", "slot", "space", "gpa", "size", "hva", "flags", "alias", "offset", "count", "every"
    )
    get = table.get
    return LayoutSlot(
        table.need("gpa", size_of),
        table.need("size", size_of),
        id=get("slot", _u16, None),
        space=get("space", _u16, 0),
        flags=get("flags", _flags, 0),
        hva=get("hva", size_of, None),
        name=get("name", _text, ""),
        alias=get("alias", _text, ""),
        offset=get("offset", size_of, 0),
        count=get("count", _count, 1),
        step=get("every", size_of, None),
        line=table.line,
    )


def _then(table: _Table) -> Then:
    table.only("do", "slot", "space", "gpa", "flags", "name")
    get = table.get
    do = table.need("do", _text)
    if do not in DOINGS:
        raise table.mistake(f"do: {do!r} is none of {', '.join(DOINGS)}", "do")
    if do == "move":
        table.need("gpa", size_of)
    if do == "flags":
        table.need("flags", _flags)
    return Then(
        do,
        get("slot", _u16, 0) if do == "vcpu" else table.need("slot", _u16),
        space=get("space", _u16, 0),
        gpa=get("gpa", size_of, None),
        flags=get("flags", _flags, None),
        name=get("name", _text, ""),
        line=table.line,
    )


def _vm(top: _Table) -> dict[str, int | bool]:
    lines = top.file.text.splitlines()
    heads = [number for number, line in enumerate(lines, 1) if line.strip() == "[vm]"]
    table = _table(top.values.get("vm", {}), "vm", top.file, heads[0] if heads else 0)
    readers: dict[str, Callable[[object], int | bool]] = {
        "type": size_of, "irqchip": _flag, "tss": size_of, "identity-map": size_of,
        "vcpus": _vcpus,
        "vcpus-first": _flag, "dirty-ring": size_of, "manual-dirty-log": _u16,
    }  # fmt: skip
    table.only(*readers)
    return {key: table.need(key, readers[key]) for key in table.values}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a text")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")
    return value


def _u16(value: object) -> int:
    number = size_of(value)
    if number > 0xFFFF:
        raise ValueError(f"{value!r} does not fit 16 bits")
    return number


def _count(value: object) -> int:
    number = size_of(value)
    if not 1 <= number <= _MOST_SLOTS:
        raise ValueError(f"{value!r} is not between 1 and {_MOST_SLOTS}")
    return number


def _vcpus(value: object) -> int:
    number = size_of(value)
    if number > _MOST_VCPUS:
        raise ValueError(f"{value!r} is more than {_MOST_VCPUS}")
    return number


def _flags(value: object) -> int:
    words = [value] if isinstance(value, str) else value
    if isinstance(words, int) and not isinstance(words, bool) and 0 <= words < 1 << 32:
        return words
    if not isinstance(words, list) or not all(
        isinstance(word, str) and word in FLAGS for word in words
    ):
        raise ValueError(f"{value!r} is no list of {', '.join(FLAGS)}")
    bits = 0
    for word in words:
        bits |= FLAGS[word]
    return bits


def _list_of_text(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"{value!r} is no list of texts")
    return value
