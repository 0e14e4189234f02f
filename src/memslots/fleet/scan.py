"""A fleet is scanned: batches to an engine, a window at a time, what is lost once more.

scan(["recordings/"], "fleet")                          one machine
scan(["recordings/"], "fleet", engine=dask("tcp://head:8786"))
"""

from __future__ import annotations

import os

from ..errors import MemslotsError
from . import engines
from .batch import scan_batch
from .inputs import find_inputs
from .shards import MOST_RECORDINGS, batches
from .store import begin, connect, known_ids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .batch import Batch, Done
    from .engines import Engine

_WINDOW = 256
"""Batches that are with the engine at a time."""
_MOST_TRIES = 3


class Scanned:
    """What a scan came to."""

    __slots__ = (
        "batches", "cpu_s", "failed", "inputs", "known", "lost", "problems", "recordings",
        "refusals", "steps", "surprises", "vms",
    )  # fmt: skip

    def __init__(self) -> None:
        self.inputs = 0
        """Recordings that were named."""
        self.known = 0
        """Of these, already in the tables."""
        self.batches = 0
        """Parts that were written."""
        self.recordings = 0
        self.vms = 0
        self.steps = 0
        self.refusals = 0
        self.surprises = 0
        self.cpu_s = 0.0
        """Processor time of the workers inside batches, seconds."""
        self.failed: list[tuple[str, str]] = []
        """(recording, why it could not be read to its end): it is in the tables all the same."""
        self.problems: list[str] = []
        """Inputs that could not be looked at."""
        self.lost: list[tuple[str, str]] = []
        """(first recording of a batch, why no worker came back with it): not in the tables."""

    def add(self, done: Done) -> None:
        """Count a batch."""
        self.batches += 1
        for name in ("recordings", "vms", "steps", "refusals", "surprises", "cpu_s"):
            setattr(self, name, getattr(self, name) + getattr(done, name))
        self.failed += done.failed


def scan(
    sources: Iterable[str],
    folder: str,
    *,
    kernel: str = "",
    host: str = "",
    engine: Engine | None = None,
    most: int = MOST_RECORDINGS,
    shard: tuple[int, int] = (0, 1),
    told: Callable[[Scanned], None] = lambda _: None,
) -> Scanned:
    """Bring the recordings of files, folders and archives into the tables of a folder.

    kernel: stated for all (default: each says it, or it is found, once for each host of a batch).
    host: stated for all.  engine: what runs the batches (default: a pool of processes).
    most: recordings of a batch.  shard: (index, count): only this part of the batches.
    told: called after each batch with what there is so far.

    Raises MemslotsError or OSError where the folder cannot be used.
    """
    connect()
    folder = os.path.abspath(folder)  # workers may have been started elsewhere
    begin(folder)
    scanned = Scanned()
    inputs = find_inputs(sources, host)
    known = known_ids(folder)
    scanned.inputs, scanned.problems = len(inputs.found), inputs.problems
    scanned.known = sum(1 for each in inputs.found if each.id in known)
    todo = batches(
        inputs.found, known, folder, kernel=kernel, host=host, most=most, shard=shard
    )  # fmt: skip
    if len(todo) < 2 and engine is None:
        engine = engines.here()
    for batch, outcome in _outcomes(todo, engine or engines.pool()):
        if isinstance(outcome, Exception):
            scanned.lost.append((batch.inputs[0].name, f"{type(outcome).__name__}: {outcome}"))
        else:
            scanned.add(outcome)
        told(scanned)
    return scanned


def _outcomes(todo: list[Batch], engine: Engine) -> Iterator[tuple[Batch, Done | Exception]]:
    """Each batch with what it came to.

    Those that were lost with a worker are tried again one by one, so that the one that kills its
    worker takes no other along.
    """
    lost: list[Batch] = []
    for batch, outcome in _all_of(todo, engine, _WINDOW):
        if _is_lost(outcome):
            lost.append(batch)
        else:
            yield batch, outcome
    for batch in lost:
        for _ in range(_MOST_TRIES - 1):
            outcome = next(outcome for _, outcome in _all_of([batch], engine, 1))
            if not _is_lost(outcome):
                break
        yield batch, outcome


def _is_lost(outcome: Done | Exception) -> bool:
    """Whether the worker went away; what a batch itself raises, it would raise again."""
    return isinstance(outcome, Exception) and not isinstance(outcome, (MemslotsError, OSError))


def _all_of(
    todo: list[Batch], engine: Engine, window: int
) -> Iterator[tuple[Batch, Done | Exception]]:
    """Run batches, with a new executor whenever one is broken."""
    left = list(reversed(todo))
    while left:
        yield from _with_one_executor(left, engine, window)


def _with_one_executor(
    left: list[Batch], engine: Engine, window: int
) -> Iterator[tuple[Batch, Done | Exception]]:
    """Take batches off the list until it is empty or the executor is broken."""
    from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait

    with engine() as executor:
        pending: dict[Future[Done], Batch] = {}
        is_broken = False
        while pending or (left and not is_broken):
            while left and not is_broken and len(pending) < window:
                try:
                    pending[executor.submit(scan_batch, left[-1])] = left[-1]
                    left.pop()
                except BrokenExecutor:
                    is_broken = True
            if not pending:
                return
            finished, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in finished:
                batch = pending.pop(future)
                error = future.exception()
                if error is None:
                    yield batch, future.result()
                    continue
                if not isinstance(error, Exception):
                    raise error
                is_broken = is_broken or isinstance(error, BrokenExecutor)
                yield batch, error
