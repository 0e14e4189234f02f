"""The /init of another kernel: makes a VM in a child and reads it from outside, then switches the
machine off.
"""

import ctypes
import glob
import json
import os
import sys
import traceback

sys.path.insert(0, "/memslots-src")
libc = ctypes.CDLL(None, use_errno=True)
FINIT_MODULE = {"x86_64": 313, "aarch64": 273, "riscv64": 273, "ppc64le": 353}[os.uname().machine]


def prepare():
    for what, where, kind in (
        ("proc", "/proc", "proc"),
        ("sys", "/sys", "sysfs"),
        ("dev", "/dev", "devtmpfs"),
    ):
        libc.mount(what.encode(), where.encode(), kind.encode(), 0, None)
    for path in sorted(glob.glob("/modules/*.ko")):
        fd = os.open(path, os.O_RDONLY)
        libc.syscall(FINIT_MODULE, fd, b"", 0)
        os.close(fd)


def make_vm(ready, go_on):
    """A VM with slots of all kinds; what was made is written to `ready`."""
    from memslots.live.live_vm import LiveVm

    vm = LiveVm()
    memory = vm.allocate(16 << 20)
    vm.create_irqchip()
    vm.set_tss_addr(0xFFFBD000)
    vm.create_vcpu(0).unwrap()
    vm.create_vcpu(3).unwrap()
    made = {}
    spaces = 2 if vm.check_extension(67).result > 1 else 1
    for as_id in range(spaces):
        for slot in range(40):
            flags = (0, 1, 2, 3)[slot % 4]
            word, gpa, npages = as_id << 16 | slot, slot << 24, slot % 7 + 1
            vm.set_user_memory_region(
                word, flags, gpa, npages << 12, memory.address + (slot << 12)
            ).unwrap()
            made[word] = [gpa >> 12, npages, memory.address + (slot << 12), flags]
    for word in (3, 20):
        gfn, _, hva, flags = made.pop(word)
        vm.set_user_memory_region(word, flags, gfn << 12, 0, hva).unwrap()
    vm.set_user_memory_region(7, 3, 7 << 28, (7 % 7 + 1) << 12, made[7][2]).unwrap()  # a move
    made[7][0] = 7 << 16
    os.write(ready, json.dumps(made).encode())
    os.read(go_on, 1)
    os._exit(0)


def look():
    from memslots.running.beside_model import BesideModel, profile_of_host
    from memslots.running.look import Looker

    come, ready = os.pipe()
    go_on, end = os.pipe()
    child = os.fork()
    if child == 0:
        make_vm(ready, go_on)
    os.close(ready)
    made = json.loads(os.read(come, 1 << 16))
    with Looker() as looker:
        (vm,) = looker.look([child])
    beside = BesideModel(vm, profile_of_host())
    os.write(end, b"x")
    slots = {
        slot.slot_word: [slot.base_gfn, slot.npages, slot.userspace_addr, slot.flags & 0xFFFF]
        for slot in vm.slots()
        if not slot.owner
    }
    return {
        "release": os.uname().release,
        "made": made,
        "slots": slots,
        "own": [
            [slot.as_id, slot.id, slot.owner, slot.base_gfn, slot.npages]
            for slot in vm.slots()
            if slot.owner
        ],
        "vcpus": vm.vcpus,
        "vcpu_ids": vm.vcpu_ids,
        "numbers": dict(vm.numbers),
        "generations": vm.generations,
        "bitmaps": sum(slot.has_bitmap for slot in vm.slots()),
        "consistent": vm.consistent,
        "disagreements": [repr(found) for found in beside.disagreements],
        "cost": beside.cost_bytes,
        "spaces": len(vm.spaces),
    }


def main():
    try:
        prepare()
        seen = look()
    except BaseException:
        seen = {"error": traceback.format_exc()}
    with open("/dev/console", "w") as console:
        console.write(f"\nSEEN {json.dumps(seen)}\n")
    os.sync()
    libc.reboot(0x4321FEDC)


if __name__ == "__main__":
    main()
