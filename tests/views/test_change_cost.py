"""docs/change-cost.md: what it says of the model is so, and the benchmark behind it runs."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import change_cost
from requires import requires

PAGE = Path(__file__).parents[2] / "docs" / "change-cost.md"
RELEASES = {"5.10.223": "5.10/x86_64", "6.1.176": "6.1/x86_64", "6.18": "6.18/x86_64"}


def test_the_visits_are_those_of_the_model():
    sections = re.split(r"^## ", PAGE.read_text(), flags=re.M)[1:]
    seen = 0
    for section in sections:
        release = next(name for known, name in RELEASES.items() if known in section.splitlines()[0])
        for slots, visits in re.findall(r"^\| (\d+) \|.*\| (\d+) \|$", section, re.M):
            assert change_cost.visits(release, int(slots)) == visits
            seen += 1
    assert seen == 5 + 8 + 8


def test_the_example_gives_what_it_says():
    failed, tried = doctest.testfile(str(PAGE), module_relative=False)
    assert tried == 2
    assert not failed


@requires("kvm", "gcc")
def test_the_benchmark_measures_every_kind():
    costs = change_cost.measured("native")
    numbers = {slots for slots, _ in costs}
    assert {10, 500} <= numbers
    assert set(costs) == {(slots, kind) for slots in numbers for kind in change_cost.KINDS}
    assert all(cost > 0 for cost in costs.values())
