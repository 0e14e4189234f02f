"""KVM_RUN where it stops: how many vCPUs are in it, and what fails."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import sys

import pytest
from requires import requires
from test_record import calls, memslots

from memslots.explain.analysis import Analysis
from memslots.record import runs
from memslots.record.file import RecordingFile
from memslots.trace import read

HERE = os.path.dirname(__file__)
RUNNING = [sys.executable, os.path.join(HERE, "programs", "running_vcpus.py")]
REGION = "KVM_SET_USER_MEMORY_REGION"


def in_run(events):
    return [event.vcpus_in_run for event in events if event.call == REGION]


def windows(path):
    analysis = Analysis(str(path))
    for _ in analysis.run():
        pass
    assert not [each for each in analysis.alike if each.is_surprise]
    return [
        finding for (_, kind), finding in analysis.watch.findings.items()
        if kind == "unbacked-window"
    ]  # fmt: skip


@requires("ptrace", "kvm")
def test_a_window_is_told_where_a_vcpu_ran_in_it_and_a_failed_run_is_kept(tmp_path):
    path = tmp_path / "r"
    assert memslots("record", "--runs", "-q", "-o", str(path), "--", *RUNNING).wait(60) == 0
    events, reading = calls(path)
    assert in_run(events) == [0, 0, 0, 0, 1, 1]
    (run,) = (event for event in events if event.call == "KVM_RUN")
    maker = next(event for event in events if event.call == "KVM_CREATE_VCPU")
    assert (run.result, run.fd, run.fields) == (-errno.EINVAL, maker.new_fd, {})
    assert not reading.skipped
    (window,) = windows(path)
    (seen,) = window.seen
    assert (window.is_known, seen.numbers["vcpus_in_run"]) == (True, 1)


@requires("ptrace", "kvm")
def test_without_it_nobody_counts(tmp_path):
    path = tmp_path / "r"
    assert memslots("record", "-q", "-o", str(path), "--", *RUNNING).wait(60) == 0
    events, _ = calls(path)
    assert in_run(events) == [None] * 6
    assert "KVM_RUN" not in {event.call for event in events}


@requires("running", "kvm")
def test_attached_it_counts_the_vcpus_that_were_there_before(tmp_path):
    path = tmp_path / "r"
    program = subprocess.Popen(
        [*RUNNING, "wait"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    program.stdout.readline()
    recorder = memslots("record", "-o", str(path), "-p", str(program.pid), stderr=subprocess.PIPE)
    deadline = 200
    while not (path.exists() and len(list(read(str(path)))) >= 4) and deadline:
        deadline -= 1
        with pytest.raises(subprocess.TimeoutExpired):
            recorder.wait(0.1)
    program.stdin.write("go\n")
    program.stdin.close()
    assert recorder.wait(60) == 0
    program.wait()
    events, _ = calls(path)
    assert in_run(events) == [0, 0, 1, 1]
    assert [event.result for event in events if event.call == "KVM_RUN"] == [-errno.EINVAL]


class Memory:
    """Memory in which one struct kvm_run lies."""

    def __init__(self, reason):
        self.data = struct.pack("=8xI20xQQQ", reason, 8, 0x1000, 0x2000)

    def read(self, tid, address, nbytes):
        return self.data[:nbytes] if address == 0x7000 else None


@pytest.mark.parametrize("reason", [39, 17])
def test_a_memory_fault_says_where(tmp_path, monkeypatch, reason):
    path = str(tmp_path / "r")
    monkeypatch.setattr(runs, "kvm_run_at", lambda tid, fd: 0x7000)
    call, values = runs.failed_run(Memory(reason), 7, 5)
    with RecordingFile(path, ["x"], "a test") as file:
        file.add(call, 7, 1, -errno.EFAULT, 5, values)
        file.end(0)
    (event,) = read(path)
    assert (event.call, event.result, event.fd) == ("KVM_RUN", -errno.EFAULT, 5)
    said = {"exit_reason": 39, "flags": 8, "gpa": 0x1000, "size": 0x2000}
    assert event.fields == (said if reason == 39 else {})


def test_vcpus_of_other_vms_do_not_count(monkeypatch):
    asleep = {12}
    monkeypatch.setattr(runs, "state_of", lambda tid: "S" if tid in asleep else "R")
    monkeypatch.setattr(runs, "ran_ns", lambda tid: 0)
    inside = runs.Runs()
    for vm_fd, vcpu_fd in ((4, 5), (4, 6), (7, 8)):
        inside.made(1, vm_fd, vcpu_fd)
    for tid, vcpu_fd in ((11, 5), (12, 6), (13, 8)):
        inside.enters(tid, 1, vcpu_fd)
    assert [inside.inside(1, vm) for vm in (4, 7, 9)] == [1, 1, 0]
    inside.leaves(11)
    assert inside.inside(1, 4) == 0
    inside.enters(14, 1, 99)
    assert inside.inside(1, 4) is None
    assert inside.inside(2, 4) == 0


def test_vcpus_that_wait_for_their_start_do_not_count(monkeypatch):
    monkeypatch.setattr(runs, "state_of", lambda tid: "R")
    monkeypatch.setattr(runs, "ran_ns", lambda tid: 0)
    inside = runs.Runs()
    inside.returned(1, 4, "KVM_CREATE_IRQCHIP", (), 0)
    for vcpu_id in range(3):
        inside.returned(1, 4, "KVM_CREATE_VCPU", (vcpu_id,), 10 + vcpu_id)
        inside.enters(20 + vcpu_id, 1, 10 + vcpu_id)
    assert inside.inside(1, 4) == 1
    for result, count in ((-errno.EINTR, 1), (-errno.EAGAIN, 2)):
        inside.leaves(21, result)
        inside.enters(21, 1, 11)
        assert inside.inside(1, 4) == count


@pytest.mark.parametrize(
    ("states", "ran", "runs_there"),
    [
        ("RRRR", (0, 4), 1), ("S", (0,), 0), ("RS", (0,), 0), ("RRt", (0,), 1), ("t", (0,), 0),
        ("RRRR", (-1,), 1), ("RRRRR" + 5 * "R", (0,) * 7 + (1,), 1),
        ("R" * 50 + "S", (0,) * 51, 0), ("R" * 50 + "t", (0,) * 51, 1), ("R" * 100, (0,) * 101, 1),
    ],
)  # fmt: skip
def test_one_that_a_change_of_slots_woke_does_not_run(monkeypatch, states, ran, runs_there):
    """ran: processor time at the beginning and at each look from the fourth on, in ms."""
    seen, times = iter(states), iter(ran)
    monkeypatch.setattr(runs, "state_of", lambda tid: next(seen))
    monkeypatch.setattr(runs, "ran_ns", lambda tid: (next(times) + 1) * 1_000_000)
    monkeypatch.setattr(runs.time, "sleep", lambda seconds: None)
    inside = runs.Runs()
    inside.made(1, 4, 5)
    inside.enters(11, 1, 5)
    assert inside.inside(1, 4) == runs_there


@pytest.mark.parametrize("result", [0, 1, None, -errno.EINTR, -errno.EAGAIN])
def test_what_is_no_failure(result):
    assert not runs.has_failed(result)
    assert runs.has_failed(-errno.EFAULT)


@pytest.mark.parametrize("how", ["--bpf", "--system"])
def test_bpf_leaves_kvm_run_alone(how):
    process = memslots("record", how, "--runs", *(["--", "true"] if how == "--bpf" else ()),
                       stderr=subprocess.PIPE)  # fmt: skip
    assert process.wait(60) == 2
    assert "--runs is not for" in process.stderr.read()
