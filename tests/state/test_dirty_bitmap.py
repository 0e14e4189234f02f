"""The sparse dirty bitmap beside a set of pages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memslots.state.dirty_bitmap import DirtyBitmap

npages = st.integers(1, 700)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("mark"), st.integers(0, 699)),
        st.tuples(st.just("clear"), st.integers(0, 11), st.integers(0, 800)),
        st.tuples(
            st.just("mask"), st.integers(0, 11), st.integers(0, 800), st.integers(0, 2**300 - 1)
        ),
        st.tuples(st.just("all")),
        st.tuples(st.just("copy")),
    ),
    max_size=12,
)


@given(npages, st.booleans(), steps)
def test_it_is_a_set_of_pages(npages, initially_set, steps) -> None:  # type: ignore[no-untyped-def]
    bitmap = DirtyBitmap(npages, initially_set)
    pages = set(range(npages)) if initially_set else set()
    for name, *numbers in steps:
        if name == "mark":
            if numbers[0] < npages:
                bitmap.mark(numbers[0])
                pages.add(numbers[0])
        elif name == "all":
            bitmap.clear_all()
            pages.clear()
        elif name == "copy":
            old, bitmap = bitmap, bitmap.copy()
            old.clear_all()
        else:
            first, count = numbers[0] * 64, numbers[1]
            if first + count > npages or (count % 64 and first + count != npages):
                continue  # the call refuses these
            mask = numbers[2] if name == "mask" else None
            bitmap.clear(first, count, mask)
            pages -= {first + bit for bit in range(count) if mask is None or mask >> bit & 1}
        assert list(bitmap.pages()) == sorted(pages)
        assert bitmap.count() == len(pages)
        whole = int.from_bytes(bitmap.to_bytes(64), "little")
        assert whole == sum(1 << page for page in pages)


def test_clearing_most_of_a_slot_of_8_tib_stores_nothing() -> None:
    bitmap = DirtyBitmap((1 << 31) - 1, initially_set=True)
    bitmap.clear(64, (1 << 31) - 128)
    assert bitmap.count() == 64 + 63
    assert bitmap.word(0)
    assert not bitmap.word(1)
    bitmap.mark(1 << 20)
    bitmap.clear(0, 1 << 21)
    assert bitmap.count() == 63
