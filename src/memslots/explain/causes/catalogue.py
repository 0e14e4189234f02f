"""The catalogue of causes: each is data in one place, in the file of its chapter."""

from __future__ import annotations

from . import (
    confidential,
    device,
    firmware,
    host_memory,
    other_calls,
    run_errno,
    run_exit,
    vfio,
    vhost,
    vmm,
)
from .cause import Cause

CHAPTERS: tuple[tuple[str, tuple[Cause, ...]], ...] = (
    ("The device and the module", device.CAUSES),
    ("Memory of the host and what backs the guest", host_memory.CAUSES),
    ("KVM_RUN ends with an errno", run_errno.CAUSES),
    ("KVM_RUN comes back with an exit that the VMM does not survive", run_exit.CAUSES),
    ("Limits of the VMM", vmm.CAUSES),
    ("VFIO and the IOMMU", vfio.CAUSES),
    ("vhost and virtio-mem", vhost.CAUSES),
    ("Firmware and the guest", firmware.CAUSES),
    ("Confidential VMs", confidential.CAUSES),
    ("Other calls, and the kernel's own faults", other_calls.CAUSES),
)

CAUSES: dict[str, Cause] = {cause.id: cause for _, causes in CHAPTERS for cause in causes}
