"""/dev/kvm: opening it, its own calls, and request numbers of this host."""

from __future__ import annotations

import errno
import os

from ..errors import DeviceUnavailableError
from ..uapi.calls import CALLS
from . import libc

KVM_API_VERSION = 12
DEFAULT_PATH = "/dev/kvm"

NUMBERS = {name: call.request() for name, call in CALLS.items()}
"""Request numbers as this host's architecture encodes them."""
UNSEEN = 0x6D73
"""Above a request's 32 bits, which are all that the kernel takes: recorders pass over such calls.
"""


class Device:
    """An open /dev/kvm; a context manager.

    Raises DeviceUnavailableError, with what to do about it, where it cannot be opened.
    """

    __slots__ = ("_mark", "fd", "path")

    def __init__(self, path: str = DEFAULT_PATH, *, is_unseen: bool = False) -> None:
        """is_unseen: its questions are not for recordings of the whole machine."""
        self.path = path
        self.fd = -1
        self._mark = UNSEEN << 32 if is_unseen else 0
        try:
            self.fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise DeviceUnavailableError(_advice(path, error)) from None
        version = libc.ioctl(self.fd, self._mark | NUMBERS["KVM_GET_API_VERSION"])
        if version != KVM_API_VERSION:
            self.close()
            raise DeviceUnavailableError(
                f"{path} is not KVM's device, or a very old one (API version {version})"
            )

    def check_extension(self, capability: int) -> int:
        """KVM_CHECK_EXTENSION on the device itself."""
        return libc.ioctl(self.fd, self._mark | NUMBERS["KVM_CHECK_EXTENSION"], capability)

    def create_vm(self, vm_type: int = 0) -> int:
        """KVM_CREATE_VM: a file descriptor, or the negated errno.  A signal makes it try again."""
        while True:
            result = libc.ioctl(self.fd, NUMBERS["KVM_CREATE_VM"], vm_type)
            if result != -errno.EINTR:
                return result

    def vcpu_mmap_bytes(self) -> int:
        """KVM_GET_VCPU_MMAP_SIZE."""
        return libc.ioctl(self.fd, NUMBERS["KVM_GET_VCPU_MMAP_SIZE"])

    def close(self) -> None:
        """Close the descriptor; VMs made from it live on."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Device {self.path} fd {self.fd}>"


def _advice(path: str, error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return (
            f"{path} does not exist: load kvm_intel or kvm_amd, or enable (nested) virtualisation "
            "on this host"
        )
    if error.errno == errno.EACCES:
        return f"{path}: permission denied: add your user to the group that owns it (usually kvm)"
    return f"{path}: {error.strerror or error}"
