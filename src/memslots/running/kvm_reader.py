"""struct kvm and its slots, in the kernel's memory: the running one's or a dump's.

Two ways to keep slots are known by their members, not by release numbers: one
array per address space, sorted by gfn (`used_slots`, up to 5.16), and slots
that stand alone in trees, of which one of two is the active (`gfn_tree`, 5.17).

No lock is taken.  Every change replaces the set of slots and steps its
generation, so what was read between two equal looks at both is of one moment;
else it is read again.
"""

from __future__ import annotations

import struct
import sys

from ..errors import MemslotsError
from .running_vm import RunningSlot, RunningVm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .kernel_memory import KernelMemory
    from .kernel_types import KernelTypes, StructField

TRIES = 64
"""A VM whose slots change all the time is read so often."""
MOST_SLOTS = 1 << 17
"""More than any kernel allows in one address space: so many are no slots, but a list that was
changed meanwhile.
"""
_UPDATE_IN_PROGRESS = 1 << 63
"""In a generation, since 5.1: the set is being exchanged."""
_VM_NUMBERS = (
    "nr_memslot_pages", "online_vcpus", "dirty_ring_size", "dirty_ring_with_bitmap",
    "manual_dirty_log_protect",
    "vm_bugged", "vm_dead", "userspace_pid", "mem_attr_array.xa_head", "arch.n_max_mmu_pages",
    "arch.n_requested_mmu_pages", "arch.n_used_mmu_pages", "arch.vm_type", "arch.irqchip_mode",
    "arch.nr_reserved_ioapic_pins",
)  # fmt: skip
_STEADY = ("nr_memslot_pages", "arch.n_max_mmu_pages")
"""Numbers that change with the slots only."""
_SLOT_NUMBERS = (
    "base_gfn", "npages", "userspace_addr", "flags", "id", "dirty_bitmap", "gmem.file",
    "gmem.pgoff", "arch.rmap",
    "arch.gfn_write_track", "arch.gfn_track",
)  # fmt: skip
_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}
_POINTER_BYTES = 8


class KernelReadError(MemslotsError):
    """The kernel's memory does not hold what its types promise."""


