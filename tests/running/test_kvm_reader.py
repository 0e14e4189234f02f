"""Slots are read from both forms in which kernels keep them, and only from one moment."""

from __future__ import annotations

import random
import struct

import pytest

from memslots.running.kernel_types import StructField
from memslots.running.kvm_reader import TRIES, KernelReadError, KvmReader

KVM = 0xFFFF_8880_0000_0000
SLOT_BYTES = 96
COMMON = {
    ("kvm", "memslots"): StructField(16, 8, 2),
    ("kvm", "nr_memslot_pages"): StructField(40, 8),
    ("kvm", "online_vcpus"): StructField(48, 4),
    ("kvm_memslots", "generation"): StructField(0, 8),
    ("kvm_memory_slot", "base_gfn"): StructField(48, 8),
    ("kvm_memory_slot", "npages"): StructField(56, 8),
    ("kvm_memory_slot", "userspace_addr"): StructField(64, 8),
    ("kvm_memory_slot", "dirty_bitmap"): StructField(72, 8),
    ("kvm_memory_slot", "flags"): StructField(80, 4),
    ("kvm_memory_slot", "id"): StructField(84, 2),
}
TREE = {
    **COMMON,
    ("kvm_memslots", "gfn_tree"): StructField(8, 8),
    ("kvm_memslots", "gfn_tree.rb_node"): StructField(8, 8),
    ("kvm_memslots", "node_idx"): StructField(16, 4),
    ("kvm_memory_slot", "gfn_node"): StructField(0, 24, 2),
    ("rb_node", "rb_right"): StructField(8, 8),
    ("rb_node", "rb_left"): StructField(16, 8),
}
ARRAY = {
    **COMMON,
    ("kvm_memslots", "used_slots"): StructField(8, 4),
    ("kvm_memslots", "memslots"): StructField(16, SLOT_BYTES, 0),
}


class Types:
    def __init__(self, fields):
        self._fields = fields

    def field(self, name, path):
        return self._fields.get((name, path))

    def nbytes(self, name):
        return SLOT_BYTES if name == "kvm_memory_slot" else None


class Memory:
    """Bytes at addresses; `before` is called before each reading."""

    def __init__(self):
        self.bytes = {}
        self.before = lambda number: None
        self.reads = 0

    def put(self, address, data):
        self.bytes.update(enumerate(data, address))

    def read(self, pieces):
        self.reads += 1
        self.before(self.reads)
        return [self._piece(address, nbytes) for address, nbytes in pieces]

    def _piece(self, address, nbytes):
        found = [self.bytes.get(at) for at in range(address, address + nbytes)]
        return None if None in found else bytes(found)


def slot_bytes(slot, nodes=(0, 0, 0, 0, 0, 0)):
    slot_id, gfn, npages, flags = slot
    return struct.pack(
        "=6QQQQQIhxxII", *nodes, gfn, npages, gfn << 12, flags & 1, flags, slot_id, 0, 0
    )


def tree_of(memory, slots, where, index):
    """A balanced tree of slots in memory; the address of its root's node."""
    if not slots:
        return 0
    middle = len(slots) // 2
    left = tree_of(memory, slots[:middle], where, index)
    right = tree_of(memory, slots[middle + 1 :], where, index)
    address = where()
    nodes = [0xDEAD] * 6
    nodes[3 * index : 3 * index + 3] = [1, right, left]
    memory.put(address, slot_bytes(slots[middle], nodes))
    return address + 24 * index


def put_vm(memory, spaces, form, *, generation=7, index=0, total=None):
    addresses = iter(range(KVM + 0x10000, KVM + (1 << 40), 0x100))
    heads = []
    for as_id, slots in enumerate(spaces):
        head = KVM + (as_id + 1 << 41)
        if form is TREE:
            root = tree_of(memory, slots, lambda: next(addresses), index)
            memory.put(head, struct.pack("=QQI", generation, root, index))
        else:
            ordered = sorted(slots, key=lambda slot: -slot[1])
            memory.put(
                head,
                struct.pack("=QII", generation, len(slots), 0) + b"".join(map(slot_bytes, ordered)),
            )
        heads.append(head)
    pages = sum(slot[2] for slots in spaces for slot in slots) if total is None else total
    memory.put(KVM, struct.pack("=16x2Q8xQI", *heads, pages, 3))
    return heads


