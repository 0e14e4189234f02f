"""The calls around the region calls, as a recording shows them, put to the model."""

from __future__ import annotations

from ..model.vm import Vm
from ..rules.answer import Accepted, Refused, Undetermined, Unmodelled
from ..rules.vm_calls import check_vm_type
from ..trace.event import Event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Outcome = Accepted | Refused | Undetermined | Unmodelled


def answer_of(event: Event, vm: Vm) -> Outcome | None:
    """The model's answer to a recorded call; None if its arguments were not recorded.

    A call that really failed changes nothing, whatever the model thinks of it.
    """
    handler = _HANDLERS[event.call]
    if event.result is not None and event.result < 0:
        vm = vm.fork()
    return handler(event, vm)


def _create_vm(event: Event, vm: Vm) -> Outcome | None:
    refused = check_vm_type(vm.profile, event.get("type") or 0)
    return refused or Accepted()


def _check_extension(event: Event, vm: Vm) -> Outcome | None:
    capability = event.get("cap")
    return None if capability is None else vm.check_extension(capability)


def _enable_cap(event: Event, vm: Vm) -> Outcome | None:
    capability, argument = event.get("cap"), event.get("arg0")
    if capability is None or argument is None:
        return None
    return vm.enable_cap(capability, argument, flags=event.get("flags") or 0)


def _create_vcpu(event: Event, vm: Vm) -> Outcome | None:
    return vm.create_vcpu(event.get("vcpu_id") or len(vm.state.config.vcpu_ids))


def _tss(event: Event, vm: Vm) -> Outcome | None:
    gpa = event.get("addr")
    return None if gpa is None else vm.set_tss_addr(gpa)


def _identity_map(event: Event, vm: Vm) -> Outcome | None:
    gpa = event.get("addr")
    return None if gpa is None else vm.set_identity_map_addr(gpa)


def _irqchip(event: Event, vm: Vm) -> Outcome | None:
    return vm.create_irqchip()


def _get_dirty(event: Event, vm: Vm) -> Outcome | None:
    slot = event.get("slot")
    return None if slot is None else vm.get_dirty_log(slot)


def _clear_dirty(event: Event, vm: Vm) -> Outcome | None:
    slot, first, number = event.get("slot"), event.get("first_page"), event.get("num_pages")
    if slot is None or first is None or number is None:
        return None
    return vm.clear_dirty_log(slot, first, number)


def _set_nr_mmu(event: Event, vm: Vm) -> Outcome | None:
    npages = event.get("nr_pages")
    return None if npages is None else vm.set_nr_mmu_pages(npages)


def _get_nr_mmu(event: Event, vm: Vm) -> Outcome | None:
    return vm.get_nr_mmu_pages()


def _reset_rings(event: Event, vm: Vm) -> Outcome | None:
    return vm.reset_dirty_rings()


def _create_guest_memfd(event: Event, vm: Vm) -> Outcome | None:
    size_bytes = event.get("size")
    fd = event.new_fd
    if size_bytes is None:
        return None
    return vm.create_guest_memfd(size_bytes, event.get("flags") or 0, fd)


def _attributes(event: Event, vm: Vm) -> Outcome | None:
    gpa, size_bytes = event.get("address"), event.get("size")
    if gpa is None or size_bytes is None:
        return None
    return vm.set_memory_attributes(gpa, size_bytes, event.get("attributes") or 0, event.get("flags") or 0)


_HANDLERS: dict[str, Callable[[Event, Vm], Outcome | None]] = {
    "KVM_CREATE_VM": _create_vm,
    "KVM_CHECK_EXTENSION": _check_extension,
    "KVM_ENABLE_CAP": _enable_cap,
    "KVM_CREATE_VCPU": _create_vcpu,
    "KVM_SET_TSS_ADDR": _tss,
    "KVM_SET_IDENTITY_MAP_ADDR": _identity_map,
    "KVM_CREATE_IRQCHIP": _irqchip,
    "KVM_GET_DIRTY_LOG": _get_dirty,
    "KVM_CLEAR_DIRTY_LOG": _clear_dirty,
    "KVM_SET_NR_MMU_PAGES": _set_nr_mmu,
    "KVM_GET_NR_MMU_PAGES": _get_nr_mmu,
    "KVM_RESET_DIRTY_RINGS": _reset_rings,
    "KVM_CREATE_GUEST_MEMFD": _create_guest_memfd,
    "KVM_SET_MEMORY_ATTRIBUTES": _attributes,
}
CONFIGURING_CALLS = frozenset(_HANDLERS)
