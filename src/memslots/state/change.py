"""What an accepted request does to the slots: the kernel's KVM_MR_* words."""

from __future__ import annotations

NOTHING = 0
CREATE = 1
DELETE = 2
MOVE = 4
FLAGS_ONLY = 8
KIND_NAMES = {
    NOTHING: "nothing to do",
    CREATE: "create",
    DELETE: "delete",
    MOVE: "move",
    FLAGS_ONLY: "flags only",
}
PLACING = CREATE | MOVE
"""The kinds that put a slot somewhere."""
SWAPS = {NOTHING: 0, CREATE: 1, DELETE: 2, MOVE: 2, FLAGS_ONLY: 1}
"""How often the two slot sets of the address space change places."""
