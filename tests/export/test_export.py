"""Exports: they compile, run, and say the same as what they were made from."""

# ruff: noqa: E501 (recorded lines are as long as they are)
from __future__ import annotations

import json
import subprocess
import sys

import pytest
from requires import requires

from memslots import find
from memslots.cli.main import main
from memslots.export import FORMATS, export
from memslots.replay.replay import Replay
from memslots.trace import event_from_json, parse_text

RECORDING = """\
openat(AT_FDCWD, "/dev/kvm", O_RDWR|O_CLOEXEC) = 3
10 1700000000.000100 ioctl(3, KVM_CREATE_VM, 0) = 4
10 1700000000.000200 ioctl(4, KVM_SET_USER_MEMORY_REGION, {slot=0, flags=KVM_MEM_LOG_DIRTY_PAGES, guest_phys_addr=0, memory_size=8192, userspace_addr=0x20000000}) = 0
10 1700000000.000300 ioctl(4, KVM_SET_USER_MEMORY_REGION, {slot=1, flags=0, guest_phys_addr=0x1000, memory_size=8192, userspace_addr=0x20000000}) = -1 EEXIST (File exists)
10 1700000000.000400 ioctl(4, KVM_SET_USER_MEMORY_REGION, {slot=0, flags=KVM_MEM_LOG_DIRTY_PAGES, guest_phys_addr=0x10000, memory_size=8192, userspace_addr=0x20000000}) = 0
10 1700000000.000500 ioctl(4, KVM_GET_DIRTY_LOG, {slot=0}) = 0
10 1700000000.000600 ioctl(4, KVM_SET_TSS_ADDR, 0x100000000) = -1 EINVAL (Invalid argument)
10 1700000000.000700 ioctl(4, KVM_ENABLE_CAP, {cap=KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, flags=0, args=[0x2, 0, 0, 0]}) = -1 EINVAL (Invalid argument)
10 1700000000.000800 ioctl(4, KVM_SET_USER_MEMORY_REGION, {slot=0, flags=0, guest_phys_addr=0, memory_size=0, userspace_addr=0}) = 0
"""


@pytest.fixture
def events():
    return parse_text(RECORDING)


def seen(events):
    return [(event.call, dict(event.fields), event.result, event.fd) for event in events]


def test_jsonl_is_read_back(events):
    assert seen(map(event_from_json, export(events, "jsonl"))) == seen(events)


def test_strace_text_is_read_back(events):
    text = "\n".join(export(events, "strace")) + "\n"
    assert seen(parse_text(text)) == seen(events)
    assert "10 1700000000.000300 ioctl(4, KVM_SET_USER_MEMORY_REGION, {slot=1, flags=0," in text


def test_perfetto_has_slots_calls_and_counters(events):
    document = json.loads("\n".join(export(events, "perfetto")))
    rows = document["traceEvents"]
    slices = [(row["name"], row["ts"], row["dur"]) for row in rows if row["ph"] == "X"]
    assert slices == [
        ("0x0 + 0x2000 flags 1", 100.0, 200.0),
        ("0x10000 + 0x2000 flags 1", 300.0, 400.0),
    ]
    assert any(row["name"] == "KVM_SET_USER_MEMORY_REGION EEXIST" for row in rows)
    assert [row["args"]["value"] for row in rows if row["name"] == "pages"] == [2, 2, 2, 0]


def test_an_unknown_format_is_named(events):
    with pytest.raises(ValueError, match="no export to 'xml'; there are c, selftest, python"):
        export(events, "xml")


