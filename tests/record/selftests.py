"""Runs programs (KVM's selftests) bare and recorded in turn, and compares exit status and output.

    PYTHONPATH=src python tests/record/selftests.py PROGRAM ... [--times N] [--seconds N]

Numbers in the output are left out of the comparison where they differ between bare runs (addresses,
times).  A program that takes longer than --seconds bare is left out, and named.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter

from memslots.errors import TraceError
from memslots.trace import Reading, read

_NUMBER = re.compile(r"0x[0-9a-f]+|\d+(?:\.\d+)?")
RECORD = [sys.executable, "-m", "memslots", "record", "-q"]


def outcome(words, seconds):
    """(exit status, output) of one run; None if it takes too long."""
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, errors="replace", timeout=seconds,
            stdin=subprocess.DEVNULL, cwd=os.path.dirname(words[-1]),
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
        recorded.append(outcome([*RECORD, "-o", path, "--", program], 5 * seconds))
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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("programs", nargs="+")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    counted, calls = Counter(), 0
    with tempfile.TemporaryDirectory() as folder:
        for program in map(os.path.abspath, options.programs):
            found, count = compare(
                program, options.times, options.seconds, os.path.join(folder, "r")
            )
            kind = found if found in ("same", "slow", "unsteady") else "different"
            counted[kind] += 1
            calls += count
            print(f"{os.path.basename(program):40} {found[:600]} ({count} calls)", flush=True)
    print(f"{dict(counted)}, {options.times} times, {calls} calls recorded")
    return counted["different"] > 0


if __name__ == "__main__":
    sys.exit(main())
