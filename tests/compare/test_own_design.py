"""A design of one's own: faults planted in it are found, right ones pass, a broken file is named
with its line.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from memslots.compare.accounting import Comparison
from memslots.compare.design_faults import (
    BUDGET,
    REFUSED,
    SMALL_WORDS,
    TOTAL,
    edges,
    first_wrong_total,
    run,
    shortest_fault,
    slot_pages,
)
from memslots.compare.designs import OWN, PagesChange, compare, equal_slots
from memslots.compare.designs import first_wrong_total as first_known
from memslots.compare.own_design import BudgetFirst, Merged, OwnDesign, load_design
from memslots.state.change import FLAGS_ONLY, MOVE

EXAMPLES = Path(__file__).parents[2] / "examples" / "accounting"


class Walk:
    """(a)"""

    def __init__(self, ulong, u64):
        pass

    def commit(self, kind, npages, slots):
        self.budget = max(sum(slots) * 20 / 1000, 64)


class Constant(Merged):
    """(b)"""

    def commit_arch(self, kind):
        self.budget = max(self.total * (20 // 1000), 64)


class WideTotal:
    """(c)"""

    def __init__(self, ulong, u64):
        self.total = u64(0)

    def commit(self, kind, npages, slots):
        self.total += {"create": npages, "delete": -int(npages)}.get(kind, 0)
        self.budget = max(self.total * 20 / 1000, 64)


class Uncapped(Merged):
    """No check at creation."""

    def refuses(self, kind, npages):
        return False


class CapTooLate(Merged):
    """Lets one page too many in: compares with > where it should be >=."""

    def refuses(self, kind, npages):
        return kind == "create" and int(self.total) + int(npages) > 1 << type(self.total).bits


class CapTooEarly(Merged):
    """Refuses the last page."""

    def refuses(self, kind, npages):
        return (
            kind == "create" and int(self.total) + int(npages) >= (1 << type(self.total).bits) - 1
        )


class CountsFlags(Merged):
    """Every commit adds the pages of its slot."""

    def update_total(self, kind, npages):
        super().update_total("create" if kind in ("flags", "move") else kind, npages)


class MovesCount(Merged):
    """A move is taken for a creation, without the deletion."""

    def update_total(self, kind, npages):
        super().update_total("create" if kind == "move" else kind, npages)


class NeverDeletes(Merged):
    """The other half is missing."""

    def update_total(self, kind, npages):
        if kind == "create":
            self.total += npages


class CountsSlots(Merged):
    """Slots are counted, not pages."""

    def update_total(self, kind, npages):
        super().update_total(kind, 1)


class GuardTheWrongWay(Merged):
    """Refuses to delete the last slot."""

    def refuses(self, kind, npages):
        return self.total + npages < self.total if kind == "create" else self.total <= npages


class NoMinimum(Merged):
    """64 is forgotten."""

    def commit_arch(self, kind):
        self.budget = self.total / 50


class RoundsUp(Merged):
    """One shadow page too many."""

    def commit_arch(self, kind):
        self.budget = max((self.total + 49) / 50, 64)


class OnlyOnCreate(Merged):
    """A deletion leaves the budget."""

    def commit_arch(self, kind):
        if kind == "create":
            super().commit_arch(kind)


class Int(Merged):
    """The product is an int's worth of bits on every host."""

    def commit_arch(self, kind):
        self.budget = max((self.total * 20 & 0xFFFFFFFF) / 1000, 64)


