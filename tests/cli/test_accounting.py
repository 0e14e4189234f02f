"""`memslots accounting`, and the comparison behind it."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from epilog import call, examples

from memslots.compare.designs import (
    PagesChange,
    aliases_needed,
    compare,
    compare_totals,
    equal_slots,
    first_refused_total,
    first_wrong_total,
    interesting,
    reachable_pages,
)
from memslots.state.mmu_pages import ratio_budget
from memslots.state.mmu_pages_designs import DESIGNS


@pytest.mark.parametrize("line", examples("accounting"))
def test_examples_of_the_help(line: str) -> None:
    code, out, err = call(line)
    assert (code, err) == (0, "")
    one_vm = "slots read" in out
    assert one_vm or "(d) capped unsigned long total / 50" in out


# Specification 4.1: pages, budget where nothing wraps, budget on a 32-bit host up to 5.16.
WORKED = [
    (3199, 64, 64),
    (3200, 64, 64),
    (3249, 64, 64),
    (3250, 65, 65),
    (262144, 5242, 5242),
    (3 << 18, 15728, 15728),
    (268435456, 5368709, 1073741),
    (536870912, 10737418, 2147483),
    (1073741824, 21474836, 64),
    (214748364, 4294967, 4294967),
    (214748365, 4294967, 64),
]


@pytest.mark.parametrize(("pages", "exact", "walk"), WORKED)
def test_worked_values(pages: int, exact: int, walk: int) -> None:
    (row,) = compare_totals([pages])
    budgets = {key: figure.budget for key, figure in row.figures.items()}
    assert budgets == {
        (32, "a"): walk, (32, "b"): 64, (32, "c"): exact, (32, "d"): exact,
        (64, "a"): exact, (64, "b"): 64, (64, "c"): exact, (64, "d"): exact,
    }  # fmt: skip


def test_411_slots_of_524272_pages_wrap_at_the_410th() -> None:
    rows = list(compare(equal_slots(411, 524272), (32,)))
    assert {letter: rows[408].figure(32, letter).budget for letter in "abcd"} == {
        "a": 4288544, "b": 64, "c": 4288544, "d": 4288544,
    }  # fmt: skip
    assert {letter: rows[409].figure(32, letter).budget for letter in "abcd"} == {
        "a": 4063, "b": 64, "c": 4299030, "d": 4299030,
    }  # fmt: skip
    assert [row.figure(32, "a").verdict for row in rows] == ["exact"] * 409 + ["wrong"] * 2


def test_the_5462nd_slot_of_just_under_3_gib_is_refused() -> None:
    rows = list(compare(equal_slots(5462, 786416), (32, 64)))
    assert rows[-2].figure(32, "d").verdict == "exact"
    assert rows[-1].figure(32, "d").verdict == "refused"
    assert rows[-1].figure(32, "d").budget == rows[-2].figure(32, "d").budget
    assert rows[-1].figure(64, "d").verdict == "exact"


def test_a_refused_slot_takes_nothing_away_when_it_is_deleted() -> None:
    big = (1 << 32) - 1
    changes = [
        PagesChange("1", big, 1),
        PagesChange("2", 100, 2),
        PagesChange("3", -100, 2),
        PagesChange("4", -big, 1),
    ]
    totals = [
        (row.figure(32, "d").total, row.figure(32, "a").total) for row in compare(changes, (32,))
    ]
    assert totals == [(big, big), (big, 99), (big, big), (0, 0)]


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("design", DESIGNS)
def test_first_wrong_total_is_the_first(design: type, bits: int) -> None:
    first = first_wrong_total(design.letter, bits)
    made = design(bits)
    if first is None:
        refused = first_refused_total(design.letter, bits)
        assert refused is not None
        assert made.refuses(0, refused)
        assert not made.refuses(0, refused - 1)
        assert made.budget(refused - 1) == ratio_budget(refused - 1)
        return
    assert made.budget(first) != ratio_budget(first)
    for below in (first - 1, first - 2, first // 2, first // 3, 65):
        assert made.budget(below) == ratio_budget(below)


def test_the_argument_for_the_cap() -> None:
    assert aliases_needed(1 << 32, 3 << 30) == 5462
    assert aliases_needed(1 << 32, 3 << 30, 2) == 2731
    assert aliases_needed(1 << 30, 3 << 30) > 1000
    assert reachable_pages(42, 2) < (1 << 32) - 1 < reachable_pages(43, 2)


def test_rows_left_out_are_marked_and_nothing_else_is() -> None:
    rows = list(compare(equal_slots(411, 524272), (32,)))
    labels = [row and row.label for row in interesting(rows)]
    assert labels == ["1", "2", None, "409", "410", "411"]
    assert [row and row.label for row in interesting(rows[:3])] == ["1", "2", "3"]
    assert interesting([]) == []


def test_table_as_text() -> None:
    _, out, _ = call("memslots accounting --host-bits 32 --slot-pages 524272 --slots 411")
    assert "  409  214427248  4288544   64*  4288544   4288544\n" in out
    assert "  410  214951520     4063*  64*  4299030   4299030\n" in out
    assert "wraps first at 214748365 pages (819.2 GiB)" in out


def test_json_has_every_row() -> None:
    code, out, _ = call("memslots accounting --slot-pages 524272 --slots 411 --json")
    found = json.loads(out)
    assert (code, found["schema"], len(found["rows"])) == (0, "memslots.accounting/1", 411)
    assert found["hosts"][0]["first_wrong_total_pages"] == {
        "a": 214748365,
        "b": 3250,
        "c": 214748364800,
        "d": None,
    }
    assert found["rows"][409]["figures"][0] == {
        "host_bits": 32, "design": "a", "total_pages": 214951520, "budget": 4063,
        "verdict": "wrong",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--slots 3", "--slots needs --slot-pages"),
        ("--slot-pages 0", "take numbers from 1"),
        ("--slot-pages 1 --pages 3", "give one of"),
        ("--pages 3,x", "not 'x'"),
        ("no-such-file", "no-such-file"),
        ("--design no-such.py", "no-such.py"),
        ("--lost 0", "from 1 to those of the slot"),
        ("--lost 1 --kernel 5.10", "keeps no total"),
        ("--requested 1 --kernel 6.1/arm64", "call of x86"),
        ("--fill", "no VM fills"),
        ("--fill --acts", "not allowed with"),
        ("examples/recordings/qemu72-q35-lifecycle.strace --kernel 1.0", "begin with"),
    ],
)
def test_errors_name_the_mistake(words: str, message: str) -> None:
    code, out, err = call(f"memslots accounting {words}")
    assert (code, out) == (2, "")
    assert message in err


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("--acts", "move 262144 pages"),
        ("--lost 1", "EIO"),
        ("--requested 100", "KVM_SET_NR_MMU_PAGES 100"),
        ("--fill --kernel 7.2/ppc32", "6553 slots of 655344 pages (15.998 TiB)"),
    ],
)
def test_one_vm_call_by_call(words: str, shown: str) -> None:
    code, out, err = call(f"memslots accounting {words}")
    assert (code, err) == (0, "")
    assert shown in out
    code, out, _ = call(f"memslots accounting {words} --json")
    found = json.loads(out)
    assert (code, found["schema"]) == (0, "memslots.page-total/1")
    assert {
        "kind",
        "count",
        "npages",
        "errno",
        "rule",
        "total",
        "budget",
        "slots_read",
        "swaps",
    } <= set(found["acts"][0])


def test_a_design_of_ones_own_as_text_and_json() -> None:
    line = (
        "memslots accounting --design examples/accounting/late_budget.py --slot-pages 262144 "
        "--slots 3"
    )
    code, out, err = call(line)
    assert (code, err) == (1, "")
    assert "(own) LateBudget: total / 50, worked out before the total is updated" in out
    assert "is wrong first at a total of 3250 pages: its budget is 64, as merged it is 65" in out
    code, out, _ = call(f"{line} --json")
    found = json.loads(out)
    assert code == 1
    assert found["schema"] == "memslots.accounting/1"
    assert found["own"]["words"][0]["first_wrong_total"]["pages"] == 3250
    assert found["own"]["words"][0]["fault"]["changes"] == [
        {"kind": "create", "slot": 0, "npages": 3250}
    ]
    own = [figure for figure in found["rows"][1]["figures"] if figure["design"] == "own"]
    assert [figure["budget"] for figure in own] == [5242, 5242]


def test_a_right_design_ends_with_0() -> None:
    code, out, _ = call(
        "memslots accounting --design examples/accounting/cached_total.py --pages 3250 "
        "--host-bits 32"
    )
    assert code == 0
    assert "  32-bit host         nothing wrong was found\n" in out


def test_a_broken_design_is_no_traceback(tmp_path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("class Mine:\n    def commit(self, kind, npages, slots):\n        pass\n")
    code, out, err = call(f"memslots accounting --design {path}")
    assert (code, out) == (2, "")
    assert f"memslots accounting: {path}: __init__() raised TypeError" in err
    assert "Traceback" not in err


def test_a_picture_has_a_line_for_ones_own(tmp_path) -> None:
    path = tmp_path / "designs.svg"
    call(f"memslots accounting --slot-pages 524272 --slots 5 --design merged --svg {path}")
    text = path.read_text()
    assert text.count("<polyline") == 10
    assert "(own) Merged" in text


def test_picture(tmp_path):
    from xml.etree import ElementTree

    path = tmp_path / "designs.svg"
    code, out, _ = call(f"memslots accounting --slot-pages 524272 --slots 411 --svg {path}")
    assert code == 0
    assert "4063*" in out
    picture = ElementTree.parse(path).getroot()
    lines = picture.findall("{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 8
    assert all(len(line.get("points").split()) == 411 for line in lines)


def _line(path, letter):
    """(x, y) of the points of a design's line."""
    text = path.read_text()
    points = text.split(f'<polyline class="{letter}" points="')[1].split('"')[0]
    return [tuple(map(float, point.split(","))) for point in points.split()]


def test_a_saw_is_drawn_with_each_of_its_teeth(tmp_path):
    path = tmp_path / "designs.svg"
    call(f"memslots accounting --host-bits 32 --svg {path}")
    ys = [y for _, y in _line(path, "a")]
    falls = sum(1 for one, other in pairwise(ys) if other > one + 1)
    assert falls == 20  # 16 TiB are 2^32 pages: the product wraps twenty times on the way
    assert "(d) refuses from 16 TiB" in path.read_text()
    assert "80,000,000" in path.read_text()


def test_a_saw_that_is_too_fine_is_said(tmp_path):
    path = tmp_path / "designs.svg"
    call(f"memslots accounting --host-bits 32 --pages 0x10000000000 --svg {path}")
    assert "(a) wraps 5,120 times, more often than can be drawn" in path.read_text()
    assert "(d) refuses from 16 TiB" in path.read_text()


def test_the_picture_of_a_recording_goes_step_by_step(tmp_path):
    path = tmp_path / "designs.svg"
    call(f"memslots accounting examples/refused-overlap.strace --host-bits 64 --svg {path}")
    xs = [x for x, _ in _line(path, "d")]
    assert xs == sorted(xs)
    assert ">step</text>" in path.read_text()
