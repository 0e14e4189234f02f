"""Where recordings come from: files, sets, pipes, compressed, huge, broken."""

# ruff: noqa: E501 (recorded lines are as long as they are)
from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import subprocess
import sys
import tracemalloc

import pytest

from memslots.errors import TraceError
from memslots.trace import Reading, parse_text, read, reader
from memslots.trace import lines as source

LINE = (
    "{pid} 17953637{time:02}.000000 ioctl(8, KVM_SET_USER_MEMORY_REGION, {{slot={slot}, flags=0, guest_phys_addr=0x1000, "
    "memory_size=8192, userspace_addr=0x7f0000001000}}) = 0\n"
)
NOISE = b"3001 1795363703.754211 futex(0x7f0000001000, FUTEX_WAKE_PRIVATE, 1) = 0\n"


def line(slot: int, pid: int = 7, time: int = 1) -> bytes:
    return LINE.format(slot=slot, pid=pid, time=time).encode()


DATA = line(1) + line(2)


@pytest.mark.parametrize(
    "stored",
    [
        DATA,
        gzip.compress(DATA),
        gzip.compress(line(1)) + gzip.compress(line(2)),
        bz2.compress(DATA),
        lzma.compress(DATA),
        DATA.decode().encode("utf-16"),
        b"\xef\xbb\xbf" + DATA,
        DATA.rstrip(b"\n"),
        DATA.replace(b"\n", b"\r\n"),
        b"\0\xff\xfe\n" + DATA + b"\0" * 1000,
    ],
)
def test_files_bytes_and_streams(stored: bytes, tmp_path: object) -> None:
    path = os.path.join(str(tmp_path), "any name.log")
    with open(path, "wb") as file:
        file.write(stored)
    for given in (stored, path, io.BytesIO(stored), bytearray(stored)):
        assert [event.get("slot") for event in read(given)] == [1, 2]  # type: ignore[arg-type]
    assert [event.line for event in read(path)][-1] >= 2


