"""What lived where and when: the lives that last are the slots of the VM, at every step."""

from __future__ import annotations

from pathlib import Path

import pytest
from strace_lines import EEXIST, EINVAL, MIB, RAM, region, vcpu, vm

from memslots.explain.analysis import Analysis
from memslots.explain.slot_lives import MOST_ALIASES, SlotLives, lives_now
from memslots.kernel.names import find
from memslots.model.vm import Vm

RECORDINGS = sorted((Path(__file__).parents[2] / "examples" / "recordings").iterdir())


def seen(source, kernel=None):
    analysis, lives = Analysis(source, kernel and find(kernel), most=0), SlotLives()
    for step, _ in analysis.run():
        lives.see(step, analysis.replay.tracked.vm)
    return lives, analysis


def of(*lines, kernel="6.1/x86_64"):
    lives, _ = seen("\n".join(lines).encode(), kernel)
    (found,) = (each for each in lives.vms.values() if each.moments)
    return found


def _placed(slot):
    return slot.slot_word, slot.base_gfn, slot.npages, slot.userspace_addr, slot.flags, slot.owner


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.name)
def test_what_lives_on_is_what_the_vm_has_at_every_step(path):
    analysis, lives = Analysis(str(path), most=0), SlotLives()
    for step, _ in analysis.run():
        vm = analysis.replay.tracked.vm
        lives.see(step, vm)
        mine = lives.vms[step.vm_name]
        lasting = [life for life in mine.lives if life.end is None]
        there = {_placed(slot) for as_id in range(len(vm.state.spaces)) for slot in vm.slots(as_id)}
        assert {_placed(life.slot) for life in lasting if not life.is_possible} == there
        possible = {_placed(slot) for slot in vm.state.possible_slots}
        assert {_placed(life.slot) for life in lasting if life.is_possible} == possible


def test_one_life_for_each_change():
    found = of(
        vm(),
        region(0, 0, MIB),
        region(0, 0, MIB, flags="KVM_MEM_LOG_DIRTY_PAGES"),
        region(0, 2 * MIB, MIB, flags="KVM_MEM_LOG_DIRTY_PAGES"),
        region(0, 0, 0),
    )
    lives = [
        (life.first, life.end, life.slot.base_gfn, life.slot.flags, life.first_step, life.end_step)
        for life in found.lives
    ]
    assert lives == [(0, 1, 0, 0, 2, 3), (1, 2, 0, 1, 3, 4), (2, 3, 0x200, 1, 4, 5)]
    assert [moment.pages for moment in found.moments] == [256, 256, 256, 0]


def test_a_refused_request_stands_where_it_would_have_been():
    found = of(
        vm(),
        region(0, 0, MIB),
        region(1, MIB // 2, MIB, RAM + MIB, result=EEXIST),
        region(2, 0x1001, 4096, result=EINVAL),
    )
    where = [(each.step, each.moment, each.first, each.end, each.rule) for each in found.refused]
    assert where == [
        (3, 1, MIB // 2, MIB // 2 + MIB, "slot-overlap"),
        (4, 2, 0x1001, 0x2001, "gpa-unaligned"),
    ]


def test_a_refused_request_past_the_last_address_ends_there():
    found = of(vm(), region(0, (1 << 64) - 0x1000, 0x2000, result=EINVAL))
    assert (found.refused[0].first, found.refused[0].end) == ((1 << 64) - 0x1000, 1 << 64)


def test_a_refused_deletion_stands_on_its_slot_or_has_no_length():
    found = of(vm(), region(7, 0x5000, 0, result=EINVAL))
    assert (found.refused[0].first, found.refused[0].end) == (0x5000, 0x5000)


def test_each_part_that_is_taken_again_is_a_range_a_vcpu_could_see():
    lines = [
        vm(pid=1),
        vcpu(0, 5, pid=2),
        region(0, 0, 4 * MIB, pid=1),
        region(0, 0, 0, pid=1),
        region(0, 0, MIB, pid=1),
        region(1, 2 * MIB, MIB, pid=1),
    ]
    found = of(*lines)
    spans = [(span.start_gfn, span.end_gfn, span.first, span.last) for span in found.unbacked]
    assert spans == [(0, 0x100, 1, 2), (0x200, 0x300, 1, 3)]
    assert of(*lines[:1], *lines[2:]).unbacked == []  # no vCPU, nobody looks


def test_slots_on_the_same_host_memory_are_linked_once_and_not_without_end():
    found = of(vm(), region(0, 0, MIB), region(1, MIB, MIB), region(2, 2 * MIB, MIB, RAM + MIB))
    assert [(alias.one.id, alias.other.id, alias.moment) for alias in found.aliases] == [(1, 0, 1)]
    many = of(vm(), *(region(slot, slot * MIB, MIB) for slot in range(100)))
    assert len(many.aliases) == MOST_ALIASES


OWN_SLOTS = [vm(), "ioctl(4, KVM_CREATE_IRQCHIP) = 0", vcpu(0, 5), region(0, 0, MIB)]


@pytest.mark.parametrize(
    ("kernel", "is_possible"), [("6.1/x86_64", True), ("6.1/x86_64+intel+apicv", False)]
)
def test_kvms_own_slots_have_lives(kernel, is_possible):
    found = of(*OWN_SLOTS, kernel=kernel)
    own = [life for life in found.lives if life.slot.owner == "APIC access page"]
    assert [(life.slot.as_id, life.is_possible, life.first, life.end) for life in own] == [
        (0, is_possible, 0, None),
        (1, is_possible, 0, None),
    ]


def test_an_old_kernel_leaves_the_slot_of_a_failed_change_invalid():
    lines = [
        "ioctl(3, KVM_CREATE_VM, 0) = 4",
        region(0, 0, MIB),
        region(0, 1 << 40, MIB, result=EINVAL),
    ]
    found = of(*lines, kernel="5.6/arm64")
    assert [life.slot.is_invalid for life in found.lives] == [False, True]
    assert (found.lives[0].end, found.lives[1].first, found.lives[1].end) == (1, 1, None)
    assert len(of(*lines, kernel="5.7/arm64").lives) == 1


def test_a_vm_as_it_stands():
    one = Vm("6.1/x86_64")
    one.set_user_memory_region(0, 0, 0, MIB, RAM).unwrap()
    found = lives_now(one, "mine")
    assert [_placed(life.slot) for life in found.lives] == [(0, 0, 256, RAM, 0, "")]
    assert found.moments[0].pages == 256
