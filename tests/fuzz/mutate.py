"""Inputs made from others, and inputs made by the grammar of their kind."""

from __future__ import annotations

import gzip
import json
import lzma
import re
import struct

from fuzz.corpus import ASK, HOSTILE, JSONL, LAYOUT, NUMBERS, REC, dictionary

from memslots.export.oracle import ASKED_CALLS
from memslots.record.calls import RECORDED
from memslots.record.file import HEADER, MAGIC
from memslots.record.mappings import MAPPING_CALLS
from memslots.record.runs import RUN_CALLS
from memslots.uapi.calls import CALLS, REGION_CALLS

TYPE_CHECKING = False
if TYPE_CHECKING:
    import random

LONGEST = 24_000
"""Bytes of an input."""
WORDS = dictionary()
_NUMBER = re.compile(rb"0x[0-9a-fA-F]+|-?\d+")
_PLAIN = (0, 1, 2, 3, 4, 5, 7, 8, 4096, 8192, 1 << 20, 1 << 21, 1 << 30, 3 << 30, 1 << 32,
          0x7F00_0000_0000,
          0x100000, 168, 192, 10, 17, -17, -22, 0xFEE00000, 0xFFFBD000, 64)  # fmt: skip
_OTHER_CALLS = ("mmap", "munmap", "mremap", "mprotect", "clone", "fork", "vfork", "message",
                "VFIO_IOMMU_MAP_DMA",
                "VHOST_SET_MEM_TABLE", "open", "KVM_FOO")  # fmt: skip
_NAMES = (*sorted({name for call in CALLS.values() for name in call.names}), "length", "prot",
          "offset",
          "new_length", "data", "mask", "fd", "foo")  # fmt: skip


def mutated(kind: str, data: bytes, rng: random.Random, other: bytes) -> bytes:
    """An input like another; what is changed fits the kind."""
    if kind == REC and rng.random() < 0.5:
        return fresh(kind, rng)
    if kind in (JSONL, LAYOUT, ASK) and rng.random() < 0.3:
        return fresh(kind, rng)
    changed = _lines_changed(data, rng, other) if rng.random() < 0.8 else _bytes_changed(data, rng)
    return _wrapped(changed, rng)[:LONGEST]


def fresh(kind: str, rng: random.Random) -> bytes:
    """An input by the grammar of its kind, with values of all sorts."""
    return {JSONL: _events, REC: _recording, LAYOUT: _layout, ASK: _questions}[kind](rng)


def _lines_changed(data: bytes, rng: random.Random, other: bytes) -> bytes:
    lines = data.split(b"\n")
    if len(lines) > 12 and rng.random() < 0.7:  # short inputs: many of them, and quick
        at, most = rng.randrange(len(lines)), rng.choice((3, 8, 30))
        lines = lines[: rng.choice((0, 1, 4))] + lines[at : at + most]
    for _ in range(rng.choice((1, 2, 4, 8, 20))):
        if not lines:
            break
        at = rng.randrange(len(lines))
        line, how = lines[at], rng.randrange(13)
        numbers = list(_NUMBER.finditer(line))
        if how <= 3 and numbers:
            found = rng.choice(numbers)
            lines[at] = line[: found.start()] + _number(rng) + line[found.end() :]
        elif how == 4:
            lines.insert(rng.randrange(len(lines) + 1), line)
        elif how == 5:
            del lines[at]
        elif how == 6:
            to = rng.randrange(len(lines))
            lines[at], lines[to] = lines[to], lines[at]
        elif how == 7:
            cut = rng.randrange(len(line) + 1)
            lines[at] = line[:cut] + _word(rng) + line[cut:]
        elif how == 8:
            lines.insert(at, rng.choice(other.split(b"\n")))
        elif how == 9:
            lines[at] = line[: rng.randrange(len(line) + 1)]
        elif how == 10 and len(numbers) > 1:
            found, taken = rng.choice(numbers), rng.choice(numbers)
            lines[at] = line[: found.start()] + taken.group() + line[found.end() :]
        else:
            lines[at] = _bytes_changed(line, rng)
    return b"\n".join(lines)


