"""Words calculate as C's unsigned types do."""

from __future__ import annotations

import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memslots.compare.words import word

OPERATIONS = [
    operator.add, operator.sub, operator.mul, operator.floordiv, operator.mod, operator.and_,
    operator.or_,
    operator.xor, operator.lshift, operator.rshift,
]  # fmt: skip


@given(
    st.sampled_from([1, 8, 13, 32, 64]), st.integers(0, 1 << 70), st.integers(1, 60),
    st.sampled_from(OPERATIONS)
)  # fmt: skip
def test_every_operation_wraps_at_the_width(bits, one, other, operation):
    kind = word(bits)
    mask = (1 << bits) - 1
    for left, right in ((kind(one), other), (kind(one), kind(other)), (one & mask, kind(other))):
        if operation in (operator.floordiv, operator.mod) and not int(right):
            continue
        found = operation(left, right)
        assert found == operation(int(left), int(right)) & mask
        assert type(found) is kind


def test_the_wider_of_two_words_decides():
    u32, u64 = word(32), word(64)
    assert u32(1 << 31) * 2 == 0
    assert u32(1 << 31) * u64(2) == 1 << 32
    assert type(u64(1) + u32(1)) is u64 is type(u32(1) + u64(1))


def test_division_is_that_of_c():
    ulong = word(32)
    assert ulong(3250) / 50 == 65
    assert 7 / ulong(2) == 3
    assert type(ulong(7) / 2) is ulong
    assert -ulong(1) == ~ulong(0) == (1 << 32) - 1
    assert sum([ulong(1 << 31), ulong(1 << 31)]) == 0
    assert ulong() == 0


@pytest.mark.parametrize("mistake", [lambda u: u(1) * 0.02, lambda u: u(0.5), lambda u: u(1) + "1"])
def test_fractions_are_refused(mistake):
    with pytest.raises(TypeError, match="is not an integer"):
        mistake(word(32))