# class: what is wrong, and the first total on a 32-bit host, or the number of changes that shows it
PLANTED = [
    (Walk, BUDGET, -(-(1 << 32) // 20), None),
    (Constant, BUDGET, 3250, 1),
    (WideTotal, BUDGET, 50 << 32, None),
    (Uncapped, TOTAL, 1 << 32, 2),
    (CapTooLate, TOTAL, 1 << 32, 2),
    (CapTooEarly, REFUSED, (1 << 32) - 1, 1),
    (CountsFlags, TOTAL, None, 2),
    (MovesCount, TOTAL, None, 2),
    (NeverDeletes, TOTAL, None, 2),
    (CountsSlots, TOTAL, 2, 1),
    (GuardTheWrongWay, REFUSED, None, 2),
    (NoMinimum, BUDGET, 1, 1),
    (RoundsUp, BUDGET, 3201, 1),
    (OnlyOnCreate, BUDGET, None, 2),
    (BudgetFirst, BUDGET, 3250, 1),
    (Int, BUDGET, -(-(1 << 32) // 20), 1),
]


def _name(value):
    return getattr(value, "__name__", "")


@pytest.mark.parametrize(("maker", "about", "total", "changes"), PLANTED, ids=_name)
def test_a_planted_fault_is_found(maker, about, total, changes):
    design = OwnDesign(maker)
    wrong = first_wrong_total(design, 32)
    assert (wrong and wrong.pages) == total
    if wrong is not None:
        assert wrong.fault.about == about
        assert wrong.is_smallest == (total <= 1 << 13)
    fault = shortest_fault(design, 32)
    if changes is None:
        return  # found by its total alone, or by some sequence or other
    assert fault is not None
    assert fault.about == about
    assert len(fault.changes) == changes
    # it is a fault: run once more, and not before its last change
    assert run(design, 32, fault.changes).about == about
    assert run(design, 32, fault.changes[:-1]) is None


@pytest.mark.parametrize("maker", [entry[0] for entry in PLANTED], ids=_name)
def test_it_is_found_on_some_small_word_or_64_bits_too(maker):
    design = OwnDesign(maker)
    widths = (64, *SMALL_WORDS)
    assert any(first_wrong_total(design, bits) or shortest_fault(design, bits) for bits in widths)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize(("maker", "letter"), [(Walk, "a"), (Constant, "b"), (WideTotal, "c")])
def test_the_four_designs_written_anew_are_wrong_where_it_is_known(maker, letter, bits):
    assert first_wrong_total(OwnDesign(maker), bits).pages == first_known(letter, bits)


@pytest.mark.parametrize("bits", [32, 64, *SMALL_WORDS])
@pytest.mark.parametrize("name", ["merged", str(EXAMPLES / "cached_total.py")])
def test_nothing_is_found_of_what_is_right(name, bits):
    design = load_design(name)
    assert first_wrong_total(design, bits) is None
    assert shortest_fault(design, bits) is None


def test_merged_keeps_the_same_books_as_d():
    draw = random.Random(7)
    live, changes = {}, []
    for key in range(400):
        kind = draw.choice(("create", "create", "delete", "other"))
        if kind == "create" or not live:
            live[key] = draw.choice(slot_pages(32))
            changes.append(PagesChange("", live[key], key))
        elif kind == "delete":
            gone = draw.choice(sorted(live))
            changes.append(PagesChange("", -live.pop(gone), gone))
        else:
            changes.append(
                PagesChange("", 0, draw.choice(sorted(live)), draw.choice((MOVE, FLAGS_ONLY)))
            )
    verdicts = set()
    for row in compare(changes, (32, 64), OwnDesign(Merged)):
        for bits in (32, 64):
            own, known = row.figure(bits, OWN), row.figure(bits, "d")
            assert (own.total, own.budget, own.verdict) == (
                known.total,
                known.budget,
                known.verdict,
            )
            verdicts.add((bits, own.verdict))
    assert verdicts == {(32, "exact"), (32, "refused"), (64, "exact")}


def test_late_budgets_are_those_of_the_change_before():
    rows = list(compare(equal_slots(4, 1 << 18), (64,), OwnDesign(BudgetFirst)))
    budgets = [row.figure(64, "d").budget for row in rows]
    assert [row.figure(64, OWN).budget for row in rows] == [64, *budgets[:-1]]
    assert [row.figure(64, OWN).total for row in rows] == [row.pages for row in rows]


def test_edges_stand_beside_what_wraps():
    assert {214748364, 214748365, 4294967295, 4294967296, 50 << 32} <= set(edges(32))


def test_two_vms_have_a_total_each():
    changes = [
        PagesChange("1", 1 << 18, 0, vm="one"),
        PagesChange("2", 1 << 18, 0, vm="two"),
        PagesChange("3", 1 << 18, 1, vm="one"),
    ]
    rows = list(compare(changes, (64,), OwnDesign(Merged)))
    assert [(row.pages, row.figure(64, "d").budget, row.figure(64, OWN).budget) for row in rows] == [  # noqa: E501
        (1 << 18, 5242, 5242), (1 << 18, 5242, 5242), (2 << 18, 10485, 10485),
    ]  # fmt: skip


def test_the_comparison_says_whether_it_is_wrong():
    assert Comparison(
        slots=3, slot_pages=1 << 18, design="budget-first", host_bits=(32,)
    ).is_own_wrong
    made = Comparison(pages="1,2", design="merged")
    assert not made.is_own_wrong
    assert set(made.faults) == {32, 64, *SMALL_WORDS}
    assert not Comparison(pages="1,2").is_own_wrong


# -- broken files

BROKEN = [
    ("class A(:\n", "line 1", "SyntaxError"),
    ("x = 1\n", "", "found: none"),
    ("class A:\n def commit(self, k, n, s): pass\nclass B:\n def commit(self, k, n, s): pass\n", "",
    "found: A, B"),
    ("import no_such_module_here\n", "line 1", "ModuleNotFoundError"),
    ("raise SystemExit(3)\n", "line 1", "SystemExit"),
    ("class A:\n def __init__(self): pass\n def commit(self, k, n, s): pass\n", "", "__init__() "
        "raised TypeError"),
    ("class A:\n def __init__(self, a, b): pass\n def commit(self, k, n, s):\n  self.budget = "
     "self.gone\n", "line 4",
     "commit() raised AttributeError"),
    ("class A:\n def __init__(self, a, b): self.total = a(0)\n def commit(self, k, n, s):\n  "
     "self.budget = n * 0.02\n",
     "line 4", "20 / 1000 is 0"),
    ("class A:\n def __init__(self, a, b): pass\n def commit(self, k, n, s): self.budget = 0.5\n",
    "",
     "budget is 0.5, not an integer"),
    ("class A:\n def __init__(self, a, b): self.total = 'x'\n def commit(self, k, n, s): "
     "self.budget = 64\n", "",
     "total is 'x', not an integer"),
    ("class A:\n def __init__(self, a, b): pass\n def refuses(self, k, n): return 1 // 0\n"
     " def commit(self, k, n, s): pass\n", "line 3", "refuses() raised ZeroDivisionError"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "message"), BROKEN)
def test_a_broken_file_is_a_clear_error(text, line, message, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"mine\.py") as raised:
        Comparison(pages="3250", design=str(path))
    assert line in str(raised.value)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_design_that_sets_no_budget_is_wrong_not_broken(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("class A:\n def __init__(self, a, b): pass\n def commit(self, k, n, s): pass\n")
    fault = shortest_fault(load_design(str(path)), 32)
    assert (fault.about, fault.found, fault.wanted) == (BUDGET, None, 64)


def test_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "mine.py"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="no Python file"):
        load_design(str(path))
    with pytest.raises(OSError, match="no-such"):
        load_design(str(tmp_path / "no-such.py"))


def test_of_a_class_and_its_base_the_derived_one_is_taken(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "class Base:\n def __init__(self, a, b): pass\n def commit(self, k, n, s): self.budget = "
        "64\n"
        "class Mine(Base):\n 'what it does'\n"
    )
    assert load_design(str(path)).title == "Mine: what it does"
