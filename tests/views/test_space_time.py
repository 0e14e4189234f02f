"""The space-time map: well-formed, complete, exact in its titles, bounded however long it is."""

from __future__ import annotations

import random
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from strace_lines import EEXIST, EINVAL, MIB, RAM, region, vcpu, vm

from memslots.explain.analysis import Analysis
from memslots.explain.slot_lives import SlotLives
from memslots.kernel.names import find
from memslots.model.vm import Vm
from memslots.replay.replay import Replay
from memslots.trace import read
from memslots.views.address_rows import MOST_ROWS, AddressRows
from memslots.views.moment_columns import COLUMNS
from memslots.views.space_time import MOST_VMS, space_time

TOP = Path(__file__).parents[2]
RECORDINGS = sorted((TOP / "examples" / "recordings").iterdir())
SVG = "{http://www.w3.org/2000/svg}"
SLOT_CLASSES = {"ram", "ro", "log", "gmem", "own", "may", "inv"}


def picture(source, kernel=None, **options):
    analysis, lives = Analysis(source, kernel and find(kernel), most=0), SlotLives()
    for step, _ in analysis.run():
        lives.see(step, analysis.replay.tracked.vm)
    vms = list(lives.vms.values())
    return space_time(vms, analysis.profile.name, **options), vms


def drawn(*lines, **options):
    return picture("\n".join(lines).encode(), "6.1/x86_64", **options)[0]


def marked(svg, *kinds):
    """(element, its title) of all of these classes that have a title."""
    found = []
    for element in ElementTree.fromstring(svg).iter():
        title = element.find(f"{SVG}title")
        if set((element.get("class") or "").split()) & set(kinds) and title is not None:
            found.append((element, title.text))
    return found


def number(element, name):
    return float(element.get(name))


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.name)
def test_every_recording_has_a_picture_with_each_life(path):
    svg, vms = picture(str(path))
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    few = [each for each in vms if each.moments and (each.lives or each.refused)]
    if len(few) > MOST_VMS:
        assert f"{len(few) - MOST_VMS} VM" in svg
        return
    lasting = [
        life for vm_ in few for life in vm_.lives if life.end is None or life.end > life.first
    ]
    assert len(marked(svg, *SLOT_CLASSES)) == len(lasting)
    assert len(marked(svg, "refused")) == sum(len(each.refused) for each in few)
    assert len(marked(svg, "gone")) == sum(len(each.unbacked) for each in few)


def test_it_needs_no_script_and_nothing_from_elsewhere_and_has_two_schemes():
    svg = drawn(vm(), region(0, 0, MIB))
    assert "<script" not in svg
    assert set(re.findall(r"(?:href=|src=|url\()\W*\w+", svg)) == {"url(#st"}
    assert "prefers-color-scheme:dark" in svg
    assert re.findall(r'(?:xmlns|https?)[=:]"?[^" ]*', svg) == ['xmlns="http://www.w3.org/2000/svg']


def test_a_small_slot_is_as_high_as_a_large_one():
    svg = drawn(
        vm(), region(0, 0, 40 << 10), region(1, 1 << 32, 255 * MIB, RAM + MIB)
    )  # fmt: skip
    first, second = (element for element, _ in marked(svg, "ram"))
    assert number(first, "height") == number(second, "height") > 10
    assert number(first, "y") > number(second, "y")  # the higher address stands above


def test_titles_have_the_exact_numbers():
    svg = drawn(
        vm(), region(3, 0xC0000, 0x8000, RAM, flags="KVM_MEM_READONLY"), region(3, 0, 0)
    )  # fmt: skip
    ((_, title),) = marked(svg, "ro")
    assert title.splitlines() == [
        "slot 3: gpa [0xc0000, 0xc8000), 32 KiB",
        "gfns [0xc0, 0xc8), hva 0x7f0000000000",
        "KVM_MEM_READONLY",
        "from step 2 to step 3",
    ]
    assert {"0xc0000", "0xc8000"} <= set(re.findall(r">(0x\w+)<", svg))


