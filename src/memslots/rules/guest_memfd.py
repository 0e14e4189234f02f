"""KVM_CREATE_GUEST_MEMFD."""

from __future__ import annotations

from ..errnos import EINVAL
from ..kernel.machine import Machine, guest_memfd_built
from ..state.change import FileMade
from ..state.guest_memfd import GuestMemfd
from ..uapi.flags import GUEST_MEMFD_FLAG_INIT_SHARED, GUEST_MEMFD_FLAG_MMAP
from .answer import Accepted, Refused, Rule
from .attempt import Attempt
from .ioctl import unknown_ioctl

# fmt: off
GMEM_FLAGS = Rule(
    "gmem-flags", EINVAL, "KVM_CREATE_GUEST_MEMFD has an unknown flag.",
    "No flags before {guest-memfd-mmap}; MMAP and INIT_SHARED since, INIT_SHARED not for VMs with "
    "private "
    "memory.",
    "Ask KVM_CAP_GUEST_MEMFD_FLAGS on the VM.", "kvm_gmem_create() in virt/kvm/guest_memfd.c",
    calls="KVM_CREATE_GUEST_MEMFD", needs=("guest-memfd",),
)
GMEM_SIZE = Rule(
    "gmem-size", EINVAL, "The file's size is 0, negative, or no multiple of the page size.", "",
    "Round the size up to pages.", "kvm_gmem_create() in virt/kvm/guest_memfd.c",
    calls="KVM_CREATE_GUEST_MEMFD",
    needs=("guest-memfd",),
)
# fmt: on

RULES = (GMEM_FLAGS, GMEM_SIZE)


def guest_memfd_flags(machine: Machine) -> int:
    """The flags that KVM_CREATE_GUEST_MEMFD takes on this VM."""
    if not machine.profile.has("guest-memfd-mmap"):
        return 0
    return GUEST_MEMFD_FLAG_MMAP | (0 if machine.private_memory else GUEST_MEMFD_FLAG_INIT_SHARED)


def decide(attempt: Attempt) -> Accepted | Refused:
    """The answer to KVM_CREATE_GUEST_MEMFD; the value is the new descriptor, the data its file."""
    machine, size_bytes, flags = attempt.machine, attempt.get("size"), attempt.get("flags")
    if not guest_memfd_built(machine.profile):
        return unknown_ioctl(machine)
    allowed = guest_memfd_flags(machine)
    if flags & ~allowed:
        return GMEM_FLAGS.refuse(flags=flags, allowed=allowed)
    if size_bytes == 0 or size_bytes >> 63 or size_bytes & machine.page_mask:
        return GMEM_SIZE.refuse(size_bytes=size_bytes)
    fd = attempt.process.free_fd() if attempt.new_fd is None else attempt.new_fd
    file = GuestMemfd(size_bytes, flags, attempt.state.uid)
    return Accepted(FileMade(fd, file), value=fd, data=file)
