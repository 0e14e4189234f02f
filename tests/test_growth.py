"""How work grows with the input: every command that reads recordings, in every dimension.

What is counted is calls of functions, of Python and of C, at sizes x1, x4 and x16; beside that the
processor time, with a wide margin, for what is not a call.  docs/performance.md has the orders.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import math
import sys
import time

import pytest

from memslots.cli.main import main

REGION, PAGE, HVA = "KVM_SET_USER_MEMORY_REGION", 4096, 0x7F00_0000_0000
BASE, STEPS = 20, (1, 4, 16)
ORDER, TIME_RATIO = 1.2, 12.0
"""The steepest order between x4 and x16 that n log n with some overhead explains; the time ratio
that it does not reach, where a square is 16.
"""


def event(call, result=0, *, fd=10, process=None, **fields):
    row = {"v": 1, "call": call, "fields": fields, "result": result, "fd": fd, "pid": 1}
    if call == "KVM_CREATE_GUEST_MEMFD":
        row |= {"result": 70, "new_fd": 70}
    if call == "KVM_CREATE_VM":
        row |= {"result": fd, "fd": 9, "new_fd": fd}
    return json.dumps(row | ({"vm": process} if process else {}))


def region(slot, gpa, nbytes=PAGE, hva=None, flags=0, result=0, **rest):
    where = HVA + slot * 4 * PAGE if hva is None else hva
    return event(
        REGION, result, slot=slot, flags=flags, guest_phys_addr=gpa, memory_size=nbytes,
        userspace_addr=where, **rest,
    )  # fmt: skip


def filled(count, **rest):
    return [
        event("KVM_CREATE_VM"),
        *(region(slot, slot * 4 * PAGE, **rest) for slot in range(count)),
    ]


def munmap(number):
    return event("munmap", fd=None, addr=HVA + number * 4 * PAGE, length=PAGE)


EEXIST = -17
DIMENSIONS = {
    "events": lambda n: [
        *filled(20),
        *(region(i % 20, i % 20 * 4 * PAGE, flags=i // 20 & 1 ^ 1) for i in range(n)),
    ],
    "slots": lambda n: [*filled(n), *(region(i, i * 4 * PAGE, flags=1) for i in range(n))],
    "VMs": lambda n: [
        line
        for i in range(n)
        for line in (event("KVM_CREATE_VM", fd=10 + i), region(0, 0, fd=10 + i))
    ],
    "VMs not seen made": lambda n: [region(0, 0, fd=10 + i) for i in range(n)],
    "refusals": lambda n: [
        *filled(40),
        *(region(50 + i % 9, i % 40 * 4 * PAGE, result=EEXIST) for i in range(n)),
    ],
    "surprises": lambda n: [
        *filled(n, flags=1),
        *(region(i, (i + 1) * 4 * PAGE) for i in range(n)),
    ],
    "mappings": lambda n: [*filled(20), *(munmap(i) for i in range(n))],
    "mappings beside VMs": lambda n: [
        *(
            line
            for i in range(n)
            for line in (event("KVM_CREATE_VM", fd=10 + i), region(i, 0, fd=10 + i))
        ),
        *(munmap(i + 7) for i in range(n)),
    ],
    "unknown lines": lambda n: [
        *filled(20),
        *(f"something else happened, number {i}" for i in range(n)),
    ],
    "ids": lambda n: [
        event("KVM_CREATE_VM"),
        *(
            line
            for i in range(n)
            for line in (region(i * 37 % 32000, 0), region(i * 37 % 32000, 0, 0))
        ),
    ],
    "processes": lambda n: [
        line
        for i in range(n)
        for line in (event("KVM_CREATE_VM", process=f"P[{i}]"), region(0, 0, process=f"P[{i}]"))
    ],
    "slots on one host page": lambda n: filled(n, hva=HVA),
    "slots on one guest_memfd": lambda n: [
        event("KVM_CREATE_VM"),
        event("KVM_CREATE_GUEST_MEMFD", size=n * PAGE, flags=0),
        *(
            event(
                REGION + "2",
                slot=i,
                flags=4,
                guest_phys_addr=i * 4 * PAGE,
                memory_size=PAGE,
                userspace_addr=HVA + i * PAGE,
                guest_memfd=70,
                guest_memfd_offset=i * PAGE,
            )
            for i in range(n)
        ),
    ],
}
_BASES = {DIMENSIONS["slots on one host page"]: 80}
"""Pairs of slots that share memory are looked at up to 256 slots."""
KERNEL = ("--kernel", "6.18/x86_64+pvm")
COMMANDS = {
    "explain": ("explain",),
    "explain --kernel": ("explain", *KERNEL),
    "replay": ("replay", *KERNEL),
    "timeline": ("timeline", *KERNEL),
    "map": ("map", *KERNEL),
    "report": ("report", *KERNEL, "-o", "OUT"),
    "check": ("check", *KERNEL),
    "export": ("export", *KERNEL, "--to", "jsonl"),
}


def cost(words):
    """(calls, seconds of processor time) of a command."""
    calls = 0

    def count(_frame, what, _argument):
        nonlocal calls
        calls += what in ("call", "c_call")

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        start = time.process_time()
        sys.setprofile(count)
        try:
            main(words)
        finally:
            sys.setprofile(None)
    return calls, time.process_time() - start


def costs(command, make, folder):
    gc.collect()
    gc.freeze()  # what other tests have left is not to be walked through in the time measured here
    try:
        return _costs(command, make, folder)
    finally:
        gc.unfreeze()


def _costs(command, make, folder):
    found = []
    for step in (STEPS[0], *STEPS):  # once for what is loaded and kept
        source = folder / f"{step}.jsonl"
        source.write_text("\n".join(make(_BASES.get(make, BASE) * step)) + "\n")
        words = [str(folder / "out") if word == "OUT" else word for word in COMMANDS[command]]
        found.append(cost([*words, str(source)]))
    return found[1:]


def order(found):
    """The order between x4 and x16."""
    _, (middle, _), (last, _) = found
    return math.log(last / middle) / math.log(4)


@pytest.mark.parametrize("dimension", DIMENSIONS)
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_grows_faster_than_n_log_n(command, dimension, tmp_path):
    found = costs(command, DIMENSIONS[dimension], tmp_path)
    assert order(found) < ORDER, found
    assert found[2][1] < TIME_RATIO * max(found[1][1], 0.01), found


if __name__ == "__main__":  # the table of docs/performance.md
    import pathlib
    import tempfile

    print("| | " + " | ".join(COMMANDS) + " |\n|" + " --- |" * (len(COMMANDS) + 1))
    for name, make in DIMENSIONS.items():
        row = []
        for command in COMMANDS:
            with tempfile.TemporaryDirectory() as folder:
                row.append(f"{order(costs(command, make, pathlib.Path(folder))):.2f}")
        print(f"| {name} | " + " | ".join(row) + " |", flush=True)
