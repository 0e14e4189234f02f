"""KVM_SET_MEMORY_ATTRIBUTES."""

from __future__ import annotations

from ..errnos import EINVAL
from ..state.change import AttributesSet
from .answer import Accepted, Refused, Rule, Undetermined
from .attempt import Attempt
from .ioctl import unknown_ioctl

_MAIN = "virt/kvm/kvm_main.c"
_2_64 = 1 << 64

# fmt: off
ATTRIBUTES_INVALID = Rule(
    "attributes-invalid", EINVAL, "KVM_SET_MEMORY_ATTRIBUTES has flags, an unsupported attribute, "
                                  "or a bad range.",
    """flags must be 0; only VMs with private memory have an attribute (8, private); the range must
    be whole pages, not empty, and end below 2^64.""",
    "Ask KVM_CAP_MEMORY_ATTRIBUTES on the VM.", f"kvm_vm_ioctl_set_mem_attributes() in {_MAIN}",
    calls="KVM_SET_MEMORY_ATTRIBUTES",
    needs=("memory-attributes",),
)
# fmt: on

RULES = (ATTRIBUTES_INVALID,)


def decide(attempt: Attempt) -> Accepted | Refused | Undetermined:
    """The answer to KVM_SET_MEMORY_ATTRIBUTES on bytes [address, address + size)."""
    machine = attempt.machine
    if not machine.profile.has("memory-attributes"):
        return unknown_ioctl(machine)
    built = machine.profile.option("attributes-built")
    if not built:
        if built is None and not machine.private_memory:
            return ATTRIBUTES_INVALID.ask(
                "are memory attributes built in (KVM_CAP_MEMORY_ATTRIBUTES on /dev/kvm)?  State "
                "+attributes-built"
            )
        if built is False:
            return unknown_ioctl(machine)
    gpa, size_bytes = attempt.get("address"), attempt.get("size")
    attributes, flags = attempt.get("attributes"), attempt.get("flags")
    end = gpa + size_bytes
    if (
        flags
        or attributes & ~machine.attributes_mask
        or not size_bytes
        or end >= _2_64
        or ((gpa | size_bytes) & machine.page_mask)
    ):
        return ATTRIBUTES_INVALID.refuse(
            guest_phys_addr=gpa, size_bytes=size_bytes, attributes=attributes, flags=flags
        )  # fmt: skip
    return Accepted(AttributesSet(gpa >> machine.page_shift, end >> machine.page_shift, attributes))
