"""Failures that look like memory slots and are something else, named for what they are."""

from __future__ import annotations

import re

from ..errors import errno_name
from ..trace.event import Event

_PROBLEMS = {
    "KVM_IOEVENTFD": "KVM_IOEVENTFD, which has nothing to do with memory slots: EEXIST means that an eventfd is "
    "registered at this address and length already, ENOSPC that there are too many",
    "KVM_CREATE_VM": "KVM_CREATE_VM, before there is any memory slot: the host lacks memory, or the type is not "
    "supported (the kernel log tells more)",
    "KVM_RUN": "KVM_RUN: a memory access failed; the slot exists, but the host memory behind it could not be "
    "used (unmapped, no permission, device memory, hugepages exhausted)",
    "VFIO_IOMMU_MAP_DMA": "VFIO_IOMMU_MAP_DMA: the IOMMU, not KVM, refuses this range (its address width, locked "
    "memory limit, or a reserved range)",
    "VFIO_MAP_DMA": "a VFIO DMA mapping failed: the IOMMU, not KVM, refuses this range",
}


_REGION_WORDS = re.compile(r"region|memory ?map|map ?memory|memslot|mem ?slot|guest memory", re.IGNORECASE)


def names_a_region(event: Event) -> bool:
    """Is it an error text that names no call, but speaks of guest memory regions?"""
    return event.call == "message" and bool(_REGION_WORDS.search(event.text))


def other_problem(event: Event) -> str | None:
    """What the event is about, if it failed and is not about memory slots; None otherwise."""
    if event.result is None or event.result >= 0:
        return None
    known = _PROBLEMS.get(event.call)
    if known is not None:
        return f"{errno_name(event.result)} from {known}"
    if event.call.startswith("VFIO"):
        return f"{errno_name(event.result)} from {event.call}: VFIO and the IOMMU, not KVM's memory slots"
    return None
