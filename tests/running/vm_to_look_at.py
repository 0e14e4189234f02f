"""Makes a VM that tests look at from outside: `vm_to_look_at.py N` or `vm_to_look_at.py kinds`.

Prints a line of JSON about it, waits for the end of its input, prints the generations again.
"""

from __future__ import annotations

import json
import sys

from memslots.live.live_vm import LiveVm

PAGE = 4096


def plain(vm, count):
    """Slots of one page with a page between them."""
    memory = vm.allocate(1 << 20)
    for slot in range(count):
        vm.set_user_memory_region(slot, 0, slot * 2 * PAGE, PAGE, memory.address).unwrap()
    vm.create_vcpu(0).unwrap()


def kinds(vm):
    """Creates, moves, changes of flags, deletes, refusals, logs, a budget, vCPUs with holes in
    their ids.
    """
    memory = vm.allocate(1 << 22, "memfd")
    vm.create_irqchip()
    vm.enable_cap(168, 1)
    for vcpu_id in (0, 5, 2):
        vm.create_vcpu(vcpu_id).unwrap()
    for slot in range(60):
        npages = slot % 5 + 1
        vm.set_user_memory_region(
            slot, slot % 4, slot << 24, npages * PAGE, memory.address + slot * PAGE
        ).unwrap()
    for slot in range(0, 60, 7):
        vm.set_user_memory_region(slot, slot % 4, slot << 24, 0, memory.address).unwrap()
    for slot in range(1, 60, 7):
        npages = slot % 5 + 1
        vm.set_user_memory_region(
            slot, slot % 4, (1 << 34) + (slot << 24), npages * PAGE, memory.address + slot * PAGE
        ).unwrap()
    for slot in range(4, 60, 8):
        npages = slot % 5 + 1
        vm.set_user_memory_region(
            slot, 1, (slot << 24), npages * PAGE, memory.address + slot * PAGE
        )
    vm.set_user_memory_region(70, 0, 2 << 24, PAGE, memory.address)  # refused: something is there
    vm.set_nr_mmu_pages(1234).unwrap()


def main():
    with LiveVm(budget_bytes=8 << 30) as vm:
        if sys.argv[1] == "kinds":
            kinds(vm)
        else:
            plain(vm, int(sys.argv[1]))
        slots = [
            [slot.as_id, slot.id, slot.base_gfn, slot.npages, slot.userspace_addr, slot.flags]
            for slot in vm.slots()
        ]
        print(
            json.dumps({"fd": vm.fd, "slots": sorted(slots), "vcpu_fds": vm.vcpu_fds}), flush=True
        )
        sys.stdin.read()


if __name__ == "__main__":
    main()
