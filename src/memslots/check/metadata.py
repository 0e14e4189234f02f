"""Kernel memory that one slot costs, array by array, in each era.

On x86 a slot with base gfn b and n pages has, on level L (4 KiB, 2 MiB, 1 GiB;
shift s = 9 * (L - 1)), lp(L) = ((b + n - 1) >> s) - (b >> s) + 1 large pages, and

    reverse map      lp(L) unsigned longs, on all three levels
    large-page info  lp(L) ints, on levels 2 and 3
    write track      n shorts
    dirty bitmap     2 * round_up(n, bits of a long) / 8 bytes, while it logs

Reverse maps and write tracking are left out where nothing needs them; see
`Conditions`.  Other architectures have the bitmap, powerpc HV a reverse map.
"""

from __future__ import annotations

from ..kernel import footprint
from ..kernel.machine import guest_memfd_built
from ..uapi.flags import KVM_MEM_LOG_DIRTY_PAGES
from ..units import round_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..kernel.profile import Profile
    from ..state.slot import Slot

LEVELS = ((1, "4 KiB"), (2, "2 MiB"), (3, "1 GiB"))
RMAP, LARGE_PAGES, WRITE_TRACK, BITMAP, DESCRIPTOR = (
    "reverse map", "large-page info", "write track", "dirty bitmap", "descriptor",
)  # fmt: skip
KINDS = (RMAP, LARGE_PAGES, WRITE_TRACK, BITMAP, DESCRIPTOR)
_PAGE = 4096


class Conditions:
    """What the cost depends on beside the kernel and the slots."""

    __slots__ = ("shadow", "tracker")

    def __init__(self, *, shadow: bool = False, tracker: bool = False) -> None:
        self.shadow = shadow
        """Shadow page tables have been needed: a guest has run guests of its own, or there is no
        EPT or NPT.
        """
        self.tracker = tracker
        """An external page tracker (GPU pass-through) is registered; up to 6.8: configured."""


class Array:
    """One allocation of a slot."""

    __slots__ = ("allocated", "kind", "level", "requested")

    def __init__(self, kind: str, level: str, requested: int, allocated: int) -> None:
        self.kind = kind
        self.level = level
        """`4 KiB`, `2 MiB`, `1 GiB`, or empty."""
        self.requested = requested
        """Bytes that KVM asks for."""
        self.allocated = allocated
        """Bytes that it gets: the slab's size class, or whole pages."""


def large_pages(base_gfn: int, npages: int, level: int) -> int:
    """Pages of a level that the slot touches: lp(L)."""
    shift = 9 * (level - 1)
    return ((base_gfn + npages - 1) >> shift) - (base_gfn >> shift) + 1


def has_rmaps(profile: Profile, conditions: Conditions) -> bool:
    """Whether slots have reverse maps (x86)."""
    if (
        not footprint.has(profile, "rmap-optional")
        or conditions.shadow
        or not profile.option("tdp")
    ):
        return True
    return not footprint.has(profile, "tdp-mmu-default")


def has_write_track(profile: Profile, conditions: Conditions) -> bool:
    """Whether slots have write-track counters (x86)."""
    if (
        not footprint.has(profile, "write-track-optional")
        or conditions.shadow
        or conditions.tracker
    ):
        return True
    return not profile.option("tdp") or bool(profile.option("page-track"))


def arrays_of(
    profile: Profile, slot: Slot, conditions: Conditions, *, bitmaps: bool = True
) -> list[Array]:
    """The allocations of a slot; `bitmaps`: whether the VM logs with bitmaps (not only a ring)."""
    return [
        Array(kind, level, requested, _allocated(profile, kind, requested))
        for kind, level, requested in _requested(profile, slot, conditions, bitmaps)
    ]