def _bytes_changed(data: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at, how = rng.randrange(len(data) + 1), rng.randrange(5)
        if how == 0:
            data = data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
        elif how == 1:
            data = data[:at] + _word(rng) + data[at:]
        elif how == 2:
            data = data[:at] + data[at + rng.choice((1, 3, 20, 200)) :]
        elif how == 3:
            end = at + rng.choice((5, 50, 500))
            data = (data[:at] + data[at:end] * rng.choice((2, 3, 30)) + data[end:])[:LONGEST]
        else:
            word = rng.choice((b"\n", b" ", b",", b")", b"=", b"{"))
            data = data.replace(word, _word(rng)[:200], rng.choice((1, 5, 50)))[:LONGEST]
    return data


def _wrapped(data: bytes, rng: random.Random) -> bytes:
    """Sometimes in the form in which mail, editors and compressors pass it on."""
    how = rng.random()
    if how < 0.01:
        return data.decode("utf-8", "replace").encode("utf-16")
    if how < 0.02:
        return b"\xef\xbb\xbf" + data
    if how < 0.04:
        return data.replace(b"\n", b"\r\n")
    if how < 0.05:
        packed = gzip.compress(data, 1)
        return packed if rng.random() < 0.5 else packed[: -rng.randrange(1, 20)]
    if how < 0.06:
        packed = lzma.compress(data, preset=0)
        at = rng.randrange(len(packed))
        return packed[:at] + bytes([packed[at] ^ 1]) + packed[at + 1 :]
    if how < 0.08:
        return b"\n".join(b"> " + line for line in data.split(b"\n"))
    if how < 0.09:
        width = rng.choice((30, 60, 80))
        return b"\n".join(
            re.sub(rb"(.{%d}) " % width, rb"\1\n", line) for line in data.split(b"\n")
        )
    return data


def _number(rng: random.Random) -> bytes:
    value = rng.choice(NUMBERS)
    if rng.random() < 0.3 and abs(value) < 1 << 64:
        value ^= 1 << rng.randrange(64)
    return (hex(value) if rng.random() < 0.5 else str(value)).encode()


def _word(rng: random.Random) -> bytes:
    if rng.random() < 0.7:
        return rng.choice(WORDS)
    return rng.choice(HOSTILE).encode("utf-8", "surrogatepass")


def _json_number(rng: random.Random, plain: float = 0.7) -> object:
    how = rng.random()
    if how < plain:
        return rng.choice(_PLAIN)
    if how < plain + (1 - plain) * 0.75:
        return rng.choice(NUMBERS)
    if how < plain + (1 - plain) * 0.8:
        return hex(abs(rng.choice(NUMBERS)))
    return rng.choice(
        (
            None,
            True,
            False,
            1.5,
            1e308,
            float("nan"),
            float("inf"),
            "x",
            "",
            [],
            {},
            "0x",
            "\x1b[31m",
        )
    )


def _events(rng: random.Random) -> bytes:
    """JSONL."""
    calls = (*REGION_CALLS * 6, *CALLS, *_OTHER_CALLS)
    rows = []
    for _ in range(rng.choice((1, 3, 10, 40))):
        row: dict[str, object] = {"v": 1, "call": rng.choice(calls)}
        known = CALLS.get(str(row["call"]))
        names = known.names if known is not None and rng.random() < 0.8 else rng.sample(_NAMES, 6)
        row["fields"] = {name: _json_number(rng) for name in names if rng.random() < 0.95}
        for name, share in (("result", 0.8), ("fd", 0.6), ("pid", 0.4), ("time_ns", 0.4),
                            ("end_ns", 0.2), ("line", 0.1),
                            ("new_fd", 0.3), ("vcpus_in_run", 0.1)):  # fmt: skip
            if rng.random() < share:
                row[name] = _json_number(rng, 0.85)
        for name, share in (
            ("source", 0.05),
            ("text", 0.1),
            ("vm", 0.1),
            ("format", 0.15),
            ("process", 0.05),
        ):
            if rng.random() < share:
                row[name] = rng.choice(
                    (*HOSTILE, "message", "strace", "qemu-trace", "perf", "recording", "snapshot")
                )
        rows.append(json.dumps(row))
    return "\n".join(rows).encode()


def _recording(rng: random.Random) -> bytes:
    """A recording with a description that may be wrong."""
    table = [[call.name, list(call.names)] for call in (*RECORDED, *MAPPING_CALLS, *RUN_CALLS)]
    row: dict[str, object] = {
        "version": 1, "record": HEADER, "calls": table, "beside": ["duration_ns", "vcpus_in_run"],
        "command": ["x"], "how": "ptrace",
        "kinds": {"call": 1, "unfinished": 2, "end": 3, "process": 4, "lost": 5, "snapshot": 6,
                  "frame": 7},
        "release": "6.1.0", "machine": "x86_64", "page_bytes": 4096, "host": ["+pa46"], "time": 1.0,
    }  # fmt: skip
    if rng.random() < 0.5:
        for _ in range(rng.choice((1, 1, 2))):
            name = rng.choice(list(row))
            row[name] = _odd(name, rng, table)
    data = MAGIC + json.dumps(row).encode() + b"\n"
    calls = row["calls"] if isinstance(row["calls"], list) and row["calls"] else table
    for _ in range(rng.choice((0, 1, 5, 30))):
        data += _record(calls, rng)
    if rng.random() < 0.2:
        data = data[: rng.randrange(len(data))]
    return _bytes_changed(data, rng) if rng.random() < 0.2 else data


def _odd(name: str, rng: random.Random, table: list[list[object]]) -> object:
    """A wrong value for a key of the description."""
    known: dict[str, tuple[object, ...]] = {
        "record": ("<HBBIqqi", "<HBBIqqq", "<HBBIddf", "<H", "<HBBI16s16si", "<HBBI??i",
                   ">HBBIqqi", "8s", "d", "",
                   "<HBBIqqi" + "q" * rng.randrange(5), "<HBBsqqi", "<1000000000q", "<HBBIqq",
                   None, 5),
        "page_bytes": (0, 1, -1, 3, 65536, 2**40, 10**400, True, 1.5, None, "4096"),
        "calls": ([], [[1, 2]], [["KVM_X\x1b[31m", ["a"]]], [["message", ["slot", "x"]]],
                  table[:3], {}, None,
                  [["KVM_SET_USER_MEMORY_REGION", ["slot"] * 5]], [["", []]], [["mmap", ["addr",
                                                                                         "length"]]],
                  [["KVM_SET_USER_MEMORY_REGION2", ["memory_size", "slot", "guest_phys_addr",
                                                    "x\n", "y\x1b"]]]),
        "kinds": ({}, {"call": "x"}, {"call": 1.5}, None, {"process": 1}, {"lost": 1}, {"call": 1,
                                                                                        "lost": 1},
                                                                                        []),
        "host": (["+pvm", "-tdp", "-smm"], ["+x" * 20], [None], "pa46", ["+pa99"], ["+\x1b[31m"]),
        "beside": ([], None, ["a", "b", "c"], ["vcpus_in_run"] * 3, [1]),
    }  # fmt: skip
    if name in known:
        return rng.choice(known[name])
    odd = ("6.1\x1b[31m", "", "9999.1", "6", "6.1." + "9" * 30, "-1.2", "i686", "aarch64",
           "ppc64le", "s390x", None, 5, "\ud800",
           "a\nb", [], {}, "x" * 5000)  # fmt: skip
    return rng.choice(odd)


def _record(calls: list[list[object]], rng: random.Random) -> bytes:
    call = rng.randrange(len(calls) + 2)
    try:
        count = len(calls[call][1])  # type: ignore[arg-type]
    except (IndexError, TypeError):
        count = rng.randrange(8)
    if rng.random() < 0.05:
        count = rng.randrange(66)
    nbytes = 28 + 8 * count
    if rng.random() < 0.03:
        nbytes = rng.choice((0, 1, 2, 3, 27, 28, 36, 65535))
    kind = rng.choice((1, 1, 1, 1, 1, 2, 3, 4, 5, 6, 7, 7, 0, 9, 255))
    result = rng.choice((0, 0, 0, 3, -17, -22, _cut(rng, 64, signed=True)))
    head = struct.pack(
        HEADER, nbytes & 0xFFFF, kind, call & 255, _cut(rng, 32), _cut(rng, 64, signed=True),
        result,
        rng.choice((3, 4, 5, -1, _cut(rng, 32, signed=True))),
    )  # fmt: skip
    return head + struct.pack(f"<{count}Q", *(_cut(rng, 64) for _ in range(count)))


def _cut(rng: random.Random, bits: int, *, signed: bool = False) -> int:
    value = _json_number(rng, 0.6)
    number = value if isinstance(value, int) else 0
    number &= (1 << bits) - 1
    return number - (1 << bits) if signed and number >> (bits - 1) else number


def _layout_value(rng: random.Random, depth: int = 0) -> object:
    how = rng.random()
    if how < 0.5:
        return rng.choice((0, 1, 4096, "3 GiB", "512M", "0x1000", "1.5 GiB", 2**30, 2**40, "1_000",
                           "0x", "", -1, 2**64,
                           2**64 - 4096, 10**30, "9" * 50, "1.0000001 GiB", "1 PiB",
                           "0xffffffffffffffff", "9" * 5000))  # fmt: skip
    if how < 0.7:
        return rng.choice(("readonly", "log", "guest-memfd", ["readonly", "log"], ["guest-memfd"],
                           "delete", "move",
                           "flags", "vcpu", *HOSTILE))  # fmt: skip
    if how < 0.8:
        return rng.choice((True, False, None, 1.5, float("nan")))
    if how < 0.9:
        return [] if depth > 2 else [_layout_value(rng, depth + 1) for _ in range(rng.randrange(3))]
    return {} if depth > 2 else {rng.choice(("a", "slot", "gpa")): _layout_value(rng, depth + 1)}


_LAYOUT_VALUES: dict[str, tuple[object, ...]] = {
    "gpa": (0, "1 GiB", 2**32, 0xFEE00000, 2**52, 2**64 - 4096, "3 GiB", 4096),
    "size": ("1 GiB", 4096, "2M", "512M", 100, 0, "16 TiB", 2**64 - 4096, 0x10000),
    "name": ("ram", "rom", "a", *HOSTILE),
    "slot": (0, 1, 5, 508, 32763, 65535),
    "space": (0, 1, 2),
    "hva": (0x7F0000000000, 4096, 2**47 - 4096, 2**63, 100),
    "alias": ("ram", "a"),
    "offset": (0, 4096, "1 GiB"),
    "flags": ("readonly", ["log"], ["readonly", "log"], ["guest-memfd"], 0, 8),
    "count": (1, 2, 8, 64),
    "every": (4096, "1 GiB", 0),
}
_VM_VALUES: dict[str, tuple[object, ...]] = {
    "type": (0, 1, 2, 40), "irqchip": (True, False), "tss": (0xFFFBD000, 0),
    "identity-map": (0xFFFBC000, 0), "vcpus": (0, 1, 4),
    "vcpus-first": (True, False), "dirty-ring": (4096, 65536, 3), "manual-dirty-log": (0, 1, 3),
}  # fmt: skip


def _layout(rng: random.Random) -> bytes:
    """A layout in JSON."""

    odd = rng.choice((0.0, 0.02, 0.2))

    def value(key: str) -> object:
        return _layout_value(rng) if rng.random() < odd else rng.choice(_LAYOUT_VALUES[key])

    def slot() -> dict[str, object]:
        table = {"gpa": value("gpa"), "size": value("size")}
        for key in _LAYOUT_VALUES:
            if rng.random() < 0.15:
                table[key] = value(key)
        if rng.random() < odd:
            table["zzz"] = 1
        return table

    layout: dict[str, object] = {"slot": [slot() for _ in range(rng.randrange(1, 6))]}
    if rng.random() < 0.3:
        layout["name"] = rng.choice(("x", *HOSTILE, _layout_value(rng)))
    if rng.random() < 0.3:
        layout["vm"] = {
            key: _layout_value(rng) if rng.random() < odd else rng.choice(values)
            for key, values in _VM_VALUES.items()
            if rng.random() < 0.3
        }
    if rng.random() < 0.4:
        layout["then"] = [
            {
                "do": rng.choice(("delete", "move", "flags", "vcpu")),
                "slot": rng.choice((0, 1, 5)),
                "gpa": value("gpa"),
                "flags": value("flags"),
            }
            for _ in range(rng.randrange(4))
        ]
    if rng.random() < 0.1:
        layout["kernels"] = rng.choice(
            (["6.1/x86_64"], ["5.10/x86_64", "6.12/arm64"], _layout_value(rng))
        )
    return json.dumps(layout).encode()


def _questions(rng: random.Random) -> bytes:
    """Lines for `ask`."""
    lines = []
    for _ in range(rng.choice((1, 5, 40))):
        how = rng.random()
        if how < 0.4:
            lines.append(
                json.dumps([_json_number(rng, 0.8) for _ in range(rng.choice((5, 5, 5, 7, 4)))])
            )
        elif how < 0.8:
            call = rng.choice((*ASKED_CALLS, *_OTHER_CALLS))
            known = CALLS.get(call)
            names = (
                known.names if known is not None and rng.random() < 0.9 else rng.sample(_NAMES, 4)
            )
            lines.append(
                json.dumps(
                    {"call": call, "fields": {name: _json_number(rng, 0.8) for name in names}}
                )
            )
        elif how < 0.9:
            lines.append(json.dumps(_layout_value(rng)))
        else:
            lines.append(rng.choice(("", "{", "[" * 5000, '"\ud800"', "\x00", "9" * 5000,
                                     "[1e999,0,0,0,0]", "[-0,0,0,0,0]",
                                     '{"call":"close","fields":{"fd":1}}', "[0,0,0,4096,65536]x",
                                     "\ufeff[0,0,0,4096,65536]")))  # fmt: skip
    return "\n".join(lines).encode("utf-8", "surrogatepass")
