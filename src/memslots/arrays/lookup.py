"""Which interval of the guest-physical space a frame lies in, for blocks of frames at a time.

The edges of all slots cut the space into intervals: slots, and holes between
them.  Interval i holds the gfns from edges[i - 1] up to edges[i]; what a
caller wants of an interval (what to add to get the host address, the slot id) is
a short array indexed by it.  A search costs 50 to 140 ns an address among 500 to
32,000 slots.  A table says the interval of each granule of gfns in 4 to 15,
and only what lies in a granule with an edge inside has to be searched for.
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
TABLE_ENTRIES = 1 << 20
"""Entries of a table of granules: 2 MiB, which stay in the cache too."""
ENTRIES_AN_EDGE = 64
"""Of many slots the table is finer: few granules shall have an edge inside."""
_COMPOSED_ENTRIES = 1 << 16


class Search:
    """Binary search among the edges: no memory, nothing to build."""

    __slots__ = ("_edges",)

    def __init__(self, edges: UInt64s) -> None:
        self._edges = edges

    def look_up(
        self,
        addresses: UInt64s,
        to_gfn: int,
        values: npt.NDArray[Any],
        out: npt.NDArray[Any],
        scratch: UInt64s,
    ) -> None:
        """out[i] = values[the interval of addresses[i] >> to_gfn]; all of one length, at most
        BLOCK.
        """
        gfns = np.right_shift(addresses, np.uint64(to_gfn), out=scratch) if to_gfn else addresses
        intervals = np.searchsorted(self._edges, gfns, side="right")
        np.take(values, intervals, out=out, mode="clip")


class Table:
    """The interval of each granule from the first edge to the last, of a hole before, and of one
    behind.
    """

    __slots__ = ("_composed", "_edges", "_first", "_granule_shift", "_intervals", "_last", "_mixed")

    def __init__(self, edges: UInt64s, granule_shift: int) -> None:
        """edges: rising gfns, at least one.  A granule has 1 << granule_shift of them."""
        self._edges = edges
        self._granule_shift = granule_shift
        granules = edges >> np.uint64(granule_shift)
        first, self._last = int(granules[0]), granules[-1]
        # an index below 0 is taken for 0, one beyond the end for the last: both have to be holes
        self._first = np.uint64(0 if first <= int(self._last) // 8 else first - 1)
        starts = np.concatenate(([0], (granules - self._first).astype(np.int64)))
        counts = np.append(np.diff(starts), 2)
        self._intervals = np.repeat(np.arange(len(edges) + 1, dtype=_interval_dtype(edges)), counts)
        inside = mixed_granules(edges, granule_shift)
        self._mixed: int | None = len(edges) + 1 if inside.size else None
        """What stands for a granule with an edge inside, if there are any."""
        self._intervals[(inside - self._first).astype(np.int64)] = len(edges) + 1
        self._composed: dict[int, tuple[npt.NDArray[Any], npt.NDArray[Any]]] = {}

    def look_up(
        self,
        addresses: UInt64s,
        to_gfn: int,
        values: npt.NDArray[Any],
        out: npt.NDArray[Any],
        scratch: UInt64s,
    ) -> None:
        """out[i] = values[the interval of addresses[i] >> to_gfn]; all of one length, at most
        BLOCK.
        """
        shift = to_gfn + self._granule_shift
        if shift:
            np.right_shift(addresses, np.uint64(shift), out=scratch)
        else:  # the largest would be negative as indexes
            np.minimum(addresses, self._last, out=scratch)
        if self._first:
            np.subtract(scratch, self._first, out=scratch)
        indexes = scratch.view(np.int64)
        if self._mixed is None and len(self._intervals) <= _COMPOSED_ENTRIES:
            np.take(self._composed_with(values), indexes, out=out, mode="clip")
            return
        intervals: npt.NDArray[Any] = self._intervals.take(indexes, mode="clip")
        if self._mixed is not None:
            mixed = np.flatnonzero(intervals == self._mixed)
            gfns = addresses[mixed] >> np.uint64(to_gfn)
            intervals[mixed] = np.searchsorted(self._edges, gfns, side="right")
        np.take(values, intervals, out=out, mode="clip")

    def _composed_with(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The value of each granule: one look-up instead of two."""
        known = self._composed.get(id(values))
        if known is None:
            known = self._composed[id(values)] = (values, values[self._intervals])
        return known[1]


def mixed_granules(edges: UInt64s, granule_shift: int) -> UInt64s:
    """The granules that have an edge inside, rising."""
    inside = edges[edges & np.uint64((1 << granule_shift) - 1) != 0] >> np.uint64(granule_shift)
    first = np.ones(inside.size, bool)  # np.unique would take 20 times as long
    first[1:] = inside[1:] != inside[:-1]
    found: UInt64s = inside[first]
    return found


def best_granule_shift(edges: UInt64s) -> int:
    """As coarse as all edges are aligned, or else as fine as the largest table allows."""
    bits = int(np.bitwise_or.reduce(edges))
    alignment = (bits & -bits).bit_length() - 1 if bits else 0
    most = max(TABLE_ENTRIES, ENTRIES_AN_EDGE * len(edges))
    return max(alignment, (int(edges[-1] - edges[0]) // most).bit_length())


def table_bytes(edges: UInt64s, granule_shift: int) -> int:
    """What a table costs."""
    return (int(edges[-1] - edges[0]) >> granule_shift) * _interval_dtype(edges).itemsize


def _interval_dtype(edges: UInt64s) -> np.dtype[Any]:
    """The narrowest integers that number the intervals, and one more."""
    return np.dtype(np.uint16 if len(edges) < 0xFFFF else np.uint32)
