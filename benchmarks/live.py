"""LiveVm against C, call for call, in one process on one VM: flags-only changes and a fill.

    PYTHONPATH=src python benchmarks/live.py [REPEATS]

Pinned, because where the kernel's grace periods run moves a call by 2 to 10 times; interleaved in
short turns, so that both see the same weather; medians.
"""

from __future__ import annotations

import ctypes
import os
import statistics
import subprocess
import sys
import tempfile
import time

from memslots.live import LiveVm

HERE = os.path.dirname(os.path.abspath(__file__))
CALLS, SLOTS, TURN = 200, 32764, 256


def load(folder: str) -> ctypes.CDLL:
    name = os.path.join(folder, "live_loop.so")
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", os.path.join(HERE, "live_loop.c"), "-o", name], check=True)
    library = ctypes.CDLL(name)
    library.flags_only.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_int)
    library.fill.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_int, ctypes.c_int)
    library.flags_only.restype = library.fill.restype = ctypes.c_double
    return library


def flags_only(library: ctypes.CDLL, turns: int) -> tuple[list[float], list[float]]:
    ours, theirs = [], []
    with LiveVm() as vm:
        address = vm.allocate(1 << 20).address
        call = vm.set_user_memory_region
        call(0, 0, 0, 4096, address).unwrap()
        for _ in range(turns):
            theirs.append(library.flags_only(vm.fd, address, CALLS) / CALLS * 1e6)
            flags = 0
            start = time.perf_counter()
            for _ in range(CALLS):
                flags ^= 1
                call(0, flags, 0, 4096, address)
            ours.append((time.perf_counter() - start) / CALLS * 1e6)
    return ours, theirs


def fill(library: ctypes.CDLL) -> tuple[float, float]:
    """Milliseconds for half of the slots each, in turns of 256 slots."""
    ours = theirs = 0.0
    with LiveVm() as vm:
        address = vm.allocate(1 << 20).address
        call = vm.set_user_memory_region
        for first in range(0, SLOTS, 2 * TURN):
            middle = min(first + TURN, SLOTS)
            theirs += library.fill(vm.fd, address, first, middle)
            start = time.perf_counter()
            for slot in range(middle, min(middle + TURN, SLOTS)):
                call(slot, 0, slot << 13, 4096, address)
            ours += time.perf_counter() - start
    return ours * 1e3, theirs * 1e3


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        library = load(folder)
        ours, theirs = flags_only(library, repeats * 20)
        report("flags only, us", ours, theirs)
        both = [fill(library) for _ in range(repeats)]
        report(f"fill of {SLOTS}, ms", [row[0] for row in both], [row[1] for row in both])


def report(what: str, ours: list[float], theirs: list[float]) -> None:
    python, c = statistics.median(ours), statistics.median(theirs)
    ratio = statistics.median(a / b for a, b in zip(ours, theirs))
    print(f"{what:22} C {c:9.2f}  LiveVm {python:9.2f}  {ratio:.3f} x (median of the turns' ratios)")


if __name__ == "__main__":
    main()
