"""The order of the two halves of a commit turned round: the hook sets the budget, then the total is updated.

memslots accounting --design examples/accounting/late_budget.py --slot-pages 262144 --slots 4
"""


class LateBudget:
    """total / 50, worked out before the total is updated"""

    def __init__(self, ulong, u64):
        self.total = ulong(0)

    def commit(self, kind, npages, slots):
        self.budget = max(self.total / 50, 64)
        if kind == "create":
            self.total += npages
        elif kind == "delete":
            self.total -= npages
