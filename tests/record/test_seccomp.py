"""The filter, run by a small interpreter of its instructions, on every machine that the recorder
knows.
"""

from __future__ import annotations

import os
import struct
from types import SimpleNamespace

import pytest

from memslots.record import seccomp
from memslots.record.calls import LEFT_OUT, REQUESTS
from memslots.record.mappings import NUMBERS

ALLOW, TRACE = 0x7FFF0000, 0x7FF00000 | seccomp.OURS
EXIT = {0xC000003E: 60, 0x40000003: 1, 0xC00000B7: 93, 0xC00000F3: 93, 0xC0000015: 1, 0x40000028: 1}
"""Audit architecture: number of a call that is never of interest."""


def run(code, data):
    """What a filter answers."""
    at = accumulator = 0
    while True:
        kind, true, false, constant = code[at]
        at += 1
        if kind == 0x20:
            accumulator = struct.unpack_from("=I", data, constant)[0]
        elif kind == 0x54:
            accumulator &= constant
        elif kind == 0x05:
            at += constant
        elif kind == 0x15:
            at += true if accumulator == constant else false
        elif kind == 0x45:
            at += true if accumulator & constant else false
        else:
            assert kind == 0x06
            return constant


@pytest.mark.parametrize(("mappings", "runs"), [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "riscv64", "ppc64le"])
def test_it_stops_at_memory_calls_and_at_nothing_else(monkeypatch, machine, mappings, runs):
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine=machine))
    program = seccomp.program(mappings=mappings, runs=runs)
    code = list(struct.iter_unpack("=HBBI", program))
    assert len(code) < 4096

    def answer(arch, number, *arguments):
        values = [*arguments, 0, 0, 0, 0, 0, 0][:6]
        return run(code, struct.pack("=IIQ6Q", number, arch, 0, *values))

    for arch, ioctls in seccomp._MACHINES[machine][1]:
        for number in ioctls:
            for request in REQUESTS:  # of the machine that the tests run on
                assert answer(arch, number, 3, request) == TRACE
                # descriptor and request are ints: what is above does not count
                assert answer(arch, number, 3 | 1 << 32, request | 1 << 40) == TRACE
            for call in LEFT_OUT:
                stops = runs and call.name == "KVM_RUN"
                assert answer(arch, number, 3, call.request()) == (TRACE if stops else ALLOW)
            assert answer(arch, number, 3, 0x5401) == ALLOW
            assert (
                answer(arch, number, 3, 0x4018AE46) == TRACE
            )  # a region call of a size that no kernel knows
        for number in seccomp.PTRACE_NUMBERS[arch]:
            assert answer(arch, number) == TRACE
        for number in seccomp.CLONE_NUMBERS.get(arch, ()):
            assert answer(arch, number, seccomp.CLONE_UNTRACED | 17) == TRACE
            assert answer(arch, number, 0x01200011) == ALLOW
        for number in NUMBERS[arch]:
            assert answer(arch, number) == (TRACE if mappings else ALLOW)
        assert answer(arch, EXIT[arch]) == ALLOW
    assert answer(0x12345678, 16, 3, min(REQUESTS)) == ALLOW
