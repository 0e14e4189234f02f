"""The model beside the real kernel and beside intervaltree, as ratios of one run.

    python benchmarks/replay.py

Needs /dev/kvm and gcc for the kernel's rows, intervaltree for its own; a row
that cannot be measured says why.  Pin it (taskset -c 0): the kernel's times
depend on the processor that waits for its grace periods.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time

from mixed import PAGE, fill, mixed

from memslots import Region, Vm, find

ROUNDS, EVENTS, BATCH, FULL = 5, 20_000, 2_000, 32_764
GOALS = {"event": 8.0, "fill": 10.0, "look-up": 6.0, "start": 3.0}


def fill_calls(nslots: int) -> list[tuple[int, int, int, int, int]]:
    """Small fills in random order, the full house in the order of ids, as a VMM does it."""
    return fill(nslots, shuffled=nslots < FULL)


def model_times(nslots: int) -> tuple[float, float]:
    """Seconds a slot of the fill, and an event of the mixed trace: medians of all batches."""
    profile = find("6.18/x86_64+pvm-smm-tdp")
    requests = [Region(*call) for call in mixed(nslots, EVENTS)]
    filling = [Region(*call) for call in fill_calls(nslots)]
    fills, events = [], []
    for _ in range(ROUNDS):
        submit = Vm(profile).submit
        start = time.perf_counter()
        for request in filling:
            submit(request)
        fills.append((time.perf_counter() - start) / nslots)
        for first in range(0, EVENTS, BATCH):
            batch = requests[first : first + BATCH]
            start = time.perf_counter()
            for request in batch:
                submit(request)
            events.append((time.perf_counter() - start) / BATCH)
    return statistics.median(fills), statistics.median(events)


def build_kernel_peer(folder: str) -> str | None:
    """The C program that replays on /dev/kvm; None with a reason on stderr if it cannot be had."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if not os.access("/dev/kvm", os.R_OK | os.W_OK) or compiler is None:
        print("kernel rows skipped: /dev/kvm or a C compiler is missing", file=sys.stderr)
        return None
    program = os.path.join(folder, "kernel_trace")
    source = os.path.join(os.path.dirname(__file__), "kernel_trace.c")
    subprocess.run([compiler, "-O2", "-o", program, source], check=True)
    return program


def kernel_times(program: str, folder: str, nslots: int) -> tuple[float, float]:
    """The same on the real kernel, driven from C: medians of five runs."""
    trace = os.path.join(folder, f"trace{nslots}")
    with open(trace, "wb") as out:
        for call in fill_calls(nslots) + mixed(nslots, EVENTS):
            out.write(struct.pack("=IIQQQ", *call))
    rows = [
        subprocess.run(
            [program, trace, str(nslots)], capture_output=True, text=True, check=True
        ).stdout.split()
        for _ in range(ROUNDS)
    ]
    filled, event = (statistics.median(float(row[place]) for row in rows) for place in (0, 1))
    return filled / 1e6, event / 1e6


def lookup_row(nslots: int) -> None:
    """gfn -> slot, beside intervaltree."""
    try:
        from intervaltree import IntervalTree
    except ImportError:
        print("look-up row skipped: intervaltree is not installed", file=sys.stderr)
        return
    vm = Vm("6.18/x86_64+pvm-smm-tdp")
    tree = IntervalTree()
    for slot, flags, gpa, nbytes, hva in fill(nslots):
        vm.set_user_memory_region(slot, flags, gpa, nbytes, hva).unwrap()
        tree[gpa // PAGE : gpa // PAGE + 1] = slot
    wanted = [random.Random(3).randrange(nslots) * 4 for _ in range(5000)]
    at = vm.state.spaces[0].at
    ours = theirs = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for gfn in wanted:
            at(gfn)
        ours = min(ours, (time.perf_counter() - start) / len(wanted))
        start = time.perf_counter()
        for gfn in wanted:
            tree[gfn]
        theirs = min(theirs, (time.perf_counter() - start) / len(wanted))
    row(f"gfn look-up, {nslots} slots", ours, theirs, "intervaltree", "look-up")


def start_row() -> None:
    """`memslots --help` beside an empty Python program."""

    def best(*words: str) -> float:
        times = []
        for _ in range(11):
            start = time.perf_counter()
            subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)
            times.append(time.perf_counter() - start)
        return sorted(times)[5]

    bare, ours = best("-c", "pass"), best("-m", "memslots", "--help")
    print(
        f"{'memslots --help':32} {ours * 1e3:9.1f} ms {bare * 1e3:9.1f} ms {ours / bare:7.2f} x "
        "bare Python (goal <= 3)"
    )


def row(name: str, ours: float, theirs: float, peer: str, goal: str) -> None:
    """One line: our time, the peer's, and how many times faster we are."""
    times = f"{ours * 1e6:9.2f} us {theirs * 1e6:9.2f} us"
    print(f"{name:32} {times} {theirs / ours:7.1f} x {peer} (goal >= {GOALS[goal]:.0f})")


def main() -> None:
    print(f"{'':32} {'memslots':>12} {'peer':>12}")
    growth = []
    with tempfile.TemporaryDirectory() as folder:
        peer = build_kernel_peer(folder)
        for nslots in (30, 509, FULL):
            filled, event = model_times(nslots)
            growth.append(event)
            if peer is None:
                print(f"{f'event, {nslots} slots':32} {event * 1e6:9.2f} us")
                continue
            kernel_fill, kernel_event = kernel_times(peer, folder, nslots)
            row(f"event, {nslots} slots", event, kernel_event, "kernel", "event")
            if nslots == FULL:
                row(f"fill of {nslots} slots, a slot", filled, kernel_fill, "kernel", "fill")
    print(f"{'event, 32764 against 509 slots':32} {growth[2] / growth[1]:26.2f} x (goal <= 3)")
    lookup_row(509)
    lookup_row(32_000)
    start_row()


if __name__ == "__main__":
    main()