def test_a_refused_request_lies_over_the_slot_in_its_way():
    svg = drawn(vm(), region(0, 0, 2 * MIB), region(1, MIB, 2 * MIB, RAM + 4 * MIB, result=EEXIST))
    (slot, _), ((refused, title),) = marked(svg, "ram")[0], marked(svg, "refused")
    assert title == ("step 3: slot 1 refused, EEXIST slot-overlap\ngpa [0x100000, 0x300000), 2 MiB")
    bottom = number(refused, "y") + number(refused, "height")
    assert number(slot, "y") < bottom < number(slot, "y") + number(slot, "height")
    assert number(refused, "y") < number(slot, "y")
    assert number(refused, "x") > number(slot, "x")
    assert ">EEXIST</text>" in svg


def test_what_a_vcpu_could_see_is_hatched_between_the_two_calls():
    svg = drawn(
        vm(pid=1), vcpu(0, 5, pid=2), region(0, 0, MIB, pid=1), region(0, 0, 0, pid=1),
        region(1, 0, MIB, pid=1),
    )  # fmt: skip
    ((gone, title),) = marked(svg, "gone")
    assert title == "no slot from step 4 to step 5: gpa [0x0, 0x100000), 1 MiB"
    before, after = (element for element, _ in marked(svg, "ram"))
    assert number(before, "x") + number(before, "width") == pytest.approx(number(gone, "x"))
    assert number(gone, "x") + number(gone, "width") == pytest.approx(number(after, "x"))


def test_kinds_aliases_and_totals():
    svg = drawn(
        vm(),
        "ioctl(4, KVM_CREATE_IRQCHIP) = 0",
        vcpu(0, 5),
        region(0, 0, MIB),
        region(1, MIB, MIB),
        region(2, 2 * MIB, MIB, RAM + MIB, flags="KVM_MEM_LOG_DIRTY_PAGES"),
    )
    assert [title for _, title in marked(svg, "alias")] == ["slots 1 and 0 share host memory"]
    assert marked(svg, "log")
    own = marked(svg, "may")[0][1]
    assert own.startswith("KVM's own APIC access page, if this host has it: gpa [0xfee00000, ")
    assert {title.split(":")[0] for _, title in marked(svg, "area")} == {
        "pages", "MMU budget", "slots",
    }  # fmt: skip


HOSTILE = "<script>alert(1)</script>\"'&\x00\x1b\ud800"


def test_hostile_names_are_text():
    lines = [vm(), region(0, 0, MIB)]
    _, vms = picture("\n".join(lines).encode(), "6.1/x86_64")
    for each in vms:
        each.name = each.owner = HOSTILE
        for life in each.lives:
            life.slot = _Named(life.slot, HOSTILE)
    svg = space_time(vms, HOSTILE, linked={2})
    ElementTree.fromstring(svg.encode())
    assert "<script" not in svg


class _Named:
    """A slot with an owner of any name."""

    def __init__(self, slot, owner):
        self._slot, self.owner = slot, owner

    def __getattr__(self, name):
        return getattr(self._slot, name)


def churn(count, slots=300):
    """Slots that come and go, some with other flags, some refused."""
    choose = random.Random(5)
    live, lines = set(), [vm(), vcpu(0, 5)]
    for _ in range(count):
        slot = choose.randrange(slots)
        gpa = slot * 2 * MIB
        if slot in live:
            live.remove(slot)
            lines.append(region(slot, gpa, 0))
        elif choose.random() < 0.05:
            lines.append(region(slot, gpa + 1, MIB, result=EINVAL))
        else:
            live.add(slot)
            flags = choose.choice(("0", "KVM_MEM_LOG_DIRTY_PAGES", "KVM_MEM_READONLY"))
            lines.append(region(slot, gpa, MIB, RAM + gpa, flags=flags))
    return lines


