"""The report on a recording: order, counts, and whose each VM is."""

from __future__ import annotations

import json

import pytest
from strace_lines import EEXIST, EINVAL, GIB, MIB, RAM, region, vcpu, vm

from memslots import find
from memslots.explain.analysis import Analysis
from memslots.views.report import alike_lines, analysis_json, markdown_lines, report_lines
from memslots.views.text import Paint, duration_text


def finished(*lines, **options):
    return Analysis("\n".join(lines).encode(), **options).finish()


def text_of(analysis):
    paint = Paint(False)
    return "\n".join([*alike_lines(analysis, paint), *report_lines(analysis, paint)])


def json_of(analysis):
    return json.loads(json.dumps(analysis_json(analysis)))


SURPRISE = region(1, 0, MIB, RAM + GIB)
"""Accepted, though slot 0 is there."""


def many_refusals(number):
    refused = [
        f"ioctl(4, KVM_CREATE_GUEST_MEMFD, {{size=4096, flags={1 << (bit % 60 + 2):#x}}}) = "
        f"{EINVAL}"
        for bit in range(number)
    ]
    return [vm(), region(0, 0, GIB), *refused, SURPRISE]


def test_one_surprise_behind_thousands_of_refusals_comes_first():
    analysis = finished(*many_refusals(4000), profile=find("7.2/x86_64"), most=20)
    assert [each.is_surprise for each in analysis.alike] == [True, False]
    assert [each.count for each in analysis.alike] == [1, 4000]
    text = text_of(analysis)
    assert text.index("step 4003") < text.index("step 3 ")
    assert "again    3999 calls more, at steps 4, 5, 6, 7, 8, 9, 10, 11, ..." in text
    assert "more refused or surprising" not in text
    assert "again" in "\n".join(markdown_lines(analysis))
    found = json_of(analysis)
    assert [each["count"] for each in found["explanations"]] == [1, 4000]
    assert found["explanations"][1]["steps"][:3] == [3, 4, 5]
    assert found["not_shown"] == 0


def test_surprises_come_first_even_where_only_one_fits():
    analysis = finished(*many_refusals(10), profile=find("7.2/x86_64"), most=1)
    assert [each.is_surprise for each in analysis.alike] == [True]
    assert analysis.not_shown == 10


def test_refusals_because_of_different_slots_are_different():
    slots = [region(slot, slot << 30, MIB, RAM + (slot << 30)) for slot in range(3)]
    over = [region(8 + slot, slot << 30, MIB, RAM, result=EEXIST) for slot in (0, 1, 1)]
    analysis = finished(vm(), *slots, *over, profile=find("6.1/x86_64"))
    assert [(each.explanation.other.id, each.count) for each in analysis.alike] == [(0, 1), (1, 2)]


def test_what_has_to_be_guessed_is_not_thrown_together():
    head = "qemu-system-x86_64: kvm_set_user_memory_region: KVM_SET_USER_MEMORY_REGION failed"
    lines = [
        f"{head}, slot={slot}, start={slot << 31:#x}, size=0x88c400: Invalid argument"
        for slot in (1, 2)
    ]
    assert [each.count for each in finished(*lines).alike] == [1, 1]


def test_vms_are_named_where_there_are_several():
    one = [vm(pid=10), region(0, 0, MIB, pid=10), region(0, 0, 2 * MIB, result=EINVAL, pid=10)]
    assert "where" not in text_of(finished(*one))
    two = [
        vm(fd=5, pid=20),
        region(1, 0, 4097, fd=5, result=EINVAL, pid=20),
        region(0, 0, MIB, fd=5, pid=20),
    ]
    text = text_of(finished(*one, *two))
    assert "where    VM 1 of thread 10, line 3" in text
    assert "where    VM 2 of thread 20, line 5" in text
    assert "VM 2 (thread 20): slots 1 of" in text


def test_findings_say_whose_they_are():
    aliases = [
        line
        for fd in (4, 5)
        for line in (vm(fd), region(0, 0, GIB, fd=fd), region(1, GIB, GIB, fd=fd))
    ]
    text = text_of(finished(*aliases))
    assert text.count("host-alias") == 2
    assert "    on VM 2" in text


def test_two_processes_with_a_vm_on_the_same_descriptor():
    lines = [
        "10 fork() = 20",
        region(0, 0, MIB, pid=10),
        region(0, 0, 2 * MIB, pid=20),
        vcpu(0, 6, pid=20),
        region(0, 0, 3 * MIB, pid=10, result=EINVAL),
    ]
    analysis = finished(*lines)
    names = [tracked.name for tracked in analysis.replay.vms]
    assert len(set(names)) == 2
    slots = [tracked.vm.slot(0).npages for tracked in analysis.replay.vms]
    assert slots == [256, 512]
    assert [each["vcpus"] for each in json_of(analysis)["vms"]] == [0, 1]
    (explained,) = analysis.explanations
    assert (explained.rule.id, explained.step.vm_name) == ("size-change", names[0])


def test_a_descriptor_that_is_used_again_is_another_vm():
    lines = [vm(), region(0, 0, MIB), "close(4) = 0", vm(), region(0, 0, 2 * MIB)]
    analysis = finished(*lines)
    assert [each["name"] for each in json_of(analysis)["vms"]] == ["VM 1", "VM 2"]
    assert not analysis.explanations