def test_damaged_compression_ends_the_file_and_is_counted() -> None:
    reading = Reading()
    stored = gzip.compress(DATA + NOISE * 50000)
    assert len(list(read(stored[: len(stored) // 2], reading=reading))) == 2
    assert reading.skipped == {"damaged or cut compressed data": 1}


def test_standard_input() -> None:
    code = "from memslots.trace import read; print([(e.get('slot'), e.line) for e in read('-')])"
    done = subprocess.run([sys.executable, "-c", code], input=b"prose\n" + DATA, capture_output=True, check=True,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip
    assert done.stdout.strip() == b"[(1, 2), (2, 3)]"


def test_what_cannot_be_opened(tmp_path: object) -> None:
    folder = str(tmp_path)
    for given in (os.path.join(folder, "missing"), folder, "\0", [os.path.join(folder, "missing")]):
        with pytest.raises(TraceError):
            read(given)
    with pytest.raises(TraceError, match="zstd"):
        read(b"\x28\xb5\x2f\xfd1234")
    with pytest.raises(TypeError):
        read(17)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        list(read(io.StringIO("text")))


def test_nothing_of_interest_yields_nothing() -> None:
    reading = Reading()
    assert list(read(b"", reading=reading)) == []
    assert list(read(NOISE * 10, reading=reading)) == []
    assert (reading.lines, reading.calls, reading.bytes) == (10, 0, len(NOISE) * 10)


def test_threads_of_strace_ff(tmp_path: object) -> None:
    base = os.path.join(str(tmp_path), "t")
    for pid, slots in ((11, (0, 3, 4)), (12, (1, 2, 5))):
        with open(f"{base}.{pid}", "wb") as file:
            file.writelines(line(slot, time=slot).split(b" ", 1)[1] for slot in slots)
    for given in (str(tmp_path), [f"{base}.11", f"{base}.12"]):
        assert [(event.get("slot"), event.pid) for event in read(given)] == [
            (0, 11), (1, 12), (2, 12), (3, 11), (4, 11), (5, 12),
        ]  # fmt: skip


def test_threads_without_times_come_in_the_order_of_the_files(tmp_path: object) -> None:
    base = os.path.join(str(tmp_path), "t")
    for pid in (11, 12):
        with open(f"{base}.{pid}", "wb") as file:
            file.writelines(line(slot).split(b" ", 2)[2] for slot in (pid, pid + 10))
    reading = Reading()
    assert [event.get("slot") for event in read(str(tmp_path), reading=reading)] == [11, 21, 12, 22]
    assert len(reading.notes) == 1
    assert "no times" in reading.notes[0]


def test_thousands_of_threads_do_not_need_as_many_open_files(tmp_path: object) -> None:
    base = os.path.join(str(tmp_path), "t")
    for pid in range(100, 400):
        with open(f"{base}.{pid}", "wb") as file:
            file.write(line(pid, time=pid % 50).split(b" ", 1)[1])
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    events = read(str(tmp_path))
    next(events)
    if before:
        assert len(os.listdir("/proc/self/fd")) - before < 80
    assert len(list(events)) == 299


def test_a_line_too_long_is_counted_and_skipped() -> None:
    reading = Reading()
    long = b"ioctl(" + b"x" * (3 << 20) + b"KVM_SET_USER_MEMORY_REGION\n"
    assert [event.line for event in read(line(1) + long + line(2), reading=reading)] == [1, 3]
    assert reading.skipped == {f"line longer than {source.LINE_MAX} bytes": 1}


def test_memory_does_not_grow_with_the_recording() -> None:
    class Endless(io.RawIOBase):
        left = 48 << 20

        def read(self, size: int = -1) -> bytes:
            self.left -= size
            return (NOISE * (size // len(NOISE)) + line(3)) if self.left > 0 else b""

    tracemalloc.start()
    try:
        count = sum(1 for _ in read(Endless(), context=True))  # type: ignore[arg-type,misc]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count > 100
    assert peak < 8 << 20


def huge(middle: bytes) -> bytes:
    """A recording big enough to be searched, with something in the middle."""
    half = NOISE * ((reader.FAST_FROM >> 1) // len(NOISE) + 10)
    return line(1) + b"close(3) = 0\n" + half + middle + half + line(99)


MIDDLE = (
    line(2)
    + b"10 ioctl(8, KVM_SET_USER_MEMORY_REGION, {slot=3, flags=0} <unfinished ...>\n"
    + NOISE * 5
    + b"11 <... ioctl resumed>) = 0\n"
    + b"10 <... ioctl resumed>) = -1 EEXIST (File exists)\n"
    + b"7 ioctl(9, KVM_RUN, 0) = -1 EFAULT (Bad address)\n"
    + b"7 munmap(0x1000, 4096) = 0\n"
)


def test_huge_recordings_are_searched_for_the_calls_of_kvm(tmp_path: object) -> None:
    path = os.path.join(str(tmp_path), "huge")
    with open(path, "wb") as file:
        file.write(huge(MIDDLE))
    reading = Reading()
    found = list(read(path, reading=reading))
    every = list(read(path, context=True))
    assert [event.call for event in every] == ["KVM_SET_USER_MEMORY_REGION"] * 3 + [
        "KVM_RUN",
        "munmap",
        every[0].call,
    ]
    assert [(e.call, e.fields, e.result, e.line, e.pid) for e in found] == [
        (e.call, e.fields, e.result, e.line, e.pid) for e in every if e.call != "munmap"
    ]  # fmt: skip
    assert "mmap" in reading.notes[0]
    assert [event.line for event in reversed(found)] == [
        event.line for event in reversed(every) if event.call != "munmap"
    ]
    with open(path, "rb") as file:
        piped = list(read(io.BytesIO(file.read())))
    assert [e.line for e in piped] == [
        e.line for e in every
    ]  # the switch comes after the middle here


def test_the_end_is_read_in_full_though_a_search_finds_nothing_before(tmp_path: object) -> None:
    """Its last 256 KiB: what a program says when it gives up is no call of KVM."""
    path = os.path.join(str(tmp_path), "huge")
    mapped = b"7 munmap(0x1000, 4096) = 0\n"
    end = NOISE * (((1 << 18) - 4096) // len(NOISE))
    message = b"qemu: KVM_SET_USER_MEMORY_REGION failed: Invalid argument\n"
    with open(path, "wb") as file:
        file.write(line(1) + NOISE * (reader.FAST_FROM // len(NOISE)) + mapped + end + message)
    assert [event.call for event in read(path)] == [
        "KVM_SET_USER_MEMORY_REGION", "munmap", "KVM_SET_USER_MEMORY_REGION",
    ]  # fmt: skip


def test_a_huge_recording_with_relative_times_is_read_line_by_line() -> None:
    step = b"     0.000010 "
    data = (step + NOISE.split(b" ", 2)[2]) * (reader.FAST_FROM // 50)
    call = step + line(1).split(b" ", 2)[2]
    events = list(read(call + data + call))
    assert events[1].time_ns is not None
    assert events[0].time_ns is not None
    assert events[1].time_ns - events[0].time_ns == (data.count(b"\n") + 1) * 10_000


def test_parse_text_takes_any_string() -> None:
    assert parse_text("\ud800 \U0001f600 " + DATA.decode())[0].get("slot") == 1
