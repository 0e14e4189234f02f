"""Kernel memory that a layout costs: by slot, by kind, in total, and what more would add.

from memslots.check.cost import cost
found = cost("examples/layouts/pc.toml", "6.18/x86_64")
found.total, found.by_kind
"""

from __future__ import annotations

from ..errors import MemslotsError
from ..kernel.names import find
from ..state.slot import Slot
from ..trace.event import LAYOUT
from ..uapi.flags import KVM_MEM_LOG_DIRTY_PAGES
from . import metadata
from .metadata import Conditions
from .plan import load, replay_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from ..kernel.profile import Profile
    from ..model.vm import Vm
    from .metadata import Array

HEADS, RINGS, ATTRIBUTES = "slot sets", "dirty rings", "memory attributes"
"""Kinds of memory that belong to the VM and not to one slot."""
DESCRIPTORS = "descriptors"
_slot_bytes: dict[tuple[str, bool], dict[tuple[int, int, int, int], int]] = {}
"""What slots cost on a kernel that were asked for before: fleets are made of the same few."""
_MOST_SLOTS_KNOWN = 100_000
_HUGE_MASK = (1 << 30) - 1
"""Host address bits that decide whether huge pages fit."""
ONE_PAGE, ONE_GIB, LOGGING, SMM, NESTED = "one-page", "one-gib", "logging", "smm", "nested"
"""What more would be: a slot of one page, one of 1 GiB, dirty logging of all, all slots for SMM, a
nested guest.
"""


class SlotCost:
    """One slot and its allocations."""

    __slots__ = ("arrays", "name", "slot")

    def __init__(self, slot: Slot, arrays: list[Array], name: str = "") -> None:
        self.slot = slot
        self.arrays = arrays
        self.name = name
        """As in the layout."""

    @property
    def total(self) -> int:
        """Bytes allocated."""
        return sum(array.allocated for array in self.arrays)


class Cost:
    """What a VM's slots cost."""

    __slots__ = (
        "conditions",
        "heads",
        "profile",
        "refused",
        "slots",
        "unknown",
        "vm_kinds",
        "what_if",
    )

    def __init__(self, profile: Profile, conditions: Conditions) -> None:
        self.profile = profile
        self.conditions = conditions
        self.slots: list[SlotCost] = []
        self.vm_kinds: dict[str, int] = {}
        """Bytes that belong to the VM and not to one slot: sets of slots, rings, attributes."""
        self.unknown: list[str] = []
        """Kinds that are not counted because they are not known for this kernel."""
        self.what_if: dict[str, int] = {}
        """ONE_PAGE and so on: bytes that it would add (negative: free)."""
        self.refused = 0
        """Calls of the layout that this kernel refuses: their slots are not counted."""

    @property
    def by_kind(self) -> dict[str, int]:
        """Kind: bytes allocated, those of the VM last."""
        found = dict.fromkeys(metadata.KINDS, 0)
        for each in self.slots:
            for array in each.arrays:
                found[array.kind] += array.allocated
        return {**{kind: size for kind, size in found.items() if size}, **self.vm_kinds}

    @property
    def total(self) -> int:
        """Bytes in all."""
        return sum(self.by_kind.values())

    @property
    def vmalloc_overhead(self) -> int:
        """About what vmalloc itself keeps for the arrays."""
        return sum(metadata.vmalloc_overhead(each.arrays) for each in self.slots)


def cost(
    source: str | os.PathLike[str], kernel: str | Profile, *, nested: bool = False,
    tracker: bool = False
) -> Cost:  # fmt: skip
    """What a layout or recording costs at its end, on one kernel.

    nested: a guest has run guests of its own.  tracker: see `Conditions`.
    """
    profile = find(kernel) if isinstance(kernel, str) else kernel
    names: dict[int, str] = {}
    refused = 0
    replay = replay_of(load(source), profile)
    for step in replay:
        if step.region is not None and step.event.format == LAYOUT:
            names.setdefault(step.region.slot, step.event.text)  # later calls only change it
        refused += step.is_region and step.answer is not None and step.answer.accepted is False
    found = cost_of_vms(
        [tracked.vm for tracked in replay.vms], profile, Conditions(shadow=nested, tracker=tracker)
    )
    found.refused = refused
    for each in found.slots:
        each.name = names.get(each.slot.slot_word, "")
    return found


