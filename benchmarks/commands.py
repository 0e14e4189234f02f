"""What commands do beside reading and replaying, in processor time, medians of five turns.

    PYTHONPATH=src python benchmarks/commands.py

Which kernel a recording fits; VMs whose creation nobody recorded; a layout on every kernel; `ask`
without its pipe; memslots' own JSON beside `json.loads` of each line.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import statistics
import tempfile
import time
from itertools import islice

from explain import NAMES, REGION, calls_and_results, write
from mixed import HVA, PAGE, fill, mixed

from memslots import find
from memslots.cli.main import main as command
from memslots.explain.which_kernel import weigh
from memslots.export.oracle import Oracle
from memslots.replay.replay import Replay
from memslots.trace import Event, read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

TURNS, VMS, SLOTS = 5, 10_000, 500


def row(name: str, work: Callable[[], object], per: float, unit: str) -> float:
    """Run it, print what it took, and give the median."""
    work()
    times = []
    for _ in range(TURNS):
        start = time.process_time()
        work()
        times.append((time.process_time() - start) / per)
    middle = statistics.median(times)
    print(f"{name:44} {middle:8.2f} {unit} ({min(times):.2f} to {max(times):.2f})", flush=True)
    return middle


def adopted() -> Replay:
    """A region call on each of many descriptors that nobody saw made."""
    replay = Replay((), find("6.1/x86_64"), most_kept=0)
    for number in range(1, VMS + 1):
        fields = dict(zip(NAMES, (0, 0, 0, PAGE, HVA)))
        replay.advance(number, Event(REGION, fields, 0, fd=number, pid=1))
    return replay


def check(path: str) -> None:
    """`memslots check` of a layout on all kernels; start is not in it."""
    with contextlib.redirect_stdout(io.StringIO()):
        command(["check", path, "--kernel", "all"])


def ask(lines: list[str], batch: int) -> None:
    """The answers to lines, so many at a time."""
    oracle = Oracle("6.1/x86_64+pa46")
    oracle.answer('{"call": "KVM_CREATE_VM"}')
    for first in range(0, len(lines), batch):
        oracle.answers(lines[first : first + batch])


def loaded(path: str) -> int:
    """What anybody does with lines of JSON."""
    with open(path, "rb") as file:
        return sum(len(json.loads(line)["fields"]) for line in file)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        events = calls_and_results(100)
        binary, own = os.path.join(folder, "binary"), os.path.join(folder, "jsonl")
        write(binary, "binary", events)
        write(own, "jsonl", events)
        head = list(islice(read(binary), 1500))
        row("kernel of 1,500 calls", lambda: weigh(head), 1e-3, "ms")
        row(f"{VMS:,} VMs whose creation nobody saw", adopted, 1, "s")
        layout = os.path.join(folder, "layout.toml")
        with open(layout, "w", encoding="ascii") as file:
            for slot in range(SLOTS):
                gpa, hva = slot << 24, HVA + (slot << 24)
                file.write(f"[[slot]]\nslot = {slot}\ngpa = {gpa}\nsize = {8 << 20}\nhva = {hva}\n")
        row(f"check --kernel all, {SLOTS} slots", lambda: check(layout), 1e-3, "ms")
        lines = [json.dumps(call) for call in (*fill(SLOTS), *mixed(SLOTS, 20_000))]
        for batch in (1, 1000):
            name = f"ask, {batch:,} lines at a time"
            row(name, lambda batch=batch: ask(lines, batch), len(lines) / 1e6, "us a call")
        count = len(events) / 1e6
        ours = row("JSONL, read", lambda: sum(1 for _ in read(own)), count, "us an event")
        theirs = row("the same file, json.loads", lambda: loaded(own), count, "us an event")
        print(f"{'':44} {ours / theirs:8.2f} x json.loads of each line")


if __name__ == "__main__":
    main()
