"""BTF is read as the kernel writes it: members by name, through members without one, across a
module's file.
"""

from __future__ import annotations

import struct

import pytest

from memslots.errors import DeviceUnavailableError
from memslots.running.btf import Btf, BtfError, running_kernel_types

INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST = range(1, 11)
FUNC_PROTO, VAR, DATASEC, FLOAT, DECL_TAG, TYPE_TAG, ENUM64 = 13, 14, 15, 16, 17, 18, 19


class Writer:
    """Writes BTF."""

    def __init__(self, base=None):
        self.names = b"" if base else b"\0"
        self.base = base
        self.records = b""
        self.next_id = base.next_id if base else 1
        self.first_name = base.first_name + len(base.names) if base else 0

    def name(self, text):
        if not text:
            return 0
        if self.base and b"\0" + text.encode() + b"\0" in self.base.names:
            return self.base.names.index(b"\0" + text.encode() + b"\0") + 1
        self.names += text.encode() + b"\0"
        return self.first_name + len(self.names) - len(text) - 1

    def type(self, name, kind, third, tail=b"", vlen=0, flag=0):
        self.records += (
            struct.pack("=III", self.name(name), flag << 31 | kind << 24 | vlen, third) + tail
        )
        self.next_id += 1
        return self.next_id - 1

    def structure(self, name, nbytes, members, kind=STRUCT, flag=0):
        tail = b"".join(
            struct.pack("=III", self.name(member), type_id, bits)
            for member, type_id, bits in members
        )
        return self.type(name, kind, nbytes, tail, len(members), flag)

    def array(self, element, count):
        return self.type("", ARRAY, 0, struct.pack("=III", element, 1, count))

    def data(self):
        head = struct.pack(
            "=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(self.records), len(self.records), len(self.names)
        )
        return head + self.records + self.names


def kernel():
    """A small kernel: (writer, BTF)."""
    out = Writer()
    u32 = out.type("unsigned int", INT, 4, struct.pack("=I", 32))
    u64 = out.type("unsigned long", INT, 8, struct.pack("=I", 64))
    typed = out.type("u64", TYPEDEF, u64)
    constant = out.type("", CONST, out.type("", VOLATILE, typed))
    out.structure("other", 8, [("x", u64, 0)])
    inner = out.structure("", 16, [("a", u32, 0), ("b", typed, 64)], UNION)
    table = out.array(out.array(u32, 3), 5)
    out.type("three", ENUM, 4, struct.pack("=III", 0, 1, 0)[:8], 1)
    out.type("f", FUNC_PROTO, 0, struct.pack("=II", 0, u32), 1)
    out.type("v", VAR, u32, struct.pack("=I", 0))
    out.type(".data", DATASEC, 4, struct.pack("=III", 0, 0, 0), 1)
    out.type("float", FLOAT, 4)
    out.type("tag", DECL_TAG, u32, struct.pack("=i", -1))
    out.type("big", ENUM64, 8, struct.pack("=III", 0, 0, 0), 1)
    nested = out.structure(
        "list_head", 16, [("next", out.type("", PTR, 0), 0), ("prev", out.type("", PTR, 0), 64)]
    )
    out.structure(
        "kvm", 200,
        [("first", u32, 0), ("", inner, 64), ("list", nested, 192), ("table", table, 320), ("c",
        constant, 960)],
    )  # fmt: skip
    out.structure("flagged", 8, [("whole", u32, 0), ("some", u32, 3 << 24 | 32)], flag=1)
    return out


def test_members_of_all_kinds():
    types = Btf(kernel().data())
    places = {
        path: (field.offset, field.nbytes, field.count)
        for path in ("first", "a", "b", "list", "list.prev", "table", "c")
        if (field := types.field("kvm", path))
    }
    assert places == {
        "first": (0, 4, 1), "a": (8, 4, 1), "b": (16, 8, 1), "list": (24, 16, 1),
        "list.prev": (32, 8, 1),
        "table": (40, 4, 15), "c": (120, 8, 1),
    }  # fmt: skip
    assert types.nbytes("kvm") == 200
    assert types.field("flagged", "whole").offset == 0
    for name, path in (
        ("flagged", "some"),
        ("kvm", "x"),
        ("kvm", "first.x"),
        ("kvm", "list.x"),
        ("no", "x"),
    ):
        assert types.field(name, path) is None
    assert types.nbytes("no") is None


def test_a_module_goes_on_where_the_kernel_ends():
    base = kernel()
    out = Writer(base)
    word = 2  # the kernel's unsigned long
    slot = out.structure("kvm_memory_slot", 24, [("base_gfn", 3, 0), ("npages", word, 64)])
    pointer = out.type("", PTR, slot)
    out.structure("kvm", 64, [("first", word, 0), ("slots", out.array(pointer, 2), 128)])
    types = Btf(out.data(), Btf(base.data()))
    assert types.field("kvm_memory_slot", "npages").offset == 8
    slots = types.field("kvm", "slots")
    assert (slots.offset, slots.nbytes, slots.count) == (16, 8, 2)
    assert types.nbytes("kvm") == 64, "the module's own structure comes first"
    assert types.field("other", "x").nbytes == 8, "the kernel's are seen through it"


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "ends within its header"),
        (b"\0" * 24, "no BTF"),
        (kernel().data()[:-5], "cut"),
        (
            kernel().data()[:24] + struct.pack("=III", 0, 31 << 24, 0) + kernel().data()[36:],
            "not known: 31",
        ),
    ],
)
def test_what_is_no_btf(data, what):
    with pytest.raises(BtfError, match=what):
        Btf(data)


def test_every_cut_and_flip_is_an_error_or_an_answer():
    data = kernel().data()
    for at in range(0, len(data), 3):
        for broken in (data[:at], data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]):
            try:
                types = Btf(broken)
                for path in ("first", "a", "list.prev", "table"):
                    types.field("kvm", path)
            except BtfError:
                continue


def test_a_kernel_without_btf(tmp_path):
    with pytest.raises(DeviceUnavailableError, match="CONFIG_DEBUG_INFO_BTF"):
        running_kernel_types(str(tmp_path))
    without_kvm = Writer()
    without_kvm.type("unsigned int", INT, 4, struct.pack("=I", 32))
    (tmp_path / "vmlinux").write_bytes(without_kvm.data())
    with pytest.raises(DeviceUnavailableError, match="CONFIG_DEBUG_INFO_BTF_MODULES"):
        running_kernel_types(str(tmp_path))
    (tmp_path / "vmlinux").write_bytes(b"nothing of the kind")
    with pytest.raises(DeviceUnavailableError, match="BTF"):
        running_kernel_types(str(tmp_path))
