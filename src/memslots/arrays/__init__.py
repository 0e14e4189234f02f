"""Guest memory, gfns and dirty bitmaps as numpy arrays: `pip install 'memslots[arrays]'`.

    slot_table(vm)                    the slots, a structured array (SLOT)
    Translator(vm)                    arrays of gfns or gpas to host addresses or slot ids
    dirty_pages, dirty_gfns, count    what a dirty bitmap says
    union, bitmap_of                  dirty bitmaps from others, from page numbers
    host_memory, guest_memory         host memory as an array, nothing copied
    read_guest, write_guest           guest memory across slots, copied

Importing it loads numpy; without numpy it raises ExtraMissingError.
"""

from __future__ import annotations

from .bitmaps import bitmap_of, count, dirty_gfns, dirty_pages, union
from .guest_memory import guest_memory, host_memory, read_guest, write_guest
from .table import SLOT, slot_table
from .translator import NO_HVA, NO_SLOT, Translator

__all__ = [
    "NO_HVA",
    "NO_SLOT",
    "SLOT",
    "Translator",
    "bitmap_of",
    "count",
    "dirty_gfns",
    "dirty_pages",
    "guest_memory",
    "host_memory",
    "read_guest",
    "slot_table",
    "union",
    "write_guest",
]
