"""KVM_SET_NR_MMU_PAGES and KVM_GET_NR_MMU_PAGES: the shadow-MMU budget by request."""

from __future__ import annotations

from ..errnos import EINVAL
from ..kernel.arch import X86
from ..state.change import BudgetRequested
from ..state.mmu_pages import KVM_MIN_ALLOC_MMU_PAGES
from ..units import to_int32
from .answer import Accepted, Refused, Rule
from .attempt import Attempt
from .ioctl import unknown_ioctl

_X86 = "arch/x86/kvm/x86.c"

# fmt: off
MMU_PAGES_TOO_FEW = Rule(
    "mmu-pages-too-few", EINVAL, "KVM_SET_NR_MMU_PAGES asks for fewer than 64 pages.",
    """The value is an unsigned long: a 32-bit program that passes 2^32 asks for 0.  After a success
    the budget never follows the slots again.""",
    "Ask for at least 64, or leave the budget automatic.", "kvm_vm_ioctl_set_nr_mmu_pages() in "
                                                           f"{_X86}",
    calls="KVM_SET_NR_MMU_PAGES",
    arches=X86,
)
# fmt: on

RULES = (MMU_PAGES_TOO_FEW,)


def decide_set(attempt: Attempt) -> Accepted | Refused:
    """The answer to KVM_SET_NR_MMU_PAGES; the argument is already as wide as the caller's unsigned
    long.
    """
    profile, npages = attempt.machine.profile, attempt.get("nr_pages")
    if not profile.arch.is_x86:
        return unknown_ioctl(attempt.machine)
    if not profile.has("budget-ulong"):
        npages &= 0xFFFF_FFFF
    if npages < KVM_MIN_ALLOC_MMU_PAGES:
        return MMU_PAGES_TOO_FEW.refuse(npages=npages)
    return Accepted(BudgetRequested(npages))


def decide_get(attempt: Attempt) -> Accepted | Refused:
    """The answer to KVM_GET_NR_MMU_PAGES: the budget as an int."""
    if not attempt.machine.profile.has("get-nr-mmu-pages"):
        return unknown_ioctl(attempt.machine)
    return Accepted(value=to_int32(attempt.state.n_max_mmu_pages))
