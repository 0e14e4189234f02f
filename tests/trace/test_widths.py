"""No event holds a number that does not fit; what does not fit is counted."""

from __future__ import annotations

import json

import pytest

from memslots.trace import Reading, read

REGION = {"slot": 1, "flags": 0, "guest_phys_addr": 0, "memory_size": 4096, "userspace_addr": 4096}


def read_one(**row: object):  # type: ignore[no-untyped-def]
    reading = Reading()
    line = json.dumps({"v": 1, "call": "KVM_SET_USER_MEMORY_REGION", "fields": REGION} | row)
    (event,) = read(line.encode(), reading=reading)
    return event, reading.skipped


@pytest.mark.parametrize(
    ("name", "value"),
    [("slot", -1), ("slot", 1 << 32), ("flags", 1 << 32), ("memory_size", -4096)],
)
def test_a_field_that_does_not_fit_is_left_out_and_counted(name: str, value: int) -> None:
    event, skipped = read_one(fields=REGION | {name: value}, result=0)
    assert set(event.fields) == set(REGION) - {name}
    assert event.result == 0
    assert list(skipped.values()) == [1]
    assert name in next(iter(skipped))


@pytest.mark.parametrize("result", [-4096, -(1 << 63), 1 << 63])
def test_a_result_that_is_none_is_left_out_and_counted(result: int) -> None:
    event, skipped = read_one(result=result)
    assert event.result is None
    assert list(skipped.values()) == [1]


def test_what_fits_is_kept() -> None:
    widest = REGION | {"slot": 2**32 - 1, "userspace_addr": 2**64 - 4096}
    event, skipped = read_one(
        fields=widest, result=-4095, fd=-1, pid=2**32 - 1, time_ns=-1, new_fd=7
    )
    assert dict(event.fields) == widest
    assert not skipped
    assert (event.result, event.fd, event.pid, event.time_ns, event.new_fd) == (
        -4095,
        -1,
        2**32 - 1,
        -1,
        7,
    )


def test_numbers_beside_that_do_not_fit_are_left_out() -> None:
    event, _ = read_one(
        fd=1 << 40, pid=-1, time_ns=1 << 63, new_fd=-1, vcpus_in_run=-1, line=-5, duration_ns=-1
    )
    found = (
        event.fd,
        event.pid,
        event.time_ns,
        event.new_fd,
        event.vcpus_in_run,
        event.line,
        event.duration_ns,
    )
    assert found == (None, None, None, None, None, 0, None)


def test_an_address_that_mmap_returned_may_have_64_bits() -> None:
    line = json.dumps({"v": 1, "call": "mmap", "fields": {"length": 4096}, "result": 2**64 - 8192})
    (event,) = read(line.encode())
    assert event.result == 2**64 - 8192
