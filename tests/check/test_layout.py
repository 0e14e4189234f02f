"""Layout files: what they say, what calls they become, and how mistakes are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memslots.check.layout.mtree import is_mtree, layout_of_mtree
from memslots.check.layout.parse import layout_of, size_of
from memslots.check.plan import load, replay_of
from memslots.errors import TraceError
from memslots.kernel.names import find

LAYOUTS = Path(__file__).parents[2] / "examples" / "layouts"


def test_sizes() -> None:
    assert [size_of(text) for text in (4096, "4096", "0x1000", "4 KiB", "4K", "3 GiB", "1.5 GiB", "1_000", "2TiB")] == [  # noqa: E501
        4096, 4096, 4096, 4096, 4096, 3 << 30, 3 << 29, 1000, 2 << 40,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text", ["", "x", "4 XB", "-1", -1, True, None, 1.5, "0.3 KiB", "1.5", [1], "0x", "\uff14"]
)
def test_what_is_no_size(text: object) -> None:
    with pytest.raises(ValueError, match=r"bytes|negative"):
        size_of(text)


def test_slots_become_calls_in_order() -> None:
    layout = layout_of(
        {
            "vm": {
                "irqchip": True,
                "tss": "0xfffbd000",
                "identity-map": 0xFFFBC000,
                "vcpus": 2,
                "dirty-ring": "64K",
            },
            "slot": [
                {"name": "ram", "gpa": 0, "size": "1 MiB"},
                {
                    "name": "dimm",
                    "gpa": "1 GiB",
                    "size": "1 MiB",
                    "count": 3,
                    "every": "16 MiB",
                    "slot": 7,
                },
                {
                    "name": "smm",
                    "gpa": 0,
                    "size": "64 KiB",
                    "space": 1,
                    "alias": "ram",
                    "offset": "64 KiB",
                },
                {
                    "name": "rom",
                    "gpa": "2 GiB",
                    "size": "1 MiB",
                    "flags": ["readonly", "log"],
                    "hva": "0x7f0000000000",
                },
            ],
            "then": [
                {"do": "move", "slot": 8, "gpa": "3 GiB"},
                {"do": "flags", "slot": 8, "flags": ["log"]},
                {"do": "delete", "slot": 8, "name": "unplug"},
                {"do": "vcpu", "slot": 2},
            ],
        }
    )
    calls = [
        (event.call.removeprefix("KVM_"), dict(event.fields))
        for event in layout.events("6.1/x86_64")
    ]
    assert [call for call, _ in calls] == [
        "CREATE_VM", "ENABLE_CAP", "CREATE_IRQCHIP", "SET_IDENTITY_MAP_ADDR", "SET_TSS_ADDR",
        *["SET_USER_MEMORY_REGION"] * 6, "CREATE_VCPU", "CREATE_VCPU",
        *["SET_USER_MEMORY_REGION"] * 3, "CREATE_VCPU",
    ]  # fmt: skip
    slots = [fields for call, fields in calls if call == "SET_USER_MEMORY_REGION"]
    assert [fields["slot"] for fields in slots] == [0, 7, 8, 9, 1 << 16, 10, 8, 8, 8]
    assert [fields["guest_phys_addr"] for fields in slots[1:4]] == [
        1 << 30,
        (1 << 30) + (16 << 20),
        (1 << 30) + (32 << 20),
    ]
    assert slots[2]["userspace_addr"] == slots[1]["userspace_addr"] + (1 << 20)
    assert slots[4]["userspace_addr"] == slots[0]["userspace_addr"] + 65536
    assert (slots[5]["flags"], slots[5]["userspace_addr"]) == (3, 0x7F00_0000_0000)
    assert (slots[6]["guest_phys_addr"], slots[7]["flags"], slots[8]["memory_size"]) == (
        3 << 30,
        1,
        0,
    )
    assert slots[7]["guest_phys_addr"] == 3 << 30


def test_guest_memfd_slots_share_a_file() -> None:
    layout = layout_of(
        {"slot": [{"name": "ram", "gpa": 0, "size": "2 MiB", "count": 2, "flags": "guest-memfd"}]}
    )
    events = layout.events("7.2/x86_64")
    assert [event.call for event in events[1:]] == ["KVM_CREATE_GUEST_MEMFD"] + [
        "KVM_SET_USER_MEMORY_REGION2"
    ] * 2
    assert [event.get("guest_memfd_offset") for event in events[2:]] == [0, 2 << 20]
    assert events[1].get("size") == 4 << 20


def test_a_32_bit_process_has_no_room_for_more_than_3_gib() -> None:
    layout = layout_of(
        {
            "slot": [
                {"gpa": 0, "size": "1 GiB", "count": 2},
                {"gpa": "2 GiB", "size": "1 GiB", "count": 3},
            ]
        }
    )
    assert [event.get("userspace_addr") for event in layout.events("6.1/i386")[2:]] == [
        0x20_0000 + (1 << 30),
        *[3 << 30] * 3,
    ]
    assert layout.events("6.1/x86_64+compat")[-1].get("userspace_addr") == 3 << 30
    assert layout.events("6.1/x86_64")[-1].get("userspace_addr") == (0x10 << 32) + (4 << 30)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"slots": []}, "layout: no such key: 'slots'; did you mean 'slot'"),
        ({"slot": {}}, r"slot is a list of tables: write \[\[slot\]\]"),
        ({"slot": [5]}, "slot 1: a table is expected, not 5"),
        ({"slot": [{"gpa": 0}]}, "slot 1: 'size' is missing"),
        ({"slot": [{"gpa": 0, "size": "4 XB"}]}, "slot 1: size: '4 XB' is not a number of bytes"),
        ({"slot": [{"gpa": 0, "size": 1, "flags": ["exec"]}]}, "slot 1: flags"),
        (
            {"slot": [{"gpa": 0, "size": 1, "slot": 65536}]},
            "slot 1: slot: 65536 does not fit 16 bits",
        ),
        ({"slot": [{"gpa": 0, "size": 1, "count": 0}]}, "slot 1: count"),
        (
            {"slot": [{"gpa": 0, "size": 1, "alias": "ram"}]},
            "slot 1: alias 'ram' is not the name of a slot above",
        ),
        ({"vm": {"irqchip": 1}}, "vm: irqchip: 1 is neither true nor false"),
        ({"vm": {"tsss": 1}}, "vm: no such key: 'tsss'; did you mean 'tss'"),
        (
            {"then": [{"do": "grow", "slot": 1}]},
            "then 1: do: 'grow' is none of delete, move, flags, vcpu",
        ),
        ({"then": [{"do": "delete"}]}, "then 1: 'slot' is missing"),
        ({"then": [{"do": "move", "slot": 1}]}, "then 1: 'gpa' is missing"),
        ({"kernels": "6.1"}, "kernels: '6.1' is no list of texts"),
        ([], "a table is expected"),
    ],
)
def test_mistakes_are_named(tables: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layout_of(tables)


def test_toml_knows_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(
        'name = "a"\n[[slot]]\ngpa = 0\nsize = 4096\n\n[[slot]]\ngpa = 8192\nsize = "4 KiB"\n'
    )
    assert [event.line for event in load(path).events("6.1")] == [0, 2, 6]
    path.write_text("[[slot]\n")
    with pytest.raises(ValueError, match=r"a\.toml:1: Expected"):
        load(path)


def test_json_is_a_layout_only_with_slots(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text(json.dumps({"slot": [{"gpa": 0, "size": 4096}]}))
    assert len(load(path).events("6.1")) == 2
    path.write_text("nothing of use\n")
    with pytest.raises(TraceError, match="neither a layout nor a recording"):
        load(path)
    with pytest.raises(OSError, match="no-such-file"):
        load(tmp_path / "no-such-file")


def test_qemus_flat_view_of_a_real_q35() -> None:
    text = (LAYOUTS / "q35-mtree.txt").read_text()
    assert is_mtree(text)
    slots = layout_of_mtree(text).slots
    assert [(slot.name, slot.gpa, slot.size, slot.flags) for slot in slots] == [
        ("pc.ram", 0, 0xA0000, 0),
        ("pc.rom", 0xC0000, 0x20000, 2),
        ("pc.bios", 0xE0000, 0x20000, 2),
        ("pc.ram", 0x100000, 0x7FF00000, 0),
        ("pc.bios", 0xFFFC0000, 0x40000, 2),
        ("pc.ram", 1 << 32, 0x80000000, 0),
        ("m0", 0x180000000, 1 << 30, 0),
    ]
    assert slots[3].hva - slots[0].hva == 0x100000
    assert slots[2].hva - slots[4].hva == 0x20000


def test_a_flat_view_without_kvm_and_with_smram() -> None:
    text = """\