def test_many_changes_share_columns_and_the_picture_stays_small():
    one, more = (drawn(*churn(count)) for count in (4000, 40000))
    assert f"4000 calls share {COLUMNS} columns" in one
    assert "some boundaries share a row" in one
    ElementTree.fromstring(more)
    assert len(more) < 1_500_000
    assert len(more) < 6 * len(one)  # ten times the calls: cells fill up, then nothing grows


def test_cells_have_what_was_there():
    lines = [vm(), region(0, 0, MIB)]
    for _ in range(400):
        lines += [region(1, MIB, MIB, RAM + MIB), region(1, 0, 0)]
    svg = drawn(*lines)
    titles = {title for _, title in marked(svg, "ram")}
    assert titles == {
        "gpa [0x0, 0x100000), 1 MiB: 1 slot in the course of time",
        "gpa [0x100000, 0x200000), 1 MiB: 400 slots in the course of time",
    }
    ((cells, _),) = (each for each in marked(svg, "ram") if "[0x0," in each[1])
    assert cells.get("d").count("M") == 1  # there all the time: one run


def test_rows_stay_few_and_cover_everything():
    ranges = [(number * 3 * MIB, number * 3 * MIB + MIB) for number in range(1000)]
    rows = AddressRows(ranges)
    assert rows.count <= MOST_ROWS
    assert not rows.is_exact
    for first, end in ranges:
        low, high = rows.span(first, end)
        assert rows.boundaries[low] <= first < end <= rows.boundaries[high]
    few = AddressRows([(0, 10), (10, 30), (50, 60)])
    assert few.boundaries == [0, 10, 30, 50, 60]
    assert few.is_hole == [False, False, True, False]
    assert few.span(10, 60) == (1, 4)


def test_by_time_where_there_are_times():
    timed = [
        f"{second}.000000 {line}"
        for second, line in enumerate(
            [vm(), region(0, 0, MIB), region(1, MIB, MIB), region(2, 2 * MIB, MIB)], 1700000000
        )
    ]
    timed[-1] = timed[-1].replace("1700000003", "1700000099")
    svg = drawn(*timed, by_time=True)
    xs = [number(element, "x") for element, _ in marked(svg, "ram")]
    assert (xs[2] - xs[0]) / (xs[1] - xs[0]) == pytest.approx(98, rel=1e-3)
    assert "has not the time" in drawn(vm(), region(0, 0, MIB), by_time=True)


def test_links_lead_only_where_there_is_a_step():
    lines = [vm(), region(0, 0, MIB), region(1, MIB, MIB)]
    assert re.findall(r'href="([^"]*)"', drawn(*lines, linked={3})) == ["#step-3"]


def test_notebooks_show_vms_replays_and_refusals():
    one = Vm("6.1/x86_64")
    one.set_user_memory_region(0, 0, 0, MIB, RAM).unwrap()
    assert [title.split("\n")[0] for _, title in marked(one._repr_svg_(), "ram")] == [
        "slot 0: gpa [0x0, 0x100000), 1 MiB"
    ]
    refused = one.set_user_memory_region(1, 0, MIB // 2, MIB, RAM)
    table = ElementTree.fromstring(refused._repr_html_())
    cells = [cell.text for cell in table.iter("td")]
    assert cells[0] == "EEXIST slot-overlap"
    assert any("<Slot 0:0" in cell for cell in cells)
    text = "\n".join([vm(), region(0, 0, MIB), region(1, MIB, MIB)]).encode()
    replay = Replay(read(text), find("6.1/x86_64"))
    for step in replay:
        if step.number == 2:
            assert len(marked(replay._repr_svg_(), "ram")) == 1
    assert len(marked(replay._repr_svg_(), "ram")) == 2


def test_a_vm_without_slots_says_so():
    assert "no slot and no refused request" in Vm("6.1/x86_64")._repr_svg_()
