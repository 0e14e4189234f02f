"""What look-ups and changes visit, on kernels with an array of slots and with trees."""

from __future__ import annotations

import json

import pytest

from memslots import Vm
from memslots.cli.run import output_of
from memslots.state.change import CREATE, DELETE, FLAGS_ONLY, MOVE


def _vm(kernel, nslots, as_id=0):
    vm = Vm(kernel)
    for slot in range(nslots):
        vm.set_user_memory_region(as_id << 16 | slot, 0, slot << 13, 4096, 4096).unwrap()
    return vm


@pytest.mark.parametrize(
    ("kernel", "nslots", "costs"),
    [
        ("5.16/x86_64", 0, (0, 0, 0, 0, 0)),
        ("5.16/x86_64", 500, (1, 9, 500, 500, 500)),
        ("5.17/x86_64", 0, (0, 0, 0, 0, 0)),
        ("5.17/x86_64", 500, (4, 18, 18, 18, 0)),
        ("5.16/arm64", 500, (1, 9, 500, 500, 0)),  # no budget
    ],
)
def test_visits(kernel, nslots, costs):
    assert tuple(_vm(kernel, nslots).index_costs().as_dict().values()) == costs


def test_a_change_copies_the_array_or_goes_down_the_trees():
    old, new = _vm("5.16/x86_64", 500).index_costs(), _vm("5.17/x86_64", 500).index_costs()
    assert [old.change(kind) for kind in (CREATE, FLAGS_ONLY, MOVE, DELETE)] == [
        500,
        500,
        1000,
        1000,
    ]
    assert [new.change(kind) for kind in (CREATE, FLAGS_ONLY, MOVE, DELETE)] == [72, 72, 144, 144]


def test_the_budget_walks_all_spaces_and_a_look_up_one():
    vm = _vm("5.16/x86_64", 3)
    vm.set_user_memory_region(1 << 16, 0, 0, 4096, 4096).unwrap()
    assert (vm.index_costs(0).by_hva, vm.index_costs(1).by_hva) == (3, 1)
    assert vm.index_costs(0).budget == vm.index_costs(1).budget == 4


def test_generations_and_sets_of_a_vm():
    vm = Vm("6.1/x86_64")
    assert (vm.generations, vm.swaps, vm.active_set(0)) == ([0, 1], (0, 0), 0)
    vm.set_user_memory_region(0, 0, 0, 4096, 4096).unwrap()
    assert (vm.generations, vm.swaps, vm.active_set(0), vm.active_set(1)) == ([2, 1], (1, 0), 1, 0)
    vm.set_user_memory_region(0, 0, 1 << 20, 4096, 4096).unwrap()
    assert (vm.generations, vm.swaps, vm.active_set(0)) == ([6, 1], (3, 0), 1)
    with pytest.raises(ValueError, match="as_id"):
        vm.active_set(2)
    with pytest.raises(ValueError, match="as_id"):
        vm.index_costs(2)


def test_replay_shows_them(monkeypatch):
    from pathlib import Path

    monkeypatch.chdir(Path(__file__).parents[2])
    steps = json.loads(output_of("memslots replay --json examples/refused-overlap.strace"))
    assert [step["swaps"] for step in steps][:2] == [[1, 0], [2, 0]]
    assert steps[0]["generations"] == [2, 1]
    assert steps[1]["active_sets"] == [0, 0]
    assert set(steps[0]["visits"]) == {"by_id", "by_gfn", "by_hva", "overlap", "budget"}
