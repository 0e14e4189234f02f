"""Running VMs as a table, the slots of each as lines, and both as JSON values."""

from __future__ import annotations

from ..trace.event import printable
from ..uapi.flags import KVM_MEM_USER_FLAGS, flag_text
from ..units import format_bytes
from .text import counted, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..running.beside_model import BesideModel, Disagreement
    from ..running.running_vm import RunningSlot, RunningVm

VMS_SCHEMA, SLOTS_SCHEMA = "memslots.vms/1", "memslots.running-slots/1"
_VM_HEADS = (
    "pid",
    "fd",
    "vCPUs",
    "slots",
    "left",
    "pages",
    "memory",
    "MMU budget",
    "kernel memory",
    "command",
)
_SLOT_HEADS = ("slot", "guest-physical", "size", "host", "flags", "")
_COMMAND_LETTERS = 60


def vms_lines(found: Sequence[BesideModel], all_processes: bool = True) -> Iterator[str]:
    """One line a VM.  all_processes: False says that VMs of other PID namespaces may be missing."""
    if found:
        yield from table(
            [_vm_cells(each) for each in found], _VM_HEADS, frozenset(range(len(_VM_HEADS) - 1))
        )
    else:
        yield "no VM is open in any process"
    if not all_processes:
        yield (
            "note: in a PID namespace of its own memslots sees only the processes of that; ask on "
            "the host for all"
        )
    for each in found:
        yield from (f"pid {_pid(each.vm)}: {line}" for line in _remarks(each))


def _vm_cells(each: BesideModel) -> tuple[str, ...]:
    vm = each.vm
    cost = each.cost_bytes
    return (
        str(_pid(vm)),
        ",".join(str(fd) for holder in vm.holders[:1] for fd in holder.vm_fds) or "-",
        str(vm.vcpus),
        "+".join(str(len(space)) for space in vm.spaces),
        str(min(each.slots_left, default=0)),
        str(vm.total_pages),
        format_bytes(vm.total_pages << each.model.page_shift),
        "-" if vm.mmu_budget is None else str(vm.mmu_budget),
        "?" if cost is None else format_bytes(cost),
        printable(vm.holders[0].command)[:_COMMAND_LETTERS] if vm.holders else "",
    )


def _pid(vm: RunningVm) -> int:
    return vm.holders[0].pid if vm.holders else 0


def _remarks(each: BesideModel) -> Iterator[str]:
    """What is unusual about what was read."""
    if not each.vm.consistent:
        yield "its slots changed at every try to read them: what is shown may be of two moments"
    if each.vm.numbers.get("vm_bugged") or each.vm.numbers.get("vm_dead"):
        yield "KVM has given this VM up: every call on it fails with EIO"
    for found in each.disagreements:
        yield (
            f"the model disagrees: {found.what} is {_value(found.kernel)} in the kernel, "
            f"{_value(found.model)} here"
        )


def _value(value: object) -> str:
    if value is None:
        return "not there"
    if isinstance(value, tuple):
        as_id, slot_id, base_gfn, npages, flags = value
        return f"{as_id}:{slot_id} at gfn {base_gfn:#x}, {npages} pages, {flag_text(flags)}"
    return str(value)


def slots_lines(each: BesideModel) -> Iterator[str]:
    """One VM: a head, a line a slot, and whether the model agrees."""
    vm, shift = each.vm, each.model.page_shift
    for holder in vm.holders:
        fds = ", ".join(f"fd {fd}" for fd in holder.vm_fds) or "no descriptor of the VM itself"
        yield f"pid {holder.pid} ({fds}): {printable(holder.command)[:_COMMAND_LETTERS]}"
    budget = "" if vm.mmu_budget is None else f", MMU budget {vm.mmu_budget}"
    yield (
        f"{counted(vm.vcpus, 'vCPU')}, {counted(vm.nr_slots, 'slot')}, {vm.total_pages} pages"
        f" ({format_bytes(vm.total_pages << shift)}){budget}"
    )
    for as_id, space in enumerate(vm.spaces):
        if len(vm.spaces) > 1:
            name = " (SMM)" if as_id == 1 and each.model.profile.arch.is_x86 else ""
            yield (
                f"address space {as_id}{name}, generation {vm.generations[as_id]}: {len(space)} "
                "slots"
            )
        if space:
            yield from table(
                [_cells(slot, shift) for slot in space], _SLOT_HEADS, frozenset((0, 2))
            )
    yield from (
        _remarks(each)
        if each.disagreements or not vm.consistent
        else ("the model agrees on all of it",)
    )


def _cells(slot: RunningSlot, shift: int) -> tuple[str, ...]:
    gpa, end = slot.base_gfn << shift, slot.end_gfn << shift
    return (
        str(slot.id),
        f"[{gpa:#x}, {end:#x})",
        format_bytes(end - gpa),
        f"{slot.userspace_addr:#x}",
        flag_text(slot.flags & KVM_MEM_USER_FLAGS),
        _about(slot),
    )


def _about(slot: RunningSlot) -> str:
    parts = [f"KVM's own: {slot.owner}"] if slot.owner else []
    if slot.is_invalid:
        parts.append("being deleted or moved")
    if slot.gmem_file:
        parts.append(f"guest_memfd from page {slot.gmem_offset_pages:#x}")
    return ", ".join(parts)


def vm_value(each: BesideModel) -> dict[str, object]:
    """One VM for `live vms --json`."""
    vm = each.vm
    return {
        "holders": [
            {
                "pid": holder.pid,
                "name": holder.name,
                "command": holder.command,
                "vm_fds": holder.vm_fds,
                "vcpu_fds": {str(vcpu_id): fd for vcpu_id, fd in sorted(holder.vcpu_fds.items())},
            }
            for holder in vm.holders
        ],
        "vcpus": vm.vcpus,
        "slots": [len(space) for space in vm.spaces],
        "slots_left": each.slots_left,
        "generations": vm.generations,
        "pages": vm.total_pages,
        "nr_memslot_pages": vm.kernel_total_pages,
        "mmu_budget": vm.mmu_budget,
        "kernel_memory_bytes": each.cost_bytes,
        "kernel": dict(vm.numbers),
        "consistent": vm.consistent,
        "disagreements": [_disagreement_value(found) for found in each.disagreements],
    }


def _disagreement_value(found: Disagreement) -> dict[str, object]:
    return {"what": found.what, "kernel": found.kernel, "model": found.model}


def vms_value(found: Sequence[BesideModel], all_processes: bool = True) -> dict[str, object]:
    """`live vms --json`."""
    return {
        "schema": VMS_SCHEMA,
        "all_processes": all_processes,
        "vms": [vm_value(each) for each in found],
    }


def slots_value(found: Sequence[BesideModel]) -> dict[str, object]:
    """`live slots --json`: each VM, and its slots under `slot_list`."""
    vms = []
    for each in found:
        shift = each.model.page_shift
        slots = [
            {
                "space": slot.as_id,
                "slot": slot.id,
                "gpa": slot.base_gfn << shift,
                "bytes": slot.npages << shift,
                "userspace_addr": slot.userspace_addr,
                "flags": slot.flags & KVM_MEM_USER_FLAGS,
                "owner": slot.owner or None,
                "invalid": slot.is_invalid,
                "has_bitmap": slot.has_bitmap,
                "guest_memfd": bool(slot.gmem_file),
            }
            for slot in each.vm.slots()
        ]
        vms.append({**vm_value(each), "slot_list": slots})
    return {"schema": SLOTS_SCHEMA, "vms": vms}
