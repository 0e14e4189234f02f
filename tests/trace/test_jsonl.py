"""memslots' own recordings, both ways."""

# ruff: noqa: E501 (texts and recorded lines are as long as they are)
from __future__ import annotations

import json
import os
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memslots.trace import (
    Event,
    Reading,
    dispatch,
    event_from_json,
    event_to_json,
    jsonl,
    read,
)
from memslots.trace.event import printable

REGION = "KVM_SET_USER_MEMORY_REGION"
NAMES = ("slot", "flags", "guest_phys_addr", "memory_size", "userspace_addr")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ATTRIBUTES = (
    "call",
    "fields",
    "result",
    "fd",
    "pid",
    "time_ns",
    "source",
    "line",
    "text",
    "new_fd",
    "process",
    "format",
)


def same(one: Event, other: Event) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in ATTRIBUTES)


words = st.text(max_size=40).map(lambda text: text.encode("utf-8", "replace").decode())
numbers = st.integers(-(1 << 63), (1 << 64) - 1)


@given(
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,30}", fullmatch=True),
    st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_]{0,20}", fullmatch=True), numbers, max_size=6),
    st.none() | numbers, st.none() | st.integers(0, 1 << 31), st.none() | numbers, words, words,
)  # fmt: skip
def test_there_and_back(call, fields, result, fd, time_ns, text, vm) -> None:  # type: ignore[no-untyped-def]
    event = Event(
        call,
        fields,
        result,
        fd=fd,
        time_ns=time_ns,
        text=text,
        process=vm or None,
        format="strace",
        line=3,
    )
    line = event_to_json(event)
    assert "\n" not in line
    event.process = printable(vm) or None  # what a terminal would obey does not come back
    assert same(event_from_json(line), event)


def test_a_recording_there_and_back() -> None:
    path = os.path.join(ROOT, "examples", "recordings", "qemu72-q35-lifecycle.strace")
    events = list(read(path))
    back = list(read("\n".join(map(event_to_json, events)).encode()))
    assert len(events) == len(back) == 210
    assert all(same(one, other) for one, other in zip(events, back, strict=True))


def test_large_numbers_survive_readers_with_doubles() -> None:
    row = json.loads(event_to_json(Event("mmap", {"addr": (1 << 64) - 4096, "length": 4096})))
    assert row["fields"] == {"addr": "0xfffffffffffff000", "length": 4096}
    assert row["v"] == 1


@pytest.mark.parametrize(
    "line", ["", "{", "[]", "1", '{"v": 1}', '{"call": "x"}', '{"v": 1, "call": 7}', "[" * 100000]
)
def test_what_is_no_event(line: str) -> None:
    with pytest.raises(ValueError, match="JSON"):
        event_from_json(line)


def test_unknown_names_and_versions_are_read() -> None:
    event = event_from_json(
        '{"v": 9, "call": "KVM_RUN", "fields": {"a": 1, "b": null, "c d": 2}, "new": [1], "pid": true}'
    )
    assert (event.call, event.fields, event.pid) == ("KVM_RUN", {"a": 1}, None)


def test_damaged_events_are_counted() -> None:
    reading = Reading()
    assert list(read(b'{"v": 1, "call": "KVM_RUN", "fields": {\n', reading=reading)) == []
    assert reading.skipped == {"damaged event in JSON": 1}


def test_region_calls_read_at_a_glance_are_those_read_in_full(monkeypatch):
    draw, lines = random.Random(5), []
    numbers = (0, 1, 7, 4096, 1 << 31, (1 << 49) - 1) * 6 + (1 << 50, 1 << 53, (1 << 63) + 1)
    texts = ("", "vm", 'a "b"', "x=3Dy", "ioctl(1, {slot=0}) = 0", "<b>", "\n", "é", "z" * 299)
    for _ in range(400):
        fields = {name: draw.choice(numbers) for name in NAMES}
        if draw.random() < 0.1:
            del fields[draw.choice(NAMES)]
        event = Event(REGION, fields, draw.choice((0, 0, 0, -17, -4096, 5, None)))
        for name in ("fd", "pid", "time_ns", "line", "duration_ns", "vcpus_in_run", "new_fd"):
            if draw.random() < 0.4 - 0.3 * (name == "new_fd"):
                setattr(event, name, draw.choice(numbers))
        for name in ("source", "text", "process", "format", "answered_by"):
            if draw.random() < 0.15:
                setattr(event, name, draw.choice(texts))
        lines.append(event_to_json(event))
        if draw.random() < 0.1:
            lines[-1] = lines[-1].replace(": 0", draw.choice((": 00", ": -0", ":0", ": true")))
    data = "".join(f"{line}\n" for line in lines).encode()

    def told():
        reading = Reading()
        events = [
            {name: getattr(event, name) for name in Event.__slots__}
            for event in read(data, reading=reading)
        ]
        return events, reading.skipped

    monkeypatch.setattr(dispatch, "PASTE", 0)
    quick = told()
    assert sum(jsonl.REGION.match(line.encode() + b"\n") is not None for line in lines) > 40
    monkeypatch.setattr(jsonl, "REGION", re.compile(rb"(?!)"))
    assert told() == quick
    monkeypatch.setattr(jsonl, "LINE", re.compile(rb"(?!)"))
    assert told() == quick


@pytest.mark.parametrize("time_ns", [1, 1 << 53, 1_795_363_703_000_000_000, (1 << 63) - 1])
def test_a_region_call_of_any_time_is_read_the_quick_way(time_ns: int) -> None:
    fields = dict.fromkeys(NAMES, 4096)
    event = Event(REGION, fields, 0, fd=5, pid=9, time_ns=time_ns, line=3)
    found = jsonl.REGION.match(event_to_json(event).encode() + b"\n")
    assert found is not None
    assert jsonl.region(found, 3).time_ns == time_ns
