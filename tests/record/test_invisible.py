"""Programs that watch, filter or trace one another behave under a recorder as without it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import pytest
from requires import missing, requires
from test_record import memslots

from memslots.record.processes import tracer_of

pytestmark = requires("gcc", "kvm", "ptrace")
PROGRAMS = os.path.join(os.path.dirname(__file__), "programs")
ROUNDS = "10"


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("programs")
    for name in ("watching", "confined", "ignoring", "tracing"):
        source = os.path.join(PROGRAMS, f"{name}.c")
        subprocess.run(["gcc", "-O1", "-pthread", source, "-o", str(folder / name)], check=True)
    return folder


def cases(name):
    with open(os.path.join(PROGRAMS, f"{name}.c")) as file:
        return re.findall(
            r"T\(([a-z_]+)\)", file.read().split("tests[] =")[1].replace("T(word)", "")
        )


def ways(folder):
    return {
        "bare": [],
        "strace": ["strace", "-f", "-o", str(folder / "strace")],
        "ptrace": [sys.executable, "-m", "memslots", "record", "-q", "-o", str(folder / "r"), "--"],
        "bpf": [
            sys.executable,
            "-m",
            "memslots",
            "record",
            "--bpf",
            "-q",
            "-o",
            str(folder / "r"),
            "--",
        ],
    }


def seen(programs, folder, name, way, rounds=ROUNDS):
    """Case: what the program printed, line by line, and its exit status."""
    words = " ".join(cases(name))
    run = f"{programs / name} $word {rounds}"
    script = f'for word in {words}; do echo "case $word"; {run}; echo $?; done'
    done = subprocess.run(
        [*ways(folder)[way], "sh", "-c", script],
        capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {text.split("\n")[0]: text.split("\n")[1:] for text in done.stdout.split("case ")[1:]}


RECORDERS = [
    pytest.param("ptrace"),
    pytest.param("bpf", marks=pytest.mark.skipif(bool(missing("bpf")), reason=str(missing("bpf")))),
]


@pytest.mark.parametrize("way", RECORDERS)
@pytest.mark.parametrize("name", ["watching", "confined", "ignoring"])
def test_a_program_behaves_as_without_a_recorder(programs, tmp_path, name, way):
    rounds = ROUNDS if name != "ignoring" else "2"
    bare = seen(programs, tmp_path, name, "bare", rounds)
    assert all(lines[-2] == "3" for lines in bare.values())
    assert seen(programs, tmp_path, name, way, rounds) == bare


def is_waiting(pid):
    with open(f"/proc/{pid}/syscall") as file:
        return file.read().split()[0] in ("232", "281")  # epoll_wait, epoll_pwait


def test_a_call_that_waits_does_not_notice_that_a_recorder_came_and_went(programs, tmp_path):
    if os.uname().machine != "x86_64":
        pytest.skip("calls are made again on x86 only")
    program = subprocess.Popen(
        [programs / "ignoring", "waits_for_input"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert program.stdout.readline() == b"waits 1\n"
    recorder = memslots("record", "-q", "-o", str(tmp_path / "r"), "-p", str(program.pid))
    while tracer_of(program.pid) != recorder.pid or not is_waiting(program.pid):
        assert recorder.poll() is None
        time.sleep(0.01)
    recorder.send_signal(signal.SIGINT)
    assert recorder.wait(60) == 0
    program.stdin.write(b"x")
    program.stdin.close()
    assert program.stdout.read() == b"found 1\n"
    assert program.wait(60) == 3


@requires("strace")
def test_a_program_that_traces_is_refused_as_under_strace(programs, tmp_path):
    assert seen(programs, tmp_path, "tracing", "ptrace") == seen(
        programs, tmp_path, "tracing", "strace"
    )


@requires("bpf")
def test_with_bpf_programs_may_trace(programs, tmp_path):
    assert seen(programs, tmp_path, "tracing", "bpf") == seen(programs, tmp_path, "tracing", "bare")


def test_a_refused_tracer_is_told_why(programs, tmp_path):
    process = memslots(
        "record", "-q", "-o", str(tmp_path / "r"), "--", str(programs / "tracing"), "attaches",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    said, errors = process.communicate(timeout=30)
    assert "attach -1\n" in said
    assert "tried to trace another" in errors
    assert "--bpf" in errors
