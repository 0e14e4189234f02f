"""Numbers that a sentence or a program's own log gives to the fields of a call by name.

`slot=3`, `slot 3`, `start: GuestAddress(0x1000)`, `memory size is 4 MiB`: each VMM writes them in
its own way, and none of the forms is a structure that a tracer prints.
"""

from __future__ import annotations

import re

from ..patterns import lazy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .event import Reading

_NUMBER = r"(-?0[xX][0-9a-fA-F]{1,20}|-?\d{1,24})"
_SAID = lazy(
    r"(?<![\w.])((?:(?:guest|host) (?:physical |virtual )?|memory )?[a-z_ßö]{2,20}?)(?:'s)?"
    r"(?:\s(?:is|was|to|of|at|bei|ab|von|为|是|for))?\s?[:=(]?\s*(?:[a-z]{2,20}\()?"
    rf"{_NUMBER}(?:\s?([KMGT]i?B|[KMG])\b)?(?!\w|\.\d|\s?pages?\b)",
    re.IGNORECASE,
)
"""Name, number, unit; what is given in pages is no number of bytes."""
_UNITS = {"k": 10, "m": 20, "g": 30, "t": 40}


def _names(**names: tuple[str, ...]) -> dict[str, str]:
    return {name: field for field, others in names.items() for name in others}


ANYWHERE = _names(
    flags=("flag",),
    guest_phys_addr=(
        "gpa", "guest_addr", "guest addr", "guest_address", "guest address", "guest_start",
        "guest physical address", "guest_physical_address", "phys_addr",
    ),
    memory_size=("size", "memory size", "taille", "größe"),
    userspace_addr=(
        "hva", "host_addr", "host address", "host_address", "host virtual address",
    ),
    num_pages=("npages",),
)  # fmt: skip
"""Other names of fields (in lower case) than the kernel's, in a text that speaks of a call."""
IN_A_MESSAGE = ANYWHERE | _names(
    guest_phys_addr=("start", "address"), memory_size=("len", "length"), userspace_addr=("ua",)
)
"""The same within one message about one call, where shorter words do."""
OF_A_LOG = {"start": "first_page", "size": "num_pages", "npages": "num_pages"}
"""In a message about KVM_CLEAR_DIRTY_LOG."""


def said(
    text: str, widths: Mapping[str, int], names: Mapping[str, str], reading: Reading | None = None
) -> Iterator[tuple[str, int]]:
    """(field, number in bytes) of each number that a text gives to a field of `widths` (bits).

    names: other names of fields, in lower case.  A number that does not fit is counted in
    `reading`.
    """
    for name, digits, unit in _SAID.findall(text):
        name = name.lower()
        field = name if name in widths else names.get(name, "")
        bits = widths.get(field)
        if bits is None:
            continue
        number = int(digits, 16 if "x" in digits.lower() else 10)
        if unit:
            number <<= _UNITS[unit[0].lower()]
        if field == "guest_memfd" and number == -1:
            number = 0xFFFFFFFF
        if 0 <= number < 1 << bits:
            yield field, number
        elif reading is not None:
            reading.skip(f"{field} that is no number of {bits} bits")
