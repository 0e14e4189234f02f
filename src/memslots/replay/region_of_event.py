"""The region call of an event, with what the recording lacks filled in as harmlessly as
possible.
"""

from __future__ import annotations

from ..model.vm import Vm
from ..trace.event import Event
from ..uapi.calls import REGION_CALLS
from ..uapi.flags import KVM_MEM_USER_FLAGS
from ..uapi.region import Region

_ASSUMED_HVA = 1 << 20
"""Low and aligned for every page and segment size: an address that was not recorded shall refuse
nothing.
"""


def region_of_event(event: Event, vm: Vm) -> tuple[Region | None, tuple[str, ...]]:
    """The region and the names of fields that were assumed; None where too little was recorded."""
    fields = event.fields
    if "slot" not in fields or "memory_size" not in fields or "guest_phys_addr" not in fields:
        return None, ()
    assumed = [name for name in ("flags", "userspace_addr") if name not in fields]
    flags, hva = fields.get("flags"), fields.get("userspace_addr")
    if flags is None or hva is None:
        slot = vm.slot(fields["slot"])
        if flags is None:
            flags = slot.flags & KVM_MEM_USER_FLAGS if slot is not None else 0
        if hva is None:
            hva = slot.userspace_addr if slot is not None else _ASSUMED_HVA
    try:
        region = Region(
            fields["slot"], flags, fields["guest_phys_addr"], fields["memory_size"], hva,
            fields.get("guest_memfd", 0), fields.get("guest_memfd_offset", 0),
            event.call == REGION_CALLS[1],
        )  # fmt: skip
    except (ValueError, TypeError):
        return None, ()
    return region, tuple(assumed)
