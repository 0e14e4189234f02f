"""kvm_arch_prepare_memory_region() of powerpc."""

from __future__ import annotations

from ....errnos import ENOMEM
from ....kernel.arch import PPC64
from ....state.change import CREATE, SlotChange
from ...answer import Refused, Rule
from ...attempt import RegionAttempt

# fmt: off
POWERPC_RMAP_TOO_LARGE = Rule(
    "rmap-exceeds-ram", ENOMEM, "The reverse map of the slot (8 bytes a page) would not fit the "
                                "host's memory.",
    "powerpc HV since {powerpc-rmap-cap} compares with all RAM of the host.", "Use a smaller slot.",
    "kvmppc_core_prepare_memory_region_hv() in arch/powerpc/kvm/book3s_hv.c",
    needs=("powerpc-rmap-cap",),
    arches=PPC64,
)
# fmt: on

RULES = (POWERPC_RMAP_TOO_LARGE,)


def prepare(attempt: RegionAttempt, change: SlotChange) -> Refused | None:
    """Refuses the change or finds nothing against it."""
    profile = attempt.machine.profile
    ram_pages = profile.number("total-ram-pages") if profile.arch.name == "ppc64" else None
    if (
        attempt.kind != CREATE
        or ram_pages is None
        or not profile.has("powerpc-rmap-cap")
        or not profile.option("hv")
    ):
        return None
    array_pages = attempt.npages * 8 >> attempt.machine.page_shift
    if array_pages > ram_pages:
        return POWERPC_RMAP_TOO_LARGE.refuse_late(
            change, array_pages=array_pages, ram_pages=ram_pages
        )
    return None
