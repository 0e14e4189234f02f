"""Who made a refused call: the functions above it."""

from __future__ import annotations

import os
import re
import subprocess

import pytest
from requires import requires
from test_record import HERE, calls, memslots

from memslots.explain.analysis import Analysis
from memslots.record.backtrace import Frame
from memslots.record.calls import call_of
from memslots.record.elf import Elf
from memslots.record.file import RecordingFile
from memslots.trace import read
from memslots.trace.jsonl import event_from_json, event_to_json
from memslots.uapi.calls import CALLS
from memslots.views.explanation import paragraphs

SOURCE = os.path.join(HERE, "programs", "refused_deep.c")


def compiled(folder, *options):
    path = str(folder / "deep")
    subprocess.run(["gcc", "-O2", *options, "-o", path, SOURCE], check=True)
    return path


def recorded(folder, program):
    path = folder / "r"
    options = ("record", "--backtrace", "-q", "-o", str(path), "--", program)
    assert memslots(*options).wait(60) == 0
    return [event for event in calls(path)[0] if event.call.startswith("KVM_")], path


@requires("ptrace", "kvm", "gcc")
@pytest.mark.parametrize("options", [("-fomit-frame-pointer",), ("-fno-omit-frame-pointer",),
                                     ("-static",)])  # fmt: skip
def test_the_functions_above_a_refused_call(tmp_path, options):
    events, path = recorded(tmp_path, compiled(tmp_path, *options))
    refused = [event for event in events if event.result < 0]
    assert len(refused) == 1
    assert not any(event.backtrace for event in events if event not in refused)
    names = [frame.split("+")[0] for frame in refused[0].backtrace]
    assert [name for name in names if name in ("set_region", "add_ram", "main")] == [
        "set_region", "add_ram", "main",
    ]  # fmt: skip
    assert all(re.search(r"\+0x[0-9a-f]+\)?$", frame) for frame in refused[0].backtrace)
    (explanation,) = Analysis(str(path)).finish().explanations
    said = dict(paragraphs(explanation))["made by"]
    assert said.index("set_region") < said.index("add_ram") < said.index("main")


@requires("ptrace", "kvm", "gcc")
def test_without_symbols_file_and_address_are_told(tmp_path):
    program = compiled(tmp_path, "-fomit-frame-pointer", "-s")
    events, _ = recorded(tmp_path, program)
    (refused,) = (event for event in events if event.result < 0)
    own = [frame for frame in refused.backtrace if frame.startswith("deep+0x")]
    assert len(own) >= 3


@requires("ptrace", "kvm", "gcc")
def test_without_the_option_nobody_looks(tmp_path):
    path = tmp_path / "r"
    assert memslots("record", "-q", "-o", str(path), "--", compiled(tmp_path)).wait(60) == 0
    assert not any(event.backtrace for event in calls(path)[0])


@requires("gcc")
def test_every_function_of_a_program_can_be_left(tmp_path):
    elf = Elf(compiled(tmp_path, "-fomit-frame-pointer"))
    listed = subprocess.run(["nm", str(tmp_path / "deep")], capture_output=True, text=True).stdout
    found = {
        name: int(address, 16)
        for address, kind, name in re.findall(r"^([0-9a-f]+) ([tT]) (\w+)$", listed, re.MULTILINE)
    }
    for name in ("set_region", "add_ram", "main"):
        assert elf.function(found[name] + 1) == f"{name}+0x1"
        rules = elf.rules(found[name])
        assert (rules.cfa_register, rules.cfa_offset, rules.at[16]) == (7, 8, -8)
    assert elf.function(1) == ""
    assert elf.rules(1) is None


@pytest.mark.parametrize(
    "data", [b"", b"\x7fELF", b"\x7fELF\x02\x01" + bytes(58), b"#!/bin/sh" * 20]
)
def test_what_is_no_program_is_refused(tmp_path, data):
    path = tmp_path / "x"
    path.write_bytes(data)
    with pytest.raises((OSError, ValueError)):
        Elf(str(path))


def test_frames_belong_to_the_next_call_of_their_thread(tmp_path):
    path = str(tmp_path / "x")
    call = call_of(CALLS["KVM_CREATE_VM"].request())
    with RecordingFile(path, ["x"], "a test") as file:
        file.frames(7, [Frame(0x1000, "inner+0x1 (a+0x2)"), Frame(2**64 - 8, "ou\x1bter" * 60)])
        file.add(call, 8, 1, 3, 5, (0,))
        file.add(call, 7, 2, -22, 5, (0,), None, 1500)
        file.add(call, 7, 3, -22, 5, (0,))
        file.end(0)
    other, first, second = read(path)
    assert other.backtrace == second.backtrace == ()
    assert first.backtrace[0] == "inner+0x1 (a+0x2)"
    assert first.backtrace[1].startswith("ou?ter")
    assert (first.duration_ns, second.duration_ns) == (1500, None)
    assert event_from_json(event_to_json(first)).backtrace == first.backtrace


@pytest.mark.parametrize("how", ["--bpf", "--system"])
def test_bpf_does_not_stop_at_the_call(how):
    process = memslots("record", how, "--backtrace", *(["--", "true"] if how == "--bpf" else ()),
                       stderr=subprocess.PIPE)  # fmt: skip
    assert process.wait(60) == 2
    assert "--backtrace is not for" in process.stderr.read()
