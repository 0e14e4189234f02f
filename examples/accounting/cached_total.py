"""A page total kept in an unsigned long, a fiftieth of it the budget: the start of a design of your own.

memslots accounting --design examples/accounting/cached_total.py
"""


class CachedTotal:
    """the total kept and capped, total / 50"""

    def __init__(self, ulong, u64):
        self.total = ulong(0)  # wraps as an unsigned long of the host does; u64(0) would have 64 bits

    def refuses(self, kind, npages):
        return kind == "create" and self.total + npages < self.total

    def commit(self, kind, npages, slots):
        if kind == "create":
            self.total += npages
        elif kind == "delete":
            self.total -= npages
        self.budget = max(self.total / 50, 64)  # `/` divides as in C