def random_slots(rng, count):
    gfns = rng.sample(range(1 << 20), count)
    return [
        (slot, gfn * 8, rng.randrange(1, 9), rng.choice((0, 1, 2, 3)))
        for slot, gfn in enumerate(sorted(gfns))
    ]


@pytest.mark.parametrize("form", [TREE, ARRAY], ids=["tree", "array"])
@pytest.mark.parametrize("count", [0, 1, 2, 30, 509])
def test_all_slots_are_found(form, count):
    rng, memory = random.Random(count), Memory()
    spaces = [random_slots(rng, count), random_slots(rng, count // 3)]
    put_vm(memory, spaces, form, index=count % 2)
    vm = KvmReader(memory, Types(form)).read_vm(KVM)
    found = [
        [(slot.id, slot.base_gfn, slot.npages, slot.flags) for slot in space] for space in vm.spaces
    ]
    assert found == spaces
    assert all(slot.has_bitmap == bool(slot.flags & 1) for slot in vm.slots())
    assert {slot.as_id for slot in vm.spaces[1]} <= {1}
    assert (vm.consistent, vm.tries, vm.generations, vm.vcpus) == (True, 1, [7, 7], 3)
    assert vm.kernel_total_pages == vm.total_pages


def test_a_change_while_reading_makes_it_read_again():
    memory = Memory()
    put_vm(memory, [[(0, 0, 1, 0), (1, 8, 1, 0)], []], TREE)

    def change(number):
        if number == 5:
            put_vm(memory, [[(0, 0, 1, 0), (1, 8, 2, 0), (2, 32, 4, 0)], []], TREE, generation=9)

    memory.before = change
    vm = KvmReader(memory, Types(TREE)).read_vm(KVM)
    assert (vm.consistent, vm.generations[0], vm.nr_slots, vm.total_pages) == (True, 9, 3, 7)
    assert vm.tries == 2


@pytest.mark.parametrize("form", [TREE, ARRAY], ids=["tree", "array"])
def test_a_vm_that_never_rests_is_said_to_be_inconsistent(form):
    memory = Memory()

    def change(number):
        put_vm(memory, [[(0, 0, 1, 0)], []], form, generation=number)

    change(0)
    memory.before = change
    vm = KvmReader(memory, Types(form)).read_vm(KVM)
    assert not vm.consistent
    assert vm.tries == TRIES


def test_an_exchange_that_is_not_over():
    memory = Memory()
    put_vm(memory, [[(0, 0, 1, 0)], []], TREE, generation=1 << 63 | 7)
    assert not KvmReader(memory, Types(TREE)).read_vm(KVM).consistent


def test_a_total_that_stays_wrong_is_the_kernels():
    memory = Memory()
    put_vm(memory, [[(0, 0, 1, 0)], []], TREE, total=99)
    vm = KvmReader(memory, Types(TREE)).read_vm(KVM)
    assert (vm.consistent, vm.kernel_total_pages, vm.total_pages) == (True, 99, 1)


def test_trees_that_end_nowhere_or_never():
    memory = Memory()
    heads = put_vm(memory, [[(0, 0, 1, 0)], []], TREE)
    memory.put(heads[0] + 8, struct.pack("=Q", 0x1234))
    with pytest.raises(KernelReadError, match="cannot be read"):
        KvmReader(memory, Types(TREE)).read_vm(KVM)
    memory = Memory()
    heads = put_vm(memory, [[], []], TREE)
    node = KVM + 0x20000
    memory.put(node, slot_bytes((0, 0, 1, 0), (1, node, 0, 0, 0, 0)))
    memory.put(heads[0] + 8, struct.pack("=Q", node))
    with pytest.raises(KernelReadError, match="cannot be read"):
        KvmReader(memory, Types(TREE)).read_vm(KVM)


def test_no_vm_and_no_kernel_that_is_known():
    with pytest.raises(KernelReadError, match="cannot be read"):
        KvmReader(Memory(), Types(TREE)).read_vm(KVM)
    with pytest.raises(KernelReadError, match="no memslots"):
        KvmReader(Memory(), Types({}))
