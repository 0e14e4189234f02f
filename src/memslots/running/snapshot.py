"""A running VM as the calls that would lead to it: what an attached recording begins with.

The calls are in an order in which none can be refused, and marked (`Event.format`
is `snapshot`): nobody made them in this order, and slots that came and went before
are not in them.  What struct kvm does not tell is left out: the address of the
TSS unless it has a slot, memory attributes, which pages are dirty.
"""

from __future__ import annotations

from ..replay.replay import Replay
from ..rules.own_slots import TSS_OFFSET
from ..trace.event import Event
from ..uapi import capabilities
from ..uapi.flags import KVM_MEM_GUEST_MEMFD, KVM_MEM_USER_FLAGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ..kernel.profile import Profile
    from ..model.vm import Vm
    from .running_vm import Holder, RunningSlot, RunningVm

FORMAT = "snapshot"
_IRQCHIP_KERNEL, _IRQCHIP_SPLIT = 1, 2
"""enum kvm_irqchip_mode (x86)."""
_CLOSED_FD = 0x7FFF_FFFF
"""Counted down from here: numbers for guest_memfd files whose descriptors were closed."""


class Host:
    """The numbers of a host that slots are counted in."""

    __slots__ = ("page_shift", "user_slots")

    def __init__(self, user_slots: int, page_shift: int) -> None:
        self.user_slots = user_slots
        """Slots that user space may have in an address space: ids from here on are KVM's own."""
        self.page_shift = page_shift


def host_of(profile: Profile) -> Host:
    """The numbers of a profile."""
    return Host(profile.limit("user-slots"), profile.page_shift)


def events_of(
    vm: RunningVm, host: Host, *, holder: Holder | None = None, time_ns: int | None = None
) -> list[Event]:  # fmt: skip
    """The calls that lead to a VM as it is.

    holder: the process whose descriptors they name (the first).
    """
    if holder is None and vm.holders:
        holder = vm.holders[0]
    fd = holder.vm_fds[0] if holder is not None and holder.vm_fds else None
    pid = None if holder is None else holder.pid
    events = []
    for call, fields, result in _calls(vm, host, fd, holder):
        event = Event(call, fields, result, fd=fd, pid=pid, time_ns=time_ns, format=FORMAT)
        if call == "KVM_CREATE_VM":
            event.fd, event.new_fd = None, fd
        elif call == "KVM_CREATE_VCPU":
            event.new_fd = result or None
        events.append(event)
    return events


def _calls(
    vm: RunningVm, host: Host, fd: int | None, holder: Holder | None
) -> Iterator[tuple[str, Mapping[str, int], int]]:  # fmt: skip
    numbers = vm.numbers
    is_x86 = "arch.irqchip_mode" in numbers
    yield "KVM_CREATE_VM", {"type": numbers.get("arch.vm_type", 0)}, fd or 0
    for slot in vm.spaces[0] if is_x86 else ():
        if slot.id == host.user_slots + TSS_OFFSET:
            yield "KVM_SET_TSS_ADDR", {"addr": slot.base_gfn << host.page_shift}, 0
    if numbers.get("arch.irqchip_mode") == _IRQCHIP_KERNEL:
        yield "KVM_CREATE_IRQCHIP", {}, 0
    elif numbers.get("arch.irqchip_mode") == _IRQCHIP_SPLIT:
        yield _enable(
            capabilities.KVM_CAP_SPLIT_IRQCHIP, numbers.get("arch.nr_reserved_ioapic_pins", 0)
        )
    if numbers.get("manual_dirty_log_protect"):
        yield _enable(
            capabilities.KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, numbers["manual_dirty_log_protect"]
        )
    if numbers.get("dirty_ring_size"):
        ring = (
            capabilities.KVM_CAP_DIRTY_LOG_RING
            if is_x86
            else capabilities.KVM_CAP_DIRTY_LOG_RING_ACQ_REL
        )
        yield _enable(ring, numbers["dirty_ring_size"])
        if numbers.get("dirty_ring_with_bitmap"):
            yield _enable(capabilities.KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP, 0)
    vcpus = {} if holder is None else holder.vcpu_fds
    for vcpu_id in vm.vcpu_ids:
        yield "KVM_CREATE_VCPU", {"vcpu_id": vcpu_id}, vcpus.get(vcpu_id, 0)
    if numbers.get("arch.n_requested_mmu_pages"):
        yield "KVM_SET_NR_MMU_PAGES", {"nr_pages": numbers["arch.n_requested_mmu_pages"]}, 0
    gmem_fds = dict({} if holder is None else holder.gmem_fds)
    for slot in vm.slots():
        if slot.id < host.user_slots:
            yield _region(slot, host.page_shift, gmem_fds)


def _enable(capability: int, argument: int) -> tuple[str, Mapping[str, int], int]:
    fields = {"cap": capability, "flags": 0, "arg0": argument, "arg1": 0, "arg2": 0, "arg3": 0}
    return "KVM_ENABLE_CAP", fields, 0


def _region(
    slot: RunningSlot, page_shift: int, gmem_fds: dict[int, int]
) -> tuple[str, Mapping[str, int], int]:  # fmt: skip
    fields = {
        "slot": slot.slot_word,
        "flags": slot.flags & KVM_MEM_USER_FLAGS,
        "guest_phys_addr": slot.base_gfn << page_shift,
        "memory_size": slot.npages << page_shift,
        "userspace_addr": slot.userspace_addr,
    }
    if not fields["flags"] & KVM_MEM_GUEST_MEMFD:
        return "KVM_SET_USER_MEMORY_REGION", fields, 0
    fields["guest_memfd_offset"] = slot.gmem_offset_pages << page_shift
    fields["guest_memfd"] = gmem_fds.setdefault(slot.gmem_file, _CLOSED_FD - len(gmem_fds))
    return "KVM_SET_USER_MEMORY_REGION2", fields, 0


def model_of(vm: RunningVm, profile: Profile) -> Vm:
    """The model's VM after those calls."""
    return model_after(events_of(vm, host_of(profile)), profile)


def model_after(events: Sequence[Event], profile: Profile) -> Vm:
    """The model's VM after the calls of one snapshot."""
    replay = Replay(events, profile)
    for _ in replay:
        pass
    return replay.vms[0].vm
