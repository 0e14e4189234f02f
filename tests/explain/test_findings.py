"""Findings: true on faults, silent on what healthy VMMs do, and work that grows with the events
alone.
"""

from __future__ import annotations

import sys

import pytest
from strace_lines import EINVAL, GIB, MIB, RAM, region, vcpu, vm

from memslots import find
from memslots.explain.analysis import Analysis
from memslots.explain.finding import HostRanges
from memslots.explain.finding_kinds import KINDS, NOTE, WARNING
from memslots.trace.event import Event


def finished(*lines, **options):
    return Analysis("\n".join(lines).encode(), **options).finish()


def found(*lines, **options):
    """Kind of finding: finding, of the only VM that has any."""
    return {
        kind: finding for (_, kind), finding in finished(*lines, **options).watch.findings.items()
    }


def replayed(tmp_path, events):
    """The findings of events that say more than a line of strace."""
    from memslots.trace.jsonl import event_to_json

    path = tmp_path / "events.jsonl"
    path.write_text("".join(event_to_json(event) + "\n" for event in events))
    return {
        kind: finding for (_, kind), finding in Analysis(str(path)).finish().watch.findings.items()
    }


WINDOW = [region(0, 0, GIB, pid=1), region(0, 0, 0, pid=1), region(0, 0, GIB // 2, pid=1)]


def window_events(in_run):
    """Main memory that is gone between two calls, with the vCPUs that were in KVM_RUN."""

    def call(name, number, result=0, **fields):
        known = (
            in_run if name.startswith("KVM_SET_USER") and fields.get("memory_size") == 0 else None
        )
        return Event(
            name, fields, result, fd=4, pid=number, new_fd=result or None, vcpus_in_run=known
        )

    slot = {"slot": 0, "flags": 0, "guest_phys_addr": 0, "userspace_addr": RAM}
    yield Event("KVM_CREATE_VM", {"type": 0}, 4, fd=3, new_fd=4)
    for number in (0, 1):
        yield call("KVM_CREATE_VCPU", 1, 5 + number, vcpu_id=number)
    for nbytes in (GIB, 0, GIB // 2):
        yield call("KVM_SET_USER_MEMORY_REGION", 1, memory_size=nbytes, **slot)


def test_a_window_with_vcpus_in_the_guest_is_a_warning(tmp_path):
    finding = replayed(tmp_path, window_events(1))["unbacked-window"]
    assert (finding.severity, finding.count, finding.is_known) == (WARNING, 1, True)
    assert finding.seen[0].numbers["vcpus_in_run"] == 1
    assert finding.seen[0].numbers["end_gpa"] == GIB // 2


def test_a_window_that_no_vcpu_could_see_is_none(tmp_path):
    assert "unbacked-window" not in replayed(tmp_path, window_events(0))


def test_a_window_of_which_nothing_is_known_is_a_note(tmp_path):
    finding = replayed(tmp_path, window_events(None))["unbacked-window"]
    assert (finding.severity, finding.is_known) == (NOTE, False)


@pytest.mark.parametrize(
    ("vcpus", "there"),
    [
        ([], False),
        ([vcpu(0, 5, pid=1)], False),  # its own thread makes the calls: it is outside the guest
        ([vcpu(0, 5, pid=2)], True),
        ([vcpu(0, 5)], True),  # nobody says which thread made it
        ([vcpu(0, 5, pid=1), vcpu(1, 6, pid=1)], True),
        ([vcpu(1, 5, pid=1), vcpu(0, 6, pid=2)], True),  # vCPU 0 made after vCPU 1
    ],
)
def test_who_could_look_into_a_window(vcpus, there):
    assert ("unbacked-window" in found(vm(), *vcpus, *WINDOW)) == there


def test_a_vcpu_that_fails_after_the_window_makes_it_a_warning():
    lines = [vm(pid=1), vcpu(0, 5, pid=2), vcpu(1, 6, pid=3), *WINDOW]
    assert found(*lines)["unbacked-window"].severity == NOTE
    failed = "2 ioctl(5, KVM_RUN, 0) = -1 EFAULT (Bad address)"
    assert found(*lines, failed)["unbacked-window"].severity == WARNING


def test_a_few_calls_that_somebody_picked_out_are_about_their_window():
    assert found(*WINDOW)["unbacked-window"].severity == WARNING
    others = [region(slot, slot << 32, MIB, RAM + (slot << 32)) for slot in range(1, 12)]
    assert found(*WINDOW, *others)["unbacked-window"].severity == NOTE


def test_shared_host_memory_counts_slots_not_pairs():
    lines = [vm(), *(region(slot, slot << 30, GIB) for slot in range(64))]
    finding = found(*lines)["host-alias"]
    assert (finding.count, finding.severity, len(finding.seen)) == (64, WARNING, 3)


def test_many_slots_on_one_mapping_do_not_make_pairs():
    lines = [vm(), *(region(slot, slot << 30, GIB) for slot in range(1000))]
    finding = found(*lines)["host-alias"]
    assert finding.is_at_least
    assert 256 <= finding.count <= 257


@pytest.mark.parametrize(
    ("ram", "shadow"),
    [
        (region(0, MIB, GIB), region(1, 0xE0000, 0x20000, RAM + 0x1000_0000)),
        (region(0, 0, GIB), region(1, 0xFFFC0000, 0x40000, flags="KVM_MEM_READONLY")),
        (region(0, 0, GIB), region(1, 0xFEDA0000, 0x20000, RAM + 0xA0000)),  # as at 0xa0000
    ],
)
def test_rom_shadows_and_low_windows_are_a_note(ram, shadow):
    finding = found(vm(), ram, shadow)["host-alias"]
    assert finding.severity == NOTE
    assert finding.seen[0].numbers["is_window"]


def test_main_memory_that_begins_at_0_is_no_window():
    finding = found(vm(), region(0, 0, 2 * GIB), region(1, 4 * GIB, 2 * GIB))["host-alias"]
    assert finding.severity == WARNING
    assert not finding.seen[0].numbers["is_window"]


def test_huge_pages_are_spoken_of_once_for_each_piece_of_host_memory():
    pieces = [(0, 0, GIB), (1, GIB, GIB), (2, 4 * GIB, 2 * GIB)]
    lines = [region(slot, gpa, nbytes, RAM + 0x1000 + (slot << 30)) for slot, gpa, nbytes in pieces]
    finding = found(vm(), *lines)["huge-page-misaligned"]
    assert (finding.count, len(finding.slots), len(finding.seen)) == (1, 3, 1)
    elsewhere = region(3, 8 * GIB, GIB, RAM + (64 << 30) + 0x1000)
    assert found(vm(), *lines, elsewhere)["huge-page-misaligned"].count == 2


def test_huge_pages_of_small_slots_matter_to_small_vms_only():
    small = region(0, 0, 26 * MIB, RAM + 0x1000)
    assert "huge-page-misaligned" in found(vm(), small)
    assert "huge-page-misaligned" not in found(
        vm(), small, region(1, 4 * GIB, 4 * GIB, RAM + 4 * GIB)
    )


def test_what_grows_is_said_once_with_its_peak():
    lines = [vm(), *(region(slot, slot << 20, 4096, RAM + (slot << 20)) for slot in range(500))]
    finding = found(*lines, profile=find("5.10/x86_64"))["slots-nearly-used"]
    assert (finding.count, finding.height) == (1, 500)
    assert finding.peak.numbers == {"used": 500, "most": 509}
    assert finding.seen[0].step < finding.peak.step


def test_slots_are_counted_by_address_space():
    lines = [vm()]
    for space in (0, 1):
        lines += [
            region(space << 16 | slot, slot << 20, 4096, RAM + (slot << 20)) for slot in range(300)
        ]
    assert "slots-nearly-used" not in found(*lines, profile=find("5.10/x86_64"))


def test_churn_names_the_slot_that_changed_most():
    lines = [vm()]
    for slot, changes in ((1, 120), (2, 150), (3, 90)):
        lines.append(region(slot, slot << 30, MIB, RAM + (slot << 30)))
        lines += [
            region(
                slot,
                slot << 30,
                MIB,
                RAM + (slot << 30),
                flags="KVM_MEM_LOG_DIRTY_PAGES" if i % 2 else "0",
            )
            for i in range(1, changes)
        ]
    finding = found(*lines)["slot-churn"]
    assert finding.count == 2
    assert (finding.peak.slot.id, finding.height) == (2, 150)


def test_logging_of_a_migration_is_one_finding():
    lines = [
        vm(),
        vcpu(0, 5),
        *(region(slot, slot << 30, MIB, RAM + (slot << 30)) for slot in range(9)),
    ]
    for flags in ("KVM_MEM_LOG_DIRTY_PAGES", "0"):
        lines += [
            region(slot, slot << 30, MIB, RAM + (slot << 30), flags=flags) for slot in range(9)
        ]
    finding = found(*lines)["logging-toggled"]
    assert (finding.count, len(finding.slots), finding.severity) == (18, 9, NOTE)


def logging_lines(slots, changes):
    """All slots log; then one of them changes over and over."""
    lines = [vm()]
    on, off = "KVM_MEM_LOG_DIRTY_PAGES", "0"
    lines += [
        region(slot, slot << 20, 65536, RAM + (slot << 20), flags=on) for slot in range(slots)
    ]
    lines += [region(0, 0, 65536, RAM, flags=off if i % 2 == 0 else on) for i in range(changes)]
    return lines


def lines_run(lines):
    """How many lines of Python the findings run for a recording."""
    analysis = Analysis("\n".join(lines).encode(), most=0)
    count = 0

    def trace(frame, event, _):
        nonlocal count
        if not frame.f_code.co_filename.endswith("findings.py"):
            return None
        count += 1
        return trace

    steps = analysis.run()
    sys.settrace(trace)
    try:
        for _ in steps:
            pass
    finally:
        sys.settrace(None)
    return count


def test_logging_costs_by_event_and_not_by_slot():
    few, many = logging_lines(10, 400), logging_lines(400, 400)
    # 790 events instead of 410 may cost twice as much, 40 times the slots may not show
    assert lines_run(many) < 3 * lines_run(few)


def test_bitmaps_are_a_running_total():
    on = "KVM_MEM_LOG_DIRTY_PAGES"
    lines = [
        vm(),
        *(region(slot, slot << 40, 1 << 39, RAM + (slot << 39), flags=on) for slot in range(4)),
    ]
    finding = found(*lines)["bitmaps-large"]
    assert finding.height == 4 * (1 << 27) // 4
    assert finding.count == 1
    gone = [region(slot, slot << 40, 0, RAM) for slot in range(4)]
    again = [region(9, 0, 1 << 39, RAM, flags=on)]
    assert found(*lines, *gone, *again)["bitmaps-large"].height == finding.height


def test_a_running_total_survives_calls_that_the_model_would_have_refused():
    on = "KVM_MEM_LOG_DIRTY_PAGES"
    first = region(0, 0, 1 << 40, RAM, flags=on)
    over_it = region(1, 0, 1 << 39, RAM, flags=on)
    finding = found(vm(), first, over_it, region(2, 1 << 41, 1 << 40, RAM, flags=on))[
        "bitmaps-large"
    ]
    # slot 0 cannot be there any more
    assert finding.height == ((1 << 27) + (1 << 28)) // 4


def test_a_refused_call_is_no_change():
    assert not found(vm(), vcpu(0, 5), region(0, 0, 4097, result=EINVAL))


def test_ignored_kinds_are_not_kept():
    lines = [vm(), region(0, 0, 2 * GIB), region(1, 4 * GIB, 2 * GIB)]
    assert not found(*lines, ignored=frozenset(KINDS))


def test_ranges_that_touch_are_one():
    ranges = HostRanges()
    assert ranges.add(10, 20)
    assert ranges.add(30, 40)
    assert not ranges.add(20, 25)
    assert ranges.count == 2
    assert not ranges.add(0, 100)
    assert ranges.count == 1
    assert ranges.add(101, 102)


def test_private_memory_is_mapped_as_its_file_lies_not_as_userspace_addr():
    """A TDX guest's userspace_addr is that of its shared half."""
    line = "ioctl(4, KVM_SET_USER_MEMORY_REGION2, {{slot=0, flags={flags}, guest_phys_addr=0, memory_size=0x80000000, userspace_addr=0x7f0000001000, guest_memfd_offset=0, guest_memfd=9}}) = 0"  # noqa: E501
    for flags, kinds in (("0", {"huge-page-misaligned"}), ("KVM_MEM_GUEST_MEMFD", set())):
        analysis = Analysis(line.format(flags=flags).encode()).finish()
        assert {kind for _, kind in analysis.watch.findings} == kinds
