"""Calls on one VM that show its total and budget: order, guard, requested numbers, a host filled
up.
"""

from __future__ import annotations

import pytest

from memslots.compare.page_total import (
    CREATE,
    DELETE,
    FILL,
    OVER,
    filled,
    kinds_of_change,
    lost_count,
    requested,
)

GIB = 1 << 18


def _short(acts):
    return [(act.kind, act.errno, act.total, act.budget) for act in acts]


def test_moves_and_flags_leave_total_and_budget():
    walk, kept = kinds_of_change("5.16/x86_64"), kinds_of_change("5.17/x86_64")
    assert _short(walk) == _short(kept)
    assert [act.total for act in kept] == [GIB, 2 * GIB, 2 * GIB, 2 * GIB, GIB, 0]
    assert [act.budget for act in kept] == [5242, 10485, 10485, 10485, 5242, 64]
    # what differs is what it takes to know
    assert [act.slots_read for act in walk] == [1, 2, 2, 2, 1, 0]
    assert [act.slots_read for act in kept] == [0] * 6
    assert [act.swaps for act in kept] == [1, 2, 3, 5, 7, 9]


def test_a_lost_page_is_found_by_the_last_deletion():
    acts = lost_count("6.1/x86_64", 3)
    assert [(act.kind, act.errno, act.rule_id) for act in acts[-2:]] == [
        (DELETE, 0, ""), (DELETE, 5, "page-total-underflow"),
    ]  # fmt: skip
    assert [act.total for act in acts] == [GIB, GIB - 3, GIB, 0, 0]


@pytest.mark.parametrize("lost", [0, -1, GIB + 1])
def test_what_cannot_be_lost(lost):
    with pytest.raises(ValueError, match="takes a number of pages"):
        lost_count("6.1/x86_64", lost)


def test_a_kernel_without_a_total_cannot_lose_it():
    with pytest.raises(ValueError, match="keeps no total"):
        lost_count("5.16/x86_64", 1)


@pytest.mark.parametrize("kernel", ["5.10/x86_64", "6.1/x86_64"])
def test_a_requested_number_stays(kernel):
    acts = requested(kernel, 100)
    assert [act.budget for act in acts] == [5242, 100, 100, 100, 100]
    assert [act.total for act in acts] == [GIB, GIB, 2 * GIB, GIB, 0]
    assert all(act.slots_read == 0 for act in acts[1:])


def test_a_number_that_is_refused_changes_nothing():
    acts = requested("6.1/x86_64", 63)
    assert (acts[1].errno, acts[1].rule_id) == (22, "mmu-pages-too-few")
    assert [act.budget for act in acts] == [5242, 5242, 10485, 5242, 64]


def test_requests_need_a_budget():
    with pytest.raises(ValueError, match="call of x86"):
        requested("6.1/arm64", 100)
    with pytest.raises(ValueError, match="not -1"):
        requested("6.1/x86_64", -1)


@pytest.mark.parametrize("kernel", ["6.1/ppc32", "7.2/ppc32", "6.1/i386+pa52"])
def test_a_32_bit_host_is_filled_to_the_last_page(kernel):
    acts = filled(kernel)
    assert (acts[0].kind, acts[0].count, acts[0].total) == (FILL, 6553, 6553 * 655344)
    assert [(act.kind, act.errno, act.rule_id) for act in acts[1:]] == [
        (CREATE, 22, "page-total-cap"),
        (CREATE, 0, ""),
        (CREATE, 22, "page-total-cap"),
        (OVER, 22, "page-total-cap"),  # before the check for overlap
        ("move", 0, ""),
        (DELETE, 0, ""),
        (OVER, 17, "slot-overlap"),
    ]
    assert acts[2].total == (1 << 32) - 1


def test_before_the_cap_nothing_refuses():
    (act,) = filled("5.16/ppc32")
    assert act.total > 1 << 32
    (act,) = filled("5.10/ppc32")
    assert act.count == 512  # all the slots there are


def test_what_stops_sooner_says_why():
    acts = filled("6.1/i386")
    assert "+paN" in acts[-1].undecided
    with pytest.raises(ValueError, match="no VM fills"):
        filled("6.1/x86_64")
