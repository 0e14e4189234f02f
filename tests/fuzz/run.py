"""Fuzz the whole of memslots: `make fuzz`.

    PYTHONPATH=src:tests python -m fuzz.run --seconds 3600 --jobs 2 --log fuzz.log

With `atheris` (pip install atheris) the first job is guided by coverage and leaves inputs that
reach something new in the corpus of the run, from which the others take theirs; without it all
jobs are of the second kind.  A job prints a line a minute: seconds, inputs, failures, inputs by
target.  An input that shows a fault is kept in --save, once for each kind of fault, the shortest;
`python -m fuzz.targets FILE` runs it again.  Exit code 1 if there was a fault.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import subprocess
import sys
import tempfile
import time
import traceback

from fuzz import corpus, targets
from fuzz.mutate import LONGEST, mutated

SECONDS_BETWEEN_LINES = 60.0


class Run:
    """One job: its numbers, and what it found."""

    def __init__(self, name: str, seconds: float, save: str, log: str) -> None:
        self.name = name
        self.save = save
        self.log = log
        self.inputs = 0
        self.by_target: dict[str, int] = {}
        self.faults: dict[str, int] = {}
        """Kind of fault: how often."""
        self.slowest = 0.0
        self.started = self.told = time.monotonic()
        self.end = self.started + seconds

    @property
    def is_over(self) -> bool:
        """Whether its time has passed."""
        return time.monotonic() > self.end

    def one(self, row: bytes) -> None:
        """Try one input."""
        kind, choice, data = targets.unpacked(row)
        self.inputs += 1
        before = time.process_time()
        try:
            name = targets.one(kind, choice, data[:LONGEST])
            self.by_target[name] = self.by_target.get(name, 0) + 1
        except (Exception, SystemExit) as error:
            self._keep(row, error)
        self.slowest = max(self.slowest, time.process_time() - before)
        if time.monotonic() > self.told + SECONDS_BETWEEN_LINES:
            self.tell()

    def _keep(self, row: bytes, error: BaseException) -> None:
        key = _key(error)
        self.faults[key] = self.faults.get(key, 0) + 1
        path = os.path.join(self.save, hashlib.sha256(key.encode()).hexdigest()[:12])
        if not os.path.exists(path) or os.path.getsize(path) > len(row):
            os.makedirs(self.save, exist_ok=True)
            with open(path, "wb") as file:
                file.write(row)
            with open(f"{path}.why", "w", errors="backslashreplace") as why:
                why.write(f"{key}\n{''.join(traceback.format_exception(error))[-4000:]}")
            self.say(f"FAULT {key} in {path}")

    def tell(self) -> None:
        """A line of numbers."""
        self.told = time.monotonic()
        counts = ", ".join(f"{name} {count}" for name, count in sorted(self.by_target.items()))
        self.say(
            f"{self.told - self.started:.0f} s, {self.inputs} inputs, "
            f"{sum(self.faults.values())} failures of {len(self.faults)} kinds, "
            f"slowest {self.slowest:.1f} s ({counts})"
        )

    def say(self, text: str) -> None:
        """A line in the log, and on the screen."""
        line = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {self.name}: {text}\n"
        sys.stdout.write(line)
        sys.stdout.flush()
        if self.log:
            with open(self.log, "a", errors="backslashreplace") as file:
                file.write(line)


def _key(error: BaseException) -> str:
    """What makes two faults the same one: the kind of error, and where memslots raised it."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "/memslots/" in frame.filename
    ]
    if isinstance(error, targets.Fault):
        return "".join(letter for letter in str(error) if not letter.isdigit())[:70]
    where = f"{os.path.basename(frames[-1].filename)} {frames[-1].name}" if frames else "?"
    return f"{type(error).__name__} in {where}"


def plain(run: Run, seed: int, shared: str, rounds: int = 0) -> None:
    """Mutate the corpus, and what was added to it meanwhile, at random."""
    rng = random.Random(seed)
    rows = [(kind, data) for kind, data in corpus.seeds()]
    by_kind = {kind: [data for each, data in rows if each == kind] for kind in corpus.KINDS}
    weights = {corpus.TEXT: 5, corpus.JSONL: 3, corpus.REC: 3, corpus.LAYOUT: 1, corpus.ASK: 2}
    kinds = [kind for kind, weight in weights.items() for _ in range(weight)]
    looked = 0.0
    while run.inputs < rounds if rounds else not run.is_over:
        if shared and time.monotonic() > looked + 60:
            looked = time.monotonic()
            for kind, data in _added(shared):
                by_kind[kind].append(data)
        kind = rng.choice(kinds)
        known = by_kind[kind] or [b""]
        data = mutated(kind, rng.choice(known), rng, rng.choice(known))
        run.one(targets.packed(kind, rng.randrange(256), data))
    run.tell()


_SEEN: set[str] = set()


def _added(folder: str) -> list[tuple[str, bytes]]:
    """What the guided job has found since the last look."""
    found = []
    for name in sorted(set(os.listdir(folder)) - _SEEN):
        _SEEN.add(name)
        with open(os.path.join(folder, name), "rb") as file:
            kind, _, data = targets.unpacked(file.read())
        found.append((kind, data))
    return found


def jobs(options: argparse.Namespace) -> int:
    """Start all jobs, wait for them; 1 if any found something."""
    with tempfile.TemporaryDirectory(prefix="memslots-fuzz-") as folder:
        shared = os.path.join(options.corpus or folder, "shared")
        os.makedirs(shared, exist_ok=True)
        words = ["--seconds", str(options.seconds), "--save", options.save, "--log", options.log,
                 "--corpus", shared,
                 "--job"]  # fmt: skip
        is_guided = _has_atheris()
        running = [
            subprocess.Popen(
                [sys.executable, "-m", "fuzz.guided" if is_guided and not number else "fuzz.run",
                 *words,
                 "--seed", str(options.seed + number)]
            )
            for number in range(options.jobs)
        ]  # fmt: skip
        codes = [each.wait() for each in running]
    return int(any(codes))


def _has_atheris() -> bool:
    from importlib.util import find_spec

    return find_spec("atheris") is not None


def parsed() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--job", action="store_true", help="be one of the jobs, and start none")
    parser.add_argument("--save", default="fuzz-faults", help="folder for inputs that show a fault")
    parser.add_argument("--corpus", default="", help="folder that keeps the corpus of the run")
    parser.add_argument("--log", default="")
    return parser.parse_args()


def main() -> int:
    """Run; the exit code."""
    options = parsed()
    if not options.job:
        return jobs(options)
    targets.limit_memory()
    run = Run(f"plain {options.seed}", options.seconds, options.save, options.log)
    plain(run, options.seed, options.corpus)
    return 1 if run.faults else 0


if __name__ == "__main__":
    sys.exit(main())
