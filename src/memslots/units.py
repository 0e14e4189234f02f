"""The arithmetic that the kernel does with its numbers.

Guest frame numbers (gfn, npages), guest-physical and host-virtual addresses
(gpa, hva) are different things, and none of them is a byte count: names say
which is meant.  Conversions take the page shift, because an arm64 host may have
three of them: there is no page size here.

`unsigned long` has 32 or 64 bits; arithmetic that wraps takes the width and
says so in its name.  Small widths (4 to 6 bits) are allowed everywhere, so that
tests can enumerate a whole machine.
"""

from __future__ import annotations

U32_MAX = 0xFFFF_FFFF
U64_MAX = 0xFFFF_FFFF_FFFF_FFFF


def truncate(value: int, bits: int) -> int:
    """Keep the low `bits` bits, as a C conversion to an unsigned type does."""
    return value & ((1 << bits) - 1)


def mul_ulong(a: int, b: int, bits: int) -> int:
    """Product of two unsigned longs of `bits` bits, wrapped."""
    return (a * b) & ((1 << bits) - 1)


def wraps_ulong(a: int, b: int, bits: int) -> bool:
    """Whether a + b exceeds the largest unsigned long of `bits` bits."""
    return (a + b) >> bits != 0


def to_int32(value: int) -> int:
    """The value as a C `int`: the low 32 bits, read as two's complement."""
    low = value & U32_MAX
    return low - (1 << 32) if low >> 31 else low


def round_up(value: int, multiple: int) -> int:
    """The next multiple at or above the value."""
    return -(-value // multiple) * multiple


def format_bytes(nbytes: int) -> str:
    """A byte count for people: `4 KiB`, `1.07 GiB`; what looks whole is exact: `1.999 GiB`,
    `16 TiB - 4 KiB`.
    """
    if nbytes < 1024:
        return f"{nbytes} B"
    shift = 10 * min((nbytes.bit_length() - 1) // 10, len(_UNITS))
    unit = _UNITS[shift // 10 - 1]
    for decimals in (2, 3):
        text = f"{nbytes / (1 << shift):.{decimals}f}".rstrip("0").rstrip(".")
        if "." in text or not nbytes % (1 << shift):
            return f"{text} {unit}"
    rest = nbytes - (int(text) << shift)
    return f"{text} {unit} {'-' if rest < 0 else '+'} {format_bytes(abs(rest))}"


_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")