FlatView #0
 AS "KVM-SMRAM", root: mem-smram
 Root memory region: mem-smram
  0000000000000000-00000000000bffff (prio 0, ram): pc.ram

FlatView #1
 AS "memory", root: system
 Root memory region: system
  0000000000000000-000000000009ffff (prio 0, ram): pc.ram
  00000000000a0000-00000000000bffff (prio 1, i/o): vga-lowmem
"""
    assert [(slot.space, slot.size) for slot in layout_of_mtree(text).slots] == [
        (0, 0xA0000),
        (1, 0xC0000),
    ]
    with pytest.raises(ValueError, match="no RAM or ROM"):
        layout_of_mtree("FlatView #0\n Root memory region: none\n")


@pytest.mark.parametrize("path", sorted(LAYOUTS.iterdir()), ids=lambda path: path.name)
def test_the_example_layouts_run_everywhere(path: Path) -> None:
    for kernel in (
        "4.19/x86_64",
        "7.2/x86_64",
        "6.1/i386",
        "6.12/arm64+64k",
        "6.12/s390x",
        "7.2/loongarch64",
    ):
        replay = replay_of(load(path), find(kernel))
        for step in replay:
            assert step.answer is not None
            replay.tracked.vm.check()


def test_a_recording_is_asked_without_its_answers() -> None:
    recording = load(LAYOUTS.parent / "recordings" / "qemu72-q35-lifecycle.strace")
    assert {event.result for event in recording.events("6.1")} == {None}
