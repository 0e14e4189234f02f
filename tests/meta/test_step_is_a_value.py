"""A step may be kept and explained tomorrow: the explanation depends on nothing that happened
since.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from memslots.explain.analysis import Analysis
from memslots.explain.explain import explain, needs_explanation
from memslots.replay.replay import Replay
from memslots.trace import read
from memslots.views.explanation import explanation_json

EXAMPLES = Path(__file__).parents[2] / "examples"
RECORDINGS = sorted(
    path
    for path in EXAMPLES.rglob("*")
    if path.is_file() and path.suffix in (".strace", ".jsonl", ".rec", ".txt")
)


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.name)
def test_explained_forward_and_backward_alike(path):
    profile = Analysis(str(path), most=0).profile
    at_once = [
        (step, explanation_json(explain(step)))
        for step in Replay(read(str(path)), profile)
        if _wants(step)
    ]
    later = [explanation_json(explain(step)) for step, _ in reversed(at_once)]
    assert [explanation for _, explanation in reversed(at_once)] == later


def _wants(step):
    return step.before is not None and needs_explanation(step)


def test_there_is_something_to_explain():
    assert (
        sum(
            _wants(step)
            for path in RECORDINGS
            for step in Replay(read(str(path)), Analysis(str(path)).profile)
        )
        > 20
    )
