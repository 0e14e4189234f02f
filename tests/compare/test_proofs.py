"""What is claimed of the four accounting designs, proved for every total on 32- and 64-bit hosts.

Nothing is modelled a second time: the code of the designs itself runs on symbolic numbers.  Where
it asks whether something holds, both answers that are possible are followed; an SMT solver then has
to find no number on any path for which the claim fails.
"""

from __future__ import annotations

import pytest
import z3

from memslots import Vm
from memslots.compare.designs import first_refused_total, first_wrong_total
from memslots.state.mmu_pages import KVM_MIN_ALLOC_MMU_PAGES, permille_budget, ratio_budget
from memslots.state.mmu_pages_designs import DESIGNS, CappedTotal, Constant, Walk, WideTotal
from memslots.state.page_total import total_would_underflow, total_would_wrap
from memslots.units import truncate

WIDTHS = [32, 64]


class Path:
    """One way through the code: what was answered, and must therefore hold."""

    current: Path | None = None

    def __init__(self, known, answers):
        self.answers, self.asked = list(answers), 0
        self.solver = z3.Solver()
        self.solver.add(*known)
        self.conditions = []
        self.forks = []
        """Beginnings of other ways, not taken here."""

    def possible(self, condition):
        self.solver.push()
        self.solver.add(condition)
        found = self.solver.check()
        self.solver.pop()
        assert found != z3.unknown
        return found == z3.sat

    def ask(self, condition):
        if self.asked == len(self.answers):
            yes, no = self.possible(condition), self.possible(z3.Not(condition))
            if yes and no:
                self.forks.append([*self.answers, False])
            self.answers.append(yes)
        answer = self.answers[self.asked]
        self.asked += 1
        self.conditions.append(condition if answer else z3.Not(condition))
        self.solver.add(self.conditions[-1])
        return answer


class Truth:
    """A condition on symbolic numbers; the code that asks for its value takes a path."""

    def __init__(self, term):
        self.term = term

    def __bool__(self):
        return Path.current.ask(self.term)


class Number:
    """A symbolic integer, of any size: what the designs are given in place of a page count."""

    def __init__(self, term):
        self.term = term

    def __add__(self, other):
        return Number(self.term + term(other))

    def __sub__(self, other):
        return Number(self.term - term(other))

    def __mul__(self, other):
        assert isinstance(other, int)
        return Number(self.term * other)

    def __floordiv__(self, other):
        assert isinstance(other, int)
        assert other > 0
        return Number(self.term / other)

    def __rshift__(self, bits):
        return Number(self.term / (1 << bits))

    def __and__(self, mask):
        assert mask & (mask + 1) == 0, "only masks of low bits"
        return Number(self.term % (mask + 1))

    def __lt__(self, other):
        return Truth(self.term < term(other))

    def __le__(self, other):
        return Truth(self.term <= term(other))

    def __gt__(self, other):
        return Truth(self.term > term(other))

    def __ge__(self, other):
        return Truth(self.term >= term(other))

    def __eq__(self, other):
        return Truth(self.term == term(other))

    def __ne__(self, other):
        return Truth(self.term != term(other))

    __hash__ = None
    __radd__ = __add__
    __rmul__ = __mul__


def term(value):
    return value.term if isinstance(value, (Number, Truth)) else value


def paths(code, *known):
    """(conditions, result) of every way through the code."""
    todo = [[]]
    while todo:
        path = Path.current = Path([term(one) for one in known], todo.pop())
        try:
            result = code()
        finally:
            Path.current = None
        todo += path.forks
        yield path.conditions, result


def counterexample(code, claim, *known):
    """A model of the numbers for which the claim on the code's result fails; None: it is proved."""
    for conditions, result in paths(code, *known):
        solver = z3.Solver()
        solver.add(*(term(one) for one in known), *conditions, z3.Not(term(claim(result))))
        found = solver.check()
        assert found != z3.unknown
        if found == z3.sat:
            return solver.model()
    return None


def proved(code, claim, *known):
    failing = counterexample(code, claim, *known)
    assert failing is None, failing


total, pages = Number(z3.Int("total")), Number(z3.Int("pages"))


def both(design, total):
    """The budget of a design, and the exact one."""
    return lambda: (design.budget(total), ratio_budget(total))


def same(pair):
    return Truth(term(pair[0]) == term(pair[1]))


# -- the tool itself


def test_it_follows_both_answers_and_finds_what_fails():
    assert len(list(paths(lambda: ratio_budget(total), total >= 0))) == 2
    assert len(list(paths(lambda: ratio_budget(total), total >= 0, total < 3200))) == 1
    found = counterexample(both(Walk(32), total), same, total >= 0, total < 1 << 32)
    wrong = found[total.term].as_long()
    assert permille_budget(wrong, 32) != ratio_budget(wrong)
    # one page more than where it is right
    first = first_wrong_total("a", 32)
    assert (
        counterexample(both(Walk(32), total), same, total >= 0, total <= first)[
            total.term
        ].as_long()
        == first
    )


