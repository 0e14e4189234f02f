"""Dirty bitmaps and arrays of page numbers: what KVM_GET_DIRTY_LOG copied out, converted both ways.

A bitmap is an array of unsigned longs in the host's byte order; page n is bit
n % bits of word n / bits.  Every function takes the bytes (anything with a
buffer, or a numpy array of any integers), a `LiveBitmap` or the model's
`DirtyBitmap`.  Bits beyond `npages` count for nothing.
"""

from __future__ import annotations

import sys

from ..state.dirty_bitmap import DirtyBitmap
from ..uapi.region import checked_uint
from .extra import np
from .integers import checked_out, integers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    import numpy.typing as npt

    from ..live.bitmap import LiveBitmap
    from ..state.slot import Slot
    from .integers import Integers

    Bitmap: TypeAlias = bytes | bytearray | memoryview | npt.NDArray[Any] | LiveBitmap | DirtyBitmap
    Bytes: TypeAlias = npt.NDArray[np.uint8]

_CHUNK = 1 << 15
"""Bytes of a bitmap unpacked at a time where the result has its place already."""


def dirty_pages(
    bitmap: Bitmap,
    npages: int | None = None,
    out: npt.NDArray[np.int64] | None = None,
    *,
    byteorder: str | None = None,
    long_bits: int = 64,
) -> npt.NDArray[np.int64]:
    """The numbers of the dirty pages (int64), rising.

    npages: pages of the slot; may be left out for a bitmap that knows it, and for
    bytes that are all of the slot.  out: a contiguous int64 array with at least as
    many items as there are dirty pages; the result is its first part.
    byteorder, long_bits: of the host that wrote the bytes, if it is not this one.
    Raises ValueError for a bitmap that is too short, or an `out` that is.
    """
    octets = _octets(bitmap, npages, byteorder, long_bits)
    words = octets.view(np.uint64)
    if np.count_nonzero(words) <= words.size // 8:
        dirty_words = np.flatnonzero(words)
        return _placed(_of_parts(words[dirty_words].view(np.uint8), dirty_words, 6), out)
    ndirty, npages = _popcount(octets), octets.size * 8
    # what each way costs, in pages unpacked: ten for a page that is found in a part and has to be
    # put in its place
    if ndirty * 10 < npages and ndirty * 10 + np.count_nonzero(octets) * 8 < npages:
        dirty_octets = np.flatnonzero(octets != 0)
        return _placed(_of_parts(octets[dirty_octets], dirty_octets, 3), out)
    return _unpacked(octets, ndirty) if out is None else _unpacked_into(octets, ndirty, out)


def dirty_gfns(
    slot: Slot, bitmap: Bitmap, *, byteorder: str | None = None, long_bits: int = 64
) -> npt.NDArray[Any]:
    """The dirty guest frames of a slot (uint64), rising; otherwise as `dirty_pages`."""
    gfns = dirty_pages(bitmap, slot.npages, byteorder=byteorder, long_bits=long_bits).view(
        np.uint64
    )
    return np.add(gfns, np.uint64(slot.base_gfn), out=gfns)


def count(
    bitmap: Bitmap, npages: int | None = None, *, byteorder: str | None = None, long_bits: int = 64
) -> int:
    """The number of dirty pages; parameters as in `dirty_pages`."""
    return _popcount(_octets(bitmap, npages, byteorder, long_bits))


def union(
    first: Bitmap, *others: Bitmap, npages: int | None = None, out: Bytes | None = None
) -> Bytes:
    """The pages that are dirty in any of the bitmaps: bytes (uint8), whole 64-bit words of this
    host.

    out: a contiguous uint8 array of that length; it may be one of the bitmaps.
    Raises ValueError for bitmaps of different lengths.
    """
    arrays = [_octets(bitmap, npages, None, 64) for bitmap in (first, *others)]
    lengths = sorted({array.size for array in arrays})
    if len(lengths) > 1:
        raise ValueError(f"bitmaps of different lengths: {lengths[0]} and {lengths[-1]} bytes")
    result = checked_out(out, (lengths[0],), np.uint8)
    if sys.byteorder == "big" and out is not None:
        arrays = [array.copy() for array in arrays]
    np.copyto(result, arrays[0])
    for array in arrays[1:]:
        np.bitwise_or(result.view(np.uint64), array.view(np.uint64), out=result.view(np.uint64))
    return _to_host(result)


