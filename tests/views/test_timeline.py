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
        "time",
        "slot",
        "gpa",
        "length",
        "slots",
        "pages",
    ]


def test_several_vms_have_a_column_and_are_named():
    lines = timeline_lines(steps_of(*ONE, *OTHER))
    assert lines[0].split()[:2] == ["step", "vm"]
    assert [line.split()[1] for line in lines[1:4]] == ["1", "2", "1"]
    assert lines[4:] == ["vm 1: VM 1 of thread 10", "vm 2: VM 2 of thread 20"]
    assert all(len(line) <= 100 for line in lines)
    assert [row["vm"] for row in timeline_rows(steps_of(*ONE, *OTHER))] == ["VM 1", "VM 2", "VM 1"]