def _requested(
    profile: Profile, slot: Slot, conditions: Conditions, bitmaps: bool
) -> Iterator[tuple[str, str, int]]:  # fmt: skip
    long_bytes = profile.arch.long_bits // 8
    if profile.arch.is_x86:
        rmaps = has_rmaps(profile, conditions)
        for level, name in LEVELS:
            pages = large_pages(slot.base_gfn, slot.npages, level)
            if rmaps:
                yield RMAP, name, pages * long_bytes
            if level > 1:
                yield LARGE_PAGES, name, pages * 4
        if has_write_track(profile, conditions):
            yield WRITE_TRACK, "", slot.npages * 2
    elif profile.arch.name == "ppc64" and profile.option("hv"):
        yield RMAP, "", slot.npages * 8
    if bitmaps and slot.flags & KVM_MEM_LOG_DIRTY_PAGES:
        yield BITMAP, "", 2 * round_up(slot.npages, profile.arch.long_bits) // 8
    descriptor = descriptor_bytes(profile)
    if descriptor is not None and footprint.has(profile, "descriptor-alone"):
        yield DESCRIPTOR, "", descriptor


def descriptor_bytes(profile: Profile) -> int | None:
    """Bytes of struct kvm_memory_slot; None where it is not known."""
    found = footprint.DESCRIPTOR.value(profile.version, profile.arch.name)
    if found is None:
        return None
    return found + (footprint.GMEM_DESCRIPTOR_BYTES if guest_memfd_built(profile) else 0)


def _allocated(profile: Profile, kind: str, requested: int) -> int:
    """What the allocator gives: whole pages, or a slab's size class where kvmalloc or kmalloc is
    asked.
    """
    pages = round_up(requested, 1 << profile.page_shift)
    own_area = footprint.has(profile, "vmalloc-arrays") or (
        kind == RMAP and not profile.arch.is_x86
    )
    if kind != DESCRIPTOR and own_area:
        return pages
    return next((size for size in footprint.SLAB_CLASSES if requested <= size), pages)


def head_bytes(profile: Profile, nslots: int) -> int | None:
    """Bytes of one address space's set of `nslots` slots, with descriptors where they are part of
    it.

    None where it is not known.  Up to 5.16 every change makes a second copy for
    a moment.
    """
    fixed = footprint.HEAD_FIXED.value(profile.version, profile.arch.name)
    if fixed is None or footprint.has(profile, "descriptor-alone"):
        return fixed
    entries = footprint.HEAD_ENTRIES.value(profile.version, profile.arch.name) or nslots
    return fixed + (descriptor_bytes(profile) or 0) * entries


def page_list_bytes(allocated: int) -> int:
    """Bytes of the list that vmalloc keeps of an area's pages; a list beyond a page is a vmalloc
    area itself.
    """
    nbytes = allocated // _PAGE * footprint.VMALLOC_PAGE_BYTES
    return nbytes if nbytes <= _PAGE else round_up(nbytes, _PAGE)


def vmalloc_overhead(arrays: list[Array]) -> int:
    """About what vmalloc keeps for areas of these sizes (larger than any slab class)."""
    sizes = [
        array.allocated for array in arrays if array.kind != DESCRIPTOR and array.allocated >= _PAGE
    ]
    return sum(footprint.VMALLOC_AREA_BYTES + page_list_bytes(size) for size in sizes)


def attribute_bytes(ranges: list[tuple[int, int, int]]) -> int:
    """Bytes of the nodes that hold memory attributes: for each 64 gfns one, and the levels
    above.
    """
    nodes, spans = 0, [(start, end - 1) for start, end, _ in ranges]
    while spans:
        shifted: list[tuple[int, int]] = []
        for first, last in (
            (a >> footprint.RADIX_SLOTS_SHIFT, b >> footprint.RADIX_SLOTS_SHIFT) for a, b in spans
        ):
            if shifted and first <= shifted[-1][1]:
                shifted[-1] = (shifted[-1][0], max(last, shifted[-1][1]))
            else:
                shifted.append((first, last))
        nodes += sum(last - first + 1 for first, last in shifted)
        if shifted[-1][1] == 0:
            break
        spans = shifted
    return nodes * footprint.RADIX_NODE_BYTES
