"""Runs programs (KVM's selftests) bare and recorded in turn, and compares exit status and output.

    PYTHONPATH=src python tests/record/selftests.py 'PROGRAM [ARGUMENT ...]' ...
        [--times N] [--seconds N] [--count] [--results FILE]

--count: a bpftrace script that is none of the recorder's counts the memory calls of each run and of
all that it starts; each recording has to have as many of each as the script saw in the same run.
--results: a line of JSON a program; programs that have one are not run again.

Numbers in the output are left out of the comparison where they differ between bare runs (addresses,
times), and so is the order of lines.  A program that takes longer than --seconds bare is left out,
and named.  What a program leaves running is killed with it.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter

from memslots.errors import TraceError
from memslots.record.calls import call_of
from memslots.trace import Reading, read

_NUMBER = re.compile(r"0x[0-9a-f]+|\d+(?:\.\d+)?")
RECORD = [sys.executable, "-m", "memslots", "record", "-q"]

COUNT = """
tracepoint:sched:sched_process_fork /@root[tid]/ { @root[args->child_pid] = @root[tid]; }
tracepoint:sched:sched_process_fork /pid == $1/ {
  @root[args->child_pid] = (uint64)args->child_pid;
}
tracepoint:sched:sched_process_exit /@root[tid]/ { delete(@root[tid]); }
tracepoint:syscalls:sys_enter_ioctl /@root[tid] && (uint64)args->cmd >> 32 == 0/ {
  @request[tid] = (uint64)args->cmd & 0xffffffff;
  @calls[@root[tid], @request[tid]] = count();
}
tracepoint:syscalls:sys_exit_ioctl /@request[tid]/ {
  if (args->ret == -4) { @interrupted[@root[tid], @request[tid]] = count(); }
  delete(@request[tid]);
}
BEGIN { printf("ready\\n"); }
END { clear(@root); clear(@request); }
"""
"""Counts by the process that this one started.  Requests above 32 bits are the recorder's own
questions, which it marks so.  Calls that end with EINTR are left out here and in the recording: of
those that only the recorder interrupts the recording has the one that was made again."""


class Counting:
    """The script, from `with` on; `calls` is what it saw, by (process, name), once it has ended."""

    def __enter__(self):
        self.calls = Counter()
        self.out = tempfile.TemporaryFile("w+")
        self.script = subprocess.Popen(
            ["bpftrace", "-f", "json", "-e", COUNT, str(os.getpid())],
            stdout=self.out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            env={**os.environ, "BPFTRACE_MAP_KEYS_MAX": "65536"},
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while "ready" not in self.said():
            if self.script.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"bpftrace: {self.said()}")
            time.sleep(0.05)
        return self

    def said(self):
        self.out.seek(0)
        return self.out.read()

    def __exit__(self, *error):
        while self.script.poll() is None:  # a first SIGINT is lost now and then
            self.script.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.script.wait(5)
        for line in self.said().splitlines():
            if line.startswith('{"type": "map"'):
                ((name, counts),) = json.loads(line)["data"].items()
                for key, count in counts.items():
                    process, request = map(int, key.split(","))
                    call = call_of(request)
                    if call is not None:
                        self.calls[process, call.name] += count if name == "@calls" else -count

    def of(self, process):
        return Counter(
            {name: count for (root, name), count in self.calls.items() if root == process}
        )


def outcome(words, seconds, folder):
    """((exit status, output) of one run, None if it takes too long; its process)."""
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(
            words, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=folder,
            start_new_session=True,
        )  # fmt: skip
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            status = None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        out.seek(0)
        said = out.read().decode(errors="replace")
    return (None if status is None else (status, said)), process.pid


def plain(found):
    """An outcome without its numbers and the order of its lines; each as a terminal shows it."""
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in found[1].split("\n"))
    words = (" ".join(_NUMBER.sub("#", line).split()) for line in lines)  # numbers are padded
    return found[0], "\n".join(sorted(words))


def recorded_calls(path):
    """(calls by name, what the recording says of itself)."""
    reading = Reading()
    try:
        counts = Counter(
            event.call for event in read(path, reading=reading) if event.result != -errno.EINTR
        )
    except TraceError as error:
        return Counter(), [str(error)]
    calls = Counter({name: n for name, n in counts.items() if name.startswith("KVM_")})
    return calls, [note for note in reading.notes if "lost" in note or "end mark" in note]


def compare(words, times, seconds, path):
    """("same", "slow", "unsteady" or what differs; calls of each recorded run by process)."""
    folder = os.path.dirname(words[0])
    bare, recorded, calls = [], [], {}
    for _ in range(times):
        found, _ = outcome(words, seconds, folder)
        if found is None:
            return "slow", calls
        bare.append(found)
        found, process = outcome([*RECORD, "-o", path, "--", *words], 10 * seconds, folder)
        if found is None:
            return "slow recorded", calls
        recorded.append(found)
        calls[process], remarks = recorded_calls(path)
        if remarks:
            return f"recording: {remarks}", calls
    if set(recorded) <= set(bare) or set(map(plain, recorded)) <= set(map(plain, bare)):
        return "same", calls
    if len(set(map(plain, bare))) > 1:
        return "unsteady", calls
    return f"{sorted(map(str, set(bare)))} bare, {sorted(map(str, set(recorded)))} recorded", calls


def counted_otherwise(counting, calls):
    """For each recorded run: calls by name that the script and the recording count differently."""
    return [
        {
            name: (seen[name], found[name])
            for name in sorted({*seen, *found})
            if seen[name] != found[name]
        }
        for seen, found in ((counting.of(process), found) for process, found in calls.items())
    ]


def look_at(words, options, folder):
    """What is known of one program, as a line of the results."""
    start = time.monotonic()
    with Counting() if options.count else contextlib.nullcontext() as counting:
        found, calls = compare(words, options.times, options.seconds, os.path.join(folder, "r"))
    line = {"program": " ".join([os.path.basename(words[0]), *words[1:]]), "found": found,
            "recorded": [sum(each.values()) for each in calls.values()]}  # fmt: skip
    if counting:
        line["counted"] = [sum(counting.of(process).values()) for process in calls]
        line["otherwise"] = [each for each in counted_otherwise(counting, calls) if each]
    line["seconds"] = round(time.monotonic() - start, 1)
    return line


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("programs", nargs="+")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--count", action="store_true")
    parser.add_argument("--results", default=os.devnull)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # bpftrace is not left behind
    # programs run in their own folders, where no relative path leads here
    os.environ["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, filter(None, sys.path)))
    with open(options.results, "a+") as file, tempfile.TemporaryDirectory() as folder:
        file.seek(0)
        lines = [json.loads(line) for line in file]
        known = {line["program"] for line in lines}
        for words in map(shlex.split, options.programs):
            if " ".join([os.path.basename(words[0]), *words[1:]]) in known:
                continue
            line = look_at([os.path.abspath(words[0]), *words[1:]], options, folder)
            lines.append(line)
            print(json.dumps(line), file=file, flush=True)
            otherwise = line.get("otherwise", "not asked")
            print(f"{line['program']:40} {line['found'][:600]} {line['recorded']} calls, "
                  f"counted otherwise: {otherwise}", flush=True)  # fmt: skip
    steady = ("same", "slow", "slow recorded", "unsteady")
    kinds = Counter(line["found"] if line["found"] in steady else "different" for line in lines)
    runs = sum(len(line.get("counted", ())) for line in lines)
    print(
        f"{dict(kinds)}, {sum(sum(line['recorded']) for line in lines)} calls recorded, "
        f"{sum(sum(line.get('counted', ())) for line in lines)} counted by bpftrace in {runs} "
        f"runs, {sum(len(line.get('otherwise', ())) for line in lines)} of them otherwise"
    )
    return kinds["different"] > 0 or any(line.get("otherwise") for line in lines)


if __name__ == "__main__":
    sys.exit(main())
