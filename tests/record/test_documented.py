"""The commands of docs/recording.md run, on a program of a moment instead of QEMU."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from requires import missing, requires
from test_record import ENVIRONMENT, HERE

from memslots.trace import read

TEXT = (Path(__file__).parents[2] / "docs" / "recording.md").read_text()
BLOCKS = re.findall(r"^```\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = sorted({
    line
    for block in BLOCKS
    for line in block.splitlines()
    if line.startswith("memslots record") and "hyperlight" not in line
})  # fmt: skip
KINDS = [sys.executable, os.path.join(HERE, "calls_of_all_kinds.py"), "50"]


def memslots(words, folder):
    return subprocess.Popen(
        [sys.executable, "-m", *words], env=ENVIRONMENT, cwd=folder, stderr=subprocess.PIPE
    )


def test_every_way_to_record_is_documented():
    for option in ("--runs", "--backtrace", "--bpf -o", "--bpf -o vmm.rec -p", "--system"):
        assert any(f"memslots record {option}" in line for line in COMMANDS), option


@requires("ptrace", "kvm")
@pytest.mark.parametrize("line", COMMANDS)
def test_it_records(tmp_path, line):
    if "--bpf" in line or "--system" in line:
        lacking = missing("bpf")
        if lacking:
            pytest.skip(lacking)
    words = shlex.split(line)
    program = subprocess.Popen([*KINDS[:-1], "3000"], stdout=subprocess.DEVNULL)
    try:
        if "--" in words:
            words[words.index("--") + 1 :] = KINDS
        words = [str(program.pid) if word == "1234" else word for word in words]
        words = ["4" if word == "60" else word for word in words]
        recorder = memslots(words, tmp_path)
        if "-p" in words:
            time.sleep(6)
            recorder.send_signal(signal.SIGINT)
        said = recorder.communicate(timeout=120)[1]
        assert recorder.returncode == 0, said
    finally:
        program.kill()
        program.wait()
    (path,) = tmp_path.glob("*.rec")
    assert any(event.call.startswith("KVM_") for event in read(str(path)))


@requires("ptrace", "kvm")
def test_what_is_recorded_is_explained_and_converted(tmp_path):
    assert (
        memslots(["memslots", "record", "-q", "-o", "vmm.rec", "--", *KINDS], tmp_path).wait(60)
        == 0
    )
    (forms,) = re.findall(r"`memslots export --format ([a-z|]+)`", TEXT)
    for form in forms.split("|"):
        done = memslots(["memslots", "export", "--format", form, "vmm.rec", "-o", "out"], tmp_path)
        assert done.wait(60) == 0
        assert (tmp_path / "out").stat().st_size
    assert memslots(["memslots", "explain", "vmm.rec"], tmp_path).wait(60) in (0, 1)