@requires("gcc", "kvm")
def test_the_c_program_gives_the_recorded_errnos(tmp_path, events, capsys):
    recording = tmp_path / "vmm.strace"
    recording.write_text(RECORDING)
    source, program = tmp_path / "calls.c", tmp_path / "calls"
    assert main(["export", "--to", "c", str(recording), "-o", str(source)]) == 0
    subprocess.run(
        ["gcc", "-Wall", "-Wextra", "-Werror", str(source), "-o", str(program)], check=True
    )
    done = subprocess.run([str(program)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "3 KVM_SET_USER_MEMORY_REGION = -17 (File exists)" in done.stdout
    assert done.stdout.endswith("8 calls, 0 answered otherwise than recorded\n")


@requires("gcc", "kvm")
@pytest.mark.parametrize(("wrong", "code"), [("", 0), ("-1 EEXIST (File exists)", 1)])
def test_a_selftest_prints_tap(tmp_path, wrong, code):
    recording, source, program = (tmp_path / each for each in ("vmm.strace", "test.c", "test"))
    recording.write_text(RECORDING.replace(wrong, "0") if wrong else RECORDING)
    assert main(["export", "--format", "selftest", str(recording), "-o", str(source)]) == 0
    subprocess.run(["gcc", "-Wall", "-Wextra", "-Werror", source, "-o", program], check=True)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout
    lines = done.stdout.splitlines()
    assert lines[:2] == ["TAP version 13", "1..8"]
    tests = [line for line in lines[2:] if not line.startswith("#")]
    assert [int(line.removeprefix("not ").split()[1]) for line in tests] == [*range(1, 9)]
    assert sum(line.startswith("not ok") for line in tests) == code
    assert lines[-1] == f"# Totals: pass:{8 - code} fail:{code} xfail:0 xpass:0 skip:0 error:0"


@requires("gcc", "kvm")
def test_a_wrong_recording_is_told(tmp_path):
    source, program = tmp_path / "calls.c", tmp_path / "calls"
    events = parse_text(RECORDING.replace("-1 EEXIST (File exists)", "0"))
    source.write_text("\n".join(export(events, "c")))
    subprocess.run(["gcc", str(source), "-o", str(program)], check=True)
    done = subprocess.run([str(program)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "= -17 (File exists)  recorded: 0" in done.stdout


@pytest.mark.parametrize("kernel", ["6.18/x86_64+amd", pytest.param("", marks=requires("kvm"))])
def test_the_python_script_gives_the_recorded_errnos(tmp_path, events, kernel):
    script = tmp_path / "calls.py"
    script.write_text("\n".join(export(events, "python")))
    words = [sys.executable, str(script), *filter(None, [kernel])]
    environment = {"PYTHONPATH": ":".join(filter(None, sys.path))}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 answered otherwise than recorded" in done.stdout


def test_every_format_takes_every_kind_of_call():
    text = "".join(
        f'{{"v": 1, "call": "{call}", "fields": {json.dumps(fields)}, "result": 0, "fd": 4}}\n'
        for call, fields in (
            ("KVM_CREATE_VM", {"type": 0}),
            ("KVM_CREATE_GUEST_MEMFD", {"size": 4096, "flags": 0}),
            ("KVM_SET_USER_MEMORY_REGION2", {"slot": 0, "flags": 4, "guest_phys_addr": 0, "memory_size": 4096,
                                             "userspace_addr": 0, "guest_memfd": 0, "guest_memfd_offset": 0}),
            ("KVM_CLEAR_DIRTY_LOG", {"slot": 0, "first_page": 0, "num_pages": 64, "mask": 5}),
            ("KVM_SET_MEMORY_ATTRIBUTES", {"address": 0, "size": 4096, "attributes": 8, "flags": 0}),
            ("KVM_CREATE_IRQCHIP", {}),
            ("KVM_SET_MSRS", {"index": 1, "data": 4096}),
            ("mmap", {"addr": 4096, "length": 4096, "prot": 3}),
            ("munmap", {"addr": 4096, "length": 4096}),
            ("close", {}),
        )
    )  # fmt: skip
    events = parse_text(text)
    assert len(events) == 10
    for to in FORMATS:
        assert list(export(events, to))
    assert all(step.verdict for step in Replay(events, find("7.2/x86_64")))
