"""Which virtual machine monitor made a recording, by the name of its process or the form of its
log.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_NAMES = (
    ("qemu", ("qemu", "kvm")),
    ("firecracker", ("firecracker", "fc_vcpu", "fc_api")),
    ("cloud-hypervisor", ("cloud-hyperviso", "cloud_hyperviso", "vmm")),
    ("crosvm", ("crosvm",)),
    ("gvisor", ("runsc", "exe", "sentry")),
    ("libkrun", ("krun", "libkrun", "muvm", "msb")),
    ("lkvm", ("lkvm", "kvmtool", "vm")),
    ("virtualbox", ("virtualbox", "vboxheadless")),
)
"""VMM: how the names of its threads begin, as the kernel shows them (15 letters)."""
_FORMATS = {"qemu-trace": "qemu"}


def vmm_of(process: str, formats: Iterable[str]) -> str:
    """`qemu` of `qemu-system-x86[1234]`; the process's own name if it is none of those known; empty
    if neither name nor form tells.
    """
    name = process.partition("[")[0].strip().lower()
    for vmm, begins in _NAMES:
        if any(name == begin or (len(begin) > 3 and name.startswith(begin)) for begin in begins):
            return vmm
    if name and not name.startswith("process "):
        return name
    return next((_FORMATS[form] for form in formats if form in _FORMATS), "")
