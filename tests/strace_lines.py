"""Lines of strace for tests: a VM, its vCPUs, its slots."""

from __future__ import annotations

MIB = 1 << 20
GIB = 1 << 30
RAM = 0x7F00_0000_0000
"""Host address of guest memory, on a 2 MiB boundary."""


def vm(fd: int = 4, pid: int | None = None) -> str:
    """KVM_CREATE_VM."""
    return f"{_who(pid)}ioctl(3, KVM_CREATE_VM, 0) = {fd}"


def vcpu(number: int, new_fd: int, fd: int = 4, pid: int | None = None, result: str = "") -> str:
    """KVM_CREATE_VCPU."""
    return f"{_who(pid)}ioctl({fd}, KVM_CREATE_VCPU, {number}) = {result or new_fd}"


def region(
    slot: int, gpa: int, nbytes: int, hva: int = RAM, *, flags: str = "0", result: str = "0",
    fd: int = 4,
    pid: int | None = None,
) -> str:  # fmt: skip
    """KVM_SET_USER_MEMORY_REGION; nbytes 0 deletes."""
    return (
        f"{_who(pid)}ioctl({fd}, KVM_SET_USER_MEMORY_REGION, {{slot={slot}, flags={flags}, "
        f"guest_phys_addr={gpa:#x}, memory_size={nbytes}, userspace_addr={hva:#x}}}) = {result}"
    )


EINVAL = "-1 EINVAL (Invalid argument)"
EEXIST = "-1 EEXIST (File exists)"


def _who(pid: int | None) -> str:
    return "" if pid is None else f"{pid} "
