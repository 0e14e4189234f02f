"""Replay: verdicts, following what was observed, totals."""

from __future__ import annotations

import pytest

from memslots import find
from memslots.explain.analysis import Analysis
from memslots.replay.replay import Replay
from memslots.replay.step import ACCEPTED, DIFFERS, ECHO, INCOMPLETE, REFUSED, UNDETERMINED
from memslots.trace import parse_text, read

KERNEL = "6.18/x86_64+pvm-smm-tdp"
RECORDINGS = "examples/recordings"


def region(slot, gpa, size, hva=0x7F00_0000_0000, result="0", flags="0", fd=5):
    return (
        f"ioctl({fd}, KVM_SET_USER_MEMORY_REGION, "
        f"{{slot={slot}, flags={flags}, guest_phys_addr={gpa:#x}, "
        f"memory_size={size}, userspace_addr={hva:#x}}}) = {result}"
    )


CREATE = "ioctl(3, KVM_CREATE_VM, 0) = 5"
EEXIST = "-1 EEXIST (File exists)"
EINVAL = "-1 EINVAL (Invalid argument)"


def replayed(*lines, kernel=KERNEL):
    replay = Replay(parse_text("\n".join(lines)), find(kernel))
    return list(replay), replay


@pytest.mark.parametrize(
    "name",
    [
        "qemu72-q35-lifecycle.strace",
        "qemu72-q35-lifecycle.qemu-trace",
        "qemu72-pc-strace-f-o.strace",
        "qemu72-pc-bpftrace.txt",
        "qemu72-pc-trace-plain-stderr.log",
    ],
)
def test_real_boot_agrees_with_the_model(name):
    steps = list(Replay(read(f"{RECORDINGS}/{name}"), find(KERNEL)))
    # bpftrace saw other programs of the machine too
    steps = [
        step for step in steps if step.event.format != "bpf" or "qemu-system" in step.event.text
    ]
    assert {step.verdict for step in steps} <= {ACCEPTED, "other"}
    assert any(step.is_region for step in steps)


@pytest.mark.parametrize(
    ("name", "slots", "pages"),
    [("gvisor", 5, 2621440), ("hyperlight", 2, 15777), ("libkrun", 4, 1572864)],
)
def test_other_monitors_agree_with_the_model(name, slots, pages):
    replay = Replay(read(f"{RECORDINGS}/{name}-kvm.strace"), find(KERNEL))
    steps = list(replay)
    assert {step.verdict for step in steps} <= {ACCEPTED, ECHO, "other"}
    vm = replay.vms[-1].vm
    assert (sum(step.is_region for step in steps), len(list(vm.slots())), vm.total_pages) == (
        slots,
        slots,
        pages,
    )


def test_strace_and_qemu_trace_of_one_run_end_alike():
    ends = []
    for name in ("qemu72-q35-lifecycle.strace", "qemu72-q35-lifecycle.qemu-trace"):
        replay = Replay(read(f"{RECORDINGS}/{name}"), find(KERNEL))
        calls = [step.region for step in replay if step.is_region]
        slots = [
            (slot.id, slot.base_gfn, slot.npages, slot.userspace_addr)
            for slot in replay.vms[-1].vm.slots()
        ]
        ends.append((len(calls), slots, replay.vms[-1].vm.total_pages))
    assert ends[0] == ends[1]
    assert ends[0][0] == 84
    assert ends[0][2] == 102432


def test_refusals_of_a_live_kernel_are_the_models_own():
    steps = list(Replay(read(f"{RECORDINGS}/refusals-by-rule-x86-6.18.strace"), find(KERNEL)))
    regions = [step for step in steps if step.event.call == "KVM_SET_USER_MEMORY_REGION"]
    assert len(regions) == 75
    assert {step.verdict for step in regions} == {ACCEPTED, REFUSED}


def test_a_refused_call_changes_nothing():
    steps, replay = replayed(CREATE, region(0, 0, 65536), region(1, 4096, 4096, result=EEXIST))
    assert [step.verdict for step in steps] == [ACCEPTED, ACCEPTED, REFUSED]
    assert steps[2].answer.rule.id == "slot-overlap"
    assert steps[1].totals == steps[2].totals == (16, 64, 1)
    assert replay.vms[0].made_by == {0: 2}


def test_a_success_that_the_model_would_refuse_is_followed():
    lines = [CREATE, region(0, 0, 65536), region(1, 4096, 4096), region(0, 1 << 20, 4096)]
    steps, replay = replayed(*lines)
    assert steps[2].verdict == DIFFERS
    tracked = replay.vms[0]
    assert tracked.uncertain_since == 3
    assert tracked.vm.slot(1).base_gfn == 1
    tracked.vm.check()


def test_a_refusal_that_the_model_would_accept_leaves_the_slots():
    steps, replay = replayed(CREATE, region(0, 0, 65536, result=EEXIST), region(0, 0, 65536))
    assert [step.verdict for step in steps] == [ACCEPTED, DIFFERS, ACCEPTED]
    assert replay.vms[0].vm.total_pages == 16


