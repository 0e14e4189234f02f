"""The accounting designs (a) to (d) and the budget: every worked value of the specification."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memslots import Vm
from memslots.state.mmu_pages import MmuBudget, permille_budget, ratio_budget
from memslots.state.mmu_pages_designs import DESIGNS, CappedTotal, Constant, Walk, WideTotal
from memslots.state.page_total import total_would_underflow, total_would_wrap

GIB = 262144  # pages of 4 KiB
SLOT = 524272
"""Pages of the slots with which real 32-bit kernels were brought to wrap."""


@pytest.mark.parametrize(
    ("pages", "in_64_bits", "in_32_bits"),
    [
        (0, 64, 64),
        (3199, 64, 64),
        (3200, 64, 64),
        (3249, 64, 64),
        (3250, 65, 65),
        (GIB, 5242, 5242),
        (3 * GIB, 15728, 15728),
        (1 << 28, 5368709, 1073741),
        (2 << 28, 10737418, 2147483),
        (3 << 28, 16106127, 3221225),
        (4 << 28, 21474836, 64),
        (214748364, 4294967, 4294967),
        (214748365, 4294967, 64),
        (409 * SLOT, 4288544, 4288544),
        (410 * SLOT, 4299030, 4063),
    ],
)
def test_worked_values(pages, in_64_bits, in_32_bits):
    assert permille_budget(pages, 64) == in_64_bits == Walk(64).budget(pages)
    assert permille_budget(pages, 32) == in_32_bits == Walk(32).budget(pages)
    # design (d) is what 64 bits of (a) give, on hosts of either width
    assert (
        ratio_budget(pages)
        == in_64_bits
        == CappedTotal(32).budget(pages)
        == CappedTotal(64).budget(pages)
    )
    for bits in (32, 64):
        assert Constant(bits).budget(pages) == 64
        assert WideTotal(bits).budget(pages) == in_64_bits


def test_the_largest_budget_of_design_d_on_a_32_bit_host():
    assert CappedTotal(32).budget((1 << 32) - 1) == 85899345


def test_wide_total_wraps_where_its_budget_does_not_fit():
    """(c) keeps an exact total, but the budget is an unsigned long still."""
    wide = WideTotal(32)
    total = 50 << 32
    assert wide.total(total) == total
    assert wide.budget(total - 50) == (1 << 32) - 1
    assert wide.budget(total) == 64
    assert WideTotal(64).budget(total) == 1 << 32


def test_capped_total():
    capped = CappedTotal(32)
    assert not capped.refuses((1 << 32) - 2, 1)
    assert capped.refuses((1 << 32) - 1, 1)
    assert not CappedTotal(64).refuses(32767 * 2 * ((1 << 31) - 1), (1 << 31) - 1)
    assert total_would_wrap((1 << 32) - 1, 1, 32)
    assert not total_would_wrap((1 << 32) - 1, 1, 64)
    assert total_would_underflow(3, 4)
    assert not total_would_underflow(4, 4)


def test_slots_of_three_gibibytes():
    """5461 of them fit 32 bits of pages, one more does not."""
    assert 5461 * 3 * GIB == 4294705152
    assert not CappedTotal(32).refuses(5460 * 3 * GIB, 3 * GIB)
    assert CappedTotal(32).refuses(5461 * 3 * GIB, 3 * GIB)
    assert Walk(32).total(5462 * 3 * GIB) == 5462 * 3 * GIB - (1 << 32)


def test_letters():
    assert [design.letter for design in DESIGNS] == ["a", "b", "c", "d"]
    assert [design.caps_total for design in DESIGNS] == [False, False, False, True]
    assert all(design.title for design in DESIGNS)


@given(st.integers(0, 1 << 40), st.sampled_from([32, 64]))
def test_designs_agree_until_something_wraps(pages, bits):
    exact = max(pages // 50, 64)
    if pages * 20 < 1 << bits:
        assert Walk(bits).budget(pages) == exact
    if exact < 1 << bits:
        assert WideTotal(bits).budget(pages) == exact
    assert CappedTotal(bits).budget(pages) == exact
    assert 64 <= Walk(bits).budget(pages) <= exact
    assert Constant(bits).budget(pages) == 64


# -- a design under a VM


@pytest.mark.parametrize(
    ("design", "budgets"),
    [
        (Walk, [4288544, 4063, 4288544]),
        (Constant, [64, 64, 64]),
        (WideTotal, [4288544, 4299030, 4288544]),
        (CappedTotal, [4288544, 4299030, 4288544]),
    ],
)
def test_the_four_designs_on_the_same_calls(design, budgets):
    """The 410th slot of 524272 pages, on a 32-bit host of 2021 with each of the designs."""
    vm = Vm("5.10/i386", design=design(32))
    for slot in range(409):
        assert vm.set_user_memory_region(slot, 0, slot * SLOT << 12, SLOT << 12, 0).accepted
    seen = [vm.mmu_budget]
    assert vm.set_user_memory_region(409, 0, 409 * SLOT << 12, SLOT << 12, 0).accepted
    seen.append(vm.mmu_budget)
    assert vm.set_user_memory_region(409, 0, 0, 0, 0).accepted
    seen.append(vm.mmu_budget)
    assert seen == budgets


def test_a_kernel_has_the_design_of_its_time():
    kinds = {
        "4.19/x86_64": Walk,
        "5.16/x86_64": Walk,
        "5.17/x86_64": CappedTotal,
        "7.2/i386": CappedTotal,
    }
    for name, kind in kinds.items():
        assert type(Vm(name).state.design) is kind
    assert Vm("4.19.72/x86_64").state.design.long_bits == 32
    assert Vm("5.4/x86_64").state.design.long_bits == 64
    assert Vm("5.4/i386").state.design.long_bits == 32
    assert Vm("6.1/arm64").mmu_budget is None


# -- what a goal does when shadow pages are in use


def test_without_a_running_guest_the_goal_is_the_budget():
    budget = MmuBudget()
    budget.set_goal(100)
    assert (budget.goal, budget.n_used) == (100, 0)


@pytest.mark.parametrize(
    ("used", "pinned", "goal", "left"),
    [
        (50, 0, 100, 50),  # room enough
        (100, 0, 100, 100),
        (150, 0, 100, 100),  # reclaimed down to the goal
        (150, 120, 100, 120),  # pinned roots keep it above
        (150, 200, 100, 150),  # nothing can be reclaimed
        (150, 30, 64, 64),
    ],
)
def test_a_goal_below_what_is_used_is_clamped(used, pinned, goal, left):
    budget = MmuBudget()
    budget.n_used, budget.n_pinned = used, pinned
    budget.set_goal(goal)
    assert budget.n_used == left
    assert budget.goal == max(goal, left) if used <= goal else budget.goal == left


def test_the_clamp_under_a_vm():
    vm = Vm("6.1/x86_64")
    vm.set_user_memory_region(0, 0, 0, GIB << 12, 0x40000000).unwrap()
    assert vm.mmu_budget == 5242
    vm.state.budget.n_used, vm.state.budget.n_pinned = 1000, 200
    vm.set_nr_mmu_pages(100).unwrap()
    assert (vm.mmu_budget, vm.state.budget.n_used, vm.state.budget.n_requested) == (200, 200, 100)
    assert vm.get_nr_mmu_pages().unwrap() == 200
    vm.set_user_memory_region(0, 0, 0, 0, 0).unwrap()
    assert vm.mmu_budget == 200


def test_a_deletion_reclaims_when_the_budget_is_automatic():
    vm = Vm("6.1/x86_64")
    vm.set_user_memory_region(0, 0, 0, GIB << 12, 0x40000000).unwrap()
    vm.state.budget.n_used = 1000
    vm.set_user_memory_region(0, 0, 0, 0, 0).unwrap()
    assert (vm.mmu_budget, vm.state.budget.n_used) == (64, 64)


def test_a_copy_of_a_budget_is_independent():
    budget = MmuBudget()
    budget.n_requested, budget.n_used = 100, 7
    twin = budget.copy()
    twin.set_goal(64)
    assert budget.goal is None
    assert (twin.n_requested, twin.n_used) == (100, 7)
