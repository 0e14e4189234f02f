"""The corpus is well formed, its mutations are deterministic, and every verdict names something
that is described.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from diagnosis.corpus import FOLDER, UNDECIDABLE, VERDICT, CaseError, cases, parse
from diagnosis.mutations import MUTATIONS, mutants
from diagnosis.score import mark
from diagnosis.verdict import Verdict, verdict_of

from memslots.explain.finding_kinds import KINDS
from memslots.rules.catalogue import find_rule

CASES = cases()
CAUSES = set(
    re.findall(
        r"^### ([a-z0-9-]+)$", (Path(__file__).parent / "CAUSES.md").read_text(), re.MULTILINE
    )
)
PLANNED_FINDINGS = frozenset(("gmem-offset-huge-misaligned",))
"""Findings that a case accepts and the program does not have yet."""


def verdicts(case):
    return case.accepted | case.near | case.candidates


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_case_is_well_formed(case):
    assert all(VERDICT.fullmatch(verdict) for verdict in verdicts(case))
    assert case.data in ("yes", "partly", "no")
    assert case.exits
    assert case.exits <= {0, 1, 2}
    assert case.no_mutation <= set(MUTATIONS)
    assert bool(case.candidates) == (case.verdict == UNDECIDABLE)
    assert case.data == "yes" or case.question or case.verdict == "healthy"
    assert not case.title_suffices or case.title
    for pattern in (case.other, case.ask):
        re.compile(pattern)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_verdicts_name_rules_findings_and_causes_that_exist(case):
    for verdict in verdicts(case):
        kind, _, name = verdict.partition(":")
        if kind == "rule":
            assert find_rule(name).id == name
        elif kind == "finding":
            assert name in KINDS or name in PLANNED_FINDINGS
        elif kind == "cause":
            assert name in CAUSES


def test_ids_are_those_of_the_files_and_differ():
    assert len({case.id for case in CASES}) == len(CASES)
    assert all(path.name.startswith(parse(path).id) for path in FOLDER.rglob("*.txt"))


def test_the_parts_are_a_fixed_split():
    own = [case for case in CASES if case.provenance == "own"]
    assert all((case.part == "held") == (int(case.id[4:]) % 3 == 0) for case in own)
    assert len(own) >= 60
    assert len([case for case in CASES if case.part == "examples"]) == 79


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_mutations_are_deterministic(case):
    assert list(mutants(case)) == list(mutants(case))
    assert all(text != case.paste for _, text in mutants(case))


def test_numbers_are_replaced_consistently():
    for case in CASES:
        for name, text in mutants(case):
            if name == "numbers":
                before = re.findall(r"\b0x7[0-9a-f]{11}\b", case.paste)
                after = re.findall(r"\b0x7[0-9a-f]{11}\b", text)
                assert len({*zip(before, after)}) == len(set(before)) == len(set(after))
                moved = {int(new, 16) - int(old, 16) for old, new in zip(before, after)}
                assert len(moved) <= 1


def test_every_cause_is_used_or_described_for_its_class():
    assert len(CAUSES) >= 60


def test_a_broken_header_is_refused(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("id: x\nnonsense\n----\npaste\n")
    with pytest.raises(CaseError, match="nonsense"):
        parse(path)


def test_a_header_without_a_verdict_is_refused(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("id: x\nprovenance: own\nprogram: p\nkind: k\n----\npaste\n")
    with pytest.raises(CaseError, match="verdict"):
        parse(path)


def case_named(name):
    return next(case for case in CASES if case.id == name)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_expected_answer_is_right(case):
    plain = replace(case, other="", ask="")
    answers = sorted(case.candidates) or ([case.verdict] if ":" in case.verdict else [])
    code = (
        2 if case.verdict == "nothing" and 2 in case.exits else max(case.exits & {0, 1}, default=2)
    )
    assert mark(plain, Verdict(tops=answers[:1], ranked=answers, advice=True, exit=code)) == "right"


def test_marks():
    overlap = case_named("own-001")
    right = Verdict(tops=["rule:slot-overlap"], ranked=["rule:slot-overlap"], text="slot 0", exit=1)
    assert mark(overlap, right) == "right"
    right.text = "another slot"
    assert mark(overlap, right) == "near"
    assert (
        mark(overlap, Verdict(tops=["rule:gpa-wraps"], ranked=["rule:gpa-wraps"], exit=1))
        == "wrong"
    )
    assert mark(overlap, Verdict(exit=2)) == "bare"
    assert mark(overlap, Verdict(exit=0)) == "silent"
    assert mark(overlap, Verdict(failed="ValueError")) == "crash"


def test_a_healthy_paste_wants_silence():
    healthy = case_named("own-124")
    assert mark(healthy, Verdict(exit=0)) == "right"
    assert (
        mark(healthy, Verdict(tops=["rule:delete-missing"], ranked=["rule:delete-missing"], exit=1))
        == "wrong"
    )


def test_what_cannot_be_decided_must_not_be_claimed():
    open_case = case_named("own-046")
    first = "rule:size-unaligned"
    verdict = Verdict(tops=[first], ranked=[first], text="memslots record", exit=1)
    assert mark(open_case, verdict) == "right"
    verdict.certain.add(first)
    assert mark(open_case, verdict) == "near"


def test_a_cause_in_the_document_is_read():
    document = {
        "explanations": [
            {"cause": "memlock-limit", "certainty": "certain", "advice": ["ulimit -l"]}
        ]
    }
    verdict = verdict_of(document, 1)
    assert verdict.tops == ["cause:memlock-limit"]
    assert verdict.advice
