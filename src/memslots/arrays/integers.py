"""Arrays of gfns and addresses: exact uint64, whatever they came in.

A detour over float64 would round above 2**53, and numpy takes it silently where
int64 meets uint64 (`np.array([1, 2**63])`, int64 needles among uint64 keys).
Here nothing takes it: integers are converted exactly or refused.
"""

from __future__ import annotations

from operator import index

from ..units import U64_MAX
from .extra import np

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, TypeAlias

    import numpy.typing as npt

    UInt64s: TypeAlias = npt.NDArray[np.uint64]
    Integers: TypeAlias = npt.NDArray[Any] | Iterable[int] | int


def integers(name: str, values: Integers) -> npt.NDArray[Any]:
    """The values as an array of integers from 0 to 2**64 - 1, of the same shape; an array is not
    copied.

    Its dtype is uint64 in native byte order, or one that `astype(uint64)`
    converts exactly.  Raises TypeError for floats, booleans and everything else
    that is no integer, ValueError for one that is negative or too large.
    """
    if not isinstance(values, np.ndarray):
        if not hasattr(values, "__array__") and not _is_buffer(values):
            return _from_python(name, values)
        values = np.asarray(values)
    if values.dtype.kind == "i":
        if values.size and values.min() < 0:
            raise ValueError(f"{name} must not be negative, as {int(values.min())} is")
        return values.view(np.uint64) if values.dtype == np.int64 else values
    if values.dtype.kind != "u":
        raise TypeError(
            f"{name} must be integers, not {values.dtype}: convert them, knowing that float64 "
            "rounds"
        )
    return values


def _is_buffer(values: object) -> bool:
    try:
        memoryview(values)  # type: ignore[arg-type]
    except TypeError:
        return False
    return True


def _from_python(name: str, values: Iterable[int] | int) -> UInt64s:
    try:
        given = [values] if isinstance(values, int) else list(values)
        numbers = [index(value) for value in given]
    except TypeError as error:
        raise TypeError(f"{name} must be integers: {error}") from None
    if any(isinstance(value, bool) for value in given):
        raise TypeError(f"{name} must be integers, not True or False")
    for number in numbers:
        if not 0 <= number <= U64_MAX:
            raise ValueError(f"{name} must be between 0 and {U64_MAX:#x}, not {number:#x}")
    array = np.array(numbers, dtype=np.uint64)
    return array.reshape(()) if isinstance(values, int) else array


def checked_out(
    out: npt.NDArray[Any] | None, shape: tuple[int, ...], dtype: npt.DTypeLike
) -> npt.NDArray[Any]:
    """The array for the results: `out`, or a new one.

    Raises TypeError or ValueError if `out` cannot be it.
    """
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray) or out.dtype != np.dtype(dtype):
        found = out.dtype if isinstance(out, np.ndarray) else type(out).__name__
        raise TypeError(f"out must be an array of {np.dtype(dtype)}, not {found}")
    if out.shape != shape:
        raise ValueError(f"out must have the shape {shape}, not {out.shape}")
    if not out.flags.c_contiguous or not out.flags.writeable:
        raise ValueError("out must be contiguous and writable")
    return out
