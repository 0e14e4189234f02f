"""The score: what is right stays right, also in other layouts and other words."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from diagnosis.corpus import cases
from diagnosis.mutations import mutants
from diagnosis.page import PAGE, marks, page
from diagnosis.score import _titled, mark
from diagnosis.verdict import run

KEPT = 0.95
"""Part of the mutations that must keep the verdict."""
EACH = 3
"""One of so many cases is mutated here; score.py --mutations takes all."""


@pytest.fixture(scope="module")
def found():
    return marks()


def test_the_page_is_current(found):
    assert PAGE.read_text(encoding="utf-8") == page(found), "run tests/diagnosis/page.py"


def test_nearly_all_are_right_and_none_is_silent(found):
    counts = Counter(result for _, part, result in found if not part.startswith("held"))
    assert counts["right"] >= KEPT * sum(counts.values())
    assert not counts["silent"] + counts["crash"] + counts["bare"]


def test_a_sample_of_mutations_keeps_the_verdict():
    kept, lost = 0, []
    for case in list(cases("examples", "tune"))[::EACH]:
        names = sorted(mutants(case))
        name, text = random.Random(case.id).choice(names)
        result = mark(_titled(case) if name == "title" else case, run(text))
        kept += result == "right"
        if result != "right":
            lost.append(f"{case.id} [{name}]: {result}")
    assert kept >= KEPT * (kept + len(lost)), lost
