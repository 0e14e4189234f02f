"""The catalogue of rules and the history of facts: complete, consistent, and dates in one place
only.
"""

from __future__ import annotations

import ast
import re
import tarfile
from errno import errorcode
from importlib import import_module
from pathlib import Path

import pytest
from test_layers import MODULES

from memslots.errors import UnknownKernelError
from memslots.kernel.arch import ARCHES
from memslots.kernel.evidence import ALWAYS, TREES, Asked, Bound, Commit, Read
from memslots.kernel.fact import EVIDENCE
from memslots.kernel.footprint import DESCRIPTOR, FOOTPRINT_FACTS, HEAD_ENTRIES, HEAD_FIXED
from memslots.kernel.history import BRANCHES, FACTS, NEWEST_KNOWN, OLDEST
from memslots.kernel.limits import LIMITS
from memslots.kernel.names import find
from memslots.kernel.profile import FACT_NAMES, OPTIONS
from memslots.rules.catalogue import REGION_RULES, all_rules, find_rule
from memslots.rules.region.arch.hooks import PREPARE_HOOKS, prepare_hook

RULES = all_rules()


def test_ids_are_unique():
    ids = [rule.id for rule in RULES]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("rule", RULES, ids=[rule.id for rule in RULES])
def test_rule(rule):
    assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z][a-z0-9]*)+", rule.id), (
        "kebab-case, no part of digits only"
    )
    assert rule.errno in errorcode
    assert rule.title.endswith(".")
    assert "\n" not in rule.title
    assert rule.page or rule.remedy
    for source in rule.source.split("; "):
        assert SOURCE.fullmatch(source), source
    assert re.match(r"KVM_[A-Z0-9_]+|every VM ioctl", rule.calls)
    for fact in (*rule.needs, *rule.without):
        assert fact in FACT_NAMES, f"no fact {fact!r}"
    assert find_rule(rule.id) is rule


def test_region_rules_come_first():
    assert RULES[: len(REGION_RULES)] == REGION_RULES


def test_an_unknown_rule_says_which_is_meant():
    with pytest.raises(UnknownKernelError, match="slot-overlap"):
        find_rule("slot-overlaps")
    with pytest.raises(UnknownKernelError, match="memslots rules"):
        find_rule("xyzzy")


SOURCE = re.compile(r"\w+\(\)(?: and \w+\(\))* in [\w./-]+\.[ch]")
"""Functions of the kernel, and the file in which they stand."""


def refusals(tree):
    """(name of the rule, whether numbers are told) of each refusal in a module."""
    return [
        (node.func.value.id, bool(node.keywords) or node.func.attr == "refuse_for")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", "") in ("refuse", "refuse_for", "refuse_late")
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id.isupper()
    ]


def test_a_refusal_tells_the_numbers_that_decided_or_there_are_none():
    with_numbers, without = set(), set()
    for name, path in MODULES.items():
        if name.startswith("rules."):
            module = import_module(f"memslots.{name}")
            for rule, told in refusals(ast.parse(path.read_text())):
                (with_numbers if told else without).add(getattr(module, rule).id)
    assert without == {rule.id for rule in all_rules() if rule.numberless}
    assert not with_numbers & without


def test_that_can_fail():
    assert refusals(ast.parse("RULE.refuse()")) == [("RULE", False)]
    assert refusals(ast.parse("RULE.refuse_for(other, gfn=1)")) == [("RULE", True)]


def test_every_architecture_has_a_hook():
    assert set(PREPARE_HOOKS) == set(ARCHES)
    assert all(callable(prepare_hook(arch)) for arch in ARCHES)


ALL_LIMITS = (*LIMITS, DESCRIPTOR, HEAD_FIXED, HEAD_ENTRIES)
DATED = (*FACTS, *FOOTPRINT_FACTS.values())
RECORDINGS = Path(__file__).parents[1] / "verify" / "recorded" / "answers.tar.xz"
RELEASE = re.compile(r"[4-7]\.\d{1,2}(\.\d{1,3})?")


@pytest.mark.parametrize("fact", DATED, ids=[f"{fact.name}-{fact.since}" for fact in DATED])
def test_fact(fact):
    assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", fact.name)
    assert fact.summary.endswith(".")
    assert fact.arches <= set(ARCHES)
    assert fact.arches
    assert fact.until is None or fact.since < fact.until
    for date in (fact.began, fact.ended):
        check_date(date)
    # a commit with its hash can be looked up; everything else needs somebody who looked
    by_hash = [date for date in (fact.began, fact.ended) if isinstance(date, Commit) and date.hash]
    assert fact.looks or by_hash, "how is it known?"
    assert set(fact.kinds) <= set(EVIDENCE)
    assert fact.source
    for look in fact.looks:
        check_look(look)


def check_date(date):
    assert date is None or date is ALWAYS or isinstance(date, (Commit, Bound))
    if isinstance(date, Commit):
        assert re.fullmatch(r"([0-9a-f]{12})?", date.hash)
        assert len(date.subject) > 15
        assert re.fullmatch(r"[4-7]\.\d{1,2}(\.\d{1,3})?", date.tag)
        branches = [
            *(port.branch for port in date.stable),
            *(bound.absent.branch for bound in date.unsure),
        ]
        assert len(branches) == len(set(branches)), "a branch is dated once"
        assert all(branch < date.release.branch for branch in branches), (
            "stable branches are older than the mainline"
        )
        for bound in date.unsure:
            assert bound.present is None or bound.absent.branch == bound.present.branch
    if isinstance(date, Bound):
        assert date.present is not None, "a date has a release that has it"
        assert date.absent < date.present


