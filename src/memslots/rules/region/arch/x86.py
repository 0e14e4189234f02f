"""kvm_arch_prepare_memory_region() of x86."""

from __future__ import annotations

from ....errnos import EINVAL, ENOMEM
from ....kernel.arch import X86
from ....kernel.machine import VM_TYPE_TDX
from ....state.change import MOVE, PLACING, SlotChange
from ...answer import Refused, Rule, Undetermined
from ...attempt import RegionAttempt

_PREPARE = "kvm_arch_prepare_memory_region() in arch/x86/kvm/x86.c"

# fmt: off
PAGE_TRACK_MOVE = Rule(
    "page-track-move", EINVAL, "The slot moves while an external page tracker (GPU pass-through) "
                               "is registered.",
    "Trackers know pages by guest frame and cannot follow a move.",
    "Delete the slot and create it at the new place.", _PREPARE, needs=("x86-page-track-move",),
    arches=X86,
    numberless=True,
)
GFN_ABOVE_MAX = Rule(
    "gfn-above-max", EINVAL, "The slot ends beyond the guest-physical address bits of the host.",
    """With EPT or NPT a guest can address what the host processor can (MAXPHYADDR: 36 to 52 bits);
    with shadow paging 52 bits.  Before {x86-max-gfn} such slots were accepted and useless.""",
    """Keep guest memory below 2^MAXPHYADDR (`address sizes` in /proc/cpuinfo); lower the VMM's idea
    of it (QEMU: host-phys-bits=on).""",
    _PREPARE, needs=("x86-max-gfn",),
    arches=X86,
)
ALIAS_BIT = Rule(
    "alias-bit", EINVAL, "The slot's last frame carries the bit that marks shared memory of a TDX "
                         "guest.",
    "A TDX guest has each frame twice, private and, with that bit, shared; slots are registered "
    "without it.",
    "Register the memory below the shared bit (bit 47 or 51 of the address).", _PREPARE,
    needs=("x86-alias-bit",),
    arches=X86,
)
METADATA_ALLOCATION = Rule(
    "metadata-allocation", ENOMEM, "An array of the slot's metadata would pass 2^31 - 1 bytes.",
    """From {x86-kvmalloc-2g} until {x86-kvmalloc-2g.until}, and in stable releases of that time,
    one allocation may not have 2 GiB or more.  A reverse-map entry has 8 bytes for each 4 KiB page:
    a slot of more than 1 TiB fails where reverse maps are needed: with shadow paging, for nested
    guests, before {tdp-mmu-default} always, on 32-bit hosts (4 bytes, 2 TiB) always.  A write-track
    counter has 2 bytes: more than 4 TiB, before {write-track-optional} always.""",
    "Split the slot, or use {x86-kvmalloc-2g.until} and later.", "kvm_alloc_memslot_metadata() in "
        "arch/x86/kvm/x86.c",
    needs=("x86-kvmalloc-2g",),
    arches=X86,
)
# fmt: on

RULES = (PAGE_TRACK_MOVE, GFN_ABOVE_MAX, ALIAS_BIT, METADATA_ALLOCATION)
_LARGEST_ARRAY_BYTES = (1 << 31) - 1
_LARGEST_ENTRY_BYTES = 8
_TRACK_BYTES = 2
_TDX_LOWEST_SHARED_GFN = 1 << (47 - 12)


def prepare(attempt: RegionAttempt, change: SlotChange) -> Refused | Undetermined | None:
    """Refuses the change, or finds nothing against it."""
    if not attempt.kind & PLACING:
        return None
    machine = attempt.machine
    end = attempt.gfn + attempt.npages
    if (
        attempt.kind == MOVE
        and machine.profile.option("page-track")
        and machine.profile.has("x86-page-track-move")
    ):
        return PAGE_TRACK_MOVE.refuse_late(change)
    if end > machine.gfn_end:
        if end > machine.gfn_end_high:
            return GFN_ABOVE_MAX.refuse_late(
                change, last_gfn=end - 1, max_gfn=machine.gfn_end_high - 1
            )
        return GFN_ABOVE_MAX.ask(
            "how many physical address bits has the host (`address sizes` in /proc/cpuinfo)?  "
            "State them as +paN, "
            "e.g. +pa46",
            last_gfn=end - 1,
        )
    if (
        machine.vm_type == VM_TYPE_TDX
        and end > _TDX_LOWEST_SHARED_GFN
        and machine.profile.has("x86-alias-bit")
    ):
        return ALIAS_BIT.ask("is the shared bit of this TDX guest 47 or 51?", last_gfn=end - 1)
    is_large = attempt.npages * _LARGEST_ENTRY_BYTES > _LARGEST_ARRAY_BYTES
    if is_large and machine.profile.has("x86-kvmalloc-2g"):
        return _check_arrays(attempt, change)
    return None


def _check_arrays(attempt: RegionAttempt, change: SlotChange) -> Refused | Undetermined | None:
    profile, npages = attempt.machine.profile, attempt.npages
    pointer_bytes = attempt.machine.long_bits // 8
    numbers = {"npages": npages, "largest_array_bytes": _LARGEST_ARRAY_BYTES}
    shadow = not profile.option("tdp")
    spared = profile.has("rmap-optional") and profile.has("tdp-mmu-default")
    if (shadow or not spared) and npages * pointer_bytes > _LARGEST_ARRAY_BYTES:
        return METADATA_ALLOCATION.refuse_late(change, array="reverse map", **numbers)
    if npages * _TRACK_BYTES > _LARGEST_ARRAY_BYTES:
        if shadow or not profile.has("write-track-optional"):
            return METADATA_ALLOCATION.refuse_late(change, array="write track", **numbers)
        return METADATA_ALLOCATION.ask(
            "is write tracking (CONFIG_KVM_EXTERNAL_WRITE_TRACKING) built in?", **numbers
        )
    return None
