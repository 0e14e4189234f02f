"""kvm_gmem_bind(): checks of the guest_memfd that backs a new slot."""

from __future__ import annotations

from ...errnos import EBADF, EEXIST, EINVAL
from ...kernel.profile import Profile
from ...state.guest_memfd import Binding, GuestMemfd
from ..answer import Refused, Rule, Undetermined
from ..attempt import RegionAttempt

# fmt: off
GMEM_FD_CLOSED = Rule(
    "gmem-fd-closed", EBADF, "guest_memfd is not an open file descriptor.",
    "Looked at only when everything else about the slot is in order.",
    "Pass what KVM_CREATE_GUEST_MEMFD returned, and keep it open.", "kvm_gmem_bind() in "
        "virt/kvm/guest_memfd.c",
    needs=("guest-memfd",),
)
GMEM_FD_OTHER_FILE = Rule(
    "gmem-fd-other-file", EINVAL, "guest_memfd is a file of another kind, or of another VM.",
    "A guest_memfd belongs to the VM that made it.",
    "Make the file with KVM_CREATE_GUEST_MEMFD on the same VM.", "kvm_gmem_bind() in "
        "virt/kvm/guest_memfd.c",
    needs=("guest-memfd",),
)
GMEM_RANGE = Rule(
    "gmem-range", EINVAL, "The range does not lie within the guest_memfd file.",
    """Before {guest-memfd-offset-unsigned} the sum of offset and size is a signed number: an offset
    of 2^63 - 4096 with one page overflows and is accepted.""",
    "Pass an offset so that offset + memory_size is at most the file's size.",
    "kvm_gmem_bind() in virt/kvm/guest_memfd.c", needs=("guest-memfd",),
)
GMEM_RANGE_BOUND = Rule(
    "gmem-range-bound", EEXIST, "Another slot is bound to part of the same range of the file.",
    "Bindings are tracked by file, not by guest address, over all address spaces.  EINVAL up to "
    "7.1.",
    "Give each slot its own part of the file; delete the other slot first.",
    "kvm_gmem_bind() in virt/kvm/guest_memfd.c", needs=("guest-memfd",),
)
# fmt: on

RULES = (GMEM_FD_CLOSED, GMEM_FD_OTHER_FILE, GMEM_RANGE, GMEM_RANGE_BOUND)


def check_binding(attempt: RegionAttempt) -> Refused | Undetermined | None:
    """Bind the guest_memfd.  For CREATE with KVM_MEM_GUEST_MEMFD."""
    region, state, process = attempt.region, attempt.state, attempt.process
    profile = attempt.machine.profile
    fd = region.guest_memfd
    file = process.fds.get(fd)
    if file is None:
        if fd in process.fds:
            return GMEM_FD_OTHER_FILE.refuse(fd=fd)
        if process.fds_known or fd >> 31:
            return GMEM_FD_CLOSED.refuse(fd=fd)
        return GMEM_FD_CLOSED.ask(
            f"what is file descriptor {fd}?  Record KVM_CREATE_GUEST_MEMFD too", fd=fd
        )
    if file.vm_uid != state.uid:
        return GMEM_FD_OTHER_FILE.refuse(fd=fd)
    offset, size_bytes = region.guest_memfd_offset, region.memory_size
    if not _within(file, offset, size_bytes, profile):
        return GMEM_RANGE.refuse(
            guest_memfd_offset=offset, memory_size=size_bytes, file_bytes=file.size_bytes
        )
    shift = attempt.machine.page_shift
    start, end = offset >> shift, (offset + size_bytes) >> shift
    bound = state.bound_at(file, start, end)
    if bound is not None:
        errno = EEXIST if profile.has("guest-memfd-overlap-eexist") else EINVAL
        return GMEM_RANGE_BOUND.refuse(
            errno=errno, bound_slot=bound.slot_word, start_page=start, end_page=end
        )
    attempt.binding = Binding(file, start, end, region.slot)
    return None


def _within(file: GuestMemfd, offset: int, size_bytes: int, profile: Profile) -> bool:
    end = offset + size_bytes
    unsigned = end <= file.size_bytes
    # loff_t arithmetic: a negative offset is refused, an overflowing sum is not noticed
    signed = not offset >> 63 and (unsigned or bool(end >> 63))
    return unsigned if unsigned == signed or profile.has("guest-memfd-offset-unsigned") else signed
