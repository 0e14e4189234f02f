"""Calls a second that `memslots ask` answers through a pipe: sent at once, and one by one.

    python benchmarks/ask.py [CALLS]

Region calls of the mixed trace (benchmarks/mixed.py) on 500 slots, as arrays.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time

from mixed import fill, mixed

SLOTS = 500


def lines(calls: int) -> list[bytes]:
    events = [*fill(SLOTS), *mixed(SLOTS, calls)]
    return [json.dumps(event).encode() + b"\n" for event in events]


def start() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "memslots", "ask", "--kernel", "6.1/x86_64+pa46"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b'{"call": "KVM_CREATE_VM"}\n')
    process.stdin.flush()
    process.stdout.readline()  # it is up
    return process


def at_once(calls: int) -> float:
    """Calls a second when all are sent before the answers are read."""
    data, process = b"".join(lines(calls)), start()
    begin = time.perf_counter()

    def send() -> None:
        assert process.stdin is not None
        process.stdin.write(data)
        process.stdin.close()

    sender = threading.Thread(target=send)
    sender.start()
    assert process.stdout is not None
    answers = process.stdout.read().count(b"\n")
    sender.join()
    process.wait()
    return answers / (time.perf_counter() - begin)


def one_by_one(calls: int) -> float:
    """Calls a second when each answer is awaited, as in a fuzz loop."""
    wanted, process = lines(calls), start()
    assert process.stdin is not None
    assert process.stdout is not None
    begin = time.perf_counter()
    for line in wanted:
        process.stdin.write(line)
        process.stdin.flush()
        process.stdout.readline()
    seconds = time.perf_counter() - begin
    process.stdin.close()
    process.wait()
    return len(wanted) / seconds


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 300_000
    print(
        f"at once     {max(at_once(calls) for _ in range(3)):10,.0f} calls/s (best of 3, "
        f"{calls} calls)"
    )
    print(
        f"one by one  {max(one_by_one(calls // 10) for _ in range(3)):10,.0f} calls/s (best of 3, "
        f"{calls // 10} calls)"
    )


if __name__ == "__main__":
    main()
