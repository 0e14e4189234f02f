"""`--no-kvm`: programs where there is no /dev/kvm, in a mount namespace that hides it."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from requires import missing, requires
from test_emulate import ENVIRONMENT, program  # noqa: F401 (a fixture)

from memslots.emulate import run
from memslots.emulate.faking_tracer import EXITS
from memslots.explain.analysis import Analysis
from memslots.replay.step import DIFFERS
from memslots.uapi.capabilities import CAPS

pytestmark = requires("ptrace", "gcc")
EXAMPLES = Path(__file__).parents[2] / "examples" / "emulate"
HIDDEN = ["unshare", "-m", "sh", "-c", 'mount --bind /dev/null /dev/kvm; exec "$@"', "sh"]
"""Runs a command where opening /dev/kvm opens nothing of KVM's."""


def hidden():
    """HIDDEN where it works, nothing where there is no /dev/kvm anyhow."""
    if not os.path.exists("/dev/kvm"):
        return []
    if subprocess.run([*HIDDEN, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mount namespace can be made here")
    return HIDDEN


@pytest.fixture
def on(program, tmp_path):  # noqa: F811
    """Run calls on a kernel that is not there."""

    def emulated(kernel, *calls, **options):
        out = tmp_path / "out"
        with open(out, "wb") as file:
            found = run(
                [*hidden(), program, *calls], kernel=kernel, path=str(tmp_path / "r"), no_kvm=True,
                stdout=file.fileno(), **options,
            )  # fmt: skip
        seen = [int(line.split()[1]) for line in out.read_text().splitlines()]
        analysis = Analysis(found.path)
        # that a child is no process of the VM's own, a replay learns from the answer alone
        steps = [step for step, _ in analysis.run() if step.observed != -errno.EIO]
        assert not any(step.verdict == DIFFERS for step in steps)
        return seen, found

    return emulated


def test_without_it_the_program_finds_no_kvm(program):  # noqa: F811
    if missing("kvm"):
        pytest.skip("there is none anyhow")
    done = subprocess.run([*hidden(), program, "vm 0"], capture_output=True, check=False, text=True)
    assert done.stdout == f"vm {-errno.ENOTTY}\n"


def test_memory_calls_are_the_models(on):
    seen, found = on(
        "5.10/x86_64", "vm 0", "cap 10", "region 508,1,0,0x100000", "region 509,0,0x200000,0x1000",
        "region 1,0,0x80000,0x1000", "log 508", "log 1", "region 508,0,0,0", "region2 0,0,0,0x1000",
        "getmmu", "unreadable",
    )  # fmt: skip
    assert seen[1:] == [
        509, 0, -errno.EINVAL, -errno.EEXIST, 0, -errno.ENOENT, 0, -errno.ENOTTY, 64,
        -errno.EFAULT,
    ]  # fmt: skip
    assert found.exit_code == 0
    assert (found.answered["host"], found.answered["injected"], found.remarks) == (0, 0, [])


def test_bitmaps_begin_as_the_program_asks(on):
    """All pages are dirty at first with KVM_DIRTY_LOG_INITIALLY_SET."""
    cap = CAPS["KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2"]
    seen, _ = on("6.1/x86_64", "vm 0", f"enable {cap},3", "region 0,1,0,0x100000", "log 0")
    assert seen[1:] == [0, 0, 0xFF]


@pytest.mark.parametrize("arch", ["x86_64", "arm64", "riscv64"])
def test_rules_of_other_architectures(on, arch):
    seen, found = on(f"6.12/{arch}", "vm 0", "region 0,0,0,0x1000", "region 1,4,0x1000,0x1000")
    assert seen[1:] == [0, -errno.EINVAL]
    assert [each.kind for each in found.differences] == ([] if arch == "x86_64" else ["other-arch"])


def test_vcpus_and_what_their_run_gives(on):
    seen, _ = on("6.1/x86_64", "vm 0", "irqchip", "vcpu 0", "vcpu 0", "run")
    assert seen[1] == 0
    assert seen[2] > 0
    assert seen[3:] == [-errno.EEXIST, -errno.EBADF]  # the program forgot its first vCPU
    seen, _ = on("6.1/x86_64", "vm 0", "vcpu 0", "run", run_exit="EINTR")
    assert seen[2] == -errno.EINTR
    with pytest.raises(ValueError, match="hlt, shutdown"):
        on("6.1/x86_64", "vm 0", run_exit="nothing")


def test_descriptors_are_followed(on):
    seen, _ = on(
        "6.1/x86_64", "vm 0", "region 0,0,0,0x1000", "dup", "region 1,0,0,0x1000",
        "foreign", "region 1,0,0x1000,0x1000", "foreign", "vm 0",
    )  # fmt: skip
    assert seen[3:5] == [-errno.EEXIST, -errno.EIO]
    assert seen[5] >= 0


def test_injections_hit_here_too(on):
    seen, found = on("6.1/x86_64", "vm 0", "vcpu 0", "run",
                     inject=["KVM_CREATE_VCPU:error=ENOMEM", "KVM_RUN:error=EFAULT"])  # fmt: skip
    assert seen[1] == -errno.ENOMEM
    assert found.answered["injected"] == 1


def test_a_monitor_of_fifty_lines(tmp_path):
    path = str(tmp_path / "small_vmm")
    subprocess.run(["gcc", "-O1", str(EXAMPLES / "small_vmm.c"), "-o", path], check=True)
    for word in ("hlt", "shutdown"):
        done = subprocess.run(
            [*hidden(), sys.executable, "-m", "memslots", "emulate", "--no-kvm", "--kernel",
             "6.1/x86_64", "--run", word, "-o", str(tmp_path / "r"), "--", path],
            env=ENVIRONMENT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (0, f"exit {EXITS[word]}\n"), done.stderr


@requires("qemu")
def test_qemu_starts_as_far_as_its_guest(tmp_path):
    """KVM_RUN says that the machine is shut down, and QEMU ends."""
    found = run(
        [*hidden(), "qemu-system-x86_64", "-accel", "kvm", "-m", "64M", "-nodefaults", "-display",
         "none", "-vga", "none", "-no-reboot"],
        kernel="6.1/x86_64", no_kvm=True, run_exit="shutdown", path=str(tmp_path / "r"),
    )  # fmt: skip
    assert found.exit_code == 0
    assert [remark for remark in found.remarks if remark.kind == "not-faked"] == []
    analysis = Analysis(found.path)
    steps = [step for step, _ in analysis.run()]
    assert not any(step.verdict == DIFFERS for step in steps)
    assert sum(step.is_region for step in steps) > 5


@pytest.mark.skipif(not shutil.which("cargo"), reason="cargo is not installed")
def test_a_rust_test_suite(tmp_path):
    """`cargo test` on a kernel with 509 slots and on one with fewer than the test wants."""
    source = tmp_path / "rust-vmm"
    shutil.copytree(EXAMPLES / "rust-vmm", source)
    options = {"cwd": source, "capture_output": True, "text": True, "check": False}
    built = subprocess.run(["cargo", "test", "--offline", "--no-run"], **options)
    assert built.returncode == 0, built.stderr
    for kernel, slots in (("5.10/x86_64", []), ("6.1/x86_64", ["--slots", "32"])):
        done = subprocess.run(
            [*hidden(), sys.executable, "-m", "memslots", "emulate", "--no-kvm", "--kernel", kernel,
             *slots, "-o", str(tmp_path / "r"), "--", "cargo", "test", "--offline"],
            env=ENVIRONMENT, **options,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        assert "2 passed" in done.stdout
        found = Analysis(str(tmp_path / "r")).finish()
        assert any(each.rule.id == "slot-id-too-high" for each in found.explanations)
