"""A program run once for each of its memory calls, with that call refused, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress

from ..errors import MemslotsError, TraceError
from ..state.change import KIND_NAMES
from .guest_memory_left import GuestMemory, memory_of, steps_of
from .injection import expression
from .possible_errors import refusal_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import IO

CLEAN, CRASH, HANG, SILENT, LACKS, LEAVES, NOT_HIT = (
    "clean-error", "crash", "hang", "silent-success", "lacks-memory", "leaves-memory",
    "not-reached",
)  # fmt: skip
ENDINGS = (CLEAN, CRASH, HANG, SILENT, LACKS, LEAVES, NOT_HIT)
FAULTS = frozenset((CRASH, HANG, LACKS, LEAVES))
"""Endings that nobody can want."""
_LEAST_SECONDS, _TIMES_AS_LONG, _MORE_SECONDS = 10.0, 4.0, 5.0
_SAID_BYTES = 2000
_BY_SHELL = 128
"""What shells add to the number of the signal that ended their command."""
_CRASHES = frozenset((
    signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV,
))  # fmt: skip
_START = (
    "import sys; sys.path.insert(0, {0!r}); from memslots.cli.main import main; sys.exit(main())"
)


class Target:
    """One call to refuse."""

    __slots__ = ("call", "kind", "number", "result", "step")

    def __init__(self, call: str, number: int, result: int, step: int, kind: str = "") -> None:
        self.call = call
        self.number = number
        """Among the calls of its name, from 1."""
        self.result = result
        """What it is to return."""
        self.step = step
        """Its step in the recording of the whole run."""
        self.kind = kind
        """What it does to a slot, in the words of `state.change`; empty: it is no region call."""

    @property
    def expression(self) -> str:
        """The injection that refuses it."""
        return expression(self.call, self.result, self.number)


class Ending:
    """How a run with one refused call ended."""

    __slots__ = ("code", "how", "lacks", "left", "said", "seconds", "target")

    def __init__(self, target: Target, how: str, code: int | None, seconds: float) -> None:
        self.target = target
        self.how = how
        """One of ENDINGS."""
        self.code = code
        """Exit code, or the negated signal; None if it was stopped for taking too long."""
        self.seconds = seconds
        self.lacks: list[tuple[int, int, int]] = []
        """Memory that guests did not get: (address space, gpa, bytes)."""
        self.left: list[tuple[int, int, int]] = []
        """Slots that were in place at the end, and not at that of the whole run."""
        self.said = ""
        """The last line that the program wrote as an error."""


class Sweep:
    """One sweep: the command, what it does undisturbed, and the endings so far."""

    def __init__(
        self, command: Sequence[str], *, kernel: str = "", seconds: float | None = None,
        queries: bool = False, state: str | None = None,
    ) -> None:  # fmt: skip
        """kernel: as which it is answered; seconds: the time that a run may take; queries: refuse
        questions too; state: a folder that keeps the endings, to go on later.
        """
        self.command = list(command)
        self.kernel = kernel
        self.queries = queries
        self.endings: list[Ending] = []
        self.targets: list[Target] = []
        self.code = 0
        """The exit code of the whole run."""
        self.seconds = 0.0
        """How long the whole run took."""
        self.limit_seconds = seconds
        self.is_interrupted = False
        self._whole = GuestMemory()
        self._model = ""
        self._running: set[subprocess.Popen[bytes]] = set()
        self._temporary = None if state else tempfile.TemporaryDirectory(prefix="memslots-sweep-")
        self.folder = state or str(self._temporary and self._temporary.name)
        os.makedirs(self.folder, exist_ok=True)

    # -- the whole run

    def learn(self) -> None:
        """Run the command undisturbed, and find the calls to refuse.

        Raises ValueError where the folder is another command's, TraceError if nothing was recorded.
        """
        self._check_folder()
        path = os.path.join(self.folder, "whole.rec")
        code, self.seconds, said = self._run(path, None, None)
        if code is None:
            raise TraceError("the undisturbed run did not end")
        self.code = code
        if not os.path.exists(path):
            raise TraceError(f"the command could not be run: {said}")
        from ..explain.analysis import Analysis

        self._model = Analysis(path).profile.name
        steps = steps_of(path, self._model)
        counts: dict[str, int] = {}
        for step in steps:
            name = step.event.call
            if not name.startswith("KVM_"):
                continue
            number = counts[name] = counts.get(name, 0) + 1
            result = refusal_of(name, queries=self.queries)
            if result is None or step.observed is None or step.observed < 0:
                continue
            kind = "" if step.change is None else KIND_NAMES[step.change.kind]
            self.targets.append(Target(name, number, result, step.number, kind))
        if not self.targets:
            raise TraceError(
                "the command made no memory call that worked: is it the client of a program that "
                "runs already?  Sweep that one"
            )
        self._whole = memory_of(path, self._model)
        if self.limit_seconds is None:
            longer = _TIMES_AS_LONG * self.seconds + _MORE_SECONDS
            self.limit_seconds = max(_LEAST_SECONDS, longer)

    def _check_folder(self) -> None:
        path = os.path.join(self.folder, "sweep.json")
        what = {"command": self.command, "kernel": self.kernel, "queries": self.queries}
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                if json.load(file) != what:
                    raise ValueError(f"{self.folder} holds the sweep of another command")
            return
        with open(path, "w", encoding="utf-8") as file:
            json.dump(what, file)

    # -- the others

    def run(self, jobs: int, told: Callable[[Ending], object] = lambda _: None) -> None:
        """Refuse each call in a run of its own, so many side by side; told: of each ending.

        An interruption ends it; what has ended by then is kept.
        """
        done = self._kept()
        for target in self.targets:
            if target.expression in done:
                self.endings.append(done[target.expression])
        left = [target for target in self.targets if target.expression not in done]
        pool = ThreadPoolExecutor(max(1, jobs))
        try:
            waiting = [pool.submit(self._one, target) for target in left]
            for future in as_completed(waiting):
                ending = future.result()
                if ending is not None:
                    self._keep(ending)
                    told(ending)
        except KeyboardInterrupt:
            self.is_interrupted = True
        finally:
            self.is_interrupted |= sys.exc_info()[0] is not None
            if self.is_interrupted:
                for process in tuple(self._running):
                    _kill(process)
            pool.shutdown(cancel_futures=True)
        self.endings.sort(key=lambda ending: ending.target.step)

    def _one(self, target: Target) -> Ending | None:
        if self.is_interrupted:
            return None
        path = os.path.join(self.folder, f"run-{target.step}.rec")
        code, seconds, said = self._run(path, target.expression, self.limit_seconds)
        if self.is_interrupted:
            return None
        memory = GuestMemory()
        with suppress(OSError, MemslotsError):
            memory = memory_of(path, self._model)
            os.unlink(path)
        ending = Ending(target, self._how(code, memory), code, seconds)
        if ending.how == LACKS:
            ending.lacks = memory.lacks(self._whole)
        if ending.how in (LACKS, LEAVES):
            ending.left = memory.left(self._whole)
        ending.said = said
        return ending

    def _how(self, code: int | None, memory: GuestMemory) -> str:
        if code is None:
            return HANG
        if not memory.is_hit:
            return NOT_HIT
        if code != self.code:
            return CRASH if code < 0 or code - _BY_SHELL in _CRASHES else CLEAN
        if memory.lacks(self._whole):
            return LACKS
        return LEAVES if memory.left(self._whole) else SILENT

    def _run(
        self, path: str, injection: str | None, limit: float | None
    ) -> tuple[int | None, float, str]:
        """(exit code or None, seconds, last error line) of one run."""
        words = ["emulate", "-q", "-o", path]
        if self.kernel:
            words += ["--kernel", self.kernel]
        words += ["--inject", injection or "KVM_CREATE_VM:delay_us=1"]
        start = time.monotonic()
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                [sys.executable, "-c", _START.format(_package_folder()), *words, "--",
                 *self.command],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
                start_new_session=True,
            )  # fmt: skip
            self._running.add(process)
            try:
                code: int | None = process.wait(limit)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                _kill(process)
                self._running.discard(process)
            return code, time.monotonic() - start, _last_line(errors, path)

    # -- the folder

    def _keep(self, ending: Ending) -> None:
        self.endings.append(ending)
        row = {
            "expression": ending.target.expression, "how": ending.how, "code": ending.code,
            "seconds": ending.seconds, "lacks": ending.lacks, "left": ending.left,
            "said": ending.said,
        }  # fmt: skip
        with open(os.path.join(self.folder, "endings.jsonl"), "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def _kept(self) -> dict[str, Ending]:
        """Endings of an earlier run of this sweep, by expression."""
        targets = {target.expression: target for target in self.targets}
        found = {}
        path = os.path.join(self.folder, "endings.jsonl")
        with suppress(FileNotFoundError), open(path, encoding="utf-8") as file:
            for line in file:
                if not line.endswith("\n"):
                    break  # it was interrupted in the middle of a line
                row = json.loads(line)
                target = targets.get(row["expression"])
                if target is not None:
                    ending = Ending(target, row["how"], row["code"], row["seconds"])
                    ending.lacks = [tuple(piece) for piece in row["lacks"]]
                    ending.left = [tuple(piece) for piece in row["left"]]
                    ending.said = row["said"]
                    found[target.expression] = ending
        return found

    @property
    def counts(self) -> dict[str, int]:
        """Ending: how often."""
        return {how: sum(each.how == how for each in self.endings) for how in ENDINGS}

    @property
    def has_faults(self) -> bool:
        """Whether a refused call ended as nobody can want."""
        return any(ending.how in FAULTS for ending in self.endings)

    def close(self) -> None:
        """Remove what is not to be kept."""
        if self._temporary is not None:
            self._temporary.cleanup()

    def __enter__(self) -> Sweep:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _package_folder() -> str:
    """The folder that the package is imported from."""
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a run, and with it all that it has started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last_line(errors: IO[bytes], path: str) -> str:
    """The last line that is the program's own; that of the emulator if it did not come to run."""
    errors.seek(0, os.SEEK_END)
    errors.seek(max(0, errors.tell() - _SAID_BYTES))
    lines = [line for line in errors.read().decode(errors="replace").splitlines() if line.strip()]
    if os.path.exists(path):
        lines = [line for line in lines if not line.startswith("memslots emulate:")]
    return lines[-1].strip() if lines else ""
