"""The kinds of finding on calls that were accepted, each with its page."""

from __future__ import annotations

from ..errors import UnknownKernelError

WARNING, NOTE = "warning", "note"
"""Warnings count for the exit code, notes do not."""
SLOTS, BACKINGS, TIMES = "slots", "backings", "times"
"""What a finding counts: distinct slots, distinct pieces of host memory, or how often it
happened.
"""


class FindingKind:
    """A kind of finding, with its page."""

    __slots__ = ("_page", "_remedy", "counts", "id", "severity", "title")

    def __init__(
        self, id: str, severity: str, title: str, page: str, remedy: str, *, counts: str = SLOTS
    ) -> None:
        self.id = id
        self.severity = severity
        """WARNING or NOTE, before anything is known of the case."""
        self.title = title
        self._page, self._remedy = page, remedy
        self.counts = counts
        """SLOTS, BACKINGS or TIMES."""

    @property
    def page(self) -> str:
        """What it is, and when it is told."""
        from ..kernel.dated_text import dated

        return dated(" ".join(self._page.split()))

    @property
    def remedy(self) -> str:
        """What to do."""
        return " ".join(self._remedy.split())

    def __repr__(self) -> str:
        return f"<FindingKind {self.id}>"


UNBACKED_WINDOW = FindingKind(
    "unbacked-window",
    NOTE,
    "guest memory had no slot for a while",
    """A slot was deleted and its range registered again later.  Between the two calls guest
    accesses leave the guest as MMIO: a running vCPU can fail on them, and instruction fetches
    always do. Nothing is said where no vCPU could look: before the first vCPU, where the recording
    shows that none was in KVM_RUN, or where the only vCPU's own thread made both calls.  A warning
    where 64 MiB or more were gone and a vCPU was in KVM_RUN, or a KVM_RUN failed afterwards, or
    somebody picked these few calls out of a longer recording; a note where the recording does not
    say.""",
    "Stop all vCPUs around the pair of calls, or change flags and places with single calls.",
    counts=TIMES,
)
HOST_ALIAS = FindingKind(
    "host-alias",
    NOTE,
    "guest ranges share host memory",
    """KVM never compares host ranges, so nothing refuses this; what the guest writes at one place
    appears at the other.  Intended for ROM shadows and for windows below 1 MiB (a read-only slot,
    or memory that appears below 1 MiB), disastrous for RAM: a warning from 64 MiB on.""",
    "Look whether the userspace_addr of the later slot is meant.",
)
SLOT_OVER_MMIO = FindingKind(
    "slot-over-mmio",
    WARNING,
    "a slot covers a device window of the PC",
    """Memory registered over the local APIC, I/O APIC or HPET hides the device or collides with
    KVM's own APIC page.""",
    "End the slot below 0xfec00000, or start it at 4 GiB.",
)
MISALIGNED = FindingKind(
    "huge-page-misaligned",
    NOTE,
    "memory can never be mapped with huge pages",
    """guest_phys_addr and userspace_addr differ modulo 2 MiB, so no 2 MiB range of the guest is one
    of the host.  Said once for each piece of host memory, of 64 MiB or more or of a quarter of the
    VM's memory.""",
    "Align userspace_addr to 2 MiB as guest_phys_addr is.",
    counts=BACKINGS,
)
SLOTS_NEARLY_USED = FindingKind(
    "slots-nearly-used",
    WARNING,
    "nine tenths of the slots are in use",
    "KVM refuses ids beyond KVM_CAP_NR_MEMSLOTS.",
    "Use fewer, larger slots.",
)
CHURN = FindingKind(
    "slot-churn",
    NOTE,
    "a slot is changed over and over",
    """Every change waits for all vCPUs and, for deletions and moves, throws away mappings.  Said of
    slots that were changed a hundred times.""",
    "Look for a device or firmware that flips a window; batch changes.",
)
LOGGING_TOGGLED = FindingKind(
    "logging-toggled",
    NOTE,
    "dirty logging was switched while the VM ran",
    "Expected during migration and for display memory.",
    "Nothing, if a migration was running.",
    counts=TIMES,
)
TOTAL_NEAR_CAP = FindingKind(
    "total-near-cap",
    WARNING,
    "the page total is near the largest unsigned long",
    """From {page-total-cap} on a slot that would wrap the total is refused; before, on 32-bit
    hosts, the total and the MMU budget wrap silently.""",
    "Use fewer or smaller slots; on a 32-bit host each page counts once for every slot it is in.",
)
BACKING_UNMAPPED = FindingKind(
    "backing-unmapped",
    NOTE,
    "host memory of a slot was unmapped or made inaccessible",
    """KVM takes the pages away from the guest and keeps the slot.  The next access of the guest to
    them ends KVM_RUN with EFAULT; memory that is later mapped at the same place becomes the
    guest's.  Usual while a VM is torn down: a warning only if the VM is used afterwards.""",
    "Delete the slot first, and unmap its memory when that call has returned.",
)
BITMAPS_LARGE = FindingKind(
    "bitmaps-large",
    NOTE,
    "dirty bitmaps cost much kernel memory",
    """A slot that logs has two bitmaps of one bit a page; 64 GiB of logged memory cost 4 MiB of the
    kernel's.""",
    "Log only what is migrated; use a dirty ring for very large guests.",
)
REFUSED_ELSEWHERE = FindingKind(
    "refused-elsewhere",
    NOTE,
    "a call that was accepted here is refused by other releases",
    """The accepted calls were put to the other releases of this architecture, with what is known of
    the host: the program depends on the kernel that it ran on.  Looked for in the first 300
    accepted calls, or fewer where the answers of all releases together would be more than 6000, and
    not said of calls, flags and address spaces that a release lacks, as a program can ask for
    these; `--elsewhere` looks at all calls and says all.""",
    "Check the layout on the kernels that users have: memslots check --kernel all FILE.",
    counts=TIMES,
)
KINDS = {
    kind.id: kind
    for kind in (
        UNBACKED_WINDOW,
        HOST_ALIAS,
        SLOT_OVER_MMIO,
        MISALIGNED,
        SLOTS_NEARLY_USED,
        CHURN,
        LOGGING_TOGGLED,
        TOTAL_NEAR_CAP,
        BITMAPS_LARGE,
        BACKING_UNMAPPED,
        REFUSED_ELSEWHERE,
    )
}


def finding_kind(name: str) -> FindingKind:
    """The kind with this id.  Raises UnknownKernelError with the nearest ones."""
    if name not in KINDS:
        from difflib import get_close_matches

        near = get_close_matches(name, KINDS, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(KINDS)}"
        raise UnknownKernelError(f"no finding {name!r}; {hint}")
    return KINDS[name]
