"""The operations of the program that asks real kernels, and the calls that they make.

An operation is a list: its name, then operands.  Those in `OPERATIONS` make one
call whose fields are the operands in this order.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Operation = list[object]

_REGION = ("slot", "flags", "guest_phys_addr", "memory_size", "userspace_addr")
OPERATIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "set_region": ("KVM_SET_USER_MEMORY_REGION", _REGION),
    "set_region2": ("KVM_SET_USER_MEMORY_REGION2", (*_REGION, "guest_memfd", "guest_memfd_offset")),
    "get_dirty": ("KVM_GET_DIRTY_LOG", ("slot",)),
    "clear_dirty": ("KVM_CLEAR_DIRTY_LOG", ("slot", "first_page", "num_pages")),
    "enable_cap": ("KVM_ENABLE_CAP", ("cap", "arg0", "arg1", "flags")),
    "check_ext_vm": ("KVM_CHECK_EXTENSION", ("cap",)),
    "create_gmem": ("KVM_CREATE_GUEST_MEMFD", ("size", "flags")),
    "set_attr": ("KVM_SET_MEMORY_ATTRIBUTES", ("address", "size", "attributes", "flags")),
    "vcpu": ("KVM_CREATE_VCPU", ("vcpu_id",)),
    "set_tss": ("KVM_SET_TSS_ADDR", ("addr",)),
    "set_ident": ("KVM_SET_IDENTITY_MAP_ADDR", ("addr",)),
    "set_nr_mmu": ("KVM_SET_NR_MMU_PAGES", ("nr_pages",)),
    "get_nr_mmu": ("KVM_GET_NR_MMU_PAGES", ()),
    "irqchip": ("KVM_CREATE_IRQCHIP", ()),
    "reset_rings": ("KVM_RESET_DIRTY_RINGS", ()),
    "prefault": ("KVM_PRE_FAULT_MEMORY", ("gpa", "size", "flags")),
}
"""Operation: call, and the fields that its operands are."""
_BY_CALL = {call: (name, fields) for name, (call, fields) in OPERATIONS.items()}


def operation_of(call: str, fields: Mapping[str, int]) -> Operation:
    """The operation that makes a call by name.

    Raises KeyError for one that the program cannot make.
    """
    if call == "KVM_SET_MSRS":
        return ["kvm_write", fields["data"]]
    name, names = _BY_CALL[call]
    operands: Operation = [name, *(fields.get(field, 0) for field in names)]
    if call == "KVM_CLEAR_DIRTY_LOG":
        # bits to clear: all of the range, or those of a mask of 64
        if "mask" in fields:
            return ["clear_mask", *operands[1:], fields["mask"]]
        return [*operands, 1]
    return operands
