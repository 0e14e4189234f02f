"""Calls on one VM of the model that show what its page total and MMU budget do.

Each function makes a VM, makes some calls, and gives back what each came to: the questions
that the review of the page total asked of the kernel.
"""

from __future__ import annotations

from ..kernel.names import find
from ..model.vm import Vm
from ..rules.answer import Refused
from ..uapi.flags import KVM_MEM_LOG_DIRTY_PAGES
from ..units import U64_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..kernel.profile import Profile
    from ..rules.answer import Answer

GIB_PAGES = 1 << 18
"""Pages of 4 KiB in 1 GiB."""
WHOLE_PROCESS = 0x9FFF0000
"""Bytes of one slot (2.5 GiB less 64 KiB) with which real 32-bit hosts were filled: any of them
can map it.
"""
_HVA = 1 << 16
FILL, CREATE, DELETE, MOVE, FLAGS, LOSE, REQUEST, OVER = (
    "fill", "create", "delete", "move", "flags", "lose", "request", "create-over",
)  # fmt: skip


class Act:
    """One call, or one thing that befalls the VM, and what the VM has after it."""

    __slots__ = (
        "budget",
        "count",
        "errno",
        "kind",
        "npages",
        "rule_id",
        "slots_read",
        "swaps",
        "total",
        "undecided",
    )

    def __init__(
        self, kind: str, npages: int, vm: Vm, outcome: Answer | None = None, count: int = 1
    ) -> None:
        self.kind = kind
        self.npages = npages
        """Pages of the slot; for LOSE those lost, for REQUEST the shadow pages asked for."""
        self.count = count
        """Calls of this kind that were accepted; for FILL more than one."""
        self.rule_id = outcome.rule.id if isinstance(outcome, Refused) else ""
        self.errno = outcome.errno if isinstance(outcome, Refused) else 0
        self.undecided = getattr(outcome, "question", "")
        """What would have to be known to decide; empty if it was decided."""
        self.total = vm.total_pages
        self.budget = vm.mmu_budget
        """Shadow pages; None where the architecture has no budget."""
        self.swaps = sum(vm.swaps)
        """Swaps of the two slot sets since the VM was made."""
        commits = kind not in (LOSE, REQUEST) and (outcome is None or outcome.accepted)
        self.slots_read = (
            vm.index_costs().budget if commits and not vm.state.budget.n_requested else 0
        )
        """Slots that the commit read to work out the budget; of FILL the last one."""


def set_region(vm: Vm, slot: int, gpa: int, nbytes: int, flags: int = 0) -> Answer:
    """KVM_SET_USER_MEMORY_REGION on the one piece of host memory that all slots share."""
    fields = {
        "slot": slot,
        "flags": flags,
        "guest_phys_addr": gpa,
        "memory_size": nbytes,
        "userspace_addr": _HVA,
    }
    return vm.call("KVM_SET_USER_MEMORY_REGION", fields)


class Play:
    """One VM that acts are recorded of."""

    __slots__ = ("acts", "page_shift", "vm")

    def __init__(self, kernel: Profile | str) -> None:
        self.vm = Vm(find(kernel) if isinstance(kernel, str) else kernel)
        self.page_shift = self.vm.page_shift
        self.acts: list[Act] = []

    def region(self, kind: str, slot: int, npages: int, *, gfn: int = 0, flags: int = 0) -> Act:
        """One region call, recorded."""
        shift = self.page_shift
        pages = 0 if kind == DELETE else npages
        outcome = set_region(self.vm, slot, gfn << shift, pages << shift, flags)
        self.acts.append(Act(kind, npages, self.vm, outcome))
        return self.acts[-1]

    def other(self, kind: str, number: int, outcome: Answer | None = None) -> None:
        """Something that is no region call, recorded."""
        self.acts.append(Act(kind, number, self.vm, outcome))