def test_arguments_that_were_not_recorded():
    steps, replay = replayed(CREATE, "ioctl(5, KVM_SET_USER_MEMORY_REGION, 0x7ffca4746a20) = 0")
    assert steps[1].verdict == INCOMPLETE
    assert replay.vms[0].uncertain_since == 2


def test_an_error_message_about_the_call_before_is_an_echo():
    steps, _ = replayed(
        "kvm_set_user_memory Slot#1 flags=0x0 gpa=0x1000 size=0x1001 ua=0x7f0000000000 ret=-22",
        "qemu-system-x86_64: kvm_set_user_memory_region: KVM_SET_USER_MEMORY_REGION failed, "
        "slot=1, start=0x1000, "
        "size=0x1001: Invalid argument",
    )
    assert [step.verdict for step in steps] == [REFUSED, ECHO]


def test_unknown_host_facts_are_undetermined_and_followed():
    steps, replay = replayed(
        CREATE, region(0, 1 << 40, 4096), region(1, 1 << 40, 4096, result=EEXIST), kernel="6.1"
    )
    assert steps[1].verdict == UNDETERMINED
    assert steps[2].verdict == REFUSED
    assert replay.vms[0].vm.slot(0).base_gfn == 1 << 28


def test_two_vms_are_kept_apart():
    steps, replay = replayed(
        CREATE,
        "ioctl(3, KVM_CREATE_VM, 0) = 6",
        region(0, 0, 4096),
        region(0, 0, 8192, fd=6),
        region(0, 0, 0),
    )
    assert [step.verdict for step in steps] == [ACCEPTED] * 5
    assert [tracked.vm.total_pages for tracked in replay.vms] == [0, 2]


def test_a_deletion_before_the_recording_began():
    steps, _ = replayed(region(7, 0, 0, result="0"))
    assert steps[0].verdict == ACCEPTED  # it tells that there was a slot
    assert not steps[0].from_start


def test_guest_memfd_descriptors_are_learnt_from_use():
    line = (
        "kvm_set_user_memory AddrSpace#0 Slot#{} flags=0x4 gpa={:#x} size=0x10000 "
        "ua=0x7f0000000000 guest_memfd=15 "
        "guest_memfd_offset={:#x} ret={}"
    )
    steps, _ = replayed(
        line.format(0, 0, 0, 0), line.format(1, 0x100000, 0x8000, -22), kernel="7.1/x86_64"
    )
    assert steps[1].verdict == REFUSED
    assert steps[1].answer.rule.id == "gmem-range-bound"


ENABLE = "ioctl(4, KVM_ENABLE_CAP, {cap=%d, flags=0, args=[%d, 0, 0, 0]}) = %s"


@pytest.mark.parametrize(
    ("capability", "argument", "result"),
    [(237, 40, "0"), (237, 40, "-1 ENXIO (No such device or address)"),
     (128, 1, "-1 EINVAL (Invalid argument)"), (143, 0, "-1 EINVAL (Invalid argument)")],
)  # fmt: skip
def test_a_capability_that_is_none_of_memory_is_no_surprise(capability, argument, result):
    lines = ["ioctl(3, KVM_CREATE_VM, 0) = 4", ENABLE % (capability, argument, result)]
    analysis = Analysis("\n".join(lines).encode(), profile=find("6.18/x86_64")).finish()
    assert not analysis.has_findings


def test_a_capability_of_memory_is_a_surprise():
    lines = ["ioctl(3, KVM_CREATE_VM, 0) = 4", ENABLE % (168, 5, "0")]
    analysis = Analysis("\n".join(lines).encode(), profile=find("6.18/x86_64")).finish()
    assert [each.is_surprise for each in analysis.alike] == [True]


def test_a_limit_of_vcpus_that_was_accepted_is_followed():
    lines = [
        "ioctl(3, KVM_CREATE_VM, 0) = 4",
        ENABLE % (128, 2, "0"),
        "ioctl(4, KVM_CREATE_VCPU, 2) = -1 EINVAL (Invalid argument)",
    ]
    analysis = Analysis("\n".join(lines).encode(), profile=find("6.18/x86_64")).finish()
    assert [each.rule.id for each in analysis.explanations] == ["vcpu-id-too-high"]


def test_a_message_speaks_of_the_only_process_that_has_vms_and_a_call_without_a_thread_does_not():
    there = (
        "1712345678 vmm 9/9 fd=5 slot=0 flags=0x0 gpa=0x0 size=0x8000000 hva=0x7f0000000000 ret=0"
    )
    told = "add failed: slot=1 gpa=0x4000000 size=0x8000000 hva=0x7f0010000000: File exists"
    steps, replay = replayed(there, told)
    assert steps[1].verdict == REFUSED
    assert len(replay.vms) == 1
    child = [f"[pid 123] {line}" for line in (CREATE, region(0, 0, 1 << 27))]
    clone = "clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD, child_tidptr=0x7f) = 123"
    again = f"[pid 123] {region(1, 1 << 26, 1 << 27, result=EEXIST)}"
    steps, _ = replayed(clone, *child, "close(5) = 0", again)  # the parent's descriptor 5
    assert steps[-1].verdict == REFUSED
