"""A short, repeatable part of the fuzzer, and properties of the search."""

# ruff: noqa: E501 (recorded lines are as long as they are)
from __future__ import annotations

import os
import sys

from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import fuzz_readers

CORPUS = fuzz_readers.seeds()
STRACE = CORPUS["examples/recordings/qemu72-q35-lifecycle.strace"].split(b"\n")[:-1]


def test_mutated_recordings_do_no_harm() -> None:
    count, findings = fuzz_readers.run(0, seed=20, rounds=300)
    assert (count, findings) == (300, [])


@settings(max_examples=40)
@given(st.lists(st.sampled_from(STRACE), min_size=30, max_size=120), st.integers(200, 5000))
def test_searching_finds_what_reading_finds(lines: list[bytes], block: int) -> None:
    assert fuzz_readers.check_search(b"\n".join(lines), block) == ""


@settings(max_examples=200)
@given(st.binary(max_size=400), st.sampled_from(fuzz_readers.TOKENS), st.binary(max_size=100))
def test_any_bytes_are_read(before: bytes, token: bytes, after: bytes) -> None:
    assert fuzz_readers.check(before + token + after) == ""


def test_nothing_takes_quadratic_time() -> None:
    parts = (b" ", b">", b"(", b"<", b"a", b"1", b"=", b"{slot=", b"ioctl(", b"mmap(", b"slot=gpa=", b"errno ", b"a=b",
             b"[pid 1", b"1 ", b"KVM_", b"Error(", b"\\n", b"> ", b" > x(", b"kvm_set_user_memory a=", b"=\n", b"ioctl(8, \n")  # fmt: skip
    for part in parts:
        for start in (
            b"",
            b"ioctl(8, KVM_SET_USER_MEMORY_REGION, {",
            b" > ",
            b"1 ",
            b"slot=1 gpa=0x1 ",
            b'{"msg":"',
        ):
            data = start + part * (60000 // len(part))
            assert fuzz_readers.check(data) == "", (start, part)
