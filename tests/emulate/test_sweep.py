"""`memslots sweep`: finds each fault that was planted, can be stopped, and goes on."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from xml.etree import ElementTree

import pytest
from requires import requires
from test_emulate import ENVIRONMENT, HERE

from memslots.emulate.guest_memory_left import GuestMemory
from memslots.emulate.possible_errors import refusal_of
from memslots.emulate.sweep import CLEAN, CRASH, HANG, LACKS, LEAVES, SILENT, Sweep
from memslots.uapi.calls import CALLS, QUERIES
from memslots.views.sweep import sweep_junit, sweep_lines

PLANTED = [CLEAN, CLEAN, SILENT, LACKS, CRASH, HANG, LEAVES]
"""Of its calls in order: the VM, five slots, a deletion."""


@pytest.fixture(scope="module")
def bad_vmm(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("bad") / "bad_vmm")
    subprocess.run(
        ["gcc", "-O1", os.path.join(HERE, "programs", "bad_vmm.c"), "-o", path], check=True
    )
    return path


@requires("ptrace", "kvm", "gcc")
def test_it_finds_each_planted_fault(bad_vmm):
    with Sweep([bad_vmm], seconds=4) as sweep:
        sweep.learn()
        assert len(sweep.targets) == 7
        sweep.run(2)
        assert [ending.how for ending in sweep.endings] == PLANTED
        lacking, crash, deletion = sweep.endings[3], sweep.endings[4], sweep.endings[6]
        assert lacking.lacks == [(0, 2 << 20, 1 << 16)]
        assert crash.code == -signal.SIGSEGV
        assert (deletion.target.kind, deletion.left) == ("delete", [(0, 1 << 20, 1 << 20)])
        assert sweep.endings[1].said.startswith("no main memory: Cannot allocate memory")
        text = "\n".join(sweep_lines(sweep))
        assert "7 refused calls: 2 clean error, 1 crash, 1 hang" in text
        suite = ElementTree.fromstring(sweep_junit(sweep))
        assert (suite.get("tests"), suite.get("failures")) == ("7", "4")
        repeat = next(line for line in sweep_lines(sweep) if line.startswith("  repeat"))
    # the command that repeats it does
    words = shlex.split(repeat)[1:]
    assert words[:2] == ["memslots", "emulate"]
    done = subprocess.run(
        [sys.executable, "-m", *words], env=ENVIRONMENT, capture_output=True, check=False,
        cwd=os.path.dirname(bad_vmm),
    )  # fmt: skip
    assert done.returncode == 0
    assert b"1 injected" in done.stderr


@requires("ptrace", "kvm", "gcc")
def test_it_can_be_stopped_and_goes_on(bad_vmm, tmp_path):
    state = tmp_path / "state"
    words = [sys.executable, "-m", "memslots", "sweep", "--jobs", "1", "--seconds", "6", "--state",
             str(state), "--json", "--", bad_vmm]  # fmt: skip
    process = subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    endings = state / "endings.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if endings.exists() and len(endings.read_text().splitlines()) >= 5:
            break  # the next one hangs
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert len(json.loads(out)["endings"]) == 5
    kept = endings.read_text()
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert [ending["how"] for ending in found["endings"]] == PLANTED
    assert endings.read_text().startswith(kept)
    assert not [name for name in os.listdir(state) if name.startswith("run-")]
    words[-1] = "true"
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "the sweep of another command" in done.stderr


@requires("ptrace", "kvm", "gcc")
def test_a_crash_behind_a_shell_is_one(bad_vmm):
    """A shell tells of it by its exit code, as do most programs that start others."""
    with Sweep(["sh", "-c", f"{bad_vmm}; exit $?"], seconds=4) as sweep:
        sweep.learn()
        sweep.targets = sweep.targets[4:5]
        sweep.run(1)
        assert [(each.how, each.code) for each in sweep.endings] == [(CRASH, 139)]


def test_a_command_that_fails_by_itself_is_remarked(tmp_path):
    with Sweep(["false"], state=str(tmp_path)) as sweep:
        assert "note" not in "\n".join(sweep_lines(sweep))
        sweep.code = 1
        assert "undisturbed the command ends with exit code 1" in "\n".join(sweep_lines(sweep))


def test_every_call_has_an_error_that_it_can_get():
    for name, call in CALLS.items():
        given = refusal_of(name, queries=True)
        assert (given is None) == (call.is_frequent or call.is_beside_memory)
        if name in QUERIES:
            assert refusal_of(name) is None
        elif given is not None:
            assert -132 < given < 0


def test_memory_is_compared_by_what_it_covers():
    whole, split, less = GuestMemory(), GuestMemory(), GuestMemory()
    whole.made = whole.end = [(0, 0, 0x4000), (1, 0, 0x1000)]
    split.made = split.end = [(0, 0, 0x1000), (0, 0x1000, 0x3000), (1, 0, 0x1000)]
    less.made, less.end = whole.made, [(0, 0x1000, 0x2000), (0, 0x8000, 0x1000)]
    assert split.lacks(whole) == split.left(whole) == []
    assert less.lacks(whole) == [(0, 0, 0x1000), (0, 0x3000, 0x1000), (1, 0, 0x1000)]
    assert less.left(whole) == [(0, 0x8000, 0x1000)]
