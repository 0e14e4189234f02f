"""A huge recording, searched, gives the calls that looking at each line gives, in any mixture."""

from __future__ import annotations

import random

import mixtures
import pytest

from memslots.trace import Event, Reading, dispatch, read, reader
from memslots.trace.search import StraceStyle, _Search

NOT_SEARCHED = {"mmap", "munmap", "close", "message"}
"""What a search does not look for, as its note says."""
KINDS = [kind for kind in mixtures.KINDS if kind not in ("mmap", "close", "futex unfinished")]


def told(path, *, context):
    """The calls with all their attributes, and what was counted and said."""
    reading = Reading()
    events = [
        {name: getattr(event, name) for name in Event.__slots__}
        for event in read(str(path), reading=reading, context=context)
        if event.call not in NOT_SEARCHED
    ]
    return events, reading.skipped, reading.notes


@pytest.mark.parametrize("seed", range(12))
def test_mixtures(seed, tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "FAST_FROM", 1 << 14)
    monkeypatch.setattr(dispatch, "HEAD", 1 << 12)
    rng = random.Random(seed)
    kinds = rng.sample(KINDS, rng.randrange(1, 7))
    shares = {kind: rng.random() / len(kinds) / 2 for kind in kinds} | {"region calls": 0.02}
    if "stderr lines" in shares:
        shares["stderr lines"] /= 8  # with more of them it is no log of strace
    prefix = rng.choice(list(mixtures.PREFIXES))
    path = tmp_path / "log"
    mixtures.write(str(path), mixtures.strace_lines(shares, seed=seed, prefix=prefix), 60_000)
    found, skipped, notes = told(path, context=False)
    assert (found, skipped) == told(path, context=True)[:2]
    assert found
    assert any("huge" in note for note in notes)


def test_a_call_that_nobody_wants_may_end_anywhere():
    style = StraceStyle(b"")
    begun = b"1 1.000000 ioctl(15, KVM_GET_REGS <unfinished ...>\n"
    wanted = b"1 1.000000 ioctl(11, KVM_GET_DIRTY_LOG <unfinished ...>\n"
    assert style.place(begun, 0, len(begun)) < 0
    assert style.place_while_unfinished(begun, 0, len(begun)) > 0
    assert style.place(wanted, 0, len(wanted)) > 0


def test_each_place_is_looked_at_once():
    search, text = _Search(b"a|b"), b"..a..b..a.."
    for buffer in (text, b"." + text[1:]):
        for start in (0, 1, 3, 3, 0, 6, 9, 2):
            for end in (11, 11, 8):
                expected = min((at for at in range(start, end) if buffer[at] in b"ab"), default=-1)
                assert search.place(buffer, start, end) == expected
