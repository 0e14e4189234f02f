"""A dirty bitmap as the kernel copied it out, with the look of the model's."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class LiveBitmap:
    """Which pages of a slot were dirty when KVM_GET_DIRTY_LOG was called."""

    __slots__ = ("_raw", "npages")

    def __init__(self, npages: int, raw: bytes) -> None:
        self.npages = npages
        self._raw = raw
        """Whole unsigned longs, in the host's byte order."""

    def to_bytes(self, long_bits: int = 64) -> bytes:
        """The bytes as KVM wrote them, cut to whole unsigned longs of so many bits."""
        return self._raw[: -(-self.npages // long_bits) * (long_bits // 8)]

    def _number(self) -> int:
        if sys.byteorder == "little":
            return int.from_bytes(self._raw, "little")
        words = (self._raw[at : at + 8][::-1] for at in range(0, len(self._raw), 8))
        return int.from_bytes(b"".join(words), "little")

    def count(self) -> int:
        """Number of dirty pages."""
        return bin(self._number()).count("1")

    def pages(self) -> Iterator[int]:
        """The dirty pages in rising order."""
        number, base = self._number(), 0
        while number:
            # word by word: single bits of a long number would cost its whole length each
            word, number = number & 0xFFFF_FFFF_FFFF_FFFF, number >> 64
            while word:
                low = word & -word
                yield base + low.bit_length() - 1
                word ^= low
            base += 64

    def __repr__(self) -> str:
        return f"<LiveBitmap {self.count()} of {self.npages} pages>"
