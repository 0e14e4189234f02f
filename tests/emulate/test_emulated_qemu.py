"""QEMU, unmodified, on kernels that are not here."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import pytest
from requires import requires
from test_emulate import ENVIRONMENT

from memslots.explain.analysis import Analysis
from memslots.replay.step import DIFFERS
from memslots.uapi.flags import KVM_MEM_LOG_DIRTY_PAGES

pytestmark = requires("qemu", "kvm", "ptrace")
OUT_AND_HALT = bytes((0xBA, 0x01, 0x05, 0xB0, 0x01, 0xEE, 0xF4))
"""mov dx, 0x501; mov al, 1; out dx, al; hlt: QEMU's exit device ends it with status 3."""
DIMM_BYTES = 128 << 20


def command(path, kernel, *words, options=()):
    return [
        sys.executable, "-m", "memslots", "emulate", "-q", "--kernel", kernel, *options, "-o",
        str(path), "--", "qemu-system-x86_64", "-accel", "kvm", "-nodefaults", "-display", "none",
        "-vga", "none", *words,
    ]  # fmt: skip


def qemu(path, kernel, *words, options=()):
    """(exit code, errors) of QEMU on a kernel."""
    done = subprocess.run(
        command(path, kernel, *words, options=options), env=ENVIRONMENT, capture_output=True,
        text=True, timeout=100, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


def steps_of(path):
    """Its calls, replayed: the program saw what the kernel that it was on would have answered."""
    analysis = Analysis(str(path))
    steps = [step for step, _ in analysis.run()]
    assert not any(step.verdict == DIFFERS for step in steps)
    return steps, analysis


@pytest.mark.parametrize(
    ("machine", "kernel"),
    [("pc", "4.19"), ("q35", "5.10"), ("pc", "6.1"), ("q35", "6.12"), ("pc", "5.10+intel"),
     ("q35", "6.1+amd")],
)  # fmt: skip
@requires("guest")
def test_it_boots(tmp_path, machine, kernel):
    """SeaBIOS starts a boot sector, which ends QEMU."""
    image, path = tmp_path / "image", tmp_path / "r"
    image.write_bytes((OUT_AND_HALT.ljust(510, b"\0") + b"\x55\xaa").ljust(1 << 20, b"\0"))
    release, plus, edits = kernel.partition("+")
    drive = ("-drive", f"file={image},format=raw,if=none,id=d", "-device", "ide-hd,drive=d")
    code, said = qemu(
        path, f"{release}/x86_64{plus}{edits}", "-machine", machine, "-m", "64M", *drive,
        "-device", "isa-debug-exit,iobase=0x501,iosize=1",
    )  # fmt: skip
    assert code == 3, said
    steps, analysis = steps_of(path)
    assert sum(step.is_region for step in steps) > 20
    assert analysis.reading.kernel.startswith(release)
    called = [step.event for step in steps if step.event.call != "exit"]
    assert {event.answered_by for event in called} == {"host", "model"}
    assert "refused" not in said


def dimms(count):
    words = ["-m", f"64M,slots=64,maxmem={65 * (DIMM_BYTES >> 20)}M"]
    for number in range(count):
        words += ["-object", f"memory-backend-ram,id=m{number},size={DIMM_BYTES}"]
        words += ["-device", f"pc-dimm,memdev=m{number}"]
    return words


def test_with_32_slots_it_fails_as_it_would_there(tmp_path):
    path = tmp_path / "r"
    code, said = qemu(path, "6.1/x86_64", *dimms(40), "-S", options=("--slots", "32"))
    assert code == 1
    assert "no free memory slots left" in said
    steps, analysis = steps_of(path)
    assert 20 < max(step.totals[2] for step in steps) <= 32
    assert "+user-slots=32" in analysis.profile.name


TALK = (
    ("qmp_capabilities", {}),
    ("migrate-set-capabilities", {"capabilities": [{"capability": "events", "state": True}]}),
    ("object-add", {"qom-type": "memory-backend-ram", "id": "m", "size": DIMM_BYTES}),
    ("device_add", {"driver": "pc-dimm", "id": "d", "memdev": "m"}),
)


@pytest.mark.parametrize("kernel", ["5.10", "6.12"])
def test_memory_is_plugged_and_the_machine_moves(tmp_path, kernel):
    path = tmp_path / "r"
    process = subprocess.Popen(
        command(path, f"{kernel}/x86_64", "-machine", "q35", "-m", "64M,slots=4,maxmem=1G", "-S",
                "-qmp", "stdio"),
        env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True,
    )  # fmt: skip
    watcher = threading.Timer(100, process.kill)
    watcher.start()
    try:
        for name, arguments in (*TALK, ("migrate", {"uri": "exec:cat > /dev/null"})):
            process.stdin.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        process.stdin.flush()
        heard = ""
        for line in process.stdout:
            heard += line
            if '"completed"' in line or '"error"' in line:
                break
        process.stdin.write('{"execute": "quit"}\n')
        process.stdin.flush()
        assert process.wait() == 0, heard
    finally:
        watcher.cancel()
        process.kill()
        process.wait()
    assert '"error"' not in heard
    steps, _ = steps_of(path)
    regions = [step.region for step in steps if step.is_region]
    assert DIMM_BYTES in {region.memory_size for region in regions}
    assert any(region.flags & KVM_MEM_LOG_DIRTY_PAGES for region in regions)
    assert any(step.event.call == "KVM_GET_DIRTY_LOG" and step.observed == 0 for step in steps)
