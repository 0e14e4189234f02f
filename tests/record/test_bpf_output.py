"""The BPF recorder's script and what is made of its output: no root needed."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import struct

import pytest

from memslots.errors import DeviceUnavailableError
from memslots.record import bpf, bpf_script
from memslots.record.bpf_output import BpfOutput
from memslots.record.bpf_script import ENTRY, FINISHED, ROW, UNFINISHED, UNSURE, WORDS, script
from memslots.record.calls import RECORDED, REQUESTS
from memslots.record.file import RecordingFile
from memslots.record.processes import is_alive, threads_below
from memslots.trace import Reading, read
from memslots.uapi.calls import CALLS

CALL = {call.name: call for call in RECORDED}
SET_REGION = "KVM_SET_USER_MEMORY_REGION"
REGION = struct.pack("=IIQQQ", 3, 1, 0x1000, 0x2000, 0x7F00_0000_0000)


def row(name, argument=b"", *, ending=FINISHED, at=1, result=0, address=0x5000, **other):
    words = struct.unpack(f"={WORDS}Q", argument.ljust(8 * WORDS, b"\0"))
    values = {
        "time_ns": at, "request": CALLS[name].request(), "fd": 5, "argument": address, "tid": 11,
        "pid": 10,
        "result": result, "end_ns": at + 5, "ending": ending,
        **{f"word{n}": word for n, word in enumerate(words)},
        **other,
    }  # fmt: skip
    return [values[column] for column in ROW]


def line(name, content):
    return json.dumps({"type": "map", "data": {name: content}}).encode()


def only(*rows):
    """The one call of an output."""
    (call,) = BpfOutput().take(line("@a", {str(number): one for number, one in enumerate(rows)}))
    return call


@pytest.mark.parametrize("system", [True, False])
def test_the_script_knows_all_calls_and_no_other(system):
    text = script(1234, 77, system=system)
    condition = next(one for one in text.splitlines() if "&&" in one)
    numbers = {int(number, 16) for number in re.findall(r"\$request == (0x\w+)", condition)}
    assert numbers == set(REQUESTS)
    assert f"$request != {CALLS['KVM_RUN'].request():#x} &&" in condition
    assert ("@tree" in text) != system
    assert not re.search(r"\b[A-Z]{2,}_[A-Z]+\b|\bME\b", text), "a name was not replaced"
    assert text.count("{") == text.count("}")


def test_each_field_of_a_probe_is_read_once():
    """Of two reads compilers make one address, which the kernel's verifier refuses."""
    for block in script(1234, 77, system=False).split("\ntracepoint:"):
        fields = re.findall(r"args->(\w+)", block)
        assert len(fields) == len(set(fields))


def test_every_structure_fits_the_words_that_are_read():
    assert all(call.struct.size <= 8 * WORDS for call in RECORDED)
    assert all(call.request() > 0xFFFF for call in RECORDED if call.has_structure)


def test_a_region_call():
    call = only(row(SET_REGION, REGION, result=-17))
    assert (call.call.name, call.values, call.result) == (
        SET_REGION,
        struct.unpack("=IIQQQ", REGION),
        -17,
    )
    assert (call.tid, call.pid, call.fd, call.time_ns) == (11, 10, 5, 1)


def test_numbers_of_all_widths():
    call = only(row(SET_REGION, b"\xff" * 32, fd=(1 << 64) - 1))
    assert call.values == ((1 << 32) - 1,) * 2 + ((1 << 64) - 1,) * 3
    assert call.fd == -1
    # a later bpftrace may show the highest bit as a sign
    assert only(row(SET_REGION, b"", word1=-1)).values[2] == (1 << 64) - 1
    assert only(row("KVM_CHECK_EXTENSION", address=10)).values == (10,)
    region2 = struct.pack("=IIQQQQI", 1, 4, 2, 3, 4, 5, 6)
    assert only(row("KVM_SET_USER_MEMORY_REGION2", region2)).values == (1, 4, 2, 3, 4, 5, 6)


@pytest.mark.parametrize(
    ("name", "ending", "result", "known"),
    [
        (SET_REGION, FINISHED, 0, True),
        (SET_REGION, UNSURE, 0, True),  # the kernel has read it, so it was there at the exit
        (SET_REGION, UNSURE, -errno.EINVAL, True),
        (SET_REGION, UNSURE, -errno.EFAULT, False),
        (SET_REGION, UNSURE, -errno.EBADF, False),
        (SET_REGION, UNFINISHED, 0, False),
        ("KVM_PRE_FAULT_MEMORY", UNSURE, 0, False),  # at the exit it holds what is left to do
    ],
)
def test_zeros_that_may_be_nothing_are_not_taken_for_zeros(name, ending, result, known):
    call = only(row(name, b"", ending=ending, result=result))
    assert bool(call.values) == known
    assert (call.result is None) == (ending == UNFINISHED)


def test_an_unfinished_call_keeps_an_argument_that_was_read():
    assert only(row(SET_REGION, REGION, ending=UNFINISHED)).values
    assert not only(row(SET_REGION, REGION, ending=UNFINISHED, address=0x5FF8)).values, (
        "over the end of a page"
    )


def test_threads_that_are_in_a_call_at_the_end():
    (call,) = BpfOutput().take(line("@call", {"11": row(SET_REGION, REGION)[: len(ENTRY)]}))
    assert call.result is None
    assert call.values


def test_calls_come_in_the_order_in_which_they_ended():
    calls = BpfOutput().take(
        line("@b", {"x": row(SET_REGION, at=9), "y": row("KVM_CREATE_VM", at=2)})
    )
    assert [call.call.name for call in calls] == ["KVM_CREATE_VM", SET_REGION]


