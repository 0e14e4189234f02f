"""Which slots share host memory: looked through while they are few, by an index when many."""

from __future__ import annotations

import random

import pytest

from memslots.explain import known_places
from memslots.explain.known_places import KnownPlaces
from memslots.model.vm import Vm

PAGE = 4096


@pytest.mark.parametrize("few", [0, 8, 1000])
@pytest.mark.parametrize("lowest", [0, 1 << 30])
def test_as_the_vm_itself_says(few, lowest, monkeypatch):
    monkeypatch.setattr(known_places, "_FEW", few)
    draw, vm, places, alone = random.Random(few + lowest), Vm("6.18/x86_64"), KnownPlaces(), 0
    for _ in range(400):
        as_id, slot_id = draw.choice((0, 0, 0, 1)), draw.randrange(24)
        word, npages = as_id << 16 | slot_id, draw.choice((1, 1, 2, 9, 64))
        hva = lowest + draw.choice((slot_id, slot_id, draw.randrange(24))) * 64 * PAGE
        vm.set_user_memory_region(word, 0, 0, 0, 0)
        if draw.random() < 0.2:
            continue
        vm.set_user_memory_region(word, 0, slot_id << 24, npages * PAGE, hva).unwrap()
        slot = vm.state.spaces[as_id].by_id(slot_id)
        end = hva + npages * PAGE
        others = [other for other in vm.slots_at_hva(hva, end, as_id) if other.id != slot_id]
        if places.is_alone(slot, 12):
            alone += 1
            assert not others
        else:
            assert places.beside(slot, end, vm) == others
    assert alone > 100 or not lowest