def bitmap_of(pages: Integers, npages: int) -> Bytes:
    """The bitmap of a slot of npages in which these pages are dirty: bytes (uint8), whole 64-bit
    words of this host.

    pages: integers from 0 to npages - 1, in any order, repeated or not.  Raises
    ValueError for a page that the slot does not have, TypeError for what is no integer.
    """
    checked_uint("npages", npages)
    numbers = integers("pages", pages).reshape(-1)
    if numbers.size and int(numbers.max()) >= npages:
        raise ValueError(f"page {int(numbers.max())} of a slot of {npages} pages")
    nbytes = -(-npages // 64) * 8
    if numbers.size < npages // 64:
        octets: Bytes = np.zeros(nbytes, np.uint8)
        bits = np.left_shift(np.uint8(1), (numbers & numbers.dtype.type(7)).astype(np.uint8))
        np.bitwise_or.at(octets, (numbers >> numbers.dtype.type(3)).astype(np.int64), bits)
    else:
        flags = np.zeros(nbytes * 8, bool)
        flags[numbers.astype(np.int64, copy=False)] = True
        octets = np.packbits(flags, bitorder="little")
    return _to_host(octets)


# -- bytes in, in the order of the pages


def _octets(bitmap: Bitmap, npages: int | None, byteorder: str | None, long_bits: int) -> Bytes:
    """Byte n holds pages 8 * n and on, the lowest bit first; whole 64-bit words, nothing set
    beyond npages.
    """
    raw, npages, byteorder, long_bits = _raw(bitmap, npages, byteorder, long_bits)
    nbytes = -(-npages // 8)
    if byteorder == "big":
        whole = raw[: -(-nbytes * 8 // long_bits) * (long_bits // 8)]
        if whole.size % (long_bits // 8):
            raise ValueError(
                f"a bitmap of {raw.size} bytes is no whole number of longs of {long_bits} bits"
            )
        raw = whole.reshape(-1, long_bits // 8)[:, ::-1].reshape(-1)
    if raw.size < nbytes:
        raise ValueError(f"a bitmap of {npages} pages has {nbytes} bytes, not {raw.size}")
    padded = -(-npages // 64) * 8
    beyond = raw[nbytes:padded].any() or (npages % 8 and raw[nbytes - 1] >> (npages % 8))
    if raw.size >= padded and not beyond and not raw.__array_interface__["data"][0] % 8:
        return raw[:padded]
    octets = np.zeros(padded, np.uint8)
    octets[:nbytes] = raw[:nbytes]
    if npages % 8:
        octets[nbytes - 1] &= (1 << npages % 8) - 1
    return octets


def _raw(
    bitmap: Bitmap, npages: int | None, byteorder: str | None, long_bits: int
) -> tuple[Bytes, int, str, int]:
    """Bytes as they were written, and what they need to be read."""
    if long_bits not in (32, 64) or byteorder not in (None, "little", "big"):
        raise ValueError(
            f"long_bits is 32 or 64, byteorder little or big, not {long_bits!r} and {byteorder!r}"
        )
    pages = getattr(bitmap, "npages", None)
    if pages is not None and hasattr(bitmap, "to_bytes"):
        if isinstance(bitmap, DirtyBitmap):
            byteorder = "little"
        bitmap, long_bits = bitmap.to_bytes(64), 64
    elif isinstance(bitmap, np.ndarray) and bitmap.dtype.kind not in "ui":
        raise TypeError(f"a bitmap is an array of integers, not of {bitmap.dtype}")
    raw = np.empty(0, np.uint8)
    if len(bitmap):  # type: ignore[arg-type]
        raw = np.frombuffer(bitmap, np.uint8)  # type: ignore[arg-type]
    if npages is None:
        npages = raw.size * 8 if pages is None else pages
    return raw, checked_uint("npages", npages), byteorder or sys.byteorder, long_bits


def _to_host(octets: Bytes) -> Bytes:
    if sys.byteorder == "big":
        octets.view(np.uint64).byteswap(inplace=True)
    return octets


# -- bits to numbers


def _popcount(octets: Bytes) -> int:
    if hasattr(np, "bitwise_count"):  # numpy 2.0
        return int(np.bitwise_count(octets.view(np.uint64)).sum(dtype=np.int64))
    return int.from_bytes(octets.tobytes(), "little").bit_count()


def _unpacked(octets: Bytes, ndirty: int) -> npt.NDArray[np.int64]:
    """The numbers of the set bits, of which there are ndirty.

    `flatnonzero` has a branch a bit below a density of a tenth, and none above:
    set bits at the end, whose numbers are dropped, take it over that mark.
    """
    nbits = octets.size * 8
    if ndirty * 10 <= nbits:
        extra = ((nbits - 10 * ndirty) // 9 + 15) // 8
        octets = np.concatenate((octets, np.full(extra, 0xFF, np.uint8)))
    found: npt.NDArray[np.int64] = np.flatnonzero(
        np.unpackbits(octets, bitorder="little").view(bool)
    )
    return found[:ndirty]


def _of_parts(parts: Bytes, where: npt.NDArray[np.int64], shift: int) -> npt.NDArray[np.int64]:
    """The pages of parts of 1 << shift pages each, part i being the where[i]th of the bitmap."""
    pages = _unpacked(parts, _popcount(_padded(parts)))
    moves = (where - np.arange(where.size)) << shift
    pages += moves[pages >> shift]
    return pages


def _padded(octets: Bytes) -> Bytes:
    missing = -octets.size % 8
    return np.concatenate((octets, np.zeros(missing, np.uint8))) if missing else octets


def _unpacked_into(octets: Bytes, ndirty: int, out: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    result, done = _room(out, ndirty), 0
    for first in range(0, octets.size, _CHUNK):
        chunk = octets[first : first + _CHUNK]
        pages = _unpacked(chunk, _popcount(chunk))
        np.add(pages, first * 8, out=result[done : done + pages.size])
        done += pages.size
    return result


def _placed(
    pages: npt.NDArray[np.int64], out: npt.NDArray[np.int64] | None
) -> npt.NDArray[np.int64]:
    if out is None:
        return pages
    result = _room(out, pages.size)
    np.copyto(result, pages)
    return result


def _room(out: npt.NDArray[np.int64], ndirty: int) -> npt.NDArray[np.int64]:
    result = checked_out(out, np.shape(out), np.int64).reshape(-1)
    if result.size < ndirty:
        raise ValueError(f"out has {result.size} items, {ndirty} pages are dirty")
    return result[:ndirty]
