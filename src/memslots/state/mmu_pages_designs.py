"""Four ways to keep the page total and derive the MMU budget from it.

(a) walk         up to 5.16: sum all slots at each commit; sum * 20 / 1000
(b) constant     a reviewed draft: cached total, times 20 / 1000, which is 0
(c) wide total   a 64-bit total, divided with do_div on 32-bit hosts
(d) capped total merged in 5.17: an unsigned long total, capped; total / 50

Each can be put under a VM, or run beside others on the same changes.
"""

from __future__ import annotations

from ..units import truncate
from .change import CREATE, DELETE, FLAGS_ONLY, MOVE
from .mmu_pages import (
    KVM_MIN_ALLOC_MMU_PAGES,
    KVM_PERMILLE_MMU_PAGES,
    permille_budget,
    ratio_budget,
)
from .page_total import total_would_wrap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar


class Design:
    """One accounting design on a host whose unsigned long has `long_bits` bits."""

    __slots__ = ("long_bits",)
    letter: ClassVar[str] = "?"
    title: ClassVar[str] = ""
    commits_on: ClassVar[int] = CREATE | DELETE
    """Kinds of change after which the budget is set."""
    caps_total: ClassVar[bool] = False

    def __init__(self, long_bits: int) -> None:
        self.long_bits = long_bits

    def refuses(self, total_pages: int, npages: int) -> bool:
        """Whether it refuses to create a slot of `npages` at this (exact) total."""
        return False

    def total(self, total_pages: int) -> int:
        """What it holds for the exact total."""
        raise NotImplementedError

    def budget(self, total_pages: int) -> int:
        """The budget that it derives from the exact total."""
        raise NotImplementedError


class Walk(Design):
    """(a) Sum every slot at each commit; both sum and product may wrap, silently."""

    __slots__ = ()
    letter = "a"
    title = "walk of all slots, sum * 20 / 1000 (up to 5.16)"
    commits_on = CREATE | DELETE | MOVE | FLAGS_ONLY

    def total(self, total_pages: int) -> int:
        """See Design."""
        return truncate(total_pages, self.long_bits)

    def budget(self, total_pages: int) -> int:
        """See Design."""
        return permille_budget(total_pages, self.long_bits)


class Constant(Design):
    """(b) The ratio as a constant of its own: 20 / 1000 is 0 in integers, every VM gets the
    minimum.
    """

    __slots__ = ()
    letter = "b"
    title = "cached total * (20 / 1000) (draft)"

    def total(self, total_pages: int) -> int:
        """See Design."""
        return truncate(total_pages, self.long_bits)

    def budget(self, total_pages: int) -> int:
        """See Design."""
        return max(
            self.total(total_pages) * (KVM_PERMILLE_MMU_PAGES // 1000), KVM_MIN_ALLOC_MMU_PAGES
        )


class WideTotal(Design):
    """(c) A 64-bit total never wraps, but the budget is an unsigned long and still may."""

    __slots__ = ()
    letter = "c"
    title = "64-bit total, do_div (draft)"

    def total(self, total_pages: int) -> int:
        """See Design."""
        return truncate(total_pages, 64)

    def budget(self, total_pages: int) -> int:
        """See Design."""
        quotient = truncate(self.total(total_pages) * KVM_PERMILLE_MMU_PAGES, 64) // 1000
        return max(truncate(quotient, self.long_bits), KVM_MIN_ALLOC_MMU_PAGES)


class CappedTotal(Design):
    """(d) The total is capped at creation, so it is exact; a fiftieth of it always fits."""

    __slots__ = ()
    letter = "d"
    title = "capped unsigned long total / 50 (5.17 and later)"
    caps_total = True

    def refuses(self, total_pages: int, npages: int) -> bool:
        """See Design."""
        return total_would_wrap(total_pages, npages, self.long_bits)

    def total(self, total_pages: int) -> int:
        """See Design."""
        return total_pages

    def budget(self, total_pages: int) -> int:
        """See Design."""
        return ratio_budget(total_pages)


DESIGNS: tuple[type[Design], ...] = (Walk, Constant, WideTotal, CappedTotal)
