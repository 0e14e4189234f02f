"""`memslots diff`."""

# ruff: noqa: E501 (what is printed is as long as it is)
from __future__ import annotations

import itertools
import json

import pytest
from epilog import call, examples

from memslots.compare.difference import difference
from memslots.compare.questions import QUESTIONS
from memslots.kernel.names import find
from memslots.rules.presence import surveyed
from memslots.views.questions import question_text, reply_text


@pytest.mark.parametrize("line", examples("diff"))
def test_examples_of_the_help(line: str) -> None:
    code, out, err = call(line)
    assert (code, err) == (0, "")
    assert out


def test_the_release_that_capped_the_total() -> None:
    _, out, _ = call("memslots diff 5.16/x86_64 5.17/x86_64")
    assert (
        out
        == """\
5.16/x86_64 -> 5.17/x86_64

Begins to hold
  page-total-cap: A slot that would wrap the VM's page total is refused.
      since 5.17; commit afa319a54a8c ("KVM: Require total number of memslot pages to fit in an unsigned long");\
 asked: built-6.1-ppc32, debian-6.1-i386
  budget-from-total: The MMU budget is total / 50, set on create and delete only.
      since 5.17; commit f5756029eef5 ("KVM: x86: Use nr_memslot_pages to avoid traversing the memslots array");\
 asked: debian-5.10-i386, debian-6.1-i386

Rules that begin
  page-total-underflow (EIO): The VM's page total is smaller than the slot that is deleted.\
 (Out of reach of 64-bit totals.)
  page-total-cap (EINVAL): The pages of all slots of the VM would no longer fit an unsigned long.\
 (Out of reach of 64-bit totals.)

What a program notices
  MMU budget on a change of flags: worked out anew -> left alone

Also dated between them, but about 32-bit hosts only: hva-compared-truncated.

26 facts are the same; the rules that both have are checked in the same order.
"""
    )


def test_the_same_on_a_32_bit_host_is_noticed() -> None:
    noticed = {
        question_text(each.question): (reply_text(each.before), reply_text(each.after))
        for each in _between("5.16/i386", "5.17/i386").noticed
    }
    assert noticed["5462 slots of 3 GiB less 64 KiB"] == (
        "5462 slots accepted",
        "slot 5462: EINVAL page-total-cap",
    )
    assert noticed["MMU budget of 820 GiB"] == ("4194", "4299161")


def test_word_size() -> None:
    _, out, _ = call("memslots diff 6.1/i386 6.1/x86_64")
    assert "Rules only on 6.1/i386\n  size-exceeds-ulong (EINVAL)" in out
    assert "word: 32 -> 64" in out
    assert "a slot of 4 GiB: EINVAL size-exceeds-ulong -> accepted" in out
    assert "end of host addresses: 0xc0000000 -> between" in out


def test_arm64_gains_slots_and_the_last_page() -> None:
    _, out, _ = call("memslots diff 5.11.6/arm64 5.12/arm64")
    assert "user-slots: 512 -> 32767" in out
    assert "a slot that ends exactly at 2^40 (VM of 40 bits): EFAULT ipa-limit -> accepted" in out


def test_no_difference() -> None:
    code, out, _ = call("memslots diff 6.1/x86_64 6.1/x86_64")
    assert (code, out.splitlines()[-1]) == (0, "No difference is known.")


def test_json_says_the_same_as_the_library() -> None:
    found = json.loads(call("memslots diff 5.17/x86_64 5.18/x86_64 --json")[1])
    assert found["schema"] == "memslots.diff/1"
    assert found["rules_new"] == ["gfn-above-max"]
    assert found["rules_gone"] == ["metadata-allocation"]
    assert [fact["name"] for fact in found["facts_started"]] == ["x86-max-gfn", "cap-x86-quirks2"]
    assert found["facts_started"][0]["since"] == "5.18"


def test_a_difference_read_backwards_is_its_mirror() -> None:
    there, back = _between("5.4/x86_64", "7.2/x86_64"), _between("7.2/x86_64", "5.4/x86_64")
    assert {fact.name for fact in there.started} == {fact.name for fact in back.ended}
    assert [rule.id for rule in there.new_rules] == [rule.id for rule in back.gone_rules]
    assert {(c.question, c.before, c.after) for c in there.noticed} == {
        (c.question, c.after, c.before) for c in back.noticed
    }


def test_neighbouring_releases_have_differences_that_are_known() -> None:
    profiles = [profile for profile in surveyed() if profile.arch.name in ("x86_64", "arm64")]
    silent = [
        (before.name, after.name)
        for before, after in itertools.pairwise(profiles)
        if before.arch is after.arch
        and (before.facts.keys() ^ after.facts.keys())
        - before.unobserved.keys()
        - after.unobserved.keys()
        and difference(before, after).is_empty
    ]
    assert silent == []


def test_unknown_kernels_are_usage_errors() -> None:
    code, out, err = call("memslots diff 6.1 ubuntu-24.04")
    assert (code, out) == (2, "")
    assert "nobody has asked this kernel" in err


def _between(before: str, after: str) -> object:
    return difference(find(before), find(after))


def test_every_question_has_a_title_of_its_own() -> None:
    assert len({question.id for question in QUESTIONS}) == len(QUESTIONS)
    assert len({question_text(question) for question in QUESTIONS}) == len(QUESTIONS)
