"""What recording costs: bare, strace -f, strace --seccomp-bpf, memslots record; pinned, medians.

    PYTHONPATH=src python benchmarks/recorder.py [REPEATS]

The loop of vmm_loop.c times itself, so starting up does not count.  Runs are interleaved.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
MIXES = {"B: 1 region + 50 KVM_RUN + 50 others": ("2000", "50", "50"), "A: regions only": ("5000", "0", "0")}


def ways(folder: str) -> dict[str, list[str]]:
    out = os.path.join(folder, "out")
    found = {"bare": [], "memslots record": [sys.executable, "-m", "memslots", "record", "-q", "-o", out, "--"]}
    if os.geteuid() == 0 and shutil.which("bpftrace"):
        found["memslots record --bpf"] = [*found["memslots record"][:-1], "--bpf", "--"]
    if shutil.which("strace"):
        found["strace --seccomp-bpf"] = ["strace", "-f", "--seccomp-bpf", "-e", "trace=ioctl", "-o", out]
        found["strace -f"] = ["strace", "-f", "-e", "trace=ioctl", "-o", out]
    return found


def seconds(command: list[str]) -> float:
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    if not os.path.exists("/dev/kvm"):
        sys.exit("no /dev/kvm")
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder, "vmm_loop")
        subprocess.run(["gcc", "-O2", os.path.join(HERE, "vmm_loop.c"), "-o", program], check=True)
        for mix, arguments in MIXES.items():
            times: dict[str, list[float]] = {way: [] for way in ways(folder)}
            for _ in range(repeats):
                for way, prefix in ways(folder).items():
                    times[way].append(seconds([*prefix, program, *arguments]))
            bare = statistics.median(times["bare"])
            print(mix)
            for way, found in times.items():
                median = statistics.median(found)
                print(f"  {way:22} {median * 1000:8.0f} ms  {median / bare:5.1f} x")


if __name__ == "__main__":
    main()