def cost_of_vms(vms: Sequence[Vm], profile: Profile, conditions: Conditions) -> Cost:
    """What VMs cost together, as they are."""
    found = Cost(profile, conditions)
    for vm in vms:
        _add_vm(found, vm)
    if metadata.head_bytes(profile, 0) is None:
        found.unknown.append(HEADS)
    if metadata.descriptor_bytes(profile) is None:
        found.unknown.append(DESCRIPTORS)
    _add_what_if(found, vms)
    return found


def bytes_of_vm(vm: Vm, profile: Profile) -> int | None:
    """Kernel memory for the slots of one VM, as it is; None where it is not known."""
    if not profile.arch.is_x86 or metadata.head_bytes(profile, 0) is None:
        return None
    known = _slot_bytes.setdefault((profile.name, vm.state.uses_bitmaps), {})
    if len(known) > _MOST_SLOTS_KNOWN:
        known.clear()
    found = Cost(profile, Conditions())
    total = 0
    try:
        for space in vm.state.spaces:
            for slot in space:
                key = (slot.base_gfn, slot.npages, slot.flags, slot.userspace_addr & _HUGE_MASK)
                if key not in known:
                    known[key] = _total(_arrays(found, vm, slot))
                total += known[key]
            total += metadata.head_bytes(profile, space.count) or 0
    except MemslotsError:
        return None
    config = vm.state.config
    nodes = metadata.attribute_bytes(vm.state.attributes.ranges()) or 0
    return total + config.ring_bytes * len(config.vcpu_ids) + nodes


def _add_vm(found: Cost, vm: Vm) -> None:
    state, profile = vm.state, found.profile
    for space in state.spaces:
        found.slots += [SlotCost(slot, _arrays(found, vm, slot)) for slot in space]
        head = metadata.head_bytes(profile, space.count)
        if head:
            found.vm_kinds[HEADS] = found.vm_kinds.get(HEADS, 0) + head
    rings = state.config.ring_bytes * len(state.config.vcpu_ids)
    nodes = metadata.attribute_bytes(state.attributes.ranges())
    for kind, size in ((RINGS, rings), (ATTRIBUTES, nodes)):
        if size:
            found.vm_kinds[kind] = found.vm_kinds.get(kind, 0) + size


def _arrays(found: Cost, vm: Vm, slot: Slot, conditions: Conditions | None = None) -> list[Array]:
    return metadata.arrays_of(
        found.profile, slot, conditions or found.conditions, bitmaps=vm.state.uses_bitmaps
    )  # fmt: skip


def _total(arrays: list[Array]) -> int:
    return sum(array.allocated for array in arrays)


def _add_what_if(found: Cost, vms: Sequence[Vm]) -> None:
    """What one more slot, logging, SMM and nested guests would add."""
    profile = found.profile
    pairs = [(vm, slot) for vm in vms for space in vm.state.spaces for slot in space]
    gib = 1 << (30 - profile.page_shift)
    base = Slot(0, 0, 1 << 20, gib, 0, 0)
    if vms:
        head = _head_step(profile, vms[0])
        for name, npages in ((ONE_PAGE, 1), (ONE_GIB, gib)):
            slot = Slot(0, 0, base.base_gfn, npages, 0, 0)
            found.what_if[name] = _total(_arrays(found, vms[0], slot)) + head
    logging = sum(
        _total(_arrays(found, vm, _logging(slot))) - _total(_arrays(found, vm, slot))
        for vm, slot in pairs
    )
    found.what_if[LOGGING] = logging
    if profile.arch.is_x86:
        smm = [
            (vm, slot)
            for vm, slot in pairs
            if len(vm.state.spaces) > 1 and slot.as_id == 0 and not slot.owner
        ]
        if smm:
            found.what_if[SMM] = sum(
                _total(_arrays(found, vm, slot)) + _head_step(profile, vm)
                for vm, slot in smm
                if vm.state.spaces[1].by_id(slot.id) is None
            )
        shadow = Conditions(shadow=True, tracker=found.conditions.tracker)
        found.what_if[NESTED] = sum(
            _total(_arrays(found, vm, slot, shadow)) - _total(_arrays(found, vm, slot))
            for vm, slot in pairs
        )


def _head_step(profile: Profile, vm: Vm) -> int:
    """Bytes by which the set of slots grows with one more."""
    count = vm.state.spaces[0].count
    now, then = metadata.head_bytes(profile, count), metadata.head_bytes(profile, count + 1)
    return 0 if now is None or then is None else then - now


def _logging(slot: Slot) -> Slot:
    return Slot(
        slot.as_id, slot.id, slot.base_gfn, slot.npages, slot.userspace_addr,
        slot.flags | KVM_MEM_LOG_DIRTY_PAGES
    )  # fmt: skip
