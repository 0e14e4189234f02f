"""What KVM checks of every call on a VM's descriptor, whatever the call."""

from __future__ import annotations

from ..errnos import EIO, ENOTTY
from ..kernel.machine import Machine
from ..state.vm_state import VmState
from .answer import Refused, Rule

_IOCTL = "kvm_vm_ioctl() in virt/kvm/kvm_main.c"

# fmt: off
FOREIGN_PROCESS = Rule(
    "foreign-process", EIO, "The caller's address space is not the one that created the VM.",
    """A VM belongs to the memory of the process that created it: host addresses mean nothing in
    another. A forked child has a copy of that memory, not the memory itself, so it is refused
    too.""",
    "Make the call in the process that opened the VM; after a fork, in the parent.",
    _IOCTL, calls="every VM ioctl",
    numberless=True,
)
VM_DEAD = Rule(
    "vm-dead", EIO, "KVM has marked the VM dead after a bug of its own.",
    """Once KVM finds itself in a state that cannot be (KVM_BUG_ON in the kernel log) it refuses
    every further call on the VM.  Older kernels only warn.""",
    "Look for a warning of KVM in the kernel log just before; nothing about this call is wrong.",
    _IOCTL, calls="every VM ioctl", needs=("bad-vm-eio",),
    numberless=True,
)
IOCTL_UNKNOWN = Rule(
    "ioctl-unknown", ENOTTY, "The kernel does not have this call.",
    """x86, powerpc and s390 answer ENOTTY, arm64 and riscv EINVAL.
    KVM_SET_USER_MEMORY_REGION2 came with 6.8.""",
    "Ask KVM_CHECK_EXTENSION (KVM_CAP_USER_MEMORY2) first and use the older call where it says 0; "
    "every KVM has that one, so where it is refused the program and the module are of two trees.",
    _IOCTL, calls="every VM ioctl",
)
# fmt: on

RULES = (FOREIGN_PROCESS, VM_DEAD, IOCTL_UNKNOWN)


def check_caller(state: VmState, *, by_other_process: bool) -> Refused | None:
    """Refuses every call of a stranger, and every call on a VM that is dead."""
    if by_other_process:
        return FOREIGN_PROCESS.refuse()
    if state.dead and state.machine.profile.has("bad-vm-eio"):
        return VM_DEAD.refuse()
    return None


def unknown_ioctl(machine: Machine) -> Refused:
    """The answer of a kernel that does not have the call."""
    return IOCTL_UNKNOWN.refuse(errno=machine.profile.arch.unknown_vm_ioctl)
