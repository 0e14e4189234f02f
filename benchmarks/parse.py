"""How fast a strace log is searched for region calls: ours, a generic regex, polars, in one run.

    PYTHONPATH=src python benchmarks/parse.py [--lines 2000000] [--kvm 0.1] [--regions 0.003]

Writes a synthetic log (86 bytes a line on average), checks that every way finds the same
calls, and prints medians of interleaved runs and ratios: only ratios of one run on one
machine mean something.  `wc -l` is the yardstick for the machine.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from memslots.trace import read

GENERIC = re.compile(
    r"^(?:\[pid +(?P<pid>\d+)\] |(?P<pid2>\d+) +)?(?:(?P<time>\d+\.\d+) )?"
    r"(?P<name>\w+)\((?P<args>.*)\)\s+= (?P<result>.*)$"
)
REGION = "KVM_SET_USER_MEMORY_REGION"


def write_log(path: str, lines: int, kvm: float, regions: float) -> int:
    """A log as strace -f -ttt -o writes it; the number of region calls in it."""
    rng = random.Random(1)
    noise = (
        'read(9, "\\1\\0\\0\\0\\0\\0\\0\\0", 512)       = 8',
        'write(9, "\\1\\0\\0\\0\\0\\0\\0\\0", 8)        = 8',
        "ppoll([{fd=0, events=POLLIN}, {fd=4, events=POLLIN}, {fd=5, events=POLLIN}], 3, NULL, "
        "NULL, 8) = 1",
        "futex(0x7f5a22c00008, FUTEX_WAKE_PRIVATE, 1) = 0",
        "futex(0x55d0c0ffee00, FUTEX_WAIT_PRIVATE, 2, NULL) = -1 EAGAIN (Resource temporarily "
        "unavailable)",
    )
    found = 0
    with open(path, "w", encoding="ascii") as file:
        for number in range(lines):
            dice = rng.random()
            prefix = f"{rng.choice((3001, 3002, 3010))} {1795363703 + number * 3e-4:.6f} "
            if dice < regions:
                found += 1
                gpa, size = rng.randrange(1 << 20) << 12, rng.randrange(1, 9999) << 12
                call = (
                    f"ioctl(14, {REGION}, "
                    f"{{slot={rng.randrange(32)}, flags=0, guest_phys_addr={gpa:#x}, "
                    f"memory_size={size}, userspace_addr={0x7F0000000000 + gpa:#x}}}) = 0"
                )
            else:
                call = "ioctl(15, KVM_RUN, 0)          = 0" if dice < kvm else rng.choice(noise)
            file.write(f"{prefix}{call}\n")
    return found


def ours(path: str) -> int:
    return sum(1 for event in read(path) if event.call == REGION)


def ours_every_line(path: str) -> int:
    return sum(1 for event in read(path, context=True) if event.call == REGION)


def generic(path: str) -> int:
    found = 0
    with open(path, encoding="utf-8") as file:
        for line in file:
            match = GENERIC.match(line)
            if match and match["name"] == "ioctl" and REGION in match["args"]:
                found += 1
    return found


def with_polars(path: str) -> int:
    import polars

    fields = (
        polars.scan_csv(
            path, has_header=False, separator="\x01", quote_char=None, new_columns=["line"]
        )
        .filter(polars.col("line").str.contains(REGION, literal=True))
        .select(
            polars.col("line").str.extract(r"slot=(\d+)").cast(polars.UInt32).alias("slot"),
            polars.col("line").str.extract(r"memory_size=(\d+)").cast(polars.UInt64).alias("size"),
            polars.col("line").str.extract(r"guest_phys_addr=(0x[0-9a-f]+|0)").alias("gpa"),
            polars.col("line").str.extract(r"= (-?\d+)").cast(polars.Int64).alias("result"),
        )
    )
    return int(fields.collect().height)


def newlines(path: str) -> int:
    done = subprocess.run(["wc", "-l", path], capture_output=True, check=True)
    return int(done.stdout.split()[0])


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare ways to read a strace log.")
    parser.add_argument("--lines", type=int, default=2_000_000)
    parser.add_argument(
        "--kvm", type=float, default=0.1, help="part of the lines that are ioctls of KVM"
    )
    parser.add_argument(
        "--regions", type=float, default=0.003, help="part of the lines that are region calls"
    )
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    ways: dict[str, Callable[[str], int]] = {
        "memslots": ours,
        "memslots, every line": ours_every_line,
    }
    ways["generic regex"] = generic
    os.environ.setdefault("POLARS_MAX_THREADS", "1")  # one core, like the others
    try:
        import polars

        ways[f"polars {polars.__version__}, {polars.thread_pool_size()} threads"] = with_polars
    except ImportError:
        print("polars: skipped, it is not installed", file=sys.stderr)
    if shutil.which("wc"):
        ways["wc -l"] = newlines
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "log")
        expected = write_log(path, args.lines, args.kvm, args.regions)
        report(ways, path, expected, args.runs)
    return 0


def report(ways: dict[str, Callable[[str], int]], path: str, expected: int, runs: int) -> None:
    """Run all ways in turn, several times, and print a table."""
    size = os.path.getsize(path)
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, way in ways.items():
            start = time.perf_counter()
            found = way(path)
            took[name].append(time.perf_counter() - start)
            if name != "wc -l" and found != expected:
                raise SystemExit(f"{name} found {found} of {expected} region calls")
    base = statistics.median(took["memslots"])
    print(
        f"{size / 1e6:.0f} MB, {expected} region calls, python {sys.version.split()[0]}, "
        f"medians of {runs}"
    )
    for name, times in took.items():
        middle = statistics.median(times)
        print(f"{name:32} {size / middle / 1e6:7.0f} MB/s   time of memslots x {middle / base:.2f}")


if __name__ == "__main__":
    sys.exit(main())
