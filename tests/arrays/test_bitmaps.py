"""Bitmaps to page numbers and back: every density, every way, every kind of bitmap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memslots import Slot
from memslots.arrays import bitmap_of, bitmaps, count, dirty_gfns, dirty_pages, union
from memslots.live.bitmap import LiveBitmap
from memslots.state.dirty_bitmap import DirtyBitmap

DENSITIES = [0, 1e-4, 1e-3, 0.004, 0.01, 0.03, 0.05, 0.08, 0.1, 0.11, 0.3, 0.5, 0.99, 1]


def reference(octets, npages):
    pages = np.flatnonzero(np.unpackbits(np.frombuffer(octets, np.uint8), bitorder="little"))
    return pages[pages < npages]


@pytest.mark.parametrize("npages", [1 << 16, 300_007, 1 << 19])
@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize("clustered", [False, True])
def test_every_density(density, npages, clustered):
    rng = np.random.default_rng(1)
    flags = (
        rng.random(npages) < density if not clustered else np.arange(npages) % 4096 < density * 4096
    )
    bits = np.packbits(flags, bitorder="little")
    octets = np.zeros(-(-npages // 64) * 8, np.uint8)
    octets[: bits.size] = bits
    wanted = reference(octets, npages)
    pages = dirty_pages(octets, npages)
    assert pages.dtype == np.int64
    assert np.array_equal(pages, wanted)
    out = np.full(wanted.size + 5, -1, np.int64)
    placed = dirty_pages(octets, npages, out)
    assert np.array_equal(placed, wanted)
    assert np.shares_memory(placed, out) or not wanted.size
    assert (out[wanted.size :] == -1).all()
    assert count(octets, npages) == wanted.size
    assert np.array_equal(bitmap_of(pages, npages), octets)
    assert np.array_equal(dirty_pages(octets.tobytes()), wanted)
    if wanted.size:
        with pytest.raises(ValueError, match=r"out has \d+ items"):
            dirty_pages(octets, npages, np.empty(wanted.size - 1, np.int64))


@settings(max_examples=200)
@given(st.integers(0, 700), st.data())
def test_beside_both_bitmaps(npages, data):
    marked = data.draw(st.sets(st.integers(0, npages - 1), max_size=60)) if npages else set()
    model = DirtyBitmap(npages, data.draw(st.booleans()))
    for page in marked:
        model.mark(page)
    raw = model.to_bytes(64)
    live = LiveBitmap(npages, raw)
    wanted = list(model.pages())
    assert list(live.pages()) == wanted
    for bitmap in (model, live):
        assert dirty_pages(bitmap).tolist() == wanted
        assert count(bitmap) == model.count()
    unaligned = memoryview(b"x" + raw)[1:]
    for form in (raw, bytearray(raw), memoryview(raw), np.frombuffer(raw, np.uint64), unaligned):
        assert dirty_pages(form, npages).tolist() == wanted
    assert dirty_pages(model.to_bytes(32), npages).tolist() == wanted
    assert bitmap_of(wanted, npages).tobytes() == raw
    # bits beyond the slot, in the last byte, word and after it
    noisy = bytearray(raw + b"\xff" * 9)
    for page in range(npages, len(raw) * 8):
        noisy[page >> 3] |= 1 << (page & 7)
    assert dirty_pages(noisy, npages).tolist() == wanted
    assert count(noisy, npages) == len(wanted)


@settings(max_examples=60)
@given(st.sets(st.integers(0, 299)), st.sampled_from([32, 64]))
def test_bitmaps_of_a_big_endian_host(pages, long_bits):
    nbytes = -(-300 // long_bits) * long_bits // 8
    little = bitmap_of(sorted(pages), 300).tobytes()[:nbytes].ljust(nbytes, b"\0")
    step = long_bits // 8
    big = b"".join(little[at : at + step][::-1] for at in range(0, nbytes, step))
    for bitmap, order in ((little, "little"), (big, "big")):
        assert dirty_pages(bitmap, 300, byteorder=order, long_bits=long_bits).tolist() == sorted(
            pages
        )
        assert count(bitmap, 300, byteorder=order, long_bits=long_bits) == len(pages)


def test_union():
    first, second, third = (bitmap_of(pages, 200) for pages in ([1, 199], [1, 64], []))
    assert dirty_pages(union(first, second, third), 200).tolist() == [1, 64, 199]
    assert np.array_equal(union(first), first)
    assert union(first) is not first
    model = DirtyBitmap(200)
    model.mark(7)
    assert dirty_pages(union(model, LiveBitmap(200, first.tobytes())), 200).tolist() == [1, 7, 199]
    kept = second.copy()
    assert union(first, second, out=first) is first
    assert dirty_pages(first, 200).tolist() == [1, 64, 199]
    assert union(first, second, out=second) is second
    assert np.array_equal(first, second)
    assert np.array_equal(dirty_pages(kept, 200), [1, 64])
    with pytest.raises(ValueError, match="different lengths: 32 and 40 bytes"):
        union(first, bitmap_of([], 300))
    with pytest.raises(TypeError, match="out must be"):
        union(first, out=np.empty(4, np.uint64))


def test_gfns_of_a_slot():
    slot = Slot(0, 3, (1 << 52) - 100, 100, 0, 0)
    gfns = dirty_gfns(slot, bitmap_of([0, 99], 100))
    assert gfns.dtype == np.uint64
    assert gfns.tolist() == [(1 << 52) - 100, (1 << 52) - 1]
    with pytest.raises(ValueError, match="a bitmap of 100 pages has 13 bytes, not 8"):
        dirty_gfns(slot, bytes(8))


def test_pages_of_every_type_and_order():
    for pages in (
        [5, 3, 5],
        np.array([5, 3, 5], np.uint8),
        np.array([5, 3, 5], ">i4"),
        (3, 5),
        np.array([[3], [5]]),
    ):
        assert dirty_pages(bitmap_of(pages, 1000)).tolist() == [3, 5]
        assert dirty_pages(bitmap_of(pages, 100)).tolist() == [3, 5]
    assert bitmap_of([], 0).size == 0
    assert dirty_pages(b"").tolist() == []


def test_wrong_arguments():
    for pages in ([100], np.array([3, 100])):
        with pytest.raises(ValueError, match="page 100 of a slot of 100 pages"):
            bitmap_of(pages, 100)
    with pytest.raises(ValueError, match="negative"):
        bitmap_of(np.array([-1]), 100)
    with pytest.raises(TypeError, match="must be integers"):
        bitmap_of([1.5], 100)
    with pytest.raises(TypeError, match="npages must be an int"):
        dirty_pages(b"12345678", 3.0)
    with pytest.raises(TypeError, match="an array of integers, not of float64"):
        dirty_pages(np.zeros(3))
    with pytest.raises(ValueError, match="has 2 bytes, not 1"):
        count(b"1", 9)
    with pytest.raises(ValueError, match="no whole number of longs of 32 bits"):
        dirty_pages(bytes(5), 40, byteorder="big", long_bits=32)
    for wrong in ({"long_bits": 16}, {"byteorder": "middle"}):
        with pytest.raises(ValueError, match="long_bits is 32 or 64"):
            dirty_pages(bytes(8), **wrong)
    with pytest.raises(TypeError, match="out must be an array of int64"):
        dirty_pages(bytes(8), out=np.empty(3, np.uint64))
    with pytest.raises(TypeError):
        dirty_pages(12345)


def test_counting_without_numpy_2(monkeypatch):
    octets = bitmap_of(range(0, 1000, 3), 1000)
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    assert count(octets) == 334
    assert bitmaps.dirty_pages(octets).tolist() == list(range(0, 1000, 3))
