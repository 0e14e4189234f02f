"""What recording costs: bare, memslots record (ptrace and BPF), memslots emulate, strace
--seccomp-bpf, strace -f; pinned, medians.

    PYTHONPATH=src python benchmarks/recorder.py [REPEATS] [loop|boot]

loop: vmm_loop.c, which makes calls as a VMM does, a hundred times as many.  boot: QEMU from its
start through the BIOS to a boot sector that ends it.  Both are timed from inside the recording, so
that what the recorders need to start and to end does not count.  Runs are interleaved.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
MIXES = {
    "B: 1 region + 50 KVM_RUN + 50 others": ("2000", "50", "50"),
    "A: regions only": ("5000", "0", "0"),
}
OUT_AND_HALT = bytes((0xBA, 0x01, 0x05, 0xB0, 0x01, 0xEE, 0xF4))
"""mov dx, 0x501; mov al, 1; out dx, al; hlt: the exit device ends QEMU with status 3."""
TIMED = """
import subprocess, sys, time
start = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
if done.returncode != 3:
    sys.exit(f"QEMU ended with {done.returncode}")
print(time.perf_counter() - start)
"""


def ways(folder: str) -> dict[str, list[str]]:
    out = os.path.join(folder, "out")
    ours = [sys.executable, "-m", "memslots", "record", "-q", "-o", out]
    found = {"bare": [], "memslots record": [*ours, "--"]}
    emulate = [sys.executable, "-m", "memslots", "emulate", "-q", "-o", out]
    found["memslots emulate"] = [*emulate, "--kernel", "6.1/x86_64", "--"]
    if os.geteuid() == 0 and shutil.which("bpftrace"):
        found["memslots record --bpf"] = [*ours, "--bpf", "--"]
    if shutil.which("strace"):
        found["strace --seccomp-bpf"] = [
            "strace",
            "-f",
            "--seccomp-bpf",
            "-e",
            "trace=ioctl",
            "-o",
            out,
        ]
        found["strace -f"] = ["strace", "-f", "-e", "trace=ioctl", "-o", out]
    return found


def loops(folder: str) -> dict[str, list[str]]:
    program = os.path.join(folder, "vmm_loop")
    subprocess.run(["gcc", "-O2", os.path.join(HERE, "vmm_loop.c"), "-o", program], check=True)
    return {mix: [program, *arguments] for mix, arguments in MIXES.items()}


def boot(folder: str) -> dict[str, list[str]]:
    if not shutil.which("qemu-system-x86_64"):
        return {}
    image = os.path.join(folder, "image")
    with open(image, "wb") as file:
        file.write((OUT_AND_HALT.ljust(510, b"\0") + b"\x55\xaa").ljust(1 << 20, b"\0"))
    qemu = [
        "qemu-system-x86_64", "-accel", "kvm", "-m", "256M", "-nodefaults", "-display", "none",
        "-vga", "none",
        "-drive", f"file={image},format=raw,if=ide", "-device",
        "isa-debug-exit,iobase=0x501,iosize=1",
    ]  # fmt: skip
    return {"QEMU boot": [sys.executable, "-c", TIMED, *qemu]}


def seconds(command: list[str]) -> float:
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    what = sys.argv[2:] or ["loop", "boot"]
    if not os.path.exists("/dev/kvm"):
        sys.exit("no /dev/kvm")
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        jobs = {
            **(loops(folder) if "loop" in what else {}),
            **(boot(folder) if "boot" in what else {}),
        }
        for job, command in jobs.items():
            times: dict[str, list[float]] = {way: [] for way in ways(folder)}
            for _ in range(repeats):
                for way, prefix in ways(folder).items():
                    times[way].append(seconds([*prefix, *command]))
            bare = statistics.median(times["bare"])
            print(job)
            for way, found in times.items():
                median = statistics.median(found)
                spread = f"{min(found) * 1000:.0f} to {max(found) * 1000:.0f}"
                print(
                    f"  {way:22} {median * 1000:8.0f} ms  {median / bare:5.2f} x  ({spread})",
                    flush=True,
                )


if __name__ == "__main__":
    main()
