"""The path that commands take: from a file to the end of `explain`, beside the kernel itself.

    python benchmarks/explain.py

Processor time an event of `Analysis(file).finish()`, everything but start-up and printing; medians
of five turns with the spread (least to most).  The peer is the kernel doing the same region calls,
driven from C (needs /dev/kvm and gcc), and for strace text a generic expression that picks the
calls out of each line and explains nothing.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import struct
import subprocess
import sys
import tempfile
import time

from mixed import fill, mixed
from replay import build_kernel_peer

from memslots import Region, Vm, find
from memslots.explain.analysis import Analysis
from memslots.record.file import RecordingFile
from memslots.uapi.calls import CALLS

REGION, TURNS, EVENTS, FULL = "KVM_SET_USER_MEMORY_REGION", 5, 30_000, 32_764
NAMES = ("slot", "flags", "guest_phys_addr", "memory_size", "userspace_addr")
GENERIC = re.compile(r"KVM_SET_USER_MEMORY_REGION, \{slot=(\d+), flags=(\S+), .*\}\) = (-?\d+)")
ERRORS = {-17: "-1 EEXIST (File exists)", -22: "-1 EINVAL (Invalid argument)"}


def calls_and_results(nslots: int, nvms: int = 1) -> list[tuple[int, tuple[int, ...], int]]:
    """(fd, call, result), as a kernel of 6.18 answers."""
    profile, found = find("6.18/x86_64+pvm-smm-tdp"), []
    calls = [*fill(nslots), *mixed(nslots, EVENTS // nvms)]
    vm = Vm(profile)
    results = [vm.submit(Region(*call)).result for call in calls]
    for number in range(nvms):
        found += [(10 + number, call, result or 0) for call, result in zip(calls, results)]
    return found


def write(path: str, form: str, events: list[tuple[int, tuple[int, ...], int]]) -> None:
    """A recording of these calls, the VMs' creation included."""
    fds = dict.fromkeys(fd for fd, _, _ in events)
    if form == "binary":
        with RecordingFile(path, ["vmm"], "bench") as file:
            for fd in fds:
                file.add(CALLS["KVM_CREATE_VM"], 1, 1, fd, 9, (0,))
            for number, (fd, call, result) in enumerate(events):
                file.add(CALLS[REGION], 1, number, result, fd, call)
            file.end(0)
        return
    with open(path, "w", encoding="utf-8") as out:
        for fd in fds:
            row = {"v": 1, "call": "KVM_CREATE_VM", "fields": {}, "result": fd, "new_fd": fd}
            made = f"1 ioctl(9</dev/kvm>, KVM_CREATE_VM, 0) = {fd}<anon_inode:kvm-vm>"
            print(made if form == "strace" else json.dumps(row), file=out)
        for fd, call, result in events:
            slot, flags, gpa, nbytes, hva = call
            row = {"v": 1, "call": REGION, "fields": dict(zip(NAMES, call)), "result": result}
            line = (
                f"1 ioctl({fd}<anon_inode:kvm-vm>, {REGION}, {{slot={slot}, flags={flags:#x}, "
                f"guest_phys_addr={gpa:#x}, memory_size={nbytes}, userspace_addr={hva:#x}}}) = "
                f"{ERRORS.get(result, result)}"
            )
            print(line if form == "strace" else json.dumps({**row, "fd": fd}), file=out)


def explain_times(path: str, nevents: int, kernel: str | None) -> list[float]:
    """Seconds an event of each turn."""
    profile, found = find(kernel) if kernel else None, []
    for _ in range(TURNS):
        start = time.process_time()
        Analysis(path, profile, most=20).finish()
        found.append((time.process_time() - start) / nevents)
    return sorted(found)


def generic_time(path: str, nevents: int) -> float:
    """Seconds an event of the generic expression on each line."""
    start = time.process_time()
    with open(path, encoding="utf-8") as file:
        sum(GENERIC.search(line) is not None for line in file)
    return (time.process_time() - start) / nevents


def kernel_time(program: str, folder: str, nslots: int) -> float:
    """Seconds a call of the mixed trace on the real kernel, the median of three runs."""
    trace = os.path.join(folder, "trace")
    with open(trace, "wb") as out:
        for call in fill(nslots) + mixed(nslots, 20_000):
            out.write(struct.pack("=IIQQQ", *call))
    run = [program, trace, str(nslots)]
    rows = [subprocess.run(run, capture_output=True, text=True, check=True) for _ in range(3)]
    return statistics.median(float(row.stdout.split()[1]) for row in rows) / 1e6


def main() -> None:
    print(f"Python {sys.version.split()[0]}; medians of {TURNS}, us of processor time an event")
    with tempfile.TemporaryDirectory() as folder:
        peer = build_kernel_peer(folder)
        for name, form, nslots, nvms, kernel in (
            ("binary, 100 slots", "binary", 100, 1, "6.18/x86_64"),
            ("binary, 32,764 slots", "binary", FULL, 1, "6.18/x86_64"),
            ("binary, 100 slots, kernel inferred", "binary", 100, 1, None),
            ("binary, 100 VMs of 30 slots", "binary", 30, 100, "6.18/x86_64"),
            ("JSONL, 100 slots", "jsonl", 100, 1, "6.18/x86_64"),
            ("strace, 100 slots", "strace", 100, 1, "6.18/x86_64"),
        ):
            events = calls_and_results(nslots, nvms)
            path = os.path.join(folder, form)
            write(path, form, events)
            times = explain_times(path, len(events), kernel)
            ours = statistics.median(times)
            line = f"{name:36} {ours * 1e6:6.2f} ({times[0] * 1e6:.2f} to {times[-1] * 1e6:.2f})"
            if form == "strace":
                theirs, who = generic_time(path, len(events)), "generic expression, no answer"
            elif peer is not None:
                theirs, who = kernel_time(peer, folder, nslots), "kernel"
            else:
                print(line, flush=True)
                continue
            print(f"{line}; {theirs * 1e6:.2f} {who}: {theirs / ours:.2f} x", flush=True)


if __name__ == "__main__":
    main()
