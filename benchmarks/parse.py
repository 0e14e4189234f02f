"""How fast recordings are read, in shapes that people have: ours beside its peers, in one run.

    PYTHONPATH=src python benchmarks/parse.py [--mb 20] [--small-mb 4] [--runs 5] [--only WORDS]

For each shape a file is written (mixtures.py), every way must find the same region calls, and the
ways take turns.  Printed are the median of the runs, its spread (least to most), and how many
times as long the peer took.  Processor time is what counts: a log is read once, beside other work.
Only ratios of one run on one machine mean something.  Peers: a regular expression that takes each
line apart (what people write), polars, `rg -c`, `wc -l`.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import mixtures

import memslots
from memslots.trace import read
from memslots.trace.jsonl import event_to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Way = Callable[[str], int]

GENERIC = re.compile(
    r"^(?:\[pid +(?P<pid>\d+)\] |(?P<pid2>\d+) +)?(?:(?P<time>\d[\d:.]+) )?"
    r"(?P<name>\w+)\((?P<args>.*)\)\s+= (?P<result>.*)$"
)
GENERIC_TRACE = re.compile(r"^(?P<pid>\d+)@(?P<time>\d+\.\d+):(?P<name>\w+) (?P<args>.*)$")
REGION = mixtures.REGION
CALLED = f"{REGION}, {{"
"""In a line of strace that is such a call, and in none that quotes its name."""
SPARSE = {"region calls": 0.003}
"""Of most shapes: one line of 300 is a region call."""
MIXED = {f"{kind}, 10 % of lines": {kind: 0.1} for kind in (
    "KVM_RUN EINTR", "KVM_RUN unfinished", "SIGNAL_MSI -y", "IRQ_LINE", "GET_REGS",
    "GET_REGS unfinished", "GET_DIRTY_LOG", "raw numbers", "_IOC", "mmap", "unknown calls",
    "quoted messages", "stacks -k", "stderr lines",
)}  # fmt: skip
STRACE: dict[str, dict[str, float]] = {
    "plain lines": {},
    "SIGNAL_MSI, 1 % of lines": {"SIGNAL_MSI": 0.01},
    "GET_DIRTY_LOG, 1 % of lines": {"GET_DIRTY_LOG": 0.01},
    **MIXED,
    "wide noise": mixtures.WIDE,
    "region calls only": {"region calls": 1},
}
TRACES: dict[str, dict[str, float]] = {
    "sparse": SPARSE,
    "kvm_run_exit, 10 % of lines": SPARSE | {"kvm_run_exit": 0.1},
    "kvm_vm_ioctl, 10 % of lines": SPARSE | {"kvm_vm_ioctl": 0.1},
    "region calls only": {"region calls": 1},
}


def ours(path: str) -> int:
    return sum(1 for event in read(path) if event.call == REGION)


def ours_every_line(path: str) -> int:
    return sum(1 for event in read(path, context=True) if event.call == REGION)


def generic(path: str) -> int:
    with open(path, encoding="utf-8") as file:
        matches = (GENERIC.match(line) for line in file)
        return sum(1 for found in matches if found and CALLED in found["args"])


def generic_trace(path: str) -> int:
    with open(path, encoding="utf-8") as file:
        matches = (GENERIC_TRACE.match(line) for line in file)
        return sum(1 for found in matches if found and found["name"] == "kvm_set_user_memory")


def with_polars(path: str) -> int:
    import polars

    line = polars.col("line")
    fields = (
        polars.scan_csv(
            path, has_header=False, separator="\x01", quote_char=None, new_columns=["line"]
        )
        .filter(line.str.contains(CALLED, literal=True))
        .select(
            line.str.extract(r"slot=(\d+)").cast(polars.UInt32).alias("slot"),
            line.str.extract(r"memory_size=(\d+)").cast(polars.UInt64).alias("size"),
            line.str.extract(r"guest_phys_addr=(0x[0-9a-f]+|0)").alias("gpa"),
            line.str.extract(r"= (-?\d+)").cast(polars.Int64).alias("result"),
        )
    )
    return int(fields.collect().height)


def program(*command: str) -> Way:
    def run(path: str) -> int:
        done = subprocess.run([*command, path], capture_output=True, check=False)
        return int(done.stdout.split()[0])

    return run


def first_line(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    return done.stdout.partition("\n")[0]


def peers() -> dict[str, Way]:
    """The peers that are there, by name and version."""
    ways: dict[str, Way] = {f"generic regex (python {platform.python_version()})": generic}
    os.environ.setdefault("POLARS_MAX_THREADS", "1")  # one core, like the others
    try:
        import polars

        ways[f"polars {polars.__version__}, {polars.thread_pool_size()} threads"] = with_polars
    except ImportError:
        print("polars: skipped, it is not installed", file=sys.stderr)
    if shutil.which("rg"):
        ways[f"{first_line('rg', '--version')}, -c"] = program("rg", "-c", "-j1", "-F", CALLED)
    if shutil.which("wc"):
        ways[f"{first_line('wc', '--version')}, -l"] = program("wc", "-l")
    return ways


def processor_seconds() -> float:
    """Of this process and of the programs that it ran."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def drop_from_cache(path: str) -> None:
    """Ask the kernel to forget the file's pages: the next read takes them from the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measured(ways: dict[str, Way], path: str, runs: int) -> dict[str, list[float]]:
    took: dict[str, list[float]] = {name: [] for name in ways}
    expected = None
    for _ in range(runs):
        for name, way in ways.items():
            start = processor_seconds()
            found = way(path)
            took[name].append(processor_seconds() - start)
            if name.endswith("-l"):
                continue
            expected = found if expected is None else expected
            if found != expected:
                raise SystemExit(f"{name} found {found} region calls, another way {expected}")
    return took


def report(
    what: str, ways: dict[str, Way], lines: Iterator[str], nbytes: int, runs: int, *, cold: bool
) -> None:
    """Write the file, run all ways in turn, and print a line for each."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "log")
        size = mixtures.write(path, lines, nbytes)
        took = measured(ways, path, runs)
        calls = ours(path)
        print(f"{what}: {size / 1e6:.0f} MB, {calls} region calls")
        base = statistics.median(took["memslots"])
        for name, times in took.items():
            middle, least, most = statistics.median(times), min(times), max(times)
            print(
                f"    {name:44} {size / middle / 1e6:7.0f} MB/s "
                f"({size / most / 1e6:.0f} to {size / least / 1e6:.0f})  {middle / base:6.2f} x"
            )
        if cold:
            drop_from_cache(path)
            start = time.perf_counter()
            ours(path)
            elapsed = time.perf_counter() - start
            print(
                f"    memslots, cold file cache, elapsed time     {size / elapsed / 1e6:7.0f} MB/s"
            )


