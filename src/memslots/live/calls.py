"""One recorded call put to a VM, live or of the model: both have the same methods."""

from __future__ import annotations

from ..trace.event import Event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    Fields = Mapping[str, int]

WALL_CLOCK_MSR = 0x4B564D00
VALUE_CALLS = frozenset(("KVM_CHECK_EXTENSION", "KVM_GET_NR_MMU_PAGES", "KVM_RESET_DIRTY_RINGS"))
"""Calls whose positive results say something; those of all others are file descriptors."""


def perform(vm: Any, event: Event, fds: Mapping[int, int]) -> Any:
    """The outcome of a call, or None if it is none that a VM takes or its arguments are not known.

    fds: numbers that guest_memfd descriptors have in this process, by recorded number.
    """
    fields = event.fields
    try:
        if event.call == "KVM_SET_USER_MEMORY_REGION2":
            fd = fields.get("guest_memfd", 0)
            return vm.set_user_memory_region2(
                *_region(fields), fds.get(fd, fd), fields.get("guest_memfd_offset", 0)
            )  # fmt: skip
        handler = _HANDLERS.get(event.call)
        return None if handler is None else handler(vm, fields)
    except KeyError:
        return None


def _region(fields: Fields) -> tuple[int, int, int, int, int]:
    return (
        fields["slot"], fields["flags"], fields["guest_phys_addr"], fields["memory_size"], fields["userspace_addr"],
    )  # fmt: skip


def _enable_cap(vm: Any, fields: Fields) -> Any:
    arguments = [fields.get(f"arg{number}", 0) for number in range(4)]
    return vm.enable_cap(fields["cap"], *arguments, flags=fields.get("flags", 0))


def _clear(vm: Any, fields: Fields) -> Any:
    return vm.clear_dirty_log(fields["slot"], fields["first_page"], fields["num_pages"], fields.get("mask"))


def _attributes(vm: Any, fields: Fields) -> Any:
    return vm.set_memory_attributes(
        fields["address"], fields["size"], fields["attributes"], fields.get("flags", 0)
    )  # fmt: skip


_HANDLERS: dict[str, Callable[[Any, Fields], Any]] = {
    "KVM_SET_USER_MEMORY_REGION": lambda vm, fields: vm.set_user_memory_region(*_region(fields)),
    "KVM_CHECK_EXTENSION": lambda vm, fields: vm.check_extension(fields["cap"]),
    "KVM_ENABLE_CAP": _enable_cap,
    "KVM_CREATE_VCPU": lambda vm, fields: vm.create_vcpu(fields["vcpu_id"]),
    "KVM_SET_TSS_ADDR": lambda vm, fields: vm.set_tss_addr(fields["addr"]),
    "KVM_SET_IDENTITY_MAP_ADDR": lambda vm, fields: vm.set_identity_map_addr(fields["addr"]),
    "KVM_CREATE_IRQCHIP": lambda vm, fields: vm.create_irqchip(),
    "KVM_GET_DIRTY_LOG": lambda vm, fields: vm.get_dirty_log(fields["slot"]),
    "KVM_CLEAR_DIRTY_LOG": _clear,
    "KVM_SET_NR_MMU_PAGES": lambda vm, fields: vm.set_nr_mmu_pages(fields["nr_pages"]),
    "KVM_GET_NR_MMU_PAGES": lambda vm, fields: vm.get_nr_mmu_pages(),
    "KVM_RESET_DIRTY_RINGS": lambda vm, fields: vm.reset_dirty_rings(),
    "KVM_CREATE_GUEST_MEMFD": lambda vm, fields: vm.create_guest_memfd(fields["size"], fields.get("flags", 0)),
    "KVM_SET_MEMORY_ATTRIBUTES": _attributes,
}
VM_CALLS = frozenset(_HANDLERS) | {"KVM_SET_USER_MEMORY_REGION2"}
"""The calls that `perform` knows."""
