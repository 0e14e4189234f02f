"""Unsigned integers of a given width that calculate as C's do: every sum and product wraps.

    ulong = word(32)
    ulong(1 << 30) * 20            # 0, as on a 32-bit host
    ulong(214748365) * 20 / 1000   # 0: `/` of two integers divides as in C

What two words give has the width of the wider one; a plain integer takes the width of the word
beside it.  Fractions are refused: C has none here.
"""

from __future__ import annotations

import operator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Word(int):
    """An unsigned integer of `bits` bits; `word()` makes the class for a width."""

    bits = 0

    def __new__(cls, value: int = 0) -> Word:
        """Raises TypeError for what is not an integer."""
        if not isinstance(value, int):
            raise TypeError(
                f"{value!r} is not an integer; where C has integers, 20 / 1000 is 0: write 20 // "
                "1000"
            )
        return int.__new__(cls, value & ((1 << cls.bits) - 1))


def _wrapping(name: str) -> tuple[Callable[[Word, int], Word], Callable[[Word, int], Word]]:
    calculate = getattr(operator, name)

    def forward(self: Word, other: int) -> Word:
        return _width(self, other)(calculate(int(self), _integer(other)))

    def backward(self: Word, other: int) -> Word:
        return _width(self, other)(calculate(_integer(other), int(self)))

    return forward, backward


def _width(one: Word, other: int) -> type[Word]:
    kind = type(one)
    return type(other) if isinstance(other, Word) and other.bits > kind.bits else kind


def _integer(value: int) -> int:
    if not isinstance(value, int):
        raise TypeError(
            f"{value!r} is not an integer; where C has integers, 20 / 1000 is 0: write 20 // 1000"
        )
    return int(value)


for _name in ("add", "sub", "mul", "floordiv", "mod", "and", "or", "xor", "lshift", "rshift"):
    _forward, _backward = _wrapping(f"{_name}_" if _name in ("and", "or") else _name)
    setattr(Word, f"__{_name}__", _forward)
    setattr(Word, f"__r{_name}__", _backward)
_forward, _backward = _wrapping("floordiv")
setattr(Word, "__truediv__", _forward)  # noqa: B010 - the loop above does the same
setattr(Word, "__rtruediv__", _backward)  # noqa: B010
setattr(Word, "__neg__", lambda self: type(self)(-int(self)))  # noqa: B010
setattr(Word, "__invert__", lambda self: type(self)(~int(self)))  # noqa: B010


def word(bits: int) -> type[Word]:
    """The class of unsigned integers with this many bits."""
    return type(f"u{bits}", (Word,), {"bits": bits})
