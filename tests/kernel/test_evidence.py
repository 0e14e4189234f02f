"""How each fact is known: counted by kind, the same in the page, in JSON and in the facts."""

from __future__ import annotations

import json
from pathlib import Path

from memslots.kernel.evidence import TREES, Commit, Read
from memslots.kernel.fact import EVIDENCE
from memslots.kernel.history import FACTS
from memslots.kernel.limits import LIMITS
from memslots.views.kernel_page import evidence_counts, list_json

PAGE = Path(__file__).parents[2] / "docs" / "kernels.md"


def looks():
    """Every look at a source or a kernel, of all facts and limits."""
    for item in (*FACTS, *LIMITS):
        yield from (item.looks if hasattr(item, "looks") else item.evidence)


def test_the_counts_are_those_of_the_facts():
    counts = evidence_counts()
    assert counts["facts"] == len(FACTS) + len(LIMITS)
    assert set(counts) == {"facts", *EVIDENCE}
    patched = [
        item for item in (*FACTS, *LIMITS)
        if any(isinstance(look, Read) and look.tree
               for look in (item.looks if hasattr(item, "looks") else item.evidence))
    ]  # fmt: skip
    assert counts["patched"] == len(patched)
    assert all(counts[kind] > 0 for kind in EVIDENCE)


def test_json_and_the_page_say_the_same():
    assert json.loads(list_json())["evidence"] == evidence_counts()
    page = PAGE.read_text()
    for kind, meaning in EVIDENCE.items():
        assert f"| {kind} | {evidence_counts()[kind]} | {meaning} |" in page


def test_a_tree_that_is_not_the_projects_is_told():
    read = [look for look in looks() if isinstance(look, Read)]
    assert {look.tag for look in read if look.tree} == set(TREES)
    for look in read:
        assert str(look).startswith(
            f"read in {look.tag}" + (f" ({look.tree}):" if look.tree else ":")
        )


def test_everything_is_known_somehow():
    for item in (*FACTS, *LIMITS):
        assert set(item.kinds) - {"undetermined"}, item.name
        assert set(item.kinds) <= set(EVIDENCE)


def test_a_commit_without_a_hash_is_worth_less():
    assert [kind for fact in FACTS if fact.name == "page-total-cap" for kind in fact.kinds] == [
        "asked",
        "commit",
    ]
    for item in LIMITS:
        named = [each for each in item.evidence if isinstance(each, Commit) and not each.hash]
        assert bool(named) == ("subject" in item.kinds)
