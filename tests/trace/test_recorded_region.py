"""Region calls of binary recordings, taken apart late: as if each had been an event at once."""

from __future__ import annotations

import copy
import pickle
import random
import struct

import pytest

from memslots.explain.analysis import Analysis
from memslots.kernel.names import find
from memslots.record.file import HEADER, KIND_CALL, RecordingFile
from memslots.replay.tracked_vm import TrackedVm
from memslots.trace import Event, Reading, read, recording
from memslots.trace.recorded_region import RecordedRegion
from memslots.uapi.calls import CALLS
from memslots.views.report import analysis_json

REGION = "KVM_SET_USER_MEMORY_REGION"
NAMES = ("slot", "flags", "guest_phys_addr", "memory_size", "userspace_addr")
OTHERS = ("KVM_CREATE_IRQCHIP", "KVM_CREATE_VCPU", "KVM_GET_DIRTY_LOG")
PAGE, HVA = 4096, 0x7F00_0000_0000


def drawn(path, seed, count=200):
    """A recording of runs of region calls of all lengths, with all else that there may be."""
    draw = random.Random(seed)
    with RecordingFile(str(path), ["vmm"], "bench") as file:
        file.begin()
        file.add(CALLS["KVM_CREATE_VM"], 1, 1, 10, 9, (0,))
        file.add(CALLS["KVM_CREATE_VM"], 2, 2, 11, 9, (0,))
        for number in range(count):
            dice, tid = draw.random(), draw.choice((1, 1, 1, 2))
            slot = draw.randrange(12)
            numbers = [slot, draw.choice((0, 0, 1)), slot << 20, draw.choice((0, PAGE, PAGE * 9)),
                       HVA + (draw.choice((slot, slot, 3)) << 20)]  # fmt: skip
            if dice < 0.04:
                numbers[draw.randrange(5)] |= draw.choice((1, 1 << 33, 1 << 63))
            result = draw.choice((0,) * 20 + (-17, -22, -5000, 1))
            also = {
                "duration_ns": draw.choice((0, 900, 1 << 63)),
                "vcpus_in_run": draw.choice((0, 0, 0, 0, 1, 1 << 40, None)),
            }
            if dice > 0.97:
                call = CALLS[draw.choice(OTHERS)]
                file.add(call, tid, number, 0, 9 + tid, (slot,) * len(call.names), **also)
            else:
                file.add(CALLS[REGION], tid, number, result, 9 + tid, numbers, **also)
        file.end(0)


def everything(path):
    """Each event with all its attributes, and what was counted."""
    reading = Reading()
    events = [
        {name: getattr(event, name) for name in Event.__slots__}
        for event in read(str(path), reading=reading)
    ]
    return events, reading.calls, reading.formats, reading.skipped, reading.notes


def slowly(monkeypatch):
    """Every record is taken for the first of its kind."""
    monkeypatch.setattr(recording._Shapes, "learn", lambda *_: None)


@pytest.mark.parametrize("seed", range(4))
def test_as_if_each_had_been_an_event(seed, tmp_path, monkeypatch):
    drawn(tmp_path / "r", seed)
    late = everything(tmp_path / "r")
    answers = analysis_json(Analysis(str(tmp_path / "r"), find("6.18/x86_64")).finish())
    with monkeypatch.context() as patch:
        patch.setattr(TrackedVm, "take_plain", lambda *_: None)
        assert analysis_json(Analysis(str(tmp_path / "r"), find("6.18/x86_64")).finish()) == answers
    slowly(monkeypatch)
    assert everything(tmp_path / "r") == late
    assert analysis_json(Analysis(str(tmp_path / "r"), find("6.18/x86_64")).finish()) == answers


@pytest.mark.parametrize("block", [30, 90, 1000])
def test_whatever_a_read_gives(block, tmp_path, monkeypatch):
    drawn(tmp_path / "r", 9, 60)
    whole = everything(tmp_path / "r")
    monkeypatch.setattr(recording, "_BLOCK", block)
    assert everything(tmp_path / "r") == whole


def plain(path):
    """A recording whose last call is plain."""
    with RecordingFile(str(path), ["vmm"], "bench") as file:
        file.begin()
        file.add(CALLS["KVM_CREATE_VM"], 1, 1, 10, 9, (0,))
        for slot in range(3):
            file.add(CALLS[REGION], 1, 2, 0, 10, (slot, 0, slot * PAGE, PAGE, HVA))
        file.end(0)
    return list(read(str(path)))[-1]


def test_what_it_is_like(tmp_path):
    event = plain(tmp_path / "r")
    assert type(event) is RecordedRegion
    assert event.moment() == (1, 2, None)
    assert event.taken() == (1, None)
    assert event.fields == dict(zip(NAMES, (2, 0, 2 * PAGE, PAGE, HVA)))
    assert event.call == REGION
    assert not event.is_failure
    assert "slot" in repr(event)
    assert (event.pid, event.time_ns, event.vcpus_in_run) == event.moment()
    with pytest.raises(AttributeError):
        event.no_such_thing  # noqa: B018


def pickled(event):
    return pickle.loads(pickle.dumps(event))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
def test_a_copy_is_whole(copied, tmp_path):
    event = copied(plain(tmp_path / "r"))
    assert event.fields["slot"] == 2
    assert event.call == REGION


def test_a_run_ends_where_another_kind_begins():
    record = struct.pack(HEADER + "5Q", 68, KIND_CALL, 3, 1, 2, 0, 10, 1, 0, 0, PAGE, HVA)
    other = record[:3] + b"\x04" + record[4:]
    for count in (1, 7, 8, 9, 63, 64, 65, 600):
        data = b"x" + record * count + other + record
        found = recording.run_end(data, 1, record[:4], len(record))
        assert found == 1 + count * len(record)