class KvmReader:
    """Reads VMs with the memory and the types of one kernel."""

    def __init__(self, memory: KernelMemory, types: KernelTypes) -> None:
        """Raises KernelReadError for a kernel that keeps its slots in no way that is known."""
        self._memory = memory
        self._types = types
        self._places: dict[tuple[str, str], StructField | None] = {}
        self._memslots = self._field("kvm", "memslots")
        self._generation = self._field("kvm_memslots", "generation")
        self._slot_bytes = types.nbytes("kvm_memory_slot") or 0
        self._unpack_slot, self._slot_names = self._slot_layout()
        self._slots_of: Callable[[int, int], list[RunningSlot] | None]
        if types.field("kvm_memslots", "gfn_tree") is not None:
            self._slots_of = self._slots_of_tree
            self._root = self._field("kvm_memslots", "gfn_tree.rb_node")
            self._node_idx = self._field("kvm_memslots", "node_idx")
            self._gfn_node = self._field("kvm_memory_slot", "gfn_node")
            self._children = (
                self._field("rb_node", "rb_left").offset,
                self._field("rb_node", "rb_right").offset,
            )
        else:
            self._slots_of = self._slots_of_array
            self._used_slots = self._field("kvm_memslots", "used_slots")
            self._array = self._field("kvm_memslots", "memslots")

    # -- the parts

    def _field(self, name: str, path: str) -> StructField:
        found = self._place(name, path)
        if found is None:
            raise KernelReadError(
                f"this kernel's struct {name} has no {path}: memslots does not know how it keeps "
                "slots"
            )
        return found

    def _place(self, name: str, path: str) -> StructField | None:
        """A member; asked once, because the descriptions of large structures are long."""
        key = name, path
        if key not in self._places:
            self._places[key] = self._types.field(name, path)
        return self._places[key]

    def numbers(self, name: str, address: int, paths: Sequence[str]) -> dict[str, int]:
        """Members of a structure, as unsigned numbers, by name; those that the kernel does not
        have are left out.
        """
        fields = {path: field for path in paths if (field := self._place(name, path)) is not None}
        found = self._memory.read(
            [(address + field.offset, field.nbytes) for field in fields.values()]
        )
        numbers = {}
        for path, data in zip(fields, found):
            if data is None:
                raise KernelReadError(f"struct {name} at {address:#x} cannot be read")
            numbers[path] = int.from_bytes(data, sys.byteorder)
        return numbers

    def _words(self, places: Sequence[tuple[int, int]]) -> list[int | None]:
        return [
            None if data is None else int.from_bytes(data, sys.byteorder)
            for data in self._memory.read(places)
        ]  # fmt: skip

    # -- from our own descriptors to kernel objects

    def open_files(self, task: int, fds: Sequence[int]) -> list[tuple[int, int]]:
        """(address of struct file, its private_data) of descriptors of a task that is ours."""
        (files,) = self.numbers("task_struct", task, ("files",)).values()
        (table,) = self.numbers("files_struct", files, ("fdt",)).values()
        (array,) = self.numbers("fdtable", table, ("fd",)).values()
        addresses = self._words([(array + _POINTER_BYTES * fd, _POINTER_BYTES) for fd in fds])
        at = self._field("file", "private_data").offset
        private = self._words([((address or 0) + at, _POINTER_BYTES) for address in addresses])
        found = []
        for fd, address, data in zip(fds, addresses, private):
            if not address or data is None:
                raise KernelReadError(f"the file behind descriptor {fd} cannot be read")
            found.append((address, data))
        return found

    def vm_of_vcpu(self, address: int) -> tuple[int, int]:
        """(address of struct kvm, vCPU id) of a struct kvm_vcpu."""
        numbers = self.numbers("kvm_vcpu", address, ("kvm", "vcpu_id"))
        return numbers["kvm"], numbers["vcpu_id"]

    # -- one VM

    def read_vm(self, address: int) -> RunningVm:
        """The VM at an address.  Raises KernelReadError if there is none."""
        last: RunningVm | None = None
        for tries in range(1, TRIES + 1):
            before = self._heads(address)
            spaces = [self._slots_of(head, as_id) for as_id, (head, _) in enumerate(before[0])]
            after = self._heads(address)
            whole = [space for space in spaces if space is not None]
            if len(whole) < len(spaces):
                continue
            generations = [generation for _, generation in after[0]]
            numbers = after[1]
            steady = before[0] == after[0] and all(
                before[1].get(name) == numbers.get(name) for name in _STEADY
            )
            last = RunningVm(address, whole, generations, numbers, consistent=steady, tries=tries)
            changing = any(generation & _UPDATE_IN_PROGRESS for generation in generations)
            counted = numbers.get("nr_memslot_pages", last.total_pages)
            if steady and not changing and (counted == last.total_pages or tries >= TRIES // 2):
                return last
        if last is None:
            raise KernelReadError(f"the slots of the VM at {address:#x} cannot be read")
        last.consistent = False
        return last

    def _heads(self, address: int) -> tuple[list[tuple[int, int]], Mapping[str, int]]:
        """((address of the set of slots, its generation) for each address space, members of struct
        kvm).
        """
        numbers = self.numbers("kvm", address, _VM_NUMBERS)
        count = self._memslots.count
        heads = self._words(
            [
                (address + self._memslots.offset + _POINTER_BYTES * as_id, _POINTER_BYTES)
                for as_id in range(count)
            ]
        )
        generations = self._words(
            [((head or 0) + self._generation.offset, self._generation.nbytes) for head in heads]
        )  # fmt: skip
        found = [
            (head, generation)
            for head, generation in zip(heads, generations)
            if head is not None and generation is not None
        ]
        if len(found) < count:
            raise KernelReadError(f"there is no VM at {address:#x}")
        return found, numbers

    # -- slots

    def _slot_layout(self) -> tuple[Callable[[bytes], tuple[int, ...]], list[str]]:
        """How to take the members out of the bytes of a slot at once, and which they are."""
        fields = {
            name: field
            for name in _SLOT_NUMBERS
            if (field := self._types.field("kvm_memory_slot", name)) is not None
            and field.nbytes in _CODES
        }
        at, layout, names = 0, "=", []
        for name, field in sorted(fields.items(), key=lambda item: item[1].offset):
            layout += f"{field.offset - at}x{_CODES[field.nbytes]}"
            at = field.offset + field.nbytes
            names.append(name)
        for name in ("base_gfn", "npages", "userspace_addr", "flags", "id"):
            if name not in fields:
                raise KernelReadError(f"this kernel's struct kvm_memory_slot has no {name}")
        return struct.Struct(layout).unpack_from, names

    def _slot(self, data: bytes, as_id: int) -> RunningSlot:
        found = dict(zip(self._slot_names, self._unpack_slot(data)))
        track = found.get("arch.gfn_write_track", found.get("arch.gfn_track"))
        return RunningSlot(
            as_id, found["id"], found["base_gfn"], found["npages"], found["userspace_addr"],
            found["flags"],
            has_bitmap=bool(found.get("dirty_bitmap")),
            has_rmaps=bool(found["arch.rmap"]) if "arch.rmap" in found else None,
            has_write_track=None if track is None else bool(track),
            gmem_file=found.get("gmem.file", 0), gmem_offset_pages=found.get("gmem.pgoff", 0),
        )  # fmt: skip

    def _slots_of_array(self, head: int, as_id: int) -> list[RunningSlot] | None:
        (count,) = self._words([(head + self._used_slots.offset, self._used_slots.nbytes)])
        if count is None or count > MOST_SLOTS:
            return None
        if not count:
            return []
        nbytes = self._slot_bytes
        (data,) = self._memory.read([(head + self._array.offset, nbytes * count)])
        if data is None:
            return None
        slots = [self._slot(data[at : at + nbytes], as_id) for at in range(0, len(data), nbytes)]
        return sorted(slots, key=lambda slot: slot.base_gfn)

    def _slots_of_tree(self, head: int, as_id: int) -> list[RunningSlot] | None:
        """The tree, level by level, so that many slots are read at once; None if it changed
        meanwhile.
        """
        root, index = self._words(
            [
                (head + self._root.offset, _POINTER_BYTES),
                (head + self._node_idx.offset, self._node_idx.nbytes),
            ]
        )
        if root is None or index is None or index >= self._gfn_node.count:
            return None
        at = self._gfn_node.offset + self._gfn_node.nbytes * index
        children = struct.Struct("=Q").unpack_from
        left, right = (at + offset for offset in self._children)
        slots: list[RunningSlot] = []
        level = [root] if root else []
        seen = set(level)
        while level:
            found = self._memory.read([(node - at, self._slot_bytes) for node in level])
            level = []
            for data in found:
                if data is None:
                    return None
                slots.append(self._slot(data, as_id))
                level += [
                    child for child in (children(data, left)[0], children(data, right)[0]) if child
                ]
            seen.update(level)
            if len(seen) != len(slots) + len(level) or len(seen) > MOST_SLOTS:
                return None  # a node twice, or more than there can be: it was changed meanwhile
        return sorted(slots, key=lambda slot: slot.base_gfn)
