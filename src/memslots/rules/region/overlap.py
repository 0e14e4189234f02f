"""kvm_check_memslot_overlap(): checks against all other slots of the address space."""

from __future__ import annotations

from ...errnos import EEXIST
from ..answer import Refused, Rule, Undetermined
from ..attempt import RegionAttempt

# fmt: off
SLOT_OVERLAP = Rule(
    "slot-overlap", EEXIST, "Another slot of the same address space covers part of the range.",
    """A guest frame has one backing.  KVM's own slots count: on Intel the APIC access page at
    0xfee00000, the TSS and the identity map.  Ranges that only touch do not overlap; a slot may
    move over its own old place; host ranges may overlap at will.""",
    """Delete or move the other slot first, or place this one beside it.  Keep guest memory out of
    the last 32 MiB below 4 GiB on x86.""",
    "kvm_check_memslot_overlap() in virt/kvm/kvm_main.c",
)
# fmt: on

RULES = (SLOT_OVERLAP,)


def check_overlap(attempt: RegionAttempt) -> Refused | Undetermined | None:
    """Refuses a place that is not free.  For CREATE and MOVE."""
    start, end = attempt.gfn, attempt.gfn + attempt.npages
    state = attempt.state
    other = state.spaces[attempt.as_id].meeting(start, end, attempt.slot_id)
    if other is not None:
        base, other_end = other.base_gfn, other.base_gfn + other.npages
        numbers: dict[str, int | str] = {
            "start_gfn": start,
            "end_gfn": end,
            "overlap_start_gfn": start if start > base else base,
            "overlap_end_gfn": end if end < other_end else other_end,
        }
        return Refused(SLOT_OVERLAP, numbers, other)
    for possible in state.possible_slots:
        if possible.as_id == attempt.as_id and possible.base_gfn < end and start < possible.end_gfn:
            return SLOT_OVERLAP.ask(
                f"does KVM's {possible.owner} exist at gfn {possible.base_gfn:#x}?  State the "
                "vendor module (+intel, +amd, +pvm); for the APIC access page also, on Intel, "
                "+flexpriority or -flexpriority, on AMD +apicv or -apicv, and whether a PIT was "
                "made before the first vCPU (+early-pit, -early-pit)",
                start_gfn=start,
                end_gfn=end,
            )
    return None
