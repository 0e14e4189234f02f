"""The dirty bitmap of one slot, stored sparsely: a slot of 8 TiB costs no memory.

Words of 64 pages that differ from what is usual where they stand are stored.  Usual is all clear,
or all set: in a bitmap that started so, but for the runs of whole words that were cleared since.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_ONES = (1 << 64) - 1


class DirtyBitmap:
    """Which pages of a slot are dirty."""

    __slots__ = ("_full", "_words", "npages")

    def __init__(self, npages: int, initially_set: bool = False) -> None:
        self.npages = npages
        self._full: list[int] = [0, (npages + 63) >> 6] if initially_set and npages else []
        """Runs of words that are all set but for the stored ones: first and end of each, rising."""
        self._words: dict[int, int] = {}

    def copy(self) -> DirtyBitmap:
        """An independent equal bitmap."""
        twin = DirtyBitmap(self.npages)
        twin._full = self._full.copy()
        twin._words = self._words.copy()
        return twin

    def _word_count(self) -> int:
        return (self.npages + 63) >> 6

    def _usual(self, index: int) -> int:
        """What a word is that is not stored."""
        return _ONES if bisect_right(self._full, index) & 1 else 0

    def _valid(self, index: int) -> int:
        """The bits of a word that stand for pages."""
        rest = self.npages - (index << 6)
        return _ONES if rest >= 64 else (1 << rest) - 1

    def word(self, index: int) -> int:
        """Pages 64 * index and on, as a number; bits beyond the slot are 0."""
        stored = self._words.get(index)
        return (self._usual(index) if stored is None else stored) & self._valid(index)

    def mark(self, page: int) -> None:
        """Page `page` of the slot was written."""
        index = page >> 6
        self._words[index] = self._words.get(index, self._usual(index)) | 1 << (page & 63)

    def clear_all(self) -> None:
        """No page is dirty."""
        self._full.clear()
        self._words.clear()

    def clear(self, first_page: int, num_pages: int, mask: int | None = None) -> None:
        """Clear pages [first_page, first_page + num_pages) that `mask` names (None: all).

        first_page is a multiple of 64; bit 0 of the mask is the first page.
        """
        first = first_page >> 6
        end = min((first_page + num_pages + 63) >> 6, self._word_count())
        if mask is None:
            self._clear_words(first, end)
            return
        for index in range(first, min(end, first + ((mask.bit_length() + 63) >> 6))):
            bits = mask >> ((index - first) << 6) & _ONES
            usual = self._usual(index)
            kept = self._words.get(index, usual) & ~bits
            if kept != usual:
                self._words[index] = kept
            else:
                self._words.pop(index, None)

    def _clear_words(self, first: int, end: int) -> None:
        """Clear whole words [first, end), in the time of what is stored."""
        if first >= end:
            return
        full, words = self._full, self._words
        at, after = bisect_left(full, first), bisect_right(full, end)
        full[at:after] = [first] * (at & 1) + [end] * (after & 1)
        inside = range(first, end)
        for index in [each for each in (words if len(words) < end - first else inside)
                      if each in inside and each in words]:  # fmt: skip
            del words[index]

    def count(self) -> int:
        """Number of dirty pages."""
        stored = sum(self.word(index).bit_count() for index in self._words)
        usual = sum(
            min(end << 6, self.npages) - (first << 6)
            for first, end in zip(self._full[::2], self._full[1::2])
        )
        covered = sum(self._valid(index).bit_count() for index in self._words if self._usual(index))
        return usual - covered + stored

    def pages(self) -> Iterator[int]:
        """The dirty pages in rising order."""
        for index in self._indexes():
            word = self.word(index)
            while word:
                low = word & -word
                yield (index << 6) + low.bit_length() - 1
                word ^= low

    def _indexes(self) -> Iterator[int]:
        """The words that may have a dirty page, in rising order."""
        stored = sorted(self._words)
        at = 0
        for first, end in zip(self._full[::2], self._full[1::2]):
            after = bisect_left(stored, first)
            yield from stored[at:after]
            yield from range(first, end)
            at = bisect_left(stored, end)
        yield from stored[at:]

    def to_bytes(self, long_bits: int) -> bytes:
        """What KVM_GET_DIRTY_LOG copies out on a little-endian host: whole unsigned longs."""
        nbytes = bitmap_bytes(self.npages, long_bits)
        buffer = bytearray(self._word_count() * 8)
        for first, end in zip(self._full[::2], self._full[1::2]):
            buffer[first * 8 : end * 8] = b"\xff" * ((end - first) * 8)
        for index in (*self._words, self._word_count() - 1):
            buffer[index * 8 : index * 8 + 8] = self.word(index).to_bytes(8, "little")
        return bytes(buffer[:nbytes])


def bitmap_bytes(npages: int, long_bits: int) -> int:
    """Bytes of one half of a slot's bitmap: a whole number of unsigned longs."""
    return -(-npages // long_bits) * (long_bits // 8)
