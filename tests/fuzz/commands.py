"""Whole commands: a process each, with random options, inputs and standard input.

    PYTHONPATH=src:tests python -m fuzz.commands --count 20000 --seed 1

Each command is a fork of this process, in which all of memslots is loaded, and ends as Python ends
a program; each fiftieth is an interpreter of its own.  Left out are those that run programs,
kernels or guests (record, live, verify, conformance): they have tests of their own.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

from fuzz import checks, corpus, targets
from fuzz.checks import Fault
from fuzz.mutate import mutated

from memslots.cli import main as commands

WITHOUT = frozenset(("record", "live", "verify", "conformance", "fuzz"))
_NAMES = ("6.1/x86_64", "debian-12", "5.10/i386", "6.12/arm64+16k", "all", "all/arm64",
          "7.2/x86_64+pa46", "host", "6.1\x1b[31m", "", "x/y",
          "9.9/x86_64", "6.1/x86_64" + "+pa46" * 50)  # fmt: skip
_NUMBERS = ("0", "1", "-1", "7", "64", "4096", "262144", "x", "", "1e9", str(2**64), "9" * 30)
_SMALL_NUMBERS = ("0", "1", "-1", "7", "x", "")
_WORDS = (
    "intel,flexpriority,irqchip,pa46",
    "",
    ",",
    "\x1b[31m",
    "slot-overlap",
    "host-alias",
    "out.txt",
    "-",
    "a\nb",
    "\u202eabc",
    "x" * 300,
)
_SECONDS = 60
_WITHOUT_STDIN = 0.02
"""Share of the commands whose standard input is closed."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO


def options_of(name: str, rng: random.Random) -> list[str]:
    """Some options of a command, as its parser declares them, with values good and bad."""
    module = importlib.import_module(f"memslots.cli.{commands.COMMANDS[name][0]}")
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    words: list[str] = []
    for action in parser._actions:
        must = action.required
        if not action.option_strings or action.dest == "help" or (rng.random() > 0.2 and not must):
            continue
        words.append(rng.choice(action.option_strings))
        if action.nargs == 0:
            continue
        if action.choices:
            words.append(rng.choice([*map(str, action.choices)] * 5 + ["nonsense"]))
        elif action.type is not None or action.metavar == "N,N":
            # vectors makes as many as it is told to
            words.append(rng.choice(_NUMBERS if name != "vectors" else _SMALL_NUMBERS))
        elif action.dest in ("kernel",):
            words.append(rng.choice(_NAMES))
        elif action.dest in ("output", "svg"):
            words.append(rng.choice(("out", "-", "folder", "missing/out")))
        elif action.dest == "design":
            words.append(rng.choice(("merged", "budget-first", "missing.py", "input")))
        else:
            words.append(rng.choice(_WORDS))
    return words


def operands_of(name: str, rng: random.Random) -> list[str]:
    """What stands without an option: names of files, kernels, rules."""
    if name in ("kernel", "diff"):
        return [rng.choice(_NAMES) for _ in range(1 if name == "kernel" else 2)]
    if name in ("rules", "rule", "causes", "kernels", "vectors", "ask"):
        return (
            [rng.choice(("slot-overlap", "host-alias", "nonsense", *_WORDS))]
            if rng.random() < 0.5
            else []
        )
    few = rng.choice((1, 1, 1, 1, 0, 2))
    return [
        rng.choice(("input", "input", "input", "input", "-", "folder", "missing", "in\x1b[2Jput"))
        for _ in range(few)
    ]


