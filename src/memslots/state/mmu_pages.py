"""The x86 shadow-MMU page budget that KVM derives from the page total.

Automatic value: a fiftieth of the pages of all slots, at least 64, as long as
user space has not asked for a number (n_requested_mmu_pages is 0).
"""

from __future__ import annotations

from ..units import mul_ulong, truncate

KVM_MIN_ALLOC_MMU_PAGES = 64
KVM_PERMILLE_MMU_PAGES = 20
KVM_MEMSLOT_PAGES_TO_MMU_PAGES_RATIO = 50


def permille_budget(total_pages: int, long_bits: int) -> int:
    """Up to 5.16: sum * 20 / 1000, sum and product wrapped to `long_bits`.

    4.19.0 has an unsigned int here on all hosts: 32 bits.
    """
    product = mul_ulong(truncate(total_pages, long_bits), KVM_PERMILLE_MMU_PAGES, long_bits)
    return max(product // 1000, KVM_MIN_ALLOC_MMU_PAGES)


def ratio_budget(total_pages: int) -> int:
    """5.17 and later: total / 50."""
    budget = total_pages // KVM_MEMSLOT_PAGES_TO_MMU_PAGES_RATIO
    return budget if budget > KVM_MIN_ALLOC_MMU_PAGES else KVM_MIN_ALLOC_MMU_PAGES


class MmuBudget:
    """The counters of one VM, in shadow pages."""

    __slots__ = ("goal", "n_pinned", "n_requested", "n_used")

    def __init__(self) -> None:
        self.n_requested = 0
        """What user space asked for; 0 is automatic, and there is no way back to it."""
        self.goal: int | None = None
        """The budget in force, where it does not simply follow from the page total."""
        self.n_used = 0
        """Shadow pages in use; only a running guest makes them."""
        self.n_pinned = 0
        """Those in use that cannot be reclaimed (roots)."""

    def copy(self) -> MmuBudget:
        """An independent equal budget."""
        twin = MmuBudget()
        twin.n_requested, twin.goal = self.n_requested, self.goal
        twin.n_used, twin.n_pinned = self.n_used, self.n_pinned
        return twin

    def set_goal(self, goal_pages: int) -> None:
        """Make `goal_pages` the budget; a budget below what is used reclaims, then is what is left
        in use.
        """
        if self.n_used > goal_pages:
            self.n_used = max(goal_pages, min(self.n_pinned, self.n_used))
            goal_pages = self.n_used
        self.goal = goal_pages