@pytest.mark.parametrize("value", [0, 3250, 214748365, 4294967296, 50 << 32, 922337203685477581])
@pytest.mark.parametrize("bits", WIDTHS)
def test_the_symbolic_run_is_the_concrete_one(value, bits):
    for design in DESIGNS:
        made = design(bits)
        fixed = Truth(total.term == value)
        proved(
            lambda made=made: made.budget(total),
            lambda got, made=made: got == made.budget(value),
            fixed,
        )
        proved(
            lambda made=made: made.total(total),
            lambda got, made=made: got == made.total(value),
            fixed,
        )


# -- wrong first at


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("design", [Walk, Constant, WideTotal])
def test_right_below_the_first_wrong_total_and_wrong_at_it(design, bits):
    first = first_wrong_total(design.letter, bits)
    proved(both(design(bits), total), same, total >= 0, total < first)
    assert design(bits).budget(first) != ratio_budget(first)


@pytest.mark.parametrize("bits", WIDTHS)
def test_the_constant_is_wrong_from_there_on(bits):
    proved(both(Constant(bits), total), lambda pair: pair[0] == KVM_MIN_ALLOC_MMU_PAGES, total >= 0)
    first = first_wrong_total("b", bits)
    proved(both(Constant(bits), total), lambda pair: pair[0] != pair[1], total >= first)


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("design", [Walk, WideTotal])
def test_what_wraps_is_never_too_much(design, bits):
    """The fault is always a budget that is too small, and never below the minimum."""
    proved(both(design(bits), total), lambda pair: pair[0] <= pair[1], total >= 0)
    proved(both(design(bits), total), lambda pair: pair[0] >= KVM_MIN_ALLOC_MMU_PAGES, total >= 0)


@pytest.mark.parametrize("bits", WIDTHS)
def test_the_sum_of_the_walk_wraps_exactly_at_two_to_the_width(bits):
    proved(lambda: Walk(bits).total(total), lambda got: got == total, total >= 0, total < 1 << bits)
    proved(lambda: Walk(bits).total(total), lambda got: got < total, total >= 1 << bits)


# -- never wraps


@pytest.mark.parametrize("bits", WIDTHS)
def test_the_capped_design_is_exact_wherever_it_lets_slots_in(bits):
    capped = CappedTotal(bits)
    assert first_wrong_total("d", bits) is None
    assert first_refused_total("d", bits) == 1 << bits
    sensible = (total >= 0, total < 1 << bits, pages >= 1, pages < 1 << bits)
    # it refuses exactly what would not fit
    proved(
        lambda: capped.refuses(total, pages),
        lambda refused: Truth(refused.term == (total.term + pages.term >= 1 << bits)),
        *sensible,
    )
    # what it lets in keeps the total within an unsigned long, unwrapped, and the budget too
    let_in = Truth(z3.Not(total_would_wrap(total, pages, bits).term))
    after = total + pages
    proved(lambda: capped.total(after), lambda got: got == after, *sensible, let_in)
    proved(lambda: truncate(after, bits), lambda got: got == after, *sensible, let_in)
    proved(both(capped, after), same, *sensible, let_in)
    proved(lambda: capped.budget(after), lambda got: got < 1 << bits, *sensible, let_in)


@pytest.mark.parametrize("bits", WIDTHS)
def test_the_check_of_the_kernel_is_the_one_of_the_model(bits):
    """C asks whether the wrapped sum is less than the total; the rule compares with the largest
    total.
    """
    sensible = (total >= 0, total < 1 << bits, pages >= 0, pages < 1 << bits)
    wrapped = truncate(total + pages, bits)
    refused = total_would_wrap(total, pages, bits).term
    proved(lambda: refused, lambda got: Truth(got == (wrapped.term < total.term)), *sensible)
    cap = Vm("6.1/i386" if bits == 32 else "6.1/x86_64").state.total_cap
    proved(lambda: refused, lambda got: Truth(got == (total.term + pages.term > cap)), *sensible)


def test_no_deletion_underflows_while_the_total_is_the_sum():
    """The guard fires for no slot that is part of the total, and whenever a total is smaller than
    its slot.
    """
    others = Number(z3.Int("others"))
    proved(
        lambda: total_would_underflow(others + pages, pages), lambda got: Truth(z3.Not(got.term)),
        others >= 0, pages >= 1,
    )  # fmt: skip
    lost = Number(z3.Int("lost"))
    proved(
        lambda: total_would_underflow(pages - lost, pages),
        lambda got: got,
        lost >= 1,
        pages >= lost,
    )


def test_no_vm_of_a_64_bit_host_reaches_a_fault():
    """The ids of both address spaces together are fewer than 2^16; each with the largest slot."""
    machine = Vm("7.2/x86_64").state.machine
    assert (machine.user_slots + machine.internal_slots) * machine.spaces < 1 << 16
    largest = (1 << 16) * ((1 << 31) - 1)
    assert largest < 1 << 47
    for letter in "acd":
        for first in (first_wrong_total(letter, 64), first_refused_total(letter, 64)):
            assert first is None or first > largest
