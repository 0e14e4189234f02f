"""Which interval of the guest-physical space a frame lies in, for blocks of frames at a time.

The edges of all slots cut the space into intervals: slots, and holes between
them.  Interval i holds the gfns from edges[i - 1] up to edges[i]; what a
caller wants of an interval (what to add to get the host address, the slot id) is
a short array indexed by it.  A search costs 40 to 140 ns an address among 500 to
32,000 slots; a table with an entry for each granule costs 4 to 20.
"""

from __future__ import annotations

from .extra import np

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    import numpy.typing as npt

    from .integers import UInt64s

BLOCK = 1 << 16
"""Addresses looked up at a time: their temporaries stay in the cache."""
SMALL_TABLE_ENTRIES = 1 << 20
"""A table of so many granules is built in a millisecond: it always pays."""


class Search:
    """Binary search among the edges: no memory, nothing to build."""

    __slots__ = ("_edges",)

    def __init__(self, edges: UInt64s) -> None:
        self._edges = edges

    def look_up(
        self, addresses: UInt64s, to_gfn: int, values: npt.NDArray[Any], out: npt.NDArray[Any], scratch: UInt64s
    ) -> None:
        """out[i] = values[the interval of addresses[i] >> to_gfn]; all of one length, at most BLOCK."""
        gfns = np.right_shift(addresses, np.uint64(to_gfn), out=scratch) if to_gfn else addresses
        intervals = np.searchsorted(self._edges, gfns, side="right")
        np.take(values, intervals, out=out, mode="clip")


class Table:
    """An entry for each granule from the first edge to the last, and one beyond each of the two."""

    __slots__ = ("_composed", "_first", "_granule_shift", "_intervals", "_last")

    def __init__(self, edges: UInt64s, granule_shift: int) -> None:
        """edges: rising, all of them multiples of 1 << granule_shift (gfns)."""
        granules = edges >> np.uint64(granule_shift)
        first, self._last = int(granules[0]), granules[-1]
        # an index below 0 is taken for 0, one beyond the end for the last: both have to be holes
        self._first = np.uint64(max(first - 1, 0))
        starts = np.concatenate(([0], (granules - self._first).astype(np.int64)))
        counts = np.append(np.diff(starts), 1)
        self._intervals = np.repeat(np.arange(len(edges) + 1, dtype=interval_dtype(edges)), counts)
        self._granule_shift = granule_shift
        self._composed: dict[int, tuple[npt.NDArray[Any], npt.NDArray[Any]]] = {}

    def look_up(
        self, addresses: UInt64s, to_gfn: int, values: npt.NDArray[Any], out: npt.NDArray[Any], scratch: UInt64s
    ) -> None:
        """out[i] = values[the interval of addresses[i] >> to_gfn]; all of one length, at most BLOCK."""
        shift = to_gfn + self._granule_shift
        if shift:
            np.right_shift(addresses, np.uint64(shift), out=scratch)
        else:  # the largest would be negative as indexes
            np.minimum(addresses, self._last, out=scratch)
        if self._first:
            np.subtract(scratch, self._first, out=scratch)
        indexes = scratch.view(np.int64)
        if len(self._intervals) <= SMALL_TABLE_ENTRIES + 2:
            np.take(self._composed_with(values), indexes, out=out, mode="clip")
        else:
            intervals: npt.NDArray[Any] = self._intervals.take(indexes, mode="clip")
            np.take(values, intervals, out=out, mode="clip")

    def _composed_with(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The value of each granule: one look-up instead of two."""
        known = self._composed.get(id(values))
        if known is None:
            known = self._composed[id(values)] = (values, values[self._intervals])
        return known[1]


def interval_dtype(edges: UInt64s) -> np.dtype[Any]:
    """The narrowest integers that number the intervals."""
    return np.dtype(np.uint16 if len(edges) <= 0xFFFF else np.uint32)


def common_alignment(edges: UInt64s) -> int:
    """The largest shift such that all edges are multiples of 1 << shift."""
    bits = int(np.bitwise_or.reduce(edges))
    return (bits & -bits).bit_length() - 1 if bits else 0
