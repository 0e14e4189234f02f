"""`Translator`: arrays of guest frames and addresses to host addresses and slot ids.

translator = Translator(vm)
hvas = translator.gfn_to_hva(gfns)
holes = hvas == NO_HVA
"""

from __future__ import annotations

from ..uapi.flags import KVM_MEM_READONLY, KVM_MEMSLOT_INVALID
from ..units import U64_MAX
from .extra import np
from .integers import checked_out, integers
from .lookup import BLOCK, Search, Table, best_granule_shift, mixed_granules, table_bytes
from .table import shift_of, slot_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    import numpy.typing as npt

    from .integers import Integers, UInt64s
    from .table import Slots

NO_HVA = U64_MAX
"""What stands for the host address of a hole: the one address that no page of a process holds."""
NO_SLOT = -1
"""What stands for the slot id of a hole."""
LARGE_BATCH = 1 << 20
"""From so many addresses on, all calls together, a table of all pages pays."""
SMALL_BATCH = 64
"""Up to so many addresses a batch is searched for at once."""
TABLE_BYTES = 256 << 20
"""The largest table: 512 GiB of 4 KiB pages.  A table of granules has a few MiB at most."""
METHODS = ("search", "granules", "pages")
_HOLE = np.uint64(1)  # odd, as no difference of page addresses is


