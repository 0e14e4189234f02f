"""Fuzz the readers: mutated recordings must never raise, hang or grow, however damaged.

    PYTHONPATH=src python tests/trace/fuzz_readers.py --seconds 600 --seed 1

Two kinds of mutation: bytes and lines of any recording (no exception, bounded time and
memory), and whole lines of strace recordings (the search used for huge files must
find what reading every line finds).  Prints one line at the end, exits 1 on a finding
and leaves the input that showed it in --save.
"""

# ruff: noqa: E501 (recorded lines are as long as they are)
from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import resource
import sys
import time

from memslots.errors import TraceError
from memslots.trace import Event, Reading, read, reader
from memslots.trace import dispatch as detect
from memslots.trace import lines as source

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PLACES = ("tests/corpus", "examples/recordings", "examples/failures")
MAX_BYTES = 1 << 17
SECONDS_EACH = 3.0
"""Seconds of processor time allowed for one input; usual is a hundredth of it."""
GROWTH_MIB = 300
TOKENS = (
    b"ioctl(", b"KVM_SET_USER_MEMORY_REGION", b"{slot=", b"}) = ", b" = -1 EEXIST (File exists)", b"<unfinished ...>",
    b"<... ioctl resumed>", b"[pid 123] ", b"> ", b"=3D", b"=\n", b"<br>", b"&lt;", b"\x1b[31m", b"0x", b"\xff\xfe",
    b"99999999999999999999999999", b"-1", b"\0", b"\r\n", b"_IOC(_IOC_WRITE, 0xae, 0x49, 0xa0)", b"kvm_set_user_memory ",
    b"Slot#1 ", b"AddrSpace#70000 ", b"ret=-17", b"{\"msg\": \"", b"{\"v\": 1, \"call\": \"KVM_RUN\"", b"os error 22)",
    b"KVM_SET_USER_MEMORY_REGION failed, slot=1, start=0x0, size=0x1000: ", b"File exists", b"\\n", b"/* ", b" */", b"|",
    b"ioctl$KVM_SET_USER_MEMORY_REGION(r1, 0x4020ae46, &(0x7f00)={", b"syscall(__NR_ioctl, r[1], 0x4020ae46ul, ",
    b"*(uint64_t*)0x20000008 = ", b"WARNING: CPU: 1 PID: 1 at virt/kvm/kvm_main.c:1 ", b"==== Test Assertion Failure ====\n",
    b"<domain type='kvm'>", b"</domain>", b"qemu-system-x86_64 -m 8G \\\n", b"kvm_run_exit cpu_index 0, reason 2",
    b"((((((((", b"{{{{{{", b"<<<<<<", b" " * 200, b">" * 100, b"\n\n", b"a" * 5000, b"...", "…".encode(), b"1795363703.1 ",
)  # fmt: skip


def seeds() -> dict[str, bytes]:
    """Every file of the corpus and the examples, by name."""
    found = {}
    for place in PLACES:
        for folder, _, names in os.walk(os.path.join(ROOT, place)):
            for name in sorted(names):
                with open(os.path.join(folder, name), "rb") as file:
                    found[os.path.relpath(os.path.join(folder, name), ROOT)] = file.read()
    return found


