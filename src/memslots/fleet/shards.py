"""Which recordings are scanned together, and by which shard.

Batches follow from the list of inputs alone, not from what is known already: every shard, whenever
it starts, sees the same ones, and a scan that is begun again makes the parts that were missing.
"""

from __future__ import annotations

import os
import re

from .batch import Batch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from .inputs import Input

MOST_RECORDINGS = 200
MOST_BYTES = 32 << 20
"""A batch is full with so many recordings, or so many bytes of them: seconds of work."""
_ARRAYS = (
    ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT"),
    ("JOB_COMPLETION_INDEX", "", "JOB_COMPLETIONS"),
)
"""Variables of job arrays: this task, the first one, and how many there are."""


def shard_of(text: str) -> tuple[int, int]:
    """(index from 0, count) of `2/8`, or of the job array that we run in if the text is `auto`.

    Raises ValueError for anything else.
    """
    if text == "auto":
        for index, first, count in _ARRAYS:
            if index in os.environ and os.environ.get(count):
                number = int(os.environ[index]) - int(os.environ.get(first) or 0)
                return _checked(number, int(os.environ[count]), f"{index} of {count}")
        wanted = " or ".join(f"{index} and {count}" for index, _, count in _ARRAYS)
        raise ValueError(f"--shard auto: no job array: it needs {wanted} in the environment")
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match:
        raise ValueError(f"--shard takes I/N, from 0/8 to 7/8 for example, or auto, not {text!r}")
    return _checked(int(match[1]), int(match[2]), "--shard")


def _checked(index: int, count: int, what: str) -> tuple[int, int]:
    if not 0 <= index < count:
        raise ValueError(f"{what}: {index} of {count}: shards count from 0 to {count - 1}")
    return index, count


def batches(
    inputs: Sequence[Input],
    known: Container[int],
    folder: str,
    *,
    kernel: str = "",
    host: str = "",
    most: int = MOST_RECORDINGS,
    shard: tuple[int, int] = (0, 1),
) -> list[Batch]:
    """What there is to do: the batches of this shard without what is known."""
    index, count = shard
    left: list[Input] = []
    found: list[Batch] = []
    for members in list(_cut(inputs, most))[index::count]:
        new = [each for each in members if each.id not in known]
        if len(new) == len(members):
            found.append(Batch(new, folder, kernel, host))
        else:
            left += new
    return found + [Batch(members, folder, kernel, host) for members in _cut(left, most)]


def _cut(inputs: Sequence[Input], most: int) -> Iterator[list[Input]]:
    """Runs of recordings that are neither too many nor too large."""
    members: list[Input] = []
    nbytes = 0
    for each in inputs:
        if members and (len(members) >= most or nbytes + each.nbytes > MOST_BYTES):
            yield members
            members, nbytes = [], 0
        members.append(each)
        nbytes += each.nbytes
    if members:
        yield members
