"""The VM-wide page total (nr_memslot_pages) and its ceiling."""

from __future__ import annotations

from ..units import wraps_ulong


def total_would_wrap(total_pages: int, npages: int, long_bits: int) -> bool:
    """Whether creating a slot of `npages` would wrap the total, an unsigned long.

    Since 5.17 such a create is refused with EINVAL, so that the total is exact.
    """
    return wraps_ulong(total_pages, npages, long_bits)


def total_would_underflow(total_pages: int, npages: int) -> bool:
    """Whether deleting would take away more than there is.  A kernel bug, answered with EIO."""
    return total_pages < npages
