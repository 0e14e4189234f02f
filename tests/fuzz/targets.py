"""One input through the whole of memslots, in this process, and what must hold of it."""

from __future__ import annotations

import contextlib
import io
import os
import random
import re
import resource
import signal
import sys
import tempfile
import time

from fuzz import checks
from fuzz.checks import Fault
from fuzz.corpus import ASK, JSONL, KINDS, LAYOUT, REC, TEXT

from memslots.cli.main import main
from memslots.errors import TraceError
from memslots.export.oracle import Oracle
from memslots.trace import Reading, read

KERNELS = (
    "6.1/x86_64",
    "5.10/i386",
    "6.12/arm64+16k",
    "7.2/x86_64+pa46",
    "6.12/riscv64",
    "6.12/s390x",
    "6.18/powerpc-hv",
)
SECONDS, SECONDS_PER_BYTE = 2.0, 0.000_2
"""Processor time that an input may take; usual is a hundredth of it."""
SECONDS_OF_A_LAYOUT = 15.0
"""A layout of few bytes may have 32,764 slots."""
STUCK_SECONDS = 40
_SHARE_OF_READING = 0.93
"""Of the inputs: a command takes ten times as long as its reader."""
MEMORY_KIB = 400 << 10
"""By how much one input may make the process grow."""
_SUFFIX = {TEXT: ".txt", JSONL: ".jsonl", REC: ".rec", LAYOUT: ".json", ASK: ".ask"}
_REPEATED_BYTES = 48_000

ON_RECORDINGS = tuple(
    tuple(line.split())
    for line in (
        "explain",
        "explain --evidence",
        "explain --to json",
        "explain --to markdown",
        "explain --elsewhere",
        "replay --all",
        "replay --jsonl",
        "replay --json --all",
        "map",
        "map --json",
        "map --svg -",
        "map --svg - --by-time",
        "timeline",
        "timeline --json",
        "report",
        "report --by-time",
        "export --to c",
        "export --to python",
        "export --to jsonl",
        "export --to strace",
        "export --to perfetto",
    )
)
ON_LAYOUTS = tuple(
    tuple(line.split())
    for line in (
        "check",
        "check --format json",
        "check --format junit",
        "check --format sarif",
        "cost",
        "cost --json --nested",
        "accounting",
        "accounting --json",
    )
)
_FOLDER = tempfile.mkdtemp(
    prefix="memslots-fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None
)
_HONEST_2 = re.compile(
    r"memslots \w+: (?:"
    r"no KVM call|"
    r".*(?:the recording(?:'s)? (?:description|ends)|a recording whose description|"
    r"compressed with zstd|"
    r"neither a layout nor a recording|"
    r".*no RAM or ROM in the view|"
    # a machine that is described, and no call of it recorded
    r"the memory map of|the size of the RAM|this machine does not|no XML|the domain|a domain)"
    r")"
)
"""Why a command may end without a report: nothing is in its input, or it cannot be opened."""
_HONEST_OF_LAYOUT = re.compile(r"memslots \w+: ")


class Hang(BaseException):
    """Far beyond the time that an input may take."""


def _stuck(*_: object) -> None:
    raise Hang


