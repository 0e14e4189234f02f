"""Many threads, forks and kills: as for the recorder."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter

import pytest
from requires import requires
from test_emulate import ENVIRONMENT, sys

from memslots.emulate import run
from memslots.explain.analysis import Analysis
from memslots.replay.step import DIFFERS
from memslots.trace import Reading, read

pytestmark = requires("ptrace", "kvm", "gcc")
RECORD = os.path.join(os.path.dirname(__file__), os.pardir, "record")
STRESS = os.path.join(RECORD, "stress.c")
IGNORING = os.path.join(RECORD, "programs", "ignoring.c")


@pytest.fixture(scope="module")
def stress(tmp_path_factory):
    program = str(tmp_path_factory.mktemp("stress") / "stress")
    subprocess.run(["gcc", "-O1", "-pthread", STRESS, "-o", program], check=True)
    return program


@pytest.mark.parametrize("inject", [[], ["KVM_SET_USER_MEMORY_REGION:delay_us=300:prob=0.02"]])
def test_64_threads_while_others_start_and_die(stress, tmp_path, inject):
    out = tmp_path / "out"
    with open(out, "wb") as file:
        found = run(
            [stress, "12"], kernel="5.10/x86_64", path=str(tmp_path / "r"), inject=inject,
            stdout=file.fileno(),
        )  # fmt: skip
    assert (found.exit_code, found.remark, found.lost, found.remarks) == (5, "", 0, [])
    reading = Reading()
    events = list(read(found.path, reading=reading))
    counted = Counter(event.call for event in events)
    assert counted["KVM_SET_USER_MEMORY_REGION"] == int(out.read_text()) == 64 * 12 * 2
    assert counted["fork"] == 1
    assert not reading.skipped
    analysis = Analysis(found.path)
    assert not any(step.verdict == DIFFERS for step, _ in analysis.run())
    (vm,) = analysis.replay.vms
    assert vm.vm.state.nr_slots == 0


def test_threads_that_ask_for_too_much(stress, tmp_path):
    """With 32 slots half of the threads are refused, and the program ends at the first of them."""
    found = run([stress, "3"], kernel="6.1/x86_64", slots=32, path=str(tmp_path / "r"))
    assert found.exit_code == 3
    assert found.answered["model"] >= 1
    analysis = Analysis(found.path)
    assert not any(step.verdict == DIFFERS for step, _ in analysis.run())


def test_signals_that_the_program_ignores_interrupt_no_call(tmp_path):
    program = str(tmp_path / "ignoring")
    subprocess.run(["gcc", "-O1", "-pthread", IGNORING, "-o", program], check=True)
    out = tmp_path / "out"
    with open(out, "wb") as file:
        found = run(
            [program, "makes_vms", "2"], kernel="6.1/x86_64", path=str(tmp_path / "r"),
            stdout=file.fileno(),
        )  # fmt: skip
    assert (found.exit_code, out.read_text()) == (3, "failed 0\n" * 2)
    made = [event.result for event in read(found.path) if event.call == "KVM_CREATE_VM"]
    assert len(made) == 10
    assert min(made) >= 0


@pytest.mark.parametrize("whom", ["emulator", "program"])
def test_a_kill_at_any_moment_leaves_nothing_behind(stress, tmp_path, whom):
    draw = random.Random(11)
    for number in range(3):
        path = tmp_path / f"r{number}"
        process = subprocess.Popen(
            [sys.executable, "-m", "memslots", "emulate", "--kernel", "6.1/x86_64", "-q", "-o",
             str(path), "--", stress, "100000"],
            env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 20
        while (not path.exists() or path.stat().st_size < 4000) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(draw.random() / 5)
        with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
            child = int(file.read().split()[0])
        os.kill(process.pid if whom == "emulator" else child, signal.SIGKILL)
        assert process.wait(timeout=30) == -signal.SIGKILL
        reading = Reading()
        assert len(list(read(str(path), reading=reading))) > 30
        assert not reading.skipped
        deadline = time.monotonic() + 10
        while os.path.exists(f"/proc/{child}") and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not os.path.exists(f"/proc/{child}")
