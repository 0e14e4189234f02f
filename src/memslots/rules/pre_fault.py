"""KVM_PRE_FAULT_MEMORY on a vCPU: checks only, nothing is mapped here."""

from __future__ import annotations

from errno import EINVAL, ENOENT

from .answer import NO_CHANGE, Accepted, Refused, Rule, Unmodelled
from .attempt import Attempt

_X86 = "arch/x86/kvm/x86.c"
_MAIN = "virt/kvm/kvm_main.c"
_2_64 = 1 << 64

# fmt: off
PREFAULT_INVALID = Rule(
    "pre-fault-range", EINVAL, "KVM_PRE_FAULT_MEMORY has flags or a bad range, or the vCPU has no such call.",
    "", "Pass whole pages, not empty, that end below 2^64.", f"kvm_vcpu_pre_fault_memory() in {_MAIN}",
    calls="KVM_PRE_FAULT_MEMORY",
    needs=("pre-fault-memory",),
)
PREFAULT_NO_SLOT = Rule(
    "pre-fault-no-slot", ENOENT, "No slot holds the address.", "", "Register the memory first.",
    f"kvm_arch_vcpu_pre_fault_memory() in {_X86}", calls="KVM_PRE_FAULT_MEMORY",
    needs=("pre-fault-memory",),
)
# fmt: on

RULES = (PREFAULT_INVALID, PREFAULT_NO_SLOT)


def decide(attempt: Attempt) -> Accepted | Refused | Unmodelled:
    """The answer to KVM_PRE_FAULT_MEMORY of bytes [gpa, gpa + size)."""
    machine = attempt.machine
    gpa, size_bytes, flags = attempt.get("gpa"), attempt.get("size"), attempt.get("flags")
    numbers = {"guest_phys_addr": gpa, "size_bytes": size_bytes, "flags": flags}
    if not machine.profile.has("pre-fault-memory"):
        return PREFAULT_INVALID.refuse(**numbers)  # vCPU file descriptors answer EINVAL to unknown calls
    if flags or not size_bytes or (gpa | size_bytes) & machine.page_mask or gpa + size_bytes >= _2_64:
        return PREFAULT_INVALID.refuse(**numbers)
    if not machine.profile.option("tdp"):
        return Unmodelled("KVM_PRE_FAULT_MEMORY without two-dimensional paging")
    if attempt.state.spaces[0].at(gpa >> machine.page_shift) is None:
        return PREFAULT_NO_SLOT.refuse(guest_phys_addr=gpa)
    return NO_CHANGE
