"""Dated numbers about the kernel memory that slots cost.  Nothing here decides a call.

Evidence: the source of 4.19 to 7.1; sizes of structures and areas as a 6.18
x86_64 host showed them.  Where only the release before and after was read, the
release is from the history of the project.
"""

from __future__ import annotations

from .history import X86, Fact, Limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .profile import Profile

# fmt: off
FOOTPRINT_FACTS = {
    fact.name: fact
    for fact in (
        Fact("rmap-optional", "5.14", "Reverse maps are made only once shadow page tables are needed.",
             "source: 5.14 on; before, every slot has them", arches=X86),
        Fact("tdp-mmu-default", "5.15", "The TDP MMU is on by default, so hosts with two-dimensional paging need none.",
             "source: 5.15 on, 64-bit hosts only; asked: 32-bit ones pay for every page", arches=frozenset({"x86_64"})),
        Fact("write-track-optional", "5.16", "Write-track counters need a tracker or shadow page tables.",
             "source: 5.16 on", arches=X86),
        Fact("vmalloc-arrays", "5.18", "Each array is a vmalloc area of its own; before, small ones are slab objects.",
             "source: 5.18 on; sizes seen on a 6.18 host"),
        Fact("descriptor-alone", "5.17", "Each slot's descriptor is an allocation of its own.", "source: 5.17 on"),
    )
}

DESCRIPTOR = Limit(
    "descriptor", "Bytes of struct kvm_memory_slot without guest_memfd.",
    "source; 280 with guest_memfd seen on a 6.18 x86_64 host",
    {"x86_64": (("4.19", 88), ("5.17", 264)), "loongarch64": (("5.17", 224),), "ppc64": (("5.17", 224),),
     **dict.fromkeys(("arm64", "riscv64", "s390x", "mips"), (("5.17", 216),))},
)
HEAD_FIXED = Limit(
    "head", "Bytes of an address space's set of slots, without descriptors.", "source",
    {"x86_64": (("4.19", 1040), ("5.12", 65552), ("5.17", 2 * 1072))},
)
HEAD_ENTRIES = Limit(
    "head-entries", "Descriptors for which a set of slots always has room; 0: as many as there are.", "source",
    {"x86_64": (("4.19", 512), ("5.7", 0))},
)
# fmt: on

GMEM_DESCRIPTOR_BYTES = 16
"""What guest_memfd adds to a descriptor where it is built in."""
VMALLOC_AREA_BYTES, VMALLOC_PAGE_BYTES = 130, 8
"""About what vmalloc keeps for an area, and for each of its pages."""
RADIX_NODE_BYTES, RADIX_SLOTS_SHIFT = 576, 6
"""Memory attributes are in an xarray: nodes of 64 entries."""
SLAB_CLASSES = (8, 16, 32, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192)


def has(profile: Profile, name: str) -> bool:
    """Has the kernel this fact of the footprint?"""
    return FOOTPRINT_FACTS[name].holds(profile.version, profile.arch.name)
