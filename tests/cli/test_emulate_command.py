"""`memslots emulate` and `memslots sweep`: their examples, and what people may get wrong."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from epilog import ROOT, call, examples
from requires import requires

from memslots.views.schemas import schema_text

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
EMULATED = [line for line in examples("emulate") if " -- " in line]
SWEPT = [line for line in examples("sweep") if " -- " in line]


@pytest.fixture(scope="module")
def vmm(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("vmm") / "small_vmm")
    source = ROOT / "examples" / "emulate" / "small_vmm.c"
    subprocess.run(["gcc", "-O1", str(source), "-o", path], check=True)
    return path


def command_of(line, vmm):
    """An example with the small monitor in place of the program."""
    return [sys.executable, "-m", *shlex.split(line.split(" -- ")[0]), "--", vmm]


def run(words, folder):
    return subprocess.run(
        words, env=ENVIRONMENT, cwd=folder, capture_output=True, text=True, check=False, timeout=90
    )


@requires("ptrace", "kvm", "gcc", "guest")
@pytest.mark.parametrize("line", EMULATED)
def test_examples_of_emulate(line, vmm, tmp_path):
    done = run(command_of(line, vmm), tmp_path)
    # with pages of 16 KiB it depends on where mmap puts the memory
    expected = {0, 1} if "+16k" in line else {int("--inject" in line)}
    assert done.returncode in expected, done.stderr
    (recording,) = [name for name in os.listdir(tmp_path) if name.endswith(".rec")]
    assert f"in {recording}" in done.stderr
    code, out, _ = call(f"memslots explain {tmp_path / recording}")
    assert code in (0, 1)
    assert "emulate" in out


@requires("ptrace", "kvm", "gcc", "guest")
@pytest.mark.parametrize("line", SWEPT)
def test_examples_of_sweep(line, vmm, tmp_path):
    done = run(command_of(line.partition(" > ")[0], vmm), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "clean error" in done.stdout or 'failures="0"' in done.stdout


@requires("ptrace", "kvm", "gcc", "guest")
def test_a_sweep_as_json(vmm, tmp_path):
    done = run([sys.executable, "-m", "memslots", "sweep", "--json", "--", vmm], tmp_path)
    found = json.loads(done.stdout)
    schema = json.loads(schema_text(found["schema"]))
    pytest.importorskip("jsonschema").Draft202012Validator(schema).validate(found)
    assert (found["schema"], found["calls"], found["exit_code"]) == ("memslots.sweep/1", 4, 0)
    assert {ending["how"] for ending in found["endings"]} == {"clean-error"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("memslots emulate -- true", "--kernel K to answer as another kernel"),
        ("memslots emulate --no-kvm --inject KVM_RUN:error=EIO -- true", "--kernel K"),
        ("memslots emulate --slots 0 -- true", "1 to 32767 slots (--slots), not 0"),
        ("memslots emulate --slots 99999 -- true", "1 to 32767 slots"),
        ("memslots emulate --slots 32 --no-kvm -- true", "not with --no-kvm: name the kernel"),
        ("memslots emulate --kernel 6.1/vax -- true", "vax"),
        ("memslots emulate --kernel 6.1 --facts no-such -- true", "no such fact or option"),
        ("memslots emulate --kernel 6.1 --inject KVM_RUN -- true", "say what happens"),
        ("memslots emulate --kernel 6.1 --no-kvm --run bogus -- true", "hlt, shutdown"),
        ("memslots sweep --jobs 0 -- true", "--jobs takes a number from 1"),
        ("memslots sweep -- true", "the command made no memory call"),
        ("memslots sweep -- no-such-program", "no-such-program: No such file or directory"),
    ],
)
def test_what_is_wrong_is_said(line, said, tmp_path):
    done = run([sys.executable, "-m", *shlex.split(line)], tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".rec")]


@requires("ptrace", "kvm")
def test_what_cannot_be_had_is_said_at_the_start(tmp_path):
    done = run(
        [sys.executable, "-m", "memslots", "emulate", "--kernel", "6.12/arm64+64k", "-q", "-o",
         str(Path("r")), "--", "sh", "-c", "echo running >&2"],
        tmp_path,
    )  # fmt: skip
    first, *others = done.stderr.splitlines()
    assert "the rules are those of arm64" in first
    assert "64 KiB" in others[0]
    assert others[-1] == "running"
