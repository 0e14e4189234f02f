"""Runs programs (KVM's selftests) bare and recorded in turn, and compares exit status and output.

    PYTHONPATH=src python tests/record/selftests.py PROGRAM ... [--times N] [--seconds N] [--count]

--count: in one more recorded run a bpftrace script that is none of the recorder's counts the
memory calls of the program and of all it starts; the recording has to have as many of each.

Numbers in the output are left out of the comparison where they differ between bare runs (addresses,
times).  A program that takes longer than --seconds bare is left out, and named.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter

from memslots.errors import TraceError
from memslots.record.calls import call_of
from memslots.trace import Reading, read

_NUMBER = re.compile(r"0x[0-9a-f]+|\d+(?:\.\d+)?")
RECORD = [sys.executable, "-m", "memslots", "record", "-q"]


def outcome(words, seconds, folder=None):
    """(exit status, output) of one run; None if it takes too long."""
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, errors="replace", timeout=seconds,
            stdin=subprocess.DEVNULL, cwd=folder or os.path.dirname(words[-1]),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return None
    return done.returncode, done.stdout + done.stderr


def plain(found):
    """An outcome without its numbers."""
    return found if found is None else (found[0], _NUMBER.sub("#", found[1]))


def compare(program, times, seconds, path):
    """("same", "slow", "unsteady", or what differs; calls recorded)."""
    bare, recorded, calls = [], [], 0
    for _ in range(times):
        bare.append(outcome([program], seconds))
        if bare[-1] is None:
            return "slow", 0
        recorded.append(outcome([*RECORD, "-o", path, "--", program], 10 * seconds))
        if recorded[-1] is None:
            return "slow recorded", calls
        reading = Reading()
        try:
            calls += sum(1 for _ in read(path, reading=reading))
        except TraceError as error:
            return f"recording: {error}", calls
        if any("lost" in note or "end mark" in note for note in reading.notes):
            return f"recording: {reading.notes}", calls
    if set(recorded) <= set(bare) or set(map(plain, recorded)) == set(map(plain, bare)):
        return "same", calls
    if len(set(map(plain, bare))) > 1:
        return "unsteady", calls
    return f"{sorted(map(str, set(bare)))} bare, {sorted(map(str, set(recorded)))} recorded", calls


COUNT = """
tracepoint:sched:sched_process_fork /@t[tid] || pid == cpid/ { @t[args->child_pid] = 1; }
tracepoint:syscalls:sys_enter_ioctl /@t[tid] && (uint64)args->cmd >> 32 == 0/ {
  @calls[(uint64)args->cmd & 0xffffffff] = count();
}
END { clear(@t); }
"""
"""Requests above 32 bits are the recorder's own questions, which it marks so."""


def counted_otherwise(program, seconds, path):
    """Calls by name where bpftrace's count and the recording's differ; None if it took too long."""
    command = " ".join([*RECORD, "-o", path, "--", program])
    words = ["bpftrace", "-f", "json", "-e", COUNT, "-c", command]
    found = outcome(words, seconds + 30, os.path.dirname(program))
    if found is None:
        return None
    counts = Counter()
    for line in found[1].splitlines():
        if line.startswith('{"type": "map"') and "@calls" in line:
            for request, count in json.loads(line)["data"]["@calls"].items():
                call = call_of(int(request))
                if call is not None:
                    counts[call.name] += count
    recorded = Counter(event.call for event in read(path) if event.call.startswith("KVM_"))
    return {
        name: (counts[name], recorded[name])
        for name in {*counts, *recorded}
        if counts[name] != recorded[name]
    }, counts.total()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("programs", nargs="+")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--count", action="store_true")
    options = parser.parse_args()
    counted, calls, seen = Counter(), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for program in map(os.path.abspath, options.programs):
            found, count = compare(
                program, options.times, options.seconds, os.path.join(folder, "r")
            )
            if options.count and not found.startswith("slow"):
                differ = counted_otherwise(program, options.seconds, os.path.join(folder, "c"))
                if differ is None:
                    counted["not counted"] += 1
                else:
                    seen += differ[1]
                    counted["counted alike" if not differ[0] else "counted otherwise"] += 1
                    if differ[0]:
                        print(f"{os.path.basename(program):40} counted otherwise: {differ[0]}")
            known = ("same", "slow", "slow recorded", "unsteady")
            kind = found if found in known else "different"
            counted[kind] += 1
            calls += count
            print(f"{os.path.basename(program):40} {found[:600]} ({count} calls)", flush=True)
    print(
        f"{dict(counted)}, {options.times} times, {calls} calls recorded, "
        f"{seen} counted by bpftrace in the same run"
    )
    return counted["different"] > 0


if __name__ == "__main__":
    sys.exit(main())