class Commands:
    """Runs commands in a folder of its own, and judges them."""

    def __init__(self, seed: int, save: str) -> None:
        self.rng = random.Random(seed)
        self.save = save
        self.rows = corpus.seeds()
        self.folder = tempfile.mkdtemp(prefix="memslots-commands-")
        self.by_code: dict[int, int] = {}
        self.faults: dict[str, int] = {}
        self.slowest = 0.0

    def one(self, number: int) -> None:
        """Make up a command, run it, judge it."""
        rng = self.rng
        name = rng.choice([each for each in commands.COMMANDS if each not in WITHOUT])
        if rng.random() < 0.6:
            name = rng.choice(
                (
                    "explain",
                    "replay",
                    "map",
                    "timeline",
                    "report",
                    "check",
                    "cost",
                    "accounting",
                    "export",
                    "ask",
                )
            )
        kind, data = rng.choice(self.rows)
        if name == "ask":
            kind = corpus.ASK
        if rng.random() < 0.8:
            data = mutated(kind, data, rng, rng.choice(self.rows)[1])
        operands, options = operands_of(name, rng), options_of(name, rng)
        words = [name, *operands, *options] if rng.random() < 0.7 else [name, *options, *operands]
        if rng.random() < 0.01:
            words = rng.choice(
                (
                    [],
                    ["help"],
                    ["--version"],
                    ["nonsense"],
                    ["input"],
                    ["help", name],
                    [name, "--help"],
                )
            )
        self._prepare(data)
        started = time.monotonic()
        try:
            code, out, err = self._run(words, data, alone=number % 50 == 0)
            self.by_code[code] = self.by_code.get(code, 0) + 1
            judge(words, code, out, err)
        except (Fault, UnicodeDecodeError) as error:
            self._keep(words, data, error)
        self.slowest = max(self.slowest, time.monotonic() - started)

    def _prepare(self, data: bytes) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(os.path.join(self.folder, "folder"))
        for name in (
            "input",
            "in\x1b[2Jput",
            os.path.join("folder", "trace.12"),
            os.path.join("folder", "trace.13"),
        ):
            with open(os.path.join(self.folder, name), "wb") as file:
                file.write(data)

    def _run(self, words: list[str], data: bytes, *, alone: bool) -> tuple[int, str, str]:
        """(exit code, output, errors)."""
        how = self.rng.random()
        with contextlib.ExitStack() as stack:
            out, err, source = (
                stack.enter_context(open(os.path.join(self.folder, name), "w+b"))
                for name in (".out", ".err", ".in")
            )
            source.write(data)
            source.seek(0)
            if alone:
                code = _alone(words, source, out, err, self.folder)
            else:
                pid = os.fork()
                if not pid:
                    stdin = source.fileno() if how > _WITHOUT_STDIN else -1
                    _be_command(words, stdin, out.fileno(), err.fileno(), self.folder)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            out.seek(0)
            err.seek(0)
            return code, out.read().decode("utf-8"), err.read().decode("utf-8")

    def _keep(self, words: list[str], data: bytes, error: Exception) -> None:
        key = "".join(letter for letter in f"{words[:1]} {error}" if not letter.isdigit())[:90]
        self.faults[key] = self.faults.get(key, 0) + 1
        if self.faults[key] == 1:
            os.makedirs(self.save, exist_ok=True)
            name = os.path.join(self.save, f"command-{abs(hash(key)):x}")
            with open(name, "wb") as file:
                file.write(data)
            with open(f"{name}.why", "w", errors="backslashreplace") as why:
                why.write(f"{words!r}\n{error}\n")
            print(f"FAULT {words!r}: {error}"[:600], flush=True)


def _be_command(words: list[str], stdin: int, stdout: int, stderr: int, folder: str) -> None:
    """Become `memslots WORDS`.  Does not return."""
    code = 70
    try:
        os.chdir(folder)
        resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
        if stdin >= 0:
            os.dup2(stdin, 0)
            sys.stdin = open(0, closefd=False)  # noqa: SIM115 (ends with the process)
        else:
            sys.stdin = None  # type: ignore[assignment]
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
        code = commands.main(words)
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        sys.stderr.flush()
        os._exit(code)


def _alone(
    words: list[str], stdin: IO[bytes], stdout: IO[bytes], stderr: IO[bytes], folder: str
) -> int:
    """Run `memslots WORDS` in an interpreter of its own; the exit code."""
    line = [sys.executable, "-m", "memslots", *(word.replace("\0", "") for word in words)]
    try:
        return subprocess.run(
            line, stdin=stdin, stdout=stdout, stderr=stderr, cwd=folder, timeout=_SECONDS
        ).returncode
    except subprocess.TimeoutExpired:
        raise Fault("takes more than a minute") from None


def judge(words: list[str], code: int, out: str, err: str) -> None:
    """Raise Fault unless it ended as documented."""
    if "Traceback (most recent call last)" in err:
        raise Fault(f"a traceback: {err.strip().splitlines()[-1]}")
    if code not in (0, 1, 2, 3):
        raise Fault(f"exit code {code}: {err[-200:]!r}")
    checks.printable(err, "stderr")
    wants_file = bool({"-o", "--output"} & set(words))
    if code == 2 and not err and words[:1] != ["ask"] and words:
        raise Fault("exit code 2 without a word")
    if words and "--help" not in words and words[0] in commands.COMMANDS and not wants_file:
        targets.shape(tuple(words), code if words[0] != "ask" else 2, out)
    else:
        checks.printable(out, "stdout")


def main() -> int:
    """Run so many; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", default="fuzz-faults")
    options = parser.parse_args()
    os.environ["NO_COLOR"] = "1"
    for module, _ in commands.COMMANDS.values():
        importlib.import_module(f"memslots.cli.{module}")
    run = Commands(options.seed, os.path.abspath(options.save))
    started = time.monotonic()
    for number in range(1, options.count + 1):
        run.one(number)
        if number % 1000 == 0 or number == options.count:
            codes = ", ".join(
                f"exit {code}: {count}" for code, count in sorted(run.by_code.items())
            )
            print(
                f"{number} commands, {time.monotonic() - started:.0f} s, "
                f"{sum(run.faults.values())} failures of {len(run.faults)} kinds, "
                f"slowest {run.slowest:.1f} s ({codes})",
                flush=True,
            )
    shutil.rmtree(run.folder, ignore_errors=True)
    return 1 if run.faults else 0


if __name__ == "__main__":
    sys.exit(main())