def kinds_of_change(kernel: Profile | str, npages: int = GIB_PAGES) -> list[Act]:
    """Create, log dirty pages, move, delete: which of them touch the total, and which set the
    budget.

    On kernels that still walk the slots, every commit sets it.
    """
    play = Play(kernel)
    play.region(CREATE, 0, npages)
    play.region(CREATE, 1, npages, gfn=npages)
    play.region(FLAGS, 1, npages, gfn=npages, flags=KVM_MEM_LOG_DIRTY_PAGES)
    play.region(MOVE, 1, npages, gfn=2 * npages, flags=KVM_MEM_LOG_DIRTY_PAGES)
    play.region(DELETE, 1, npages)
    play.region(DELETE, 0, npages)
    return play.acts


def lost_count(kernel: Profile | str, lost: int, npages: int = GIB_PAGES) -> list[Act]:
    """A kernel whose total has become `lost` pages too small, and what deletions answer.

    Raises ValueError unless 0 < lost <= npages, or for a kernel that keeps no total.
    """
    if not 0 < lost <= npages:
        raise ValueError(
            f"--lost takes a number of pages from 1 to those of the slot, {npages}, not {lost}"
        )
    play = Play(kernel)
    if not play.vm.state.design.caps_total:
        raise ValueError(
            f"{play.vm.profile.name} keeps no total that could be lost: it adds up its slots anew"
        )
    play.region(CREATE, 0, npages)
    play.vm.state.lose_count(lost)
    play.other(LOSE, lost)
    play.region(CREATE, 1, lost, gfn=npages)
    play.region(DELETE, 0, npages)
    play.region(DELETE, 1, lost)
    return play.acts


def requested(kernel: Profile | str, goal: int, npages: int = GIB_PAGES) -> list[Act]:
    """KVM_SET_NR_MMU_PAGES between changes: from then on the budget is user space's.

    Raises ValueError for a kernel without that call.
    """
    play = Play(kernel)
    if play.vm.mmu_budget is None:
        raise ValueError(
            f"{play.vm.profile.name} has no MMU budget: KVM_SET_NR_MMU_PAGES is a call of x86"
        )
    if not 0 <= goal <= U64_MAX:
        raise ValueError(f"--requested takes a number of shadow pages, not {goal}")
    play.region(CREATE, 0, npages)
    play.other(REQUEST, goal, play.vm.call("KVM_SET_NR_MMU_PAGES", {"nr_pages": goal}))
    play.region(CREATE, 1, npages, gfn=npages)
    play.region(DELETE, 0, npages)
    play.region(DELETE, 1, npages)
    return play.acts


def filled(kernel: Profile | str, slot_bytes: int = WHOLE_PROCESS) -> list[Act]:
    """A VM of a 32-bit host filled with aliases of the same host memory until no page more is
    accepted.

    Ends one slot beyond 2^32 pages where nothing refuses, and sooner where something else refuses
    or a fact of the host is missing.  Raises ValueError for a 64-bit host, whose total no VM fills.
    """
    play = Play(kernel)
    vm, shift = play.vm, play.page_shift
    if vm.profile.arch.long_bits > 32:
        raise ValueError(f"{vm.profile.name} has 64-bit hosts: no VM fills their total")
    npages = slot_bytes >> shift
    last: Answer | None = None
    count = 0
    while count < vm.state.machine.user_slots and vm.total_pages <= 1 << 32:
        last = set_region(vm, count, count * npages << shift, npages << shift)
        if not last.accepted:
            break
        count += 1
    play.acts.append(Act(FILL, npages, vm, count=count))
    if last is None or last.accepted:
        return play.acts
    play.acts.append(Act(CREATE, npages, vm, last))
    if play.acts[-1].rule_id != "page-total-cap":
        return play.acts
    room = vm.state.total_cap - vm.total_pages
    play.region(CREATE, count, room, gfn=count * npages)
    play.region(CREATE, count + 1, 1, gfn=(count + 1) * npages)
    play.region(OVER, count + 1, 1)
    play.region(MOVE, count, room, gfn=(count + 1) * npages)
    play.region(DELETE, count, room)
    play.region(OVER, count + 1, 1)
    return play.acts
