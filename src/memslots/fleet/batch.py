"""The unit of work: some recordings in, one part out.  A function of its arguments alone, so that
any engine may run it, anywhere, and again.
"""

from __future__ import annotations

import gc
import time
from functools import partial
from hashlib import blake2b

from .host_kernels import Kernels
from .opened import Opener
from .part import Part
from .rows import OneRecording
from .schema import FINDINGS, RECORDINGS, REFUSALS, STEPS, VERSION, VMS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .inputs import Input

NAMES_KERNEL = ".rec"
"""How files of `memslots record` are called, which say on which kernel they were made."""
_YOUNG_OBJECTS = 50_000
"""Objects between two looks for garbage in cycles: recordings make hardly any."""


class Batch:
    """Recordings that are scanned together, and how."""

    __slots__ = ("folder", "host", "inputs", "kernel", "name")

    def __init__(self, inputs: Sequence[Input], folder: str, kernel: str = "", host: str = ""):
        self.inputs = list(inputs)
        self.folder = folder
        """Of the fleet, as every worker sees it."""
        self.kernel = kernel
        """Stated for all; empty: each host's is found."""
        self.host = host
        """Stated for all."""
        words = [str(VERSION), kernel, host, *(str(each.id) for each in inputs)]
        self.name = blake2b(" ".join(words).encode(), digest_size=10).hexdigest()
        """Of the part: the same recordings, scanned the same way, make the same part."""


class Done:
    """What came of a batch."""

    __slots__ = ("cpu_s", "failed", "name", "recordings", "refusals", "steps", "surprises", "vms")

    def __init__(self, name: str) -> None:
        self.name = name
        self.recordings = 0
        self.vms = 0
        self.steps = 0
        self.refusals = 0
        self.surprises = 0
        self.failed: list[tuple[str, str]] = []
        """(recording, why it could not be read to its end)."""
        self.cpu_s = 0.0
        """Processor time of the worker, seconds."""


def scan_batch(batch: Batch) -> Done:
    """Scan the recordings of a batch and write its part."""
    started = time.process_time()
    done = Done(batch.name)
    kernels, opener = Kernels(batch.kernel), Opener()
    before = gc.get_threshold()
    gc.set_threshold(_YOUNG_OBJECTS, *before[1:])
    try:
        with Part(batch.folder, batch.name) as part:
            for one in _told_first(batch.inputs):
                recording = OneRecording(one, partial(part.add_lines, STEPS), batch.host)
                recording.run(opener, kernels, is_stated=bool(batch.host))
                _add(part, done, recording, one.name)
            part.finish()
    finally:
        gc.set_threshold(*before)
        opener.close()
    done.cpu_s = time.process_time() - started
    return done


def _told_first(inputs: list[Input]) -> list[Input]:
    """By host, the recordings that are likely to name its kernel before the others."""
    return sorted(inputs, key=lambda each: (each.host, not each.name.endswith(NAMES_KERNEL)))


def _add(part: Part, done: Done, recording: OneRecording, name: str) -> None:
    rows = recording.rows
    part.add(RECORDINGS, [recording.recording_row()])
    recording.flush()
    for table, found in (
        (VMS, rows.vms),
        (REFUSALS, rows.refusals),
        (FINDINGS, rows.findings),
    ):
        part.add(table, found)
    done.recordings += 1
    done.vms += len(rows.vms)
    done.steps += recording.steps
    done.refusals += len(rows.refusals)
    done.surprises += recording.surprises
    if recording.error:
        done.failed.append((name, recording.error))
