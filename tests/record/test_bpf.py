"""Recording with BPF: it sees what ptrace sees, of whom it should, and harms nobody when it is
killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from requires import requires
from test_record import OUT_AND_HALT, calls, check_whole, memslots, region_calls

from memslots.errors import DeviceUnavailableError
from memslots.record import bpf, bpf_session
from memslots.trace import Reading, read

pytestmark = requires("bpf")
HERE = os.path.dirname(__file__)
ALL_KINDS = [sys.executable, os.path.join(HERE, "calls_of_all_kinds.py")]


@pytest.fixture(scope="module")
def stress(tmp_path_factory):
    program = str(tmp_path_factory.mktemp("stress") / "stress")
    subprocess.run(
        ["gcc", "-O1", "-pthread", os.path.join(HERE, "stress.c"), "-o", program], check=True
    )
    return program


def record(path, *command, options=("--bpf",)):
    """(exit code, what was said) of a recorded command."""
    process = memslots(
        "record",
        *options,
        "-o",
        str(path),
        "--",
        *command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    said, errors = process.communicate(timeout=60)
    return process.returncode, said + errors


def started(path, *words):
    """A recorder that has begun."""
    process = memslots("record", *words, "-o", str(path), stderr=subprocess.PIPE)
    assert "recording; Ctrl-C ends it" in process.stderr.readline()
    return process


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return ""


def neutral(events):
    """What runs of one program have in common; fds of VMs too, but not addresses, nor the ends of
    processes, which ptrace alone sees.
    """
    return [
        (event.call, {name: value for name,
        value in event.fields.items() if name != "userspace_addr"},
         event.result, event.fd)
        for event in events
        if event.call != "exit"
    ]  # fmt: skip


@requires("kvm", "ptrace")
def test_it_sees_the_calls_that_ptrace_sees(tmp_path):
    traced, watched = tmp_path / "ptrace", tmp_path / "bpf"
    assert record(traced, *ALL_KINDS, options=())[0] == 0
    before = time.time_ns()
    code, said = record(watched, *ALL_KINDS)
    assert code == 0
    assert "lost" not in said
    theirs, ours = calls(traced)[0], calls(watched)[0]
    assert neutral(ours) == neutral(theirs)
    assert len(ours) > 25
    assert before < ours[0].time_ns < ours[-1].time_ns < time.time_ns()
    makers = [event for event in ours if event.call == "KVM_CREATE_VM"]
    assert makers[0].process is None
    assert len({event.process for event in makers}) == 4
    assert all(str(event.pid) in event.process for event in makers[1:])


@requires("qemu", "kvm", "ptrace")
def test_a_qemu_guest_is_seen_as_ptrace_sees_it(tmp_path):
    image = tmp_path / "image"
    image.write_bytes(bytes(0xFFF0) + OUT_AND_HALT.ljust(16, b"\0"))
    qemu = [
        "qemu-system-x86_64", "-accel", "kvm", "-m", "64M", "-nodefaults", "-display", "none",
        "-vga", "none",
        "-bios", str(image), "-device", "isa-debug-exit,iobase=0x501,iosize=1",
    ]  # fmt: skip
    paths = tmp_path / "ptrace", tmp_path / "bpf"
    for path, options in zip(paths, ((), ("--bpf",))):
        assert record(path, *qemu, options=options)[0] == 3
    assert len(region_calls(paths[0])) > 5
    assert region_calls(paths[0]) == region_calls(paths[1])
    traced, watched = (Counter(event.call for event in calls(path)[0]) for path in paths)
    del traced["exit"]  # ptrace alone sees the end of a process
    assert traced == watched


@requires("gcc", "kvm")
def test_64_threads_and_nobody_else(tmp_path, stress):
    path = tmp_path / "r"
    foreign = subprocess.Popen([*ALL_KINDS, "100000"])
    try:
        code, said = record(path, stress, "40")
    finally:
        foreign.kill()
        foreign.wait()
    events, reading = calls(path)
    counted = Counter(event.call for event in events)
    assert code == 5
    assert counted["KVM_SET_USER_MEMORY_REGION"] == int(said.splitlines()[0]) == 64 * 40 * 2
    assert counted["KVM_CREATE_VM"] == 1
    assert len({event.pid for event in events}) == 65
    assert not reading.skipped
    assert len(reading.notes) == 1
    check_whole(events)


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("exit 7", 7),
        ("kill -KILL $$", -signal.SIGKILL),
        ("(sleep 0.5; echo later) & exit 3", 3),
        (":", 0),
    ],
)
def test_the_exit_status_is_the_programs(tmp_path, script, code):
    found, said = record(tmp_path / "r", "sh", "-c", script)
    assert found == code
    assert ("later" in said) == ("later" in script), "a descendant was not waited for"


def test_signals_sent_to_the_recorder_reach_the_program(tmp_path):
    script = "trap 'exit 4' TERM; echo up; while :; do sleep 0.05; done"
    process = memslots(
        "record",
        "--bpf",
        "-q",
        "-o",
        str(tmp_path / "r"),
        "--",
        "sh",
        "-c",
        script,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 4


def test_a_program_that_is_not_there(tmp_path):
    code, said = record(tmp_path / "r", "no-such-program")
    assert code == 2
    assert "no-such-program: No such file or directory" in said


@requires("kvm")
def test_a_running_tree_from_its_middle_to_its_end(tmp_path):
    path = tmp_path / "r"
    command = f"{ALL_KINDS[0]} {ALL_KINDS[1]} 3000 & {ALL_KINDS[0]} {ALL_KINDS[1]} 3000 & wait"
    program = subprocess.Popen(["sh", "-c", command])
    foreign = subprocess.Popen([*ALL_KINDS, "100000"])
    try:
        wait_for(lambda: len(children_of(program.pid)) == 2)
        ours = set(children_of(program.pid))
        process = started(path, "--bpf", "-p", str(program.pid))
        program.wait(timeout=60)
        assert process.wait(timeout=10) == 0, "the recorder did not end with the tree"
    finally:
        foreign.kill()
        foreign.wait()
    events, reading = calls(path)
    assert {event.pid for event in events} == ours
    assert len({event.process for event in events}) == 2
    assert not reading.skipped
    assert not any("lost" in note for note in reading.notes)


@requires("gcc", "kvm")
def test_leaving_a_running_program(tmp_path, stress):
    path = tmp_path / "r"
    program = subprocess.Popen([stress, "100000"])
    try:
        process = started(path, "--bpf", "-p", str(program.pid))
        with open(f"/proc/{program.pid}/status") as file:
            assert "TracerPid:\t0" in file.read()
        wait_for(lambda: path.stat().st_size > 40_000)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
        assert program.poll() is None
        reading = Reading()
        events = list(read(str(path), reading=reading))
        assert not reading.skipped
        assert not any("lost" in note or "end mark" in note for note in reading.notes)
        starts = {}
        for event in events:  # from the slots that were there on nothing is missing
            if event.call != "KVM_SET_USER_MEMORY_REGION":
                assert event.format == "snapshot"
                continue
            slot, size = event.fields["slot"], event.fields["memory_size"]
            if event.result == 0:
                assert starts.get(slot) != size
                starts[slot] = size
    finally:
        program.kill()
        program.wait()


@requires("kvm")
def test_the_whole_machine(tmp_path):
    path = tmp_path / "r"
    process = started(path, "--system", "--seconds", "3")
    programs = [subprocess.Popen([*ALL_KINDS, "50"]) for _ in range(2)]
    for program in programs:
        program.wait()
    assert process.wait(timeout=30) == 0
    events, reading = calls(path)
    assert not any("lost" in note for note in reading.notes)
    for program in programs:
        of_it = [event for event in events if event.pid == program.pid]
        assert Counter(event.call for event in of_it)["KVM_SET_USER_MEMORY_REGION"] == 100
        (label,) = {event.process for event in of_it}
        assert str(program.pid) in label


@requires("kvm")
def test_two_recorders_do_not_see_each_other(tmp_path):
    program = subprocess.Popen([*ALL_KINDS, "100000"])
    try:
        first = started(tmp_path / "1", "--system")
        second = started(tmp_path / "2", "--bpf", "-p", str(program.pid))
        third = started(tmp_path / "3", "--system")
        wait_for(lambda: (tmp_path / "3").stat().st_size > 10_000)
        for process in (second, first, third):
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 0
    finally:
        program.kill()
        program.wait()
    recorders = {process.pid for process in (first, second, third)}
    for name in "123":
        events, reading = calls(tmp_path / name)
        assert program.pid in {event.pid for event in events}
        assert not recorders & {event.pid for event in events}
        assert not any("lost" in note for note in reading.notes)


@requires("kvm")
@pytest.mark.parametrize("how", ["command", "pid"])
def test_a_killed_recorder_leaves_the_program_and_no_bpftrace(tmp_path, how):
    path = tmp_path / "r"
    command = [*ALL_KINDS, "100000"]
    if how == "command":
        process = memslots("record", "--bpf", "-q", "-o", str(path), "--", *command)
        program = None
        wait_for(lambda: len(children_of(process.pid)) == 2)
        pid = next(child for child in children_of(process.pid) if name_of(child) != "bpftrace")
    else:
        program = subprocess.Popen(command)
        process, pid = started(path, "--bpf", "-p", str(program.pid)), program.pid
    try:
        (watcher,) = (child for child in children_of(process.pid) if name_of(child) == "bpftrace")
        wait_for(lambda: path.exists() and path.stat().st_size > 10_000)
        process.kill()
        process.wait()
        wait_for(
            lambda: name_of(watcher) != "bpftrace" or not os.path.exists(f"/proc/{watcher}/maps")
        )
        with open(f"/proc/{pid}/stat") as file:
            assert file.read().rpartition(") ")[2][0] in "RSD"
        events, reading = calls(path)
        assert len(events) > 50
        assert any("end mark" in note for note in reading.notes)
    finally:
        os.kill(pid, signal.SIGKILL)
        if program:
            program.wait()


def test_when_bpftrace_is_killed_the_recording_says_so(tmp_path):
    path = tmp_path / "r"
    process = memslots(
        "record",
        "--bpf",
        "-o",
        str(path),
        "--",
        "sh",
        "-c",
        "sleep 1; exit 6",
        stderr=subprocess.PIPE,
    )
    wait_for(lambda: len(children_of(process.pid)) == 2)
    (watcher,) = (child for child in children_of(process.pid) if name_of(child) == "bpftrace")
    os.kill(watcher, signal.SIGKILL)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 6
    assert "an unknown number of calls were lost" in said
    assert any("unknown number of calls" in note for note in calls(path)[1].notes)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            "echo RLIMIT_MEMLOCK, harmless >&2; echo ERROR: no such probe >&2; exit 1",
            "ended at once: ERROR: no such",
        ),
        ("exit 0", "it says nothing"),
        (
            'echo "{\\"type\\": \\"attached_probes\\", \\"data\\": {}}"; exec sleep 60',
            "shows no calls",
        ),
    ],
)
def test_a_bpftrace_that_does_not_work(tmp_path, monkeypatch, script, said):
    fake = tmp_path / "bpftrace"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(bpf_session, "_SEEN_SECONDS", 0.5)
    with pytest.raises(DeviceUnavailableError, match=said) as raised:
        bpf.record(["true"], str(tmp_path / "r"))
    assert "RLIMIT" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--system", "--", "true"), "one of"),
        (("--bpf", "--seconds", "3", "--", "true"), "--seconds"),
    ],
)
def test_options_that_do_not_go_together(tmp_path, options, said):
    process = memslots("record", "-o", str(tmp_path / "r"), *options, stderr=subprocess.PIPE)
    assert said in process.communicate(timeout=30)[1]
    assert process.returncode == 2


@pytest.mark.parametrize("seconds", [0, -3, float("nan")])
def test_a_recording_of_no_time_is_refused(tmp_path, seconds):
    with pytest.raises(ValueError, match="takes more than"):
        bpf.record_system(str(tmp_path / "r"), seconds=seconds)
    assert not list(tmp_path.iterdir())