class Translator:
    """The slots of one address space as they are when it is made, indexed for whole arrays.

    Addresses come as an array of any shape and integer type, or as a sequence
    of int; results have its shape.  Every result is exact for all of uint64.  Two
    threads may use one translator.
    """

    __slots__ = (
        "_adds",
        "_asked",
        "_edges",
        "_granule_shift",
        "_ids",
        "_lookups",
        "as_id",
        "page_shift",
        "table",
    )

    def __init__(
        self, slots: Slots, as_id: int = 0, *, page_shift: int | None = None, write: bool = False
    ) -> None:
        """The slots of a Vm, a LiveVm, or an iterable that `slot_table` takes; only those of as_id.

        page_shift: needed for an iterable.  write: read-only slots have no host
        address, as in `Vm.gpa_to_hva(gpa, write=True)`.
        Raises ValueError if slots overlap, wrap, or are no whole pages.
        """
        self.as_id = as_id
        self.page_shift = shift_of(slots, page_shift)
        """Bits of the offset within a page."""
        self.table = slot_table(slots, as_id, page_shift=self.page_shift)
        """The slots, by gfn (dtype SLOT)."""
        _check(self.table, self.page_shift)
        starts, ends = self.table["base_gfn"], self.table["base_gfn"] + self.table["npages"]
        edges = np.stack((starts, ends), axis=1).reshape(-1)
        kept = np.append(True, edges[1:] != edges[:-1])[: edges.size]
        self._edges: UInt64s = edges[kept]
        slot_intervals = np.cumsum(kept)[
            ::2
        ]  # the interval that each slot is; all others are holes
        unmapped = KVM_MEMSLOT_INVALID | (KVM_MEM_READONLY if write else 0)
        adds = self.table["userspace_addr"] - (starts << np.uint64(self.page_shift))
        adds[self.table["flags"] & np.uint32(unmapped) != 0] = _HOLE
        self._adds = np.full(len(self._edges) + 1, _HOLE, np.uint64)
        self._adds[slot_intervals] = adds
        self._ids = np.full(len(self._edges) + 1, NO_SLOT, np.int32)
        self._ids[slot_intervals] = self.table["id"]
        self._granule_shift = self._useful_shift()
        self._lookups: dict[str, Search | Table] = {}
        self._asked = 0

    # -- the calls

    def gfn_to_hva(
        self, gfns: Integers, out: UInt64s | None = None, *, method: str | None = None
    ) -> UInt64s:
        """The host address (uint64, bytes) of each guest frame's first byte; NO_HVA in holes.

        out: a contiguous uint64 array of the same shape for the results; it may be
        the array of gfns itself.  method: one of METHODS instead of the best.
        Raises TypeError for what is no integer, ValueError for a negative one or
        an `out` that does not fit.
        """
        return self._to_hva("gfns", gfns, out, 0, method)

    def gpa_to_hva(
        self, gpas: Integers, out: UInt64s | None = None, *, method: str | None = None
    ) -> UInt64s:
        """The host address (uint64) of each guest-physical one, in bytes; otherwise as
        `gfn_to_hva`.
        """
        return self._to_hva("gpas", gpas, out, self.page_shift, method)

    def gfn_to_slot(
        self, gfns: Integers, out: npt.NDArray[np.int32] | None = None, *, method: str | None = None
    ) -> npt.NDArray[np.int32]:
        """The id (int32) of the slot that holds each guest frame; NO_SLOT in holes.

        out: a contiguous int32 array.  Raises as `gfn_to_hva` does.
        """
        return self._to_slot("gfns", gfns, out, 0, method)

    def gpa_to_slot(
        self, gpas: Integers, out: npt.NDArray[np.int32] | None = None, *, method: str | None = None
    ) -> npt.NDArray[np.int32]:
        """The id (int32) of the slot that holds each guest-physical address (bytes); NO_SLOT in
        holes.
        """
        return self._to_slot("gpas", gpas, out, self.page_shift, method)

    def method(self, naddresses: int) -> str:
        """How a batch of so many addresses would be looked up next: search, granules or pages."""
        asked = self._asked + naddresses
        if self._granule_shift is not None:
            # an entry costs a nanosecond or two to make, a search 50 and more
            entries = int(self._edges[-1] - self._edges[0]) >> self._granule_shift
            return "granules" if asked >= entries // 16 else "search"
        pays = (
            asked >= LARGE_BATCH and len(self._edges) and table_bytes(self._edges, 0) <= TABLE_BYTES
        )
        return "pages" if pays else "search"

    def __repr__(self) -> str:
        return (
            f"<Translator of {len(self.table)} slots, address space {self.as_id}, page shift "
            f"{self.page_shift}>"
        )

    # -- how

    def _to_hva(
        self, name: str, given: Integers, out: UInt64s | None, to_gfn: int, method: str | None
    ) -> UInt64s:
        addresses = integers(name, given)
        if out is None and method is None and addresses.ndim and addresses.size <= SMALL_BATCH:
            return self._few(addresses, to_gfn)
        result = checked_out(out, addresses.shape, np.uint64)
        (flat, in_place), results = _apart(addresses, result), result.reshape(-1)
        lookup = self._lookup(flat.size, method)
        scratch, hole = (
            np.empty(min(flat.size, BLOCK), np.uint64),
            np.empty(min(flat.size, BLOCK), bool),
        )
        to_gpa = np.uint64(self.page_shift - to_gfn)
        for first in range(0, flat.size, BLOCK):
            block = _block(flat, first, copied=in_place)
            part, temporary, holes = (
                results[first : first + BLOCK],
                scratch[: block.size],
                hole[: block.size],
            )
            lookup.look_up(block, to_gfn, self._adds, part, temporary)
            np.equal(part, _HOLE, out=holes)
            if to_gpa:
                block = np.left_shift(block, to_gpa, out=temporary)
            np.add(part, block, out=part)
            np.putmask(part, holes, np.uint64(NO_HVA))
        return result

    def _few(self, addresses: npt.NDArray[Any], to_gfn: int) -> UInt64s:
        """The host addresses of a small batch, by few calls of numpy: each costs as much as dozens
        of addresses.
        """
        self._asked += addresses.size
        if addresses.dtype != np.uint64:
            addresses = addresses.astype(np.uint64)
        gfns = addresses >> np.uint64(to_gfn) if to_gfn else addresses
        result = self._adds[self._edges.searchsorted(gfns, "right")]
        holes = result == _HOLE
        result += addresses if to_gfn else addresses << np.uint64(self.page_shift)
        result[holes] = NO_HVA
        return result

    def _to_slot(
        self,
        name: str,
        given: Integers,
        out: npt.NDArray[np.int32] | None,
        to_gfn: int,
        method: str | None,
    ) -> npt.NDArray[np.int32]:
        addresses = integers(name, given)
        result = checked_out(out, addresses.shape, np.int32)
        (flat, _), results = _apart(addresses, result), result.reshape(-1)
        lookup = self._lookup(flat.size, method)
        scratch = np.empty(min(flat.size, BLOCK), np.uint64)
        for first in range(0, flat.size, BLOCK):
            block = _block(flat, first)
            lookup.look_up(
                block, to_gfn, self._ids, results[first : first + BLOCK], scratch[: block.size]
            )
        return result

    def _lookup(self, naddresses: int, method: str | None) -> Search | Table:
        name = self.method(naddresses) if method is None else method
        if name not in METHODS:
            raise ValueError(f"method is one of {', '.join(METHODS)}, not {method!r}")
        self._asked += naddresses
        found = self._lookups.get(name)
        if found is None:
            found = self._lookups[name] = self._made(name)
        return found

    def _made(self, name: str) -> Search | Table:
        if name == "search" or not len(self._edges):
            return Search(self._edges)
        granule_shift = 0 if name == "pages" else best_granule_shift(self._edges)
        nbytes = table_bytes(self._edges, granule_shift)
        if nbytes > TABLE_BYTES:
            raise ValueError(
                f"a table of {name} would have {nbytes:#x} bytes, more than {TABLE_BYTES:#x}"
            )
        return Table(self._edges, granule_shift)

    def _useful_shift(self) -> int | None:
        """The granules of a table, unless most pages would lie in granules that have an edge
        inside.
        """
        if not len(self._edges):
            return None
        shift = best_granule_shift(self._edges)
        npages = int(self.table["npages"].sum(dtype=np.uint64))
        return shift if mixed_granules(self._edges, shift).size << shift <= npages // 4 else None


