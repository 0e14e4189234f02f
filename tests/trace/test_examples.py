"""Every recording of the examples is read completely: calls per file, pinned."""

from __future__ import annotations

import gc
import json
import os
from collections import Counter

import pytest

from memslots.trace import Event, Reading, parse_text, read

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RECORDINGS = os.path.join(ROOT, "examples", "recordings")
FAILURES = os.path.join(ROOT, "examples", "failures")

# file: (all calls, calls that set a region, calls that failed)
COUNTS = {
    "gvisor-kvm.strace": (17, 5, 0),
    "hyperlight-kvm.strace": (8, 2, 0),
    "libkrun-kvm.strace": (17, 4, 0),
    "qemu72-pc-bpftrace.txt": (74, 74, 3),
    "qemu72-pc-perf-trace.txt": (33, 30, 0),
    "qemu72-pc-strace-X-raw.strace": (30, 26, 0),
    "qemu72-pc-strace-X-verbose.strace": (40, 0, 0),
    "qemu72-pc-strace-e-raw-ioctl.strace": (12, 11, 0),
    "qemu72-pc-strace-f-o.strace": (103, 20, 0),
    "qemu72-pc-strace-f-stderr-pid.strace": (113, 30, 0),
    "qemu72-pc-strace-f-with-mmap.strace": (25, 20, 0),
    "qemu72-pc-strace-ff": (103, 20, 0),
    "qemu72-pc-trace-all-kvm-events.log": (100, 7, 0),
    "qemu72-pc-trace-msg-timestamp.log": (30, 30, 0),
    "qemu72-pc-trace-plain-stderr.log": (30, 30, 0),
    "qemu72-q35-lifecycle.qemu-trace": (84, 84, 0),
    "qemu72-q35-lifecycle.strace": (210, 84, 0),
    "qemu72-q35-strace-f-T.strace": (40, 0, 0),
    "qemu72-q35-strace-f-k.strace": (2, 2, 0),
    "qemu72-q35-strace-f-n.strace": (40, 0, 0),
    "qemu72-q35-strace-f-r.strace": (40, 0, 0),
    "qemu72-q35-strace-f-t.strace": (40, 0, 0),
    "qemu72-q35-strace-f-tt.strace": (40, 0, 0),
    "qemu72-q35-strace-f-ttt.strace": (40, 0, 0),
    "qemu72-q35-strace-f-y.strace": (40, 0, 0),
    "qemu72-q35-strace-f-yy.strace": (40, 0, 0),
    "refusals-by-rule-x86-6.18.strace": (191, 91, 59),
    "refusals-by-rule-x86-6.18.txt": (0, 0, 0),
}
FAILURE_COUNTS = {
    "002": 1, "005": 1, "008": 3, "010": 6, "012": 2, "016": 3, "019": 2, "021": 0, "028": 1,
    "042": 1,
    "045": 3, "046": 2, "049": 1, "059": 2, "069": 1, "074": 0,
}  # fmt: skip


def regions(events: list[Event]) -> list[Event]:
    return [event for event in events if event.call.startswith("KVM_SET_USER_MEMORY_REGION")]


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_calls_found(name: str) -> None:
    reading = Reading()
    events = list(read(os.path.join(RECORDINGS, name), reading=reading))
    failed = [event for event in events if event.result is not None and event.result < 0]
    assert (len(events), len(regions(events)), len(failed)) == COUNTS[name]
    assert reading.skipped == {}
    assert reading.calls == len(events) == sum(reading.formats.values())


def test_every_recording_is_pinned() -> None:
    assert sorted(os.listdir(RECORDINGS)) == sorted(COUNTS)
    assert {name[:3] for name in os.listdir(FAILURES) if name.endswith(".json")} == set(
        FAILURE_COUNTS
    )


@pytest.mark.parametrize("number", sorted(FAILURE_COUNTS))
def test_calls_found_in_failures(number: str) -> None:
    with open(os.path.join(FAILURES, f"{number}.json"), encoding="utf-8") as file:
        failure = json.load(file)
    reading = Reading()
    events = parse_text("\n".join(failure["log"]), reading=reading)
    assert len(events) == FAILURE_COUNTS[number]
    assert reading.skipped == {}
    if failure["errno"] and events:
        assert {event.call for event in events} & {failure["call"], "message"}
    if "strace_file" in failure:
        alone = list(read(os.path.join(FAILURES, failure["strace_file"])))
        assert [event.fields for event in alone] == [event.fields for event in events]


def test_two_recordings_of_one_run_tell_the_same() -> None:
    strace = regions(list(read(os.path.join(RECORDINGS, "qemu72-q35-lifecycle.strace"))))
    traced = regions(list(read(os.path.join(RECORDINGS, "qemu72-q35-lifecycle.qemu-trace"))))
    assert len(strace) == len(traced) == 84
    for one, other in zip(strace, traced, strict=True):
        assert (one.call, one.fields, one.result, one.pid) == (
            other.call,
            other.fields,
            other.result,
            other.pid,
        )
        assert one.time_ns is not None
        assert other.time_ns is not None
        assert 0 < other.time_ns - one.time_ns < 100_000_000


def test_the_options_of_strace_do_not_change_what_is_told() -> None:
    told: Counter[str] = Counter()
    for option in ("T", "n", "r", "t", "tt", "ttt", "y", "yy"):
        events = list(read(os.path.join(RECORDINGS, f"qemu72-q35-strace-f-{option}.strace")))
        told[
            str(
                [
                    (event.call, event.fields, event.result, event.fd, event.new_fd)
                    for event in events
                ]
            )
        ] += 1
    assert list(told.values()) == [8]


def test_undecoded_and_decoded_region_calls_agree() -> None:
    raw = regions(list(read(os.path.join(RECORDINGS, "qemu72-pc-strace-X-raw.strace"))))
    named = regions(list(read(os.path.join(RECORDINGS, "qemu72-pc-strace-f-with-mmap.strace"))))
    for one, other in zip(raw, named, strict=False):
        for field in ("slot", "flags", "guest_phys_addr", "memory_size"):
            assert one.fields[field] == other.fields[field]
    bare = regions(list(read(os.path.join(RECORDINGS, "qemu72-pc-strace-e-raw-ioctl.strace"))))
    assert all(event.fields == {} and event.result == 0 and event.fd == 8 for event in bare)


def test_threads_of_one_strace_ff_are_merged_by_time() -> None:
    events = list(read(os.path.join(RECORDINGS, "qemu72-pc-strace-ff")))
    times = [event.time_ns or 0 for event in events]
    assert times == sorted(times)
    assert {event.pid for event in events} == {30820, 30822}


def test_the_stack_of_a_call_is_kept_with_it() -> None:
    first, second = read(os.path.join(RECORDINGS, "qemu72-q35-strace-f-k.strace"))
    assert "memory_region_transaction_commit" in first.text
    assert "acpi_dsdt_add_gpex" in second.text
    assert len(first.text) <= 4096
    assert (first.line, second.line) == (1, 25)


def test_a_recording_that_was_read_is_closed() -> None:
    """At once, not when the collector comes: whoever reads thousands may open few."""
    gc.collect()
    gc.disable()
    opened = os.listdir("/proc/self/fd")
    try:
        for name in sorted(COUNTS):
            list(read(os.path.join(RECORDINGS, name), reading=Reading()))
        assert os.listdir("/proc/self/fd") == opened
    finally:
        gc.enable()
