"""The timeline of one VM, and of several."""

from __future__ import annotations

from strace_lines import MIB, RAM, region, vm

from memslots.explain.analysis import Analysis
from memslots.views.timeline import timeline_lines, timeline_rows


def steps_of(*lines):
    return [
        step
        for step, _ in Analysis("\n".join(lines).encode(), most=0).run()
        if step.change is not None
    ]


ONE = [vm(pid=10), region(0, 0, MIB, pid=10)]
OTHER = [
    vm(fd=5, pid=20),
    region(0, 0, MIB, RAM + MIB, fd=5, pid=20),
    region(1, MIB, MIB, RAM, pid=10),
]


def test_one_vm_has_no_column():
    assert timeline_lines(steps_of(*ONE))[0].split() == [
        "step",
        "seconds",
        "slot",
        "gpa",
        "length",
        "slots",
        "total",
        "map",
    ]


def test_several_vms_have_a_column_and_are_named():
    lines = timeline_lines(steps_of(*ONE, *OTHER))
    assert lines[0].split()[:2] == ["step", "vm"]
    assert [line.split()[1] for line in lines[1:4]] == ["1", "2", "1"]
    assert lines[4:6] == ["vm 1: VM 1 of thread 10", "vm 2: VM 2 of thread 20"]
    assert lines[7:] == [
        "map of vm 1: the slot in each piece (. none) between 0x0 0x100000 0x200000",
        "map of vm 2: the slot in each piece (. none) between 0x0 0x100000",
    ]
    assert all(len(line) <= 100 for line in lines)
    assert [row["vm"] for row in timeline_rows(steps_of(*ONE, *OTHER))] == ["VM 1", "VM 2", "VM 1"]


def maps(lines):
    return [line.split()[-1] for line in lines[1 : lines.index("")]]


def test_small_and_large_slots_and_gaps_are_seen():
    """40 KiB beside 4 GiB, a hole between them, a slot that goes and comes in halves."""
    kib, gib = 1 << 10, 1 << 30
    lines = timeline_lines(
        steps_of(
            vm(),
            region(0, 0, 40 * kib),
            region(1, gib, 4 * gib, RAM + gib),
            region(0, 0, 0),
            region(2, 0, 20 * kib, RAM),
            region(10, 20 * kib, 20 * kib, RAM + 20 * kib),
        )
    )
    assert maps(lines) == ["00..", "00.1", "...1", "2..1", "2a.1"]
    assert lines[-1].endswith("between 0x0 0x5000 0xa000 0x40000000 0x140000000")


def test_more_pieces_than_columns_share_them():
    calls = [region(number, 2 * number * MIB, MIB, RAM + number * MIB) for number in range(60)]
    lines = timeline_lines(steps_of(vm(), *calls))
    assert maps(lines)[0] == "+" + "." * 23
    assert maps(lines)[-1] == "+" * 24
    assert lines[-1] == (
        "map: [0x0, 0x7700000), 119 pieces in 24 columns: . no slot, + in part, # whole"
    )
    again = [region(number, 0, 0) for number in range(60)]
    assert maps(timeline_lines(steps_of(vm(), *calls, *again)))[-1] == "." * 24


def test_two_address_spaces_stand_side_by_side():
    spaces = [region(0, 0, MIB), region(0x10000, 0, 2 * MIB, RAM + MIB)]
    lines = timeline_lines(steps_of(vm(), *spaces))
    assert maps(lines) == ["0|.", "0|0"]
    assert lines[-1].startswith("map, address space 1: ")