def _check(table: npt.NDArray[np.void], page_shift: int) -> None:
    """Raise ValueError unless the slots are whole pages that neither wrap nor overlap."""
    if not len(table):
        return
    starts, npages, hvas = table["base_gfn"], table["npages"], table["userspace_addr"]
    limit = np.uint64(1 << 64 - page_shift)
    largest_hva = np.uint64(U64_MAX) - (
        np.minimum(npages, limit - np.uint64(1)) << np.uint64(page_shift)
    )
    wrong = (npages == 0) | (npages >= limit) | (starts > limit - np.minimum(npages, limit))
    wrong |= (hvas & np.uint64((1 << page_shift) - 1) != 0) | (hvas > largest_hva)
    if wrong.any():
        raise ValueError(f"no whole pages of a 64-bit space: slot {_shown(table[wrong][0])}")
    ends = starts + npages
    overlapping = np.flatnonzero(ends[:-1] > starts[1:])
    if len(overlapping):
        first = int(overlapping[0])
        raise ValueError(f"slots overlap: {_shown(table[first])} and {_shown(table[first + 1])}")


def _shown(row: npt.NDArray[np.void]) -> str:
    gfn, npages = int(row["base_gfn"]), int(row["npages"])
    return (
        f"{row['as_id']}:{row['id']} gfns [{gfn:#x}, {gfn + npages:#x}) hva "
        f"{int(row['userspace_addr']):#x}"
    )


def _apart(addresses: npt.NDArray[Any], result: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], bool]:
    """The addresses in one dimension, and whether the result takes their place, block by block."""
    in_place = False
    if np.may_share_memory(addresses, result):
        places = [array.__array_interface__["data"][0] for array in (addresses, result)]
        in_place = places[0] == places[1] and addresses.strides == result.strides
        if not in_place:  # a result might be written over an address that is still to be read
            addresses = addresses.copy()
    return addresses.reshape(-1), in_place


def _block(flat: npt.NDArray[Any], first: int, *, copied: bool = False) -> UInt64s:
    block = flat[first : first + BLOCK]
    if copied or block.dtype != np.uint64:
        return block.astype(np.uint64)
    return block
