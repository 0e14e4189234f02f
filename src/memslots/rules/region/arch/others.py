"""Prepare hooks of loongarch, powerpc and mips: one rule between them each."""

from __future__ import annotations

from errno import ENOMEM

from ....state.change import CREATE, PLACING
from ...answer import Accepted, Refused, Undetermined
from ...attempt import Attempt
from ...rule import Rule

# fmt: off
LOONGARCH_GPA_LIMIT = Rule(
    "gpa-size-limit", ENOMEM, "The slot ends beyond the guest-physical size.",
    "loongarch since 6.8: half of the virtual address size up to 6.12, all of it since.",
    "Keep guest memory below the limit.", "kvm_arch_prepare_memory_region() in arch/loongarch/kvm/mmu.c",
    needs=("loongarch-gpa-limit",),
)
POWERPC_RMAP_TOO_LARGE = Rule(
    "rmap-exceeds-ram", ENOMEM, "The reverse map of the slot (8 bytes a page) would not fit the host's memory.",
    "powerpc HV since 5.16 compares with all RAM of the host.", "Use a smaller slot.",
    "kvmppc_core_prepare_memory_region_hv() in arch/powerpc/kvm/book3s_hv.c", needs=("powerpc-rmap-cap",),
)
# fmt: on

RULES = (LOONGARCH_GPA_LIMIT, POWERPC_RMAP_TOO_LARGE)


def prepare_loongarch(attempt: Attempt, change: Accepted) -> Refused | Undetermined | None:
    """May the change be made on loongarch?"""
    machine = attempt.machine
    end = attempt.gfn + attempt.npages
    if not attempt.kind & PLACING or end <= machine.gfn_end:
        return None
    if end > machine.gfn_end_high:
        return LOONGARCH_GPA_LIMIT.refuse_late(change, end_gfn=end, limit_gfn=machine.gfn_end_high)
    return LOONGARCH_GPA_LIMIT.ask("how many virtual address bits has the host?  State them as +paN", end_gfn=end)


def prepare_powerpc(attempt: Attempt, change: Accepted) -> Refused | Undetermined | None:
    """May the change be made on powerpc?"""
    profile = attempt.machine.profile
    ram_pages = profile.number("total-ram-pages") if profile.arch.name == "ppc64" else None
    if attempt.kind != CREATE or ram_pages is None or not profile.has("powerpc-rmap-cap") or not profile.option("hv"):
        return None
    array_pages = attempt.npages * 8 >> attempt.machine.page_shift
    if array_pages > ram_pages:
        return POWERPC_RMAP_TOO_LARGE.refuse_late(change, array_pages=array_pages, ram_pages=ram_pages)
    return None


def prepare_nothing(attempt: Attempt, change: Accepted) -> None:
    """mips refuses nothing."""
