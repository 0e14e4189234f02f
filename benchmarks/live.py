"""LiveVm against C, call for call, in one process on one VM: flags-only changes and a fill.

    PYTHONPATH=src python benchmarks/live.py [REPEATS]

Pinned, because where the kernel's grace periods run moves a call by 2 to 10 times; interleaved in
short turns, so that all see the same weather; medians.  `fcntl.ioctl` is the least that Python can
do: one structure, made before, and no look at the answer.  The interpreter matters: a
distribution's is built with profiles, pyenv's is not, and adds half as much again.
"""

from __future__ import annotations

import ctypes
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from fcntl import ioctl

from memslots.live import LiveVm
from memslots.uapi.calls import CALLS as KVM_CALLS

HERE = os.path.dirname(os.path.abspath(__file__))
CALLS, SLOTS, TURN = 200, 32764, 128
REQUEST = KVM_CALLS["KVM_SET_USER_MEMORY_REGION"].request()
Times = dict[str, list[float]]
Way = Callable[[LiveVm, int, int, int], None]


def load(folder: str) -> ctypes.CDLL:
    name = os.path.join(folder, "live_loop.so")
    subprocess.run(
        ["gcc", "-O2", "-shared", "-fPIC", os.path.join(HERE, "live_loop.c"), "-o", name],
        check=True,
    )
    library = ctypes.CDLL(name)
    library.flags_only.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_int)
    library.fill.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_int, ctypes.c_int)
    library.flags_only.restype = library.fill.restype = ctypes.c_double
    return library


class Region(ctypes.Structure):
    _fields_ = [
        ("slot", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("guest_phys_addr", ctypes.c_uint64),
        ("memory_size", ctypes.c_uint64),
        ("userspace_addr", ctypes.c_uint64),
    ]


def flags_bare(vm: LiveVm, address: int, first: int, end: int) -> None:
    fd, request, region, flags = vm.fd, REQUEST, Region(0, 0, 0, 4096, address), 0
    for _ in range(first, end):
        flags ^= 1
        region.flags = flags
        ioctl(fd, request, region)


def fill_bare(vm: LiveVm, address: int, first: int, end: int) -> None:
    fd, request, region = vm.fd, REQUEST, Region(0, 0, 0, 4096, address)
    for slot in range(first, end):
        region.slot = slot
        region.guest_phys_addr = slot << 13
        ioctl(fd, request, region)


def flags_one_by_one(vm: LiveVm, address: int, first: int, end: int) -> None:
    call, flags = vm.set_user_memory_region, 0
    for _ in range(first, end):
        flags ^= 1
        call(0, flags, 0, 4096, address)


def flags_at_once(vm: LiveVm, address: int, first: int, end: int) -> None:
    vm.set_user_memory_regions([(0, ~i & 1, 0, 4096, address) for i in range(first, end)])


def fill_one_by_one(vm: LiveVm, address: int, first: int, end: int) -> None:
    call = vm.set_user_memory_region
    for slot in range(first, end):
        call(slot, 0, slot << 13, 4096, address)


def fill_at_once(vm: LiveVm, address: int, first: int, end: int) -> None:
    vm.set_user_memory_regions([(slot, 0, slot << 13, 4096, address) for slot in range(first, end)])


def seconds(way: Way, vm: LiveVm, address: int, first: int, end: int) -> float:
    """With the loop that makes the numbers, as in C."""
    start = time.perf_counter()
    way(vm, address, first, end)
    return time.perf_counter() - start


def flags_only(library: ctypes.CDLL, turns: int) -> Times:
    """Microseconds a call."""
    times: Times = {name: [] for name in NAMES}
    with LiveVm() as vm:
        address = vm.allocate(1 << 20).address
        vm.set_user_memory_region(0, 0, 0, 4096, address).unwrap()
        for turn in range(turns):
            for name in turned(turn):
                if name == "C":
                    spent = library.flags_only(vm.fd, address, CALLS)
                else:
                    spent = seconds(FLAGS[name], vm, address, 0, CALLS)
                times[name].append(spent / CALLS * 1e6)
    return times


def fill_timed(
    library: ctypes.CDLL, name: str, vm: LiveVm, address: int, first: int, end: int
) -> float:
    return (
        library.fill(vm.fd, address, first, end)
        if name == "C"
        else seconds(FILL[name], vm, address, first, end)
    )


def fill_in_turns(library: ctypes.CDLL, times: Times) -> None:
    """Add the microseconds a call for a part of the slots of one VM each, in turns of 128 slots."""
    spent = dict.fromkeys(NAMES, 0.0)
    calls = dict.fromkeys(NAMES, 0)
    with LiveVm() as vm:
        address = vm.allocate(1 << 20).address
        for turn, first in enumerate(range(0, SLOTS, TURN)):
            name, end = turned(turn // len(NAMES))[turn % len(NAMES)], min(first + TURN, SLOTS)
            spent[name] += fill_timed(library, name, vm, address, first, end)
            calls[name] += end - first
    for name in NAMES:
        times[name].append(spent[name] / calls[name] * 1e6)


def fill_whole(library: ctypes.CDLL, times: Times, turn: int) -> None:
    """Add the microseconds a call for all slots, on a VM for each way."""
    for name in turned(turn):
        with LiveVm() as vm:
            address = vm.allocate(1 << 20).address
            times[name].append(fill_timed(library, name, vm, address, 0, SLOTS) / SLOTS * 1e6)


def turned(turn: int) -> list[str]:
    """Who goes first changes, so that nobody always follows the same."""
    start = turn % len(NAMES)
    return NAMES[start:] + NAMES[:start]


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        library = load(folder)
        report("flags only", flags_only(library, repeats * 20))
        in_turns: Times = {name: [] for name in NAMES}
        whole: Times = {name: [] for name in NAMES}
        for turn in range(repeats):
            fill_in_turns(library, in_turns)
            fill_whole(library, whole, turn)
        report(f"fill of {SLOTS}, a quarter each", in_turns)
        report(f"fill of {SLOTS}, a VM each", whole)


def report(what: str, times: Times) -> None:
    print(f"{what}: C {statistics.median(times['C']):.2f} us a call")
    for name in NAMES[1:]:
        ratios = sorted(a / b for a, b in zip(times[name], times["C"]))
        low, high = ratios[len(ratios) // 4], ratios[len(ratios) * 3 // 4]
        print(
            f"  {name:11} {statistics.median(times[name]):6.2f} us  "
            f"{statistics.median(ratios):.3f} x"
            f" (median of the turns' ratios; half of them from {low:.3f} to {high:.3f})"
        )


NAMES = ["C", "fcntl.ioctl", "one by one", "at once"]
FLAGS: dict[str, Way] = {
    "fcntl.ioctl": flags_bare,
    "one by one": flags_one_by_one,
    "at once": flags_at_once,
}
FILL: dict[str, Way] = {
    "fcntl.ioctl": fill_bare,
    "one by one": fill_one_by_one,
    "at once": fill_at_once,
}

if __name__ == "__main__":
    main()