def test_vms_that_nobody_saw_made_have_names_of_their_own():
    lines = [region(0, 0, MIB, fd=7), "close(7) = 0", region(0, 0, 2 * MIB, fd=7)]
    assert len({tracked.name for tracked in finished(*lines).replay.vms}) == len(
        finished(*lines).replay.vms
    )


@pytest.mark.parametrize("ids", [(1, 0), (0, 1), (3, 0, 1)])
def test_vcpus_in_any_order(ids):
    analysis = finished(vm(), *(vcpu(number, 10 + number) for number in ids), region(0, 0, MIB))
    assert not analysis.has_findings
    assert json_of(analysis)["vms"][0]["vcpus"] == len(ids)


def test_the_same_vcpu_twice_is_a_refusal_that_is_explained():
    lines = [vm(), vcpu(0, 10), vcpu(0, 11, result=EEXIST)]
    (explained,) = finished(*lines).explanations
    assert explained.rule.id == "vcpu-exists"


def test_a_capability_of_a_vcpu_makes_no_vm():
    lines = [
        vm(), vcpu(0, 10), region(0, 0, MIB), "ioctl(10, KVM_ENABLE_CAP, {cap=190, flags=0, "
                                              "args=[1, 0, 0, 0]}) = 0",
    ]  # fmt: skip
    analysis = finished(*lines)
    assert [tracked.name for tracked in analysis.replay.vms] == ["VM 1"]
    assert not analysis.has_findings


def test_time_inside_region_calls():
    lines = [
        vm(),
        f"{region(0, 0, MIB)} <0.000100>",
        f"{region(0, 0, 0)} <0.005300>",
        region(0, 0, MIB),
    ]
    (found,) = json_of(finished(*lines))["vms"]
    assert (found["region_ns"], found["longest_ns"], found["longest_step"]) == (
        5_400_000,
        5_300_000,
        3,
    )
    assert (found["timed_calls"], found["region_calls"]) == (2, 3)
    assert "5.4 ms inside them of 2 calls (longest 5.3 ms, at step 3)" in " ".join(
        text_of(finished(*lines)).split()
    )


def test_times_that_were_not_recorded_are_not_said():
    (found,) = json_of(finished(vm(), region(0, 0, MIB)))["vms"]
    assert found["region_ns"] is None
    assert "inside" not in text_of(finished(vm(), region(0, 0, MIB)))


def test_the_highest_number_of_slots():
    lines = [
        vm(),
        *(region(slot, slot << 30, MIB) for slot in range(5)),
        *(region(s, 0, 0) for s in range(4)),
    ]
    (found,) = json_of(finished(*lines))["vms"]
    assert (found["slots"], found["most_slots"], found["region_calls"]) == (1, 5, 9)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [(400, "0 µs"), (152_000, "152 µs"), (12_340_000, "12.3 ms"), (2_500_000_000, "2.5 s")],
)
def test_durations(nanoseconds, text):
    assert duration_text(nanoseconds) == text


def boot(vcpus):
    """What a PC firmware does to the slots while every vCPU exists: windows, ROM shadows, SMRAM, a
    migration.
    """
    lines = [vm(pid=1), *(vcpu(number, 10 + number, pid=2 + number) for number in range(vcpus))]
    ram, rom = RAM, RAM + (64 << 30)
    lines += [region(0, 0, 2 * GIB, ram, pid=1), region(1, 4 * GIB, 2 * GIB, ram + 2 * GIB, pid=1)]
    lines += [region(2, 0xFFFC0000, 0x40000, rom, flags="KVM_MEM_READONLY", pid=1)]
    lines += [region(0, 0, 0, ram, pid=2), region(0, 0, 0xC0000, ram, pid=2)]
    lines += [region(3, 0xE0000, 0x20000, rom + 0x20000, flags="KVM_MEM_READONLY", pid=2)]
    lines += [
        region(4, 0x100000, 2 * GIB - MIB, ram + MIB, pid=2),
        region(5, 0xFEDA0000, 0x20000, ram + 0xA0000, pid=2),
    ]
    for flags in ("KVM_MEM_LOG_DIRTY_PAGES", "0"):
        lines += [region(1, 4 * GIB, 2 * GIB, ram + 2 * GIB, flags=flags, pid=1)]
    return lines


@pytest.mark.parametrize("vcpus", [1, 2, 4])
def test_a_healthy_boot_ends_well(vcpus):
    analysis = finished(*boot(vcpus), profile=find("6.12/x86_64-smm"))
    assert not analysis.has_findings
    kinds = {kind for _, kind in analysis.watch.findings}
    assert kinds <= {"unbacked-window", "host-alias", "logging-toggled"}
    assert ("unbacked-window" in kinds) == (vcpus > 1)
    # each is one short paragraph
    assert len(text_of(analysis).splitlines()) < 16


def test_questions_without_an_answer_are_no_surprises():
    """A trace that shows which capabilities were asked for, not what was answered."""
    lines = [
        "kvm_ioctl type 0xae03, arg 0x88",
        "kvm_set_user_memory slot=0 start=0x0 size=0x100000 flags=0x0 ret=0",
    ]
    assert not finished(*lines).explanations
