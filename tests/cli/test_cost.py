"""`memslots cost`."""

from __future__ import annotations

import json

import pytest
from epilog import ROOT, call, examples

from memslots.check.cost import LOGGING, NESTED, ONE_GIB, SMM, cost, cost_of_vms
from memslots.check.metadata import Conditions
from memslots.kernel.names import find
from memslots.model.vm import Vm

PC = ROOT / "examples" / "layouts" / "pc.toml"


@pytest.mark.parametrize("line", examples("cost"))
def test_examples_of_the_help(line: str) -> None:
    code, out, err = call(line)
    assert (code, err) == (0, "")
    assert "total" in out


def test_the_table() -> None:
    _, out, _ = call("memslots cost examples/layouts/pc.toml --slots 2")
    assert (
        out
        == """\
12 slots on 6.18/x86_64 (two-dimensional paging, no reverse maps, no write tracking)

  slot    pages  large-page info  dirty bitmap  descriptor  bytes
   0:7  1310720            16384             0         512  16896  RAM above 4 GiB
   1:3  1310720            16384             0         512  16896  SMM: RAM above 4 GiB
  and 10 more with 99328 bytes (97 KiB)

In all
  large-page info            122880  120 KiB
  dirty bitmap                 4096  4 KiB
  descriptor                   6144  6 KiB
  slot sets                    4288  4.19 KiB
  total                      137408  134.19 KiB
  vmalloc keeps about 3.42 KiB besides, and a guard page of addresses for each area

What more would add
  one more slot of one page                8704  8.5 KiB
  one more slot of 1 GiB                   8704  8.5 KiB
  dirty logging of every slot           1077248  1.03 MiB
  showing every slot to SMM too           51200  50 KiB
  the first nested guest               42188800  40.23 MiB
"""
    )


def test_what_would_be_added_is_what_is_added() -> None:
    profile = find("6.18/x86_64")
    vm = Vm(profile)
    for slot in range(5):
        vm.set_user_memory_region(slot, 0, slot << 31, 1 << 30, 0x7F00_0000_0000).unwrap()
    before = cost_of_vms([vm], profile, Conditions())
    nested = cost_of_vms([vm], profile, Conditions(shadow=True))
    assert nested.total - before.total == before.what_if[NESTED]
    for slot in range(5):
        vm.set_user_memory_region(slot, 1, slot << 31, 1 << 30, 0x7F00_0000_0000).unwrap()
    logging = cost_of_vms([vm], profile, Conditions())
    assert logging.total - before.total == before.what_if[LOGGING]
    assert logging.what_if[LOGGING] == 0
    vm.set_user_memory_region(9, 0, 32 << 30, 1 << 30, 0x7F00_0000_0000).unwrap()
    more = cost_of_vms([vm], profile, Conditions())
    assert more.total - logging.total == logging.what_if[ONE_GIB]
    for slot in (*range(5), 9):
        flags = 0 if slot == 9 else 1
        gpa = 32 << 30 if slot == 9 else slot << 31
        vm.set_user_memory_region(1 << 16 | slot, flags, gpa, 1 << 30, 0x7F00_0000_0000).unwrap()
    both = cost_of_vms([vm], profile, Conditions())
    assert both.total - more.total == more.what_if[SMM]
    assert both.what_if[SMM] == 0


def test_a_ring_takes_the_place_of_bitmaps_and_costs_by_vcpu() -> None:
    vm = Vm("6.18/x86_64-pml")
    vm.enable_cap(192, 65536).unwrap()
    vm.set_user_memory_region(0, 1, 0, 1 << 30, 0x7F00_0000_0000).unwrap()
    for number in range(3):
        vm.create_vcpu(number).unwrap()
    found = cost_of_vms([vm], vm.profile, Conditions())
    assert found.by_kind["dirty rings"] == 3 * 65536
    assert "dirty bitmap" not in found.by_kind


def test_shadow_paging_costs_about_ten_bytes_a_page() -> None:
    pages = sum(each.slot.npages for each in cost(PC, "6.18/x86_64-tdp").slots)
    assert cost(PC, "6.18/x86_64-tdp").total / pages == pytest.approx(10, abs=0.2)
    assert cost(PC, "6.18/x86_64").total / pages < 0.05


def test_json_adds_up() -> None:
    code, out, _ = call(
        "memslots cost examples/layouts/pc.toml --kernel 5.10/x86_64 --nested --json"
    )
    found = json.loads(out)
    assert (code, found["schema"], found["nested"]) == (0, "memslots.cost/1", True)
    assert sum(found["by_kind_bytes"].values()) == found["total_bytes"]
    arrays = [array for slot in found["slots"] for array in slot["arrays"]]
    heads = found["by_kind_bytes"]["slot sets"]
    assert sum(array["allocated_bytes"] for array in arrays) + heads == found["total_bytes"]
    assert all(array["requested_bytes"] <= array["allocated_bytes"] for array in arrays)


def test_what_is_not_known_is_said() -> None:
    _, out, _ = call("memslots cost examples/layouts/pc.toml --kernel 6.1/i386")
    assert "not counted, as not known for this kernel: sets of slots, descriptors" in out
    assert "7 calls of the layout refused on this kernel" in out
    _, out, _ = call("memslots cost examples/layouts/pc.toml --kernel 5.10.100")
    assert "before 5.18 large arrays may be contiguous memory" in out


def test_errors() -> None:
    assert call("memslots cost no-such-file")[0] == 2
    assert call("memslots cost LICENSE")[0] == 2
    assert call("memslots cost examples/layouts/pc.toml --kernel nonsense")[0] == 2
