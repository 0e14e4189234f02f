"""The dirty bitmap of one slot, stored sparsely: a slot of 8 TiB costs no memory.

Words of 64 pages that differ from the rest are stored; the rest are all clear,
or all set (a bitmap that started so).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_ONES = (1 << 64) - 1


class DirtyBitmap:
    """Which pages of a slot are dirty."""

    __slots__ = ("_fill", "_words", "npages")

    def __init__(self, npages: int, initially_set: bool = False) -> None:
        self.npages = npages
        self._fill = _ONES if initially_set else 0
        self._words: dict[int, int] = {}

    def copy(self) -> DirtyBitmap:
        """An independent equal bitmap."""
        twin = DirtyBitmap(self.npages)
        twin._fill = self._fill
        twin._words = self._words.copy()
        return twin

    def _word_count(self) -> int:
        return (self.npages + 63) >> 6

    def _valid(self, index: int) -> int:
        """The bits of a word that stand for pages."""
        rest = self.npages - (index << 6)
        return _ONES if rest >= 64 else (1 << rest) - 1

    def word(self, index: int) -> int:
        """Pages 64 * index and on, as a number; bits beyond the slot are 0."""
        return self._words.get(index, self._fill) & self._valid(index)

    def mark(self, page: int) -> None:
        """Page `page` of the slot was written."""
        index = page >> 6
        self._words[index] = self._words.get(index, self._fill) | 1 << (page & 63)

    def clear_all(self) -> None:
        """No page is dirty."""
        self._fill = 0
        self._words.clear()

    def clear(self, first_page: int, num_pages: int, mask: int | None = None) -> None:
        """Clear pages [first_page, first_page + num_pages) that `mask` names (None: all).

        first_page is a multiple of 64; bit 0 of the mask is the first page.
        """
        if mask is None and first_page == 0 and num_pages >= self.npages:
            self.clear_all()
            return
        first_word, end = first_page >> 6, first_page + num_pages
        for index in range(first_word, min((end + 63) >> 6, self._word_count())):
            bits = _ONES if mask is None else mask >> ((index - first_word) << 6) & _ONES
            kept = self._words.get(index, self._fill) & ~bits
            if kept != self._fill:
                self._words[index] = kept
            else:
                self._words.pop(index, None)

    def count(self) -> int:
        """Number of dirty pages."""
        stored = sum(bin(self.word(index)).count("1") for index in self._words)
        if not self._fill:
            return stored
        covered = sum(bin(self._valid(index)).count("1") for index in self._words)
        return self.npages - covered + stored

    def pages(self) -> Iterator[int]:
        """The dirty pages in rising order."""
        indexes = range(self._word_count()) if self._fill else sorted(self._words)
        for index in indexes:
            word = self.word(index)
            while word:
                low = word & -word
                yield (index << 6) + low.bit_length() - 1
                word ^= low

    def to_bytes(self, long_bits: int) -> bytes:
        """What KVM_GET_DIRTY_LOG copies out on a little-endian host: whole unsigned longs."""
        nbytes = bitmap_bytes(self.npages, long_bits)
        buffer = bytearray((b"\xff" if self._fill else b"\0") * (self._word_count() * 8))
        for index in (*self._words, self._word_count() - 1):
            buffer[index * 8 : index * 8 + 8] = self.word(index).to_bytes(8, "little")
        return bytes(buffer[:nbytes])


def bitmap_bytes(npages: int, long_bits: int) -> int:
    """Bytes of one half of a slot's bitmap: a whole number of unsigned longs."""
    return -(-npages // long_bits) * (long_bits // 8)
