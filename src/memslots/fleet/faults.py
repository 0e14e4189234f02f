"""What goes wrong in a generated fleet: calls that every kernel refuses, and calls that only some
do, planted to be found by `upgrade`.
"""

from __future__ import annotations

from .machines import region

TYPE_CHECKING = False
if TYPE_CHECKING:
    from random import Random

    from .machines import Call

_PAGE, _MIB, _GIB = 1 << 12, 1 << 20, 1 << 30
_HVA = 0x7E00_0000_0000
_FREE, _NEXT = 400, 401
"""Slots that no VM of a generated fleet has."""
_FREE_GPA = 1 << 38
"""Guest memory that none has."""


def overlapping(random: Random) -> list[Call]:
    """A slot over another one."""
    place = _FREE_GPA + random.randrange(64) * _GIB
    return [
        region(_FREE, place, 16 * _MIB, _HVA),
        region(_NEXT, place + 8 * _MIB, 16 * _MIB, _HVA + 16 * _MIB),
    ]


def unaligned(random: Random) -> list[Call]:
    """A size that is no number of pages."""
    return [region(_FREE, _FREE_GPA, _MIB + random.randrange(1, _PAGE), _HVA)]


def resized(random: Random) -> list[Call]:
    """A slot that is made again with another size, without having been deleted."""
    return [
        region(_FREE, _FREE_GPA, 16 * _MIB, _HVA),
        region(_FREE, _FREE_GPA, (17 + random.randrange(8)) * _MIB, _HVA),
    ]


def missing(random: Random) -> list[Call]:
    """A slot is deleted that is not there."""
    return [region(_FREE + random.randrange(50), _FREE_GPA, 0, _HVA)]


def unknown_flags(random: Random) -> list[Call]:
    """A flag that no kernel has."""
    return [region(_FREE, _FREE_GPA, _MIB, _HVA, 1 << random.randrange(8, 30))]


FAULTS = (overlapping, unaligned, resized, missing, unknown_flags)


def beyond_address_bits(random: Random) -> list[Call]:
    """A slot behind the last guest address that a host of 46 bits has."""
    return [region(_FREE, (1 << 46) + random.randrange(64) * _GIB, _MIB, _HVA)]


def large_vcpu_id(random: Random) -> list[Call]:
    """A vCPU with an id that older kernels do not have."""
    return [("KVM_CREATE_VCPU", {"vcpu_id": 2000 + random.randrange(1000)})]


def many_slots(random: Random) -> list[Call]:
    """A slot with a number that older kernels do not have."""
    return [region(520 + random.randrange(1000), _FREE_GPA, _MIB, _HVA)]


def budget_asked(_random: Random) -> list[Call]:
    """The MMU budget is asked with a call that newer kernels no longer have."""
    return [("KVM_GET_NR_MMU_PAGES", {})]


PLANTS = {
    "beyond-address-bits": beyond_address_bits,
    "vcpu-id": large_vcpu_id,
    "slot-number": many_slots,
    "budget-asked": budget_asked,
}
"""What differs between kernels, by name."""