def mutated(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """Bytes and lines changed, cut, repeated, or mixed with another recording."""
    for _ in range(rng.choice((1, 1, 2, 4, 16, 64))):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(9)
        if kind == 0:
            data = data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
        elif kind == 1:
            data = data[:at] + rng.choice(TOKENS) + data[at:]
        elif kind == 2:
            data = data[:at] + data[at + rng.choice((1, 3, 20, 200)) :]
        elif kind == 3:
            end = at + rng.choice((5, 50, 500))
            data = data[:at] + data[at:end] * rng.choice((2, 3, 30)) + data[end:]
        elif kind == 4:
            other = rng.choice(others)
            start = rng.randrange(len(other) + 1)
            data = data[:at] + other[start : start + rng.choice((40, 400, 4000))] + data[at:]
        elif kind == 5:
            token = rng.choice(TOKENS)
            most = MAX_BYTES // len(token)  # or the fuzzer itself takes the memory that it measures
            data = data.replace(
                rng.choice((b"\n", b" ", b",", b")", b"=")), token, rng.choice((1, 5, most))
            )
        elif kind == 6:
            data = b"\n".join(b"> " + line for line in data.split(b"\n"))
        elif kind == 7:
            width = rng.choice((30, 60, 72, 80))
            data = b"\n".join(
                re.sub(rb"(.{%d}) " % width, rb"\1\n", line) for line in data.split(b"\n")
            )
        else:
            data = data[:at]
        data = data[:MAX_BYTES]
    return data


def shuffled(data: bytes, rng: random.Random) -> bytes:
    """Whole lines of a recording repeated, dropped, moved, and some calls split in two."""
    lines = data.rstrip(b"\n").split(b"\n")
    out: list[bytes] = []
    for line in lines:
        kind = rng.randrange(12)
        pid = line.split(b" ")[0] if line[:1].isdigit() else b""
        if kind == 0:
            continue
        if kind == 1 and b") = " in line and b"ioctl(" in line:
            head, _, tail = line.rpartition(b") = ")
            out.append(head + b" <unfinished ...>")
            out.extend(rng.sample(lines, min(3, len(lines))))
            line = pid + b" <... ioctl resumed>) = " + tail
        elif kind == 2:
            out.append(pid + b" ioctl(9, KVM_RUN, 0)        = 0")
        elif kind == 3:
            out.append(line)
        out.append(line)
    if rng.random() < 0.3 and out:
        at = rng.randrange(len(out))
        out = out[at:] + out[:at]
    return b"\n".join(out * rng.choice((1, 1, 3))) + b"\n"


def key(event: Event) -> tuple[object, ...]:
    """What must be equal however a call was found."""
    return (
        event.call,
        sorted(event.fields.items()),
        event.result,
        event.fd,
        event.pid,
        event.line,
        event.new_fd,
    )


def kvm_calls(events: list[Event]) -> list[tuple[object, ...]]:
    """The calls of KVM that a search finds too."""
    return [
        key(event) for event in events if event.format == "strace" and event.call.startswith("KVM_")
    ]


@contextlib.contextmanager
def searching(block: int):  # type: ignore[no-untyped-def]
    """Search even small recordings, from their first byte, in small blocks."""
    saved = reader.FAST_FROM, detect.HEAD, source.BLOCK, reader._sample
    reader.FAST_FROM, detect.HEAD, source.BLOCK = 1, -1, block
    reader._sample = lambda source, size: source if isinstance(source, bytes) else b""
    try:
        yield
    finally:
        reader.FAST_FROM, detect.HEAD, source.BLOCK, reader._sample = saved


def check_search(data: bytes, block: int) -> str:
    """Why the two ways of reading differ, or nothing."""
    every = kvm_calls(list(read(data, context=True)))
    with searching(block):
        found = kvm_calls(list(read(data)))
    if every == found:
        return ""
    missing = [call for call in every if call not in found][:2]
    extra = [call for call in found if call not in every][:2]
    return f"search and reading differ: {len(every)} and {len(found)} calls, missing {missing}, extra {extra}"


def check(data: bytes) -> str:
    """What is wrong with reading this input, or nothing."""
    started = time.process_time()
    reading = Reading()
    try:
        for event in read(data, reading=reading):
            repr(event)
            if len(event.text) > 4096 or any(
                not 0 <= value < 1 << 64 for value in event.fields.values()
            ):
                return f"out of bounds: {event!r}"
    except TraceError:
        return ""  # a clear word about input that cannot be opened (zstd)
    except Exception as error:  # the point of it all
        return f"{type(error).__name__}: {error}"
    took = time.process_time() - started
    return f"took {took:.1f} s for {len(data)} bytes" if took > SECONDS_EACH else ""


def keep(folder: str, name: str, data: bytes) -> None:
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as file:
        file.write(data)


def run(
    seconds: float, seed: int, save: str | None = None, rounds: int = 0
) -> tuple[int, list[str]]:
    """(inputs tried, findings); for a time, or a number of rounds if given."""
    rng = random.Random(seed)
    corpus = seeds()
    names, values = list(corpus), list(corpus.values())
    straces = [
        name
        for name in names
        if name.endswith((".strace", ".30820", ".30822")) and "-r." not in name
    ]
    findings: list[str] = []
    slowest, count, end = 0.0, 0, time.monotonic() + seconds
    while count < rounds if rounds else time.monotonic() < end:
        count += 1
        if count % 4:
            name = rng.choice(names)
            data = mutated(corpus[name], values, rng)
            started = time.process_time()
            wrong = check(data)
            took = time.process_time() - started
            if took > slowest:
                slowest = took
                if save and took > 0.5:
                    keep(save, f"slow-{seed}-{count}", data)
        else:
            name = rng.choice(straces)
            data = shuffled(corpus[name], rng)
            wrong = check_search(data, rng.choice((256, 4096, 1 << 17)))
        if wrong:
            findings.append(f"round {count}, from {name}: {wrong}")
            if save:
                keep(save, f"{seed}-{count}", data)
            if len(findings) >= 10:
                break
    print(f"{count} inputs, slowest {slowest:.2f} s, {len(findings)} findings")
    return count, findings


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the readers of recordings.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", help="folder for inputs that showed something")
    args = parser.parse_args()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _, findings = run(args.seconds, args.seed, args.save)
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"memory grew by {growth:.0f} MiB")
    if growth > GROWTH_MIB:
        findings.append(f"memory grew by {growth:.0f} MiB")
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