def one(kind: str, choice: int, data: bytes) -> str:
    """Put an input through what `choice` (0 to 255) says; the name of what was done.

    Raises Fault, or whatever memslots raised and should not.
    """
    rng = random.Random(choice)
    if rng.random() < 0.03 and data and kind != LAYOUT:
        data = data * max(1, _REPEATED_BYTES // len(data))
    target = _target(kind, rng)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.signal(signal.SIGPROF, _stuck)
    signal.setitimer(signal.ITIMER_PROF, STUCK_SECONDS)
    started = time.process_time()
    try:
        name = target(kind, data, rng)
    except Hang:
        raise Fault(f"hangs on {len(data)} bytes") from None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    took = time.process_time() - started
    allowed = SECONDS + SECONDS_PER_BYTE * len(data)
    if took > max(allowed, SECONDS_OF_A_LAYOUT if kind == LAYOUT else 0):
        raise Fault(f"{name}: {took:.1f} s for {len(data)} bytes")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - grown
    if grown > MEMORY_KIB:
        raise Fault(f"{name}: {grown >> 10} MiB for {len(data)} bytes")
    return name


def _target(kind: str, rng: random.Random):  # type: ignore[no-untyped-def]
    if kind == ASK:
        return _ask
    if kind == LAYOUT:
        return _command
    return _read if rng.random() < _SHARE_OF_READING else _command


def _read(kind: str, data: bytes, _rng: random.Random) -> str:
    """The readers alone: the quickest of all."""
    reading = Reading()
    try:
        for event in read(data, reading=reading):
            if len(event.text) > 4096 or any(
                not 0 <= value < 1 << 64 for value in event.fields.values()
            ):
                raise Fault(f"out of bounds: {event!r}")
            checks.printable(
                f"{event.call}{event.process}{event.source}{''.join(event.fields)}", "read"
            )
    except TraceError as error:
        checks.printable(str(error), "read: error")
    for note in reading.notes:
        checks.printable(note, "read: note")
    return f"read {kind}"


def _ask(kind: str, data: bytes, rng: random.Random) -> str:
    """`ask`: an answer to each line, the same however they are put."""
    kernel, detail = rng.choice(KERNELS), rng.random() < 0.5
    lines = data.decode("utf-8", "replace").split("\n")
    at_once = Oracle(kernel, detail=detail).answers(lines)
    one_by_one = Oracle(kernel, detail=detail)
    separately = "".join(
        one_by_one.answer(line) + "\n" for line in lines if line and not line.isspace()
    )
    if at_once != separately:
        raise Fault("ask: other answers to lines at once than one by one")
    checks.printable(at_once, "ask")
    checks.is_json(at_once, "ask", lines=True)
    return kind


def _command(kind: str, data: bytes, rng: random.Random) -> str:
    """A command on a file of this content."""
    of_layouts = kind == LAYOUT or rng.random() < 0.25
    words = rng.choice(ON_LAYOUTS if of_layouts else ON_RECORDINGS)
    if kind == LAYOUT and rng.random() < 0.15:
        words = rng.choice(ON_RECORDINGS)
    path = os.path.join(_FOLDER, f"{os.getpid()}{_SUFFIX[kind]}")
    with open(path, "wb") as file:
        file.write(data)
    kernel: list[str] = []
    if words[0] == "check":
        for name in rng.sample(KERNELS, rng.randrange(1, 4)):
            kernel += ["--kernel", name]
    elif words[0] in ("cost", "accounting") or (words[0] != "export" and rng.random() < 0.7):
        kernel = ["--kernel", rng.choice(KERNELS)]
    code, out, err = run((*words, path, *kernel))
    judge(
        words,
        code,
        out,
        err,
        hostile_layout=words[0] in ("check", "cost", "accounting") or kind == LAYOUT,
    )
    return " ".join(words[:1])


def run(words: tuple[str, ...]) -> tuple[int, str, str]:
    """(exit code, output, errors) of a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    return code, out.getvalue(), err.getvalue()


def judge(words: tuple[str, ...], code: int, out: str, err: str, *, hostile_layout: bool) -> None:
    """Raise Fault unless exit code, output and errors are what they should be."""
    what = " ".join(words)
    if code not in (0, 1, 2, 3):
        raise Fault(f"{what}: exit code {code}")
    checks.printable(err, f"{what}: stderr")
    if code == 2:
        honest = _HONEST_OF_LAYOUT if hostile_layout else _HONEST_2
        if not honest.match(err):
            raise Fault(f"{what}: ends without a report: {err[:200]!r}")
    elif err:
        raise Fault(f"{what}: exit code {code}, but says {err[:200]!r}")
    shape(words, code, out)


def shape(words: tuple[str, ...], code: int, out: str) -> None:
    """Raise Fault unless the output is printable, and of the form that was asked for."""
    what = " ".join(words)
    if not (words[0] == "export" and "perfetto" not in words and "strace" not in words):
        checks.printable(out, what)
    if code == 2 or "--write" in words:
        return
    if "--jsonl" in words or words[-2:] == ("--to", "jsonl") or words[0] == "vectors":
        checks.is_json(out, what, lines=True)
    elif "--svg" in words and "-" not in words:
        return
    elif "--svg" in words and "map" in words:
        checks.is_xml(out, what)
    elif {"--json", "json", "sarif", "perfetto"} & set(words):
        value = checks.is_json(out, what)
        if words[:3] == ("explain", "--to", "json"):
            _same_as_code(value, code)
    elif "junit" in words:
        checks.is_xml(out, what)
    elif "markdown" in words:
        checks.is_markdown(out, what)
    elif words[0] == "report":
        checks.is_page(out, what)
    elif "python" in words:
        checks.is_python(out, what)
    elif not out and words[0] != "export" and "github" not in words:  # notes on what is wrong
        raise Fault(f"{what}: exit code {code} and no output")


def _same_as_code(value: object, code: int) -> None:
    """Exit code 1 and something to look at, in one of the recordings, are the same."""
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(each, dict) for each in values):
        raise Fault(f"explain --to json: {type(value).__name__}")
    found = any(
        bool(each.get("explanations") or each.get("not_shown"))
        or any(finding.get("severity") == "warning" for finding in each.get("findings", ()))
        for each in values
    )
    if found != (code == 1):
        raise Fault(f"explain --to json: exit code {code}, but findings: {found}")


def limit_memory() -> None:
    """MemoryError instead of a machine without memory."""
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
    os.environ["NO_COLOR"] = "1"


def packed(kind: str, choice: int, data: bytes) -> bytes:
    """An input as one row of bytes, as an engine keeps it."""
    return bytes((KINDS.index(kind), choice)) + data


def unpacked(row: bytes) -> tuple[str, int, bytes]:
    """Kind, choice and content."""
    return KINDS[row[0] % len(KINDS)] if row else TEXT, row[1] if len(row) > 1 else 0, row[2:]


if __name__ == "__main__":
    for path in sys.argv[1:]:
        with open(path, "rb") as file:
            print(path, one(*unpacked(file.read())))
