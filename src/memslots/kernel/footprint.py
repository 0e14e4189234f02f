"""Dated numbers about the kernel memory that slots cost.  Nothing here decides a call.

Evidence: the source of 4.19 to 7.1; sizes of structures and areas as a 6.18
x86_64 host showed them.  Where only the release before and after was read, the
release is from the history of the project.
"""

from __future__ import annotations

from .evidence import Asked, Bound, Commit, Read
from .fact import Fact
from .limits import Limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .profile import Profile

# fmt: off
FOOTPRINT_FACTS = {
    fact.name: fact
    for fact in (
        Fact("vmalloc-arrays",
             "Each array is a vmalloc area of its own; before, small ones are slab objects.",
             Commit("37b2a6510a48", "KVM: use __vcalloc for very large allocations", "5.18",
                    "5.10.210", "5.15.54"), Asked("host-6.18-x86_64")),
        Fact("descriptor-alone", "Each slot's descriptor is an allocation of its own.",
             Bound("5.16", "5.17"), Read("5.17", "virt/kvm/kvm_main.c")),
    )
}

DESCRIPTOR = Limit(
    "descriptor", "Bytes of struct kvm_memory_slot without guest_memfd.",
    {"x86_64": (("4.19", 88), ("5.17", 264)),
     **dict.fromkeys(("loongarch64", "ppc64"), (("5.17", 224),)),
     **dict.fromkeys(("arm64", "riscv64", "s390x", "mips"), (("5.17", 216),))},
    Read("5.17", "include/linux/kvm_host.h"), Asked("host-6.18-x86_64"),
)
HEAD_FIXED = Limit(
    "head", "Bytes of an address space's set of slots, without descriptors.",
    {"x86_64": (("4.19", 1040), ("5.12", 65552), ("5.17", 2 * 1072))},
    Read("5.4", "include/linux/kvm_host.h"), Read("5.15", "include/linux/kvm_host.h"),
    Read("5.17", "include/linux/kvm_host.h"),
)
HEAD_ENTRIES = Limit(
    "head-entries",
    "Descriptors for which a set of slots always has room; 0: as many as there are.",
    {"x86_64": (("4.19", 512), ("5.7", 0))},
    Read("5.4", "include/linux/kvm_host.h"), Read("5.10", "include/linux/kvm_host.h"),
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
    """Whether the kernel has this fact of the footprint, or of the history."""
    if name not in FOOTPRINT_FACTS:
        return profile.knows(name) is True
    return FOOTPRINT_FACTS[name].holds(profile.version, profile.arch.name) is True
