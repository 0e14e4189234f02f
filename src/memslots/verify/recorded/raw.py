"""Ioctls by number, for the operations that try old and malformed calls."""

from __future__ import annotations

import struct
from errno import EINVAL

from ...model.vm import Vm
from ...uapi.abi import IOCTLS, KVM_USERSPACE_MEMORY_REGION, KVM_USERSPACE_MEMORY_REGION2
from ...uapi.region import Request

_API_VERSION = 12
_BY_ENCODING = {(nr, direction, nbytes): name for name, (nr, direction, nbytes, _) in IOCTLS.items()}


def raw_ioctl(vm: Vm, kind: str, nr: int, direction: int, nbytes: int, payload: str) -> int:
    """The result of an ioctl with this number on a file descriptor of /dev/kvm, a VM or a vCPU.

    Numbers that the model does not answer here are treated as unknown calls.
    """
    name = _BY_ENCODING.get((nr, direction, nbytes))
    if kind == "sys":
        if name == "KVM_GET_API_VERSION":
            return -EINVAL if int(payload or "0", 0) else _API_VERSION
        return -EINVAL
    if kind != "vm":
        return -EINVAL
    order = "<" if vm.profile.arch.endian == "little" else ">"
    if name == "KVM_SET_USER_MEMORY_REGION":
        fields = struct.unpack(order + KVM_USERSPACE_MEMORY_REGION[1:], bytes.fromhex(payload))
        return vm.submit(Request(*fields)).result or 0
    if name == "KVM_SET_USER_MEMORY_REGION2" and vm.state.machine.region2:
        fields = struct.unpack(order + KVM_USERSPACE_MEMORY_REGION2[1:], bytes.fromhex(payload))
        slot, flags, gpa, size, hva, offset, fd, _ = fields
        return vm.submit(Request(slot, flags, gpa, size, hva, fd, offset, True)).result or 0
    if name == "KVM_GET_NR_MMU_PAGES":
        return vm.get_nr_mmu_pages().result or 0
    return -vm.profile.arch.unknown_vm_ioctl