def dense(runs: int) -> None:
    """Microseconds an event where every record is a call, in each form of recording."""
    from memslots.record.file import RecordingFile
    from memslots.uapi.calls import CALLS

    with tempfile.TemporaryDirectory() as folder:
        text, own, binary = (os.path.join(folder, name) for name in ("strace", "jsonl", "binary"))
        mixtures.write(text, mixtures.strace_lines({"region calls": 1}), 6_000_000)
        with open(own, "w", encoding="ascii") as file:
            file.writelines(f"{event_to_json(event)}\n" for event in read(text))
        recording = RecordingFile(binary, ["vmm"], "ptrace")
        recording.begin()
        for event in read(text):
            recording.add(
                CALLS[REGION], event.pid or 0, event.time_ns or 0, event.result, event.fd or 0,
                tuple(event.fields.values()),
            )  # fmt: skip
        recording.end(0)
        for name, path in (("strace", text), ("JSONL", own), ("binary", binary)):
            took = measured({"memslots": ours}, path, runs)
            us = [seconds / ours(path) * 1e6 for seconds in took["memslots"]]
            middle = statistics.median(us)
            print(f"dense, {name}: {middle:.2f} us an event ({min(us):.2f} to {max(us):.2f})")


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare ways to read recordings.")
    parser.add_argument("--mb", type=float, default=20, help="size of a file that is searched")
    parser.add_argument("--small-mb", type=float, default=4, help="of one that is read in full")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", default="", help="shapes with this in their name")
    args = parser.parse_args()
    print(
        f"memslots {memslots.__version__} ({build()}), {platform.python_implementation()} "
        f"{platform.python_version()}; processor time, medians of {args.runs} (least to most)"
    )
    beside = peers()
    for size, name in ((args.mb, "large"), (args.small_mb, "small")):
        for shape, shares in STRACE.items():
            what = f"strace, {name}, {shape}"
            if args.only in what:
                ways = {"memslots": ours, **beside}
                if name == "large":
                    ways["memslots, every line"] = ours_every_line
                lines = mixtures.strace_lines(SPARSE | shares)
                report(what, ways, lines, int(size * 1e6), args.runs, cold=shape == "plain lines")
        for shape, shares in TRACES.items():
            what = f"QEMU trace, {name}, {shape}"
            if args.only in what:
                ways = {"memslots": ours, "generic regex": generic_trace}
                lines = mixtures.qemu_lines(shares)
                report(what, ways, lines, int(size * 1e6), args.runs, cold=False)
    if args.only in "dense":
        dense(args.runs)
    return 0


def build() -> str:
    """Which build runs."""
    from memslots.model import vm

    return "pure Python" if (vm.__file__ or "").endswith(".py") else "compiled"


if __name__ == "__main__":
    sys.exit(main())
