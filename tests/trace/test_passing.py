"""The quick way through a recording finds what looking at each line finds.

Generated mixtures of what recorders write, damaged and cut, mixed with every recording of the
corpus: each event with all its attributes, and everything that a Reading counts, is compared.
"""

from __future__ import annotations

import os
import random
import sys
from typing import Any

import mixtures
import pytest

from memslots.errors import TraceError
from memslots.trace import Event, Reading, dispatch, read
from memslots.trace import lines as source
from memslots.trace.passing import Passing

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import fuzz_readers

OF_LINE = Passing.of_line
CORPUS = fuzz_readers.seeds()
LINES = [line + b"\n" for data in CORPUS.values() for line in data.split(b"\n")]
DAMAGE = (
    b"", b"\n", b"\r", b"\0", b"<b>", b"=3D", b"=", b"x", b"9", b" ", b'"', b"ioctl(", b"Slot",
    b"\\n", b"> ", b"<unfinished ...>", b" resumed>", b"KVM_RUN", b"\xff", b"errno", b"0x", b"12\n",
)  # fmt: skip


def everything(
    data: bytes, monkeypatch: pytest.MonkeyPatch, way: str, block: int
) -> tuple[list[dict[str, object]], dict[str, Any]]:
    """All that is told of a recording.

    way: `quick`, as of a long one; `paste`, as of a short one; `slow`, no line is taken for clean.
    """
    monkeypatch.setattr(dispatch, "PASTE", 0 if way == "quick" else 1 << 60)
    monkeypatch.setattr(Passing, "of_line", OF_LINE if way == "paste" else lambda *_: None)
    monkeypatch.setattr(source, "BLOCK", block)
    reading = Reading()
    events = []
    try:
        for event in read(data, reading=reading):
            told = {name: getattr(event, name) for name in Event.__slots__}
            events.append(told)
    except TraceError as error:  # a binary recording that cannot be opened
        reading.note(str(error))
    counted = {name: getattr(reading, name) for name in Reading.__slots__ if name != "excerpt"}
    return events, counted | {"excerpt": reading.excerpt.text()}


def same(
    data: bytes, monkeypatch: pytest.MonkeyPatch, block: int, *, damaged: bool = False
) -> None:
    slow, told_slow = everything(data, monkeypatch, "slow", block)
    paste, told_paste = everything(data, monkeypatch, "paste", block)
    assert paste == slow
    assert told_paste == told_slow
    quick, told_quick = everything(data, monkeypatch, "quick", block)
    for one, other in zip(slow, quick):
        assert one == other
    assert len(slow) == len(quick)
    # Of a line that lost its end, the call on it is counted by its words.
    assert abs(told_slow.pop("runs") - told_quick.pop("runs")) <= data.count(b"KVM_RUN") * damaged
    assert told_slow == told_quick


def mixture(rng: random.Random, damaged: bool) -> bytes:
    """Some hundred lines of some kinds, some of them damaged."""
    if rng.random() < 0.25:
        kinds = rng.sample(list(mixtures.QEMU_KINDS), rng.randrange(1, 5))
        found = mixtures.qemu_lines({kind: rng.random() / 4 for kind in kinds}, seed=rng.random())
    else:
        kinds = rng.sample(list(mixtures.KINDS), rng.randrange(1, 9))
        found = mixtures.strace_lines(
            {kind: rng.random() / len(kinds) for kind in kinds},
            seed=rng.random(),
            prefix=rng.choice(list(mixtures.PREFIXES)),
        )
    lines = [next(found).encode() for _ in range(rng.choice((40, 200, 800)))]
    for _ in range(rng.choice((0, 0, 2, 20))):
        lines.insert(rng.randrange(len(lines)), rng.choice(LINES))
    for _ in range(rng.choice((3, 30)) * damaged):
        at = rng.randrange(len(lines))
        line, cut = lines[at], rng.randrange(len(lines[at]))
        lines[at] = line[:cut] + rng.choice(DAMAGE) + line[cut + rng.choice((0, 0, 1, 12)) :]
    return b"".join(lines)


@pytest.mark.parametrize("seed", range(60))
def test_mixtures(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    damaged = rng.random() < 0.6
    same(mixture(rng, damaged), monkeypatch, rng.choice((300, 4096, 1 << 17)), damaged=damaged)


@pytest.mark.parametrize("seed", range(60))
def test_mutated_recordings(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    data = CORPUS[rng.choice(list(CORPUS))]
    data = fuzz_readers.mutated(data, list(CORPUS.values()), rng)
    same(data[: 1 << 15], monkeypatch, rng.choice((300, 4096, 1 << 17)), damaged=True)


@pytest.mark.parametrize("name", sorted(CORPUS))
def test_recordings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    same(CORPUS[name], monkeypatch, 1 << 17)


@pytest.mark.parametrize("kind", sorted(mixtures.KINDS))
def test_each_kind(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = mixtures.strace_lines({kind: 0.5, "region calls": 0.1})
    same("".join(next(lines) for _ in range(200)).encode(), monkeypatch, 1 << 17)