def check_look(look):
    assert isinstance(look, (Read, Asked)), "evidence is data, never prose"
    if isinstance(look, Read):
        assert RELEASE.fullmatch(look.tag)
        assert re.fullmatch(r"[\w./-]+(\.[ch]|/Kconfig)", look.path)
        assert re.fullmatch(r"\w*", look.function)
        assert look.kind == ("patched" if look.tag in TREES else "read")
        assert (f"({TREES.get(look.tag)})" in str(look)) == (look.tag in TREES)
    else:
        assert look.kernels


def test_the_kernels_that_were_asked_have_recorded_answers():
    with tarfile.open(RECORDINGS) as archive:
        recorded = {
            re.sub(r"\.(totals|probe|corners)$", "", name.split(".jsonl")[0])
            for name in archive.getnames()
        }
    for dated in (*DATED, *LIMITS):
        evidence = dated.looks if hasattr(dated, "looks") else dated.evidence
        for look in evidence:
            if isinstance(look, Asked):
                assert set(look.kernels) <= recorded, dated.name


def test_one_commit_is_dated_once():
    """Commits that stand with several facts say the same everywhere."""
    found = {}
    for fact in DATED:
        for date in (fact.began, fact.ended):
            if isinstance(date, Commit):
                key = (date.tag, date.stable, date.subject)
                assert found.setdefault(date.hash or date.subject, key) == key


def test_facts_of_one_name_share_no_architecture():
    for name in FACT_NAMES:
        arches = [arch for fact in FACTS if fact.name == name for arch in fact.arches]
        assert len(arches) == len(set(arches)), name


STATING = (
    "kernel.history", "kernel.history_arch", "kernel.history_capabilities", "rules.unobserved",
)  # fmt: skip
"""Modules that say of facts what they are, and ask for none."""
ONLY_TOLD = {
    "x86-metadata-late": "when memory is allocated; allocations succeed in the model",
}
"""Facts that explain and decide nothing."""


def test_no_fact_is_unused():
    """A fact that nothing asks for says nothing: it would be a wish."""
    text = "\n".join(path.read_text() for name, path in MODULES.items() if name not in STATING)
    assert [name for name in sorted(FACT_NAMES) if f'"{name}"' not in text] == list(ONLY_TOLD)


def test_only_known_facts_are_asked_for():
    for name, path in MODULES.items():
        for found in re.findall(r'\.has\("([^"]+)"\)', path.read_text()):
            assert found in FACT_NAMES, f"{name} asks for {found!r}"
        for found in re.findall(r'\.option\("([^"]+)"\)', path.read_text()):
            assert found in OPTIONS, f"{name} asks for option {found!r}"


@pytest.mark.parametrize("limit", ALL_LIMITS, ids=[limit.name for limit in ALL_LIMITS])
def test_limit(limit):
    assert limit.evidence
    for item in limit.evidence:
        check_date(item) if isinstance(item, Commit) else check_look(item)
    assert limit.summary.endswith(".")
    for arch, steps in limit.steps.items():
        assert arch == "*" or arch in ARCHES
        releases = [since for since, _ in steps]
        assert releases == sorted(releases, key=lambda version: (version.branch, version.patch))


def test_options_and_facts_have_different_names():
    assert not set(OPTIONS) & FACT_NAMES


def test_branches_are_in_order_and_known():
    assert list(BRANCHES) == sorted(BRANCHES)
    assert BRANCHES[0].branch == OLDEST.branch
    assert BRANCHES[-1].branch == NEWEST_KNOWN.branch
    for branch in BRANCHES:
        assert find(f"{branch}/x86_64").facts


_RELEASE = re.compile(r"v?[4-7]\.\d{1,2}(\.\d+)?(/\w+.*)?")
NAMES_RELEASES = {
    "kernel.history": "the dates of behaviours",
    "kernel.history_arch": "the dates of behaviours, by architecture",
    "kernel.history_capabilities": "the dates of capabilities",
    "kernel.limits": "the dates of numbers",
    "kernel.evidence": "the release before all that are covered",
    "kernel.footprint": "the dates of what slots cost, which decide no call",
    "kernel.distributions": "which release a distribution ships",
    "explain.hypotheses": "hosts that an explanation tries, by profile name",
}


def _all_literal(call):
    return all(isinstance(argument, ast.Constant) for argument in call.args)


def test_only_the_history_names_releases():
    """No code of another module holds a release: a rule asks for facts."""
    found = []
    for name, path in MODULES.items():
        if name in NAMES_RELEASES or name.startswith("cli."):
            continue  # a command may have a kernel as its default or example
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and _RELEASE.fullmatch(node.value)
            ):
                found.append(f"{name}:{node.lineno}: {node.value!r}")
            elif (
                isinstance(node, ast.Call)
                and getattr(node.func, "id", "") == "Version"
                and _all_literal(node)
            ):
                found.append(f"{name}:{node.lineno}: Version(...)")
    assert not found