@pytest.mark.parametrize(
    "foreign",
    [
        b"", b"\n", b"Attaching 5 probes...", b"{", b"[]", b"7", b"null", b"\xff\xfe",
        b'{"type": "map"}',
        b'{"type": "map", "data": []}', b'{"type": "time", "data": "00:00:00"}',
        b'{"type": "lost_events", "data": {"events": 3}}',
        b'{"type": "map", "data": {"@a": 3}}', b'{"type": "map", "data": {"@a": {"1": [1, 2]}}}',
        b'{"type": "map", "data": {"@entered": {"1": 2}}}',
        b'{"type": "map", "data": {"@other": {"1": [1]}}}',
        line("@a", {"1": [*row(SET_REGION)[:-1], "0"]}),
    ],
)  # fmt: skip
def test_foreign_lines_do_not_matter(foreign):
    output = BpfOutput()
    assert output.take(foreign) == []
    assert (output.came_out, output.entered, output.lost) == (0, 0, 0)


def test_what_did_not_come_out_is_counted():
    output = BpfOutput()
    for number in range(3):
        output.take(line("@a", {str(at): row(SET_REGION, at=10 * number + at) for at in range(4)}))
    output.take(line("@entered", 15))
    assert (output.came_out, output.lost) == (12, 3)
    output.take(line("@call", {"11": row(SET_REGION, at=99)[: len(ENTRY)]}))
    assert output.lost == 2, "a call that is not finished is not lost"


def test_what_comes_out_twice_counts_once():
    output = BpfOutput()
    twice = line("@b", {"1": row(SET_REGION)})
    assert len(output.take(twice)) == 1
    assert len(output.take(line("@a", {"1": row(SET_REGION, at=2)}))) == 1
    assert output.take(twice) == [], "cleared too late: the end came between"
    output.take(line("@entered", 3))
    assert (output.came_out, output.lost) == (2, 1)


def test_the_tree_is_counted():
    output = BpfOutput()
    alive = []
    for name, count in (("@died", 0), ("@born", 3), ("@died", 4), ("@born", 5)):
        output.take(line(name, count))
        alive.append(output.alive)
    assert alive == [0, 3, 3, 1], "between the two lines the tree is not smaller"


@pytest.mark.parametrize(
    ("lost", "said"), [(7, "7 calls were lost"), (None, "an unknown number of calls were lost")]
)
def test_a_recording_says_what_is_lost_and_whose_calls_are_whose(tmp_path, lost, said):
    path = str(tmp_path / "r")
    with RecordingFile(path, ["x"], "made up") as file:
        for tid, pid, name in (
            (1, 1, b"one"),
            (4, 3, b""),
            (5, 1, b"one"),
            (6, 6, b"\x1b[7m\n\xff"),
        ):
            file.process(tid, pid, name)
            file.add(CALL["KVM_CREATE_VM"], tid, 0, 7, 5, (0,))
        file.add(CALL["KVM_CREATE_VM"], 9, 0, 7, 5, (0,))
        file.end(0, lost)
    reading = Reading()
    events = list(read(path, reading=reading))
    assert [event.process for event in events] == [
        "one[1]",
        "process 3",
        "one[1]",
        "?[7m?\ufffd[6]",
        None,
    ]
    assert any(said in note for note in reading.notes)
    assert not any("end mark" in note for note in reading.notes)
    assert not reading.skipped


def test_kinds_of_later_versions_are_skipped(tmp_path):
    path = tmp_path / "r"
    with RecordingFile(str(path), ["x"], "made up") as file:
        file.process(1, 1, b"one")
        file.add(CALL["KVM_CREATE_VM"], 1, 0, 7, 5, (0,))
        file.end(0)
    path.write_bytes(path.read_bytes().replace(b'"process"', b'"unheard"'))
    assert [event.process for event in read(str(path))] == [None]


@pytest.fixture
def root(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda _name: "/usr/bin/bpftrace")
    monkeypatch.setattr(os.path, "isdir", lambda _path: True)
    monkeypatch.setattr(os, "readlink", lambda _path: "pid:[4026531836]")
    return monkeypatch


def test_what_is_missing_is_said(root):
    bpf.check(tree=True)
    root.setattr(os, "readlink", lambda _path: "pid:[4026532000]")
    with pytest.raises(DeviceUnavailableError, match="--system"):
        bpf.check(tree=True)
    bpf.check(tree=False)
    root.setattr(os.path, "isdir", lambda path: "ioctl" not in path)
    with pytest.raises(DeviceUnavailableError, match="CONFIG_FTRACE_SYSCALLS"):
        bpf.check(tree=False)
    root.setattr(os.path, "isdir", lambda _path: False)
    with pytest.raises(
        DeviceUnavailableError, match="mount -t tracefs tracefs /sys/kernel/tracing"
    ):
        bpf.check(tree=False)
    root.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(DeviceUnavailableError, match="bpftrace is not installed"):
        bpf.check(tree=False)
    root.setattr(os, "geteuid", lambda: 1)
    with pytest.raises(DeviceUnavailableError, match="needs root"):
        bpf.check(tree=False)


def test_threads_by_proc():
    child = os.fork()
    if child == 0:
        os.read(os.pipe()[0], 1)
        os._exit(0)
    try:
        below = threads_below(os.getpid(), without=0)
        assert {os.getpid(), child} <= below
        assert threads_below(os.getpid(), without=child) <= below - {child}
        os.kill(child, 9)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        assert not is_alive(child), "a zombie"
    finally:
        os.waitpid(child, 0)
    assert not is_alive(child)
    assert is_alive(os.getpid())


def test_the_marks_are_calls_that_the_script_sees():
    assert {bpf_script.MARK, bpf_script.SEED, bpf_script.UNSEED} <= set(REQUESTS)
