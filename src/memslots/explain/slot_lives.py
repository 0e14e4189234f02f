"""What was where in guest-physical memory, and when: the data of the space-time map.

`SlotLives` sees the steps of a replay as they pass.  A moment is a call that
changed the slots of a VM, or a region call that was refused; a slot lives from
the moment that made it to the moment that changed or deleted it.  Work and
memory grow with the moments, not with moments times slots.
"""

from __future__ import annotations

from ..replay.step import ACCEPTED, ECHO, REFUSED, Step
from ..rules.answer import Accepted, Refused
from ..state.change import FLAGS_ONLY, PLACING, OwnSlotsMade, SlotChange
from ..state.slot import Slot
from .who_could_look import nobody_could_look, vcpus_in_run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.vm import Vm

_MOST_GONE = 64
"""Deleted ranges that are remembered until a slot takes them again, as findings do."""
MOST_ALIASES = 64
_GPA_END = 1 << 64


class Moment:
    """The state of a VM after one call that changed its slots or tried to."""

    __slots__ = ("budget", "pages", "slots", "step", "time_ns")

    def __init__(self, step: int, time_ns: int | None, totals: tuple[int, int | None, int]) -> None:
        self.step = step
        """Number of the call."""
        self.time_ns = time_ns
        """As recorded, or None."""
        self.pages, self.budget, self.slots = totals


class SlotLife:
    """One slot, unchanged from one moment to another."""

    __slots__ = ("end", "end_step", "first", "first_step", "is_possible", "slot")

    def __init__(self, slot: Slot, first: int, first_step: int, *, is_possible: bool) -> None:
        self.slot = slot
        self.first = first
        """Moment that made it."""
        self.first_step = first_step
        """The call that did; 0 if it was there before."""
        self.end: int | None = None
        """Moment that ended it; None if it is there at the end."""
        self.end_step: int | None = None
        self.is_possible = is_possible
        """Whether it is not known to exist."""


class RefusedRegion:
    """A region call that was refused, where it would have been."""

    __slots__ = ("as_id", "end", "errno", "first", "moment", "rule", "slot_id", "step")

    def __init__(self, step: Step, moment: int, slot_word: int, first: int, end: int) -> None:
        answer, observed = step.answer, step.observed
        self.step = step.number
        self.moment = moment
        self.as_id = slot_word >> 16
        self.slot_id = slot_word & 0xFFFF
        self.first = first
        """First guest-physical address, in bytes."""
        self.end = end
        """The address after the last one; the first again where nothing was to be put."""
        refused = answer if isinstance(answer, Refused) else None
        self.rule = refused.rule.id if refused is not None else ""
        """Rule of the model that refuses; empty if none does."""
        self.errno = -observed if observed is not None else refused.errno if refused else 0


class UnbackedSpan:
    """A range without a slot between two moments, which a vCPU could see."""

    __slots__ = ("as_id", "end_gfn", "first", "first_step", "last", "last_step", "start_gfn")

    def __init__(self, gone: _Gone, start_gfn: int, end_gfn: int, last: int, step: int) -> None:
        self.as_id = gone.as_id
        self.start_gfn, self.end_gfn = start_gfn, end_gfn
        self.first, self.first_step = gone.moment, gone.step.number
        """The moment and the call that took the slot away."""
        self.last, self.last_step = last, step
        """Those that put one there again."""


class AliasSeen:
    """Two slots on the same host memory, from a moment on."""

    __slots__ = ("moment", "one", "other")

    def __init__(self, moment: int, one: Slot, other: Slot) -> None:
        self.moment = moment
        self.one, self.other = one, other


class _Gone:
    __slots__ = ("as_id", "end_gfn", "moment", "start_gfn", "step")

    def __init__(self, as_id: int, start_gfn: int, end_gfn: int, moment: int, step: Step) -> None:
        self.as_id, self.start_gfn, self.end_gfn = as_id, start_gfn, end_gfn
        self.moment, self.step = moment, step


