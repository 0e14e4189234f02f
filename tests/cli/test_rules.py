"""`memslots rules` and `memslots rule`."""

from __future__ import annotations

import json

import pytest
from epilog import call, examples

from memslots.compare.questions import QUESTIONS
from memslots.kernel.names import find
from memslots.model.vm import Vm
from memslots.rules.answer import Refused
from memslots.rules.catalogue import REGION_RULES, all_rules, find_rule
from memslots.rules.presence import exists, releases_with, rules_of, surveyed


@pytest.mark.parametrize("line", [*examples("rules"), *examples("rule")])
def test_examples_of_the_help(line: str) -> None:
    code, out, err = call(line)
    assert (code, err) == (0, "")
    words = [word for word in line.split()[2:3] if not word.startswith("-")]
    name = words[0] if words else "slot-overlap"
    assert name in out


def test_the_list_is_in_the_kernels_order() -> None:
    _, out, _ = call("memslots rules")
    order = ["size-unaligned", "gpa-wraps", "page-total-cap", "slot-overlap", "gfn-above-max"]
    assert sorted(order, key=out.index) == order
    assert all(f"  {rule.id} " in out for rule in all_rules())


def test_a_page_says_since_when_and_how_that_is_known() -> None:
    _, out, _ = call("memslots rule gfn-above-max")
    assert "x86_64, i386: 5.18 and later" in out
    assert 'commit 86931ff7207b ("KVM: x86/mmu: Do not create SPTEs' in out
    assert "kvm_arch_prepare_memory_region() in arch/x86/kvm/x86.c" in out


def test_the_list_of_one_kernel_has_only_its_rules() -> None:
    _, out, _ = call("memslots rules --kernel 5.10/i386")
    assert "size-exceeds-ulong" in out
    assert "page-total-cap" not in out
    assert "ipa-limit" not in out


def test_json() -> None:
    _, out, _ = call("memslots rules --json")
    found = json.loads(out)
    assert found["schema"] == "memslots.rules/1"
    assert [rule["id"] for rule in found["rules"]] == [rule.id for rule in all_rules()]
    overlap = next(rule for rule in found["rules"] if rule["id"] == "slot-overlap")
    assert (overlap["errno"], overlap["releases"].keys()) == (
        "EEXIST",
        {p.arch.name for p in surveyed()},
    )
    assert json.loads(call("memslots rule slot-overlap --json")[1])["rules"] == [overlap]


def test_an_unknown_rule_is_a_usage_error_with_a_suggestion() -> None:
    code, out, err = call("memslots rule slots-overlap")
    assert (code, out) == (2, "")
    assert "did you mean slot-overlap" in err
    assert call("memslots rules --kernel 9.9.9.9x/vax")[0] == 2


def test_rules_come_and_go_with_their_facts() -> None:
    assert exists(find_rule("metadata-allocation"), find("5.16/x86_64"))
    assert not exists(find_rule("metadata-allocation"), find("5.18/x86_64"))
    assert not exists(find_rule("metadata-allocation"), find("5.16/arm64"))
    assert find_rule("page-total-cap") in rules_of(find("5.16/x86_64+page-total-cap"))
    assert releases_with(find_rule("vma-not-writable"))["arm64"] == [
        "4.19",
        "5.4",
        "5.7",  # nobody looked between 5.4 and 5.10
    ]


@pytest.mark.parametrize("profile", surveyed(), ids=lambda profile: profile.name)
def test_what_refuses_a_question_exists_on_that_kernel(profile: object) -> None:
    for question in QUESTIONS:
        if question.arches and profile.arch.name not in question.arches:
            continue
        outcome = question.ask(Vm(profile))
        if isinstance(outcome, Refused):
            assert exists(outcome.rule, profile), (question.id, outcome)


@pytest.mark.parametrize(
    ("word", "rules"),
    [
        ("EEXIST", ["slot-overlap", "gmem-range-bound", "vcpu-exists", "irqchip-exists"]),
        ("eexist", ["slot-overlap"]),
        ("SLOT-OVERLAP", ["slot-overlap"]),
        ("kvm_gmem_bind", ["gmem-fd-closed", "gmem-range"]),
        ("kvm_check_memslot_overlap()", ["slot-overlap"]),
        ("KVM_CLEAR_DIRTY_LOG", ["clear-range"]),
        ("27", ["slot-overlap"]),
        ("51", [REGION_RULES[50].id]),
    ],
)
def test_rules_by_the_words_that_people_have(word: str, rules: list[str]) -> None:
    found = json.loads(call(f"memslots rule {word} --json")[1])["rules"]
    assert set(rules) <= {rule["id"] for rule in found}
    assert call(f"memslots rule {word}")[0] == 0