class VmLives:
    """The moments of one VM, and what lived between them."""

    def __init__(self, name: str, page_shift: int) -> None:
        self.name = name
        self.owner = ""
        """Process of the VM, as the recording names it."""
        self.page_shift = page_shift
        self.moments: list[Moment] = []
        self.lives: list[SlotLife] = []
        self.refused: list[RefusedRegion] = []
        self.unbacked: list[UnbackedSpan] = []
        self.aliases: list[AliasSeen] = []
        """The first 64."""
        self.running_from: int | None = None
        """The first moment with a vCPU."""
        self.not_placed = 0
        """Refused region calls whose place was not recorded."""
        self._alive: dict[int, SlotLife] = {}
        self._possible: dict[int, SlotLife] = {}
        self._gone: list[_Gone] = []
        self._vcpu_threads: set[int | None] = set()

    def see(self, step: Step, vm: Vm) -> None:
        """Look at a call of this VM, and at the VM after it."""
        call, observed = step.event.call, step.observed
        if call == "KVM_CREATE_VCPU" and (observed or 0) >= 0:
            self._vcpu_threads.add(step.event.pid)
        if step.change is not None:
            self._begin_moment(step)
            self._see_change(step, step.change, vm)
        elif step.is_region and step.verdict != ECHO and _is_refused(step):
            self._see_refused(step, vm)
        else:
            self._see_own_slots(step)
        if self._possible:
            self._rule_out(vm)
        if step.is_running and self.running_from is None:
            self.running_from = len(self.moments)

    def _begin_moment(self, step: Step) -> None:
        self.owner = self.owner or step.event.process or ""
        self.moments.append(Moment(step.number, step.event.time_ns, step.totals))

    @property
    def _now(self) -> int:
        return len(self.moments) - 1

    def _see_change(self, step: Step, change: SlotChange, vm: Vm) -> None:
        for room in step.made_room:
            self._apply(room, step.number)
        self._apply(change, step.number)
        old, new = change.old, change.new
        if old is not None and (new is None or change.kind & PLACING):
            self._gone.append(_Gone(old.as_id, old.base_gfn, old.end_gfn, self._now, step))
            del self._gone[:-_MOST_GONE]
        if new is not None and change.kind & PLACING:
            self._see_placed(step, new, vm)

    def _see_placed(self, step: Step, new: Slot, vm: Vm) -> None:
        left: list[_Gone] = []
        for gone in self._gone:
            start, end = max(gone.start_gfn, new.base_gfn), min(gone.end_gfn, new.end_gfn)
            if gone.as_id != new.as_id or start >= end or gone.moment == self._now:
                left.append(gone)
                continue
            in_run = vcpus_in_run(gone.step.event, step.event)
            if in_run != 0 and not nobody_could_look(
                step.event, gone.step.event, vm, self._vcpu_threads,
                from_start=step.from_start, is_running=step.is_running,
            ):  # fmt: skip
                self.unbacked.append(UnbackedSpan(gone, start, end, self._now, step.number))
            for first, last in ((gone.start_gfn, start), (end, gone.end_gfn)):
                if first < last:
                    left.append(_Gone(gone.as_id, first, last, gone.moment, gone.step))
        self._gone = left
        if "userspace_addr" in step.assumed or len(self.aliases) >= MOST_ALIASES:
            return
        end_hva = new.userspace_addr + (new.npages << self.page_shift)
        for other in vm.slots_at_hva(new.userspace_addr, end_hva, new.as_id):
            if other.id != new.id and len(self.aliases) < MOST_ALIASES:
                self.aliases.append(AliasSeen(self._now, new, other))

    def _see_refused(self, step: Step, vm: Vm) -> None:
        region = step.region
        if region is None:
            self.not_placed += 1
            return
        self._begin_moment(step)
        first, end = region.guest_phys_addr, region.guest_phys_addr + region.memory_size
        life = self._alive.get(region.slot)
        if not region.memory_size and life is not None:
            first = life.slot.base_gfn << self.page_shift
            end = life.slot.end_gfn << self.page_shift
        end = min(end, _GPA_END)
        self.refused.append(RefusedRegion(step, self._now, region.slot, min(first, end), end))
        left = vm.slot(region.slot) if life is not None else None
        if left is not None and life is not None and left.flags != life.slot.flags:
            # an old kernel leaves the slot of a change that failed, invalid
            self._apply(SlotChange(FLAGS_ONLY, life.slot, left), step.number)

    def _see_own_slots(self, step: Step) -> None:
        answer = step.answer
        if isinstance(answer, Accepted) and step.verdict == ACCEPTED:
            change = answer.change
        elif isinstance(answer, Refused) and step.verdict == REFUSED:
            change = answer.traces
        else:
            return
        own = change if isinstance(change, OwnSlotsMade) else getattr(change, "own_slots", None)
        if own is None or not (own.made or own.possible):
            return
        self._begin_moment(step)
        for made in own.made:
            self._apply(made, step.number)
        for slot in own.possible:
            self._end_possible(slot.slot_word)
            life = SlotLife(slot, self._now, step.number, is_possible=True)
            self.lives.append(life)
            self._possible[slot.slot_word] = life

    def _rule_out(self, vm: Vm) -> None:
        there = {slot.slot_word for slot in vm.state.possible_slots}
        for word in set(self._possible) - there:
            self._end_possible(word)

    def _end_possible(self, word: int) -> None:
        life = self._possible.pop(word, None)
        if life is not None:
            life.end, life.end_step = self._now, self.moments[-1].step

    def _apply(self, change: SlotChange, step: int) -> None:
        old, new = change.old, change.new
        if old is not None:
            if old.slot_word not in self._alive:  # older than what was seen of the VM
                self._alive[old.slot_word] = older = SlotLife(old, 0, 0, is_possible=False)
                self.lives.append(older)
            self._end(old.slot_word, step)
        if new is not None:
            if new.slot_word in self._alive:
                self._end(new.slot_word, step)
            life = SlotLife(new, self._now, step, is_possible=False)
            self._alive[new.slot_word] = life
            self.lives.append(life)

    def _end(self, word: int, step: int) -> None:
        life = self._alive.pop(word)
        life.end, life.end_step = self._now, step


class SlotLives:
    """The lives of all VMs of a recording."""

    def __init__(self) -> None:
        self.vms: dict[str, VmLives] = {}

    def see(self, step: Step, vm: Vm) -> None:
        """Look at a step and at its VM, right after the replay has taken it."""
        lives = self.vms.get(step.vm_name)
        if lives is None:
            lives = self.vms[step.vm_name] = VmLives(step.vm_name, step.page_shift)
        lives.see(step, vm)


def lives_now(vm: Vm, name: str) -> VmLives:
    """One moment: a VM as it stands."""
    found = VmLives(name, vm.page_shift)
    found.moments.append(Moment(0, None, (vm.total_pages, vm.mmu_budget, vm.state.nr_slots)))
    for as_id in range(len(vm.state.spaces)):
        found.lives += [SlotLife(slot, 0, 0, is_possible=False) for slot in vm.slots(as_id)]
    found.lives += [SlotLife(slot, 0, 0, is_possible=True) for slot in vm.state.possible_slots]
    return found


def _is_refused(step: Step) -> bool:
    if step.observed is not None:
        return step.observed < 0
    return isinstance(step.answer, Refused)
