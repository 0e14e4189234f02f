"""One VM's memory state: slots, generations, totals, bitmaps, bindings, switches.

`apply()` makes a change that has been decided and cannot fail; `leave_traces()`
leaves what a call that was refused midway leaves.  Both are the only writers, but
for what a guest and a closed file do.  `check()` states every invariant.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import count
from operator import attrgetter

from ..kernel.machine import Machine
from ..uapi.flags import KVM_MEM_GUEST_MEMFD, KVM_MEM_LOG_DIRTY_PAGES, KVM_MEMSLOT_INVALID
from .change import CREATE, DELETE, FLAGS_ONLY, MOVE, SWAPS, SlotChange
from .guest_memfd import Binding, GuestMemfd
from .memory_attributes import AttributeMap
from .mmu_pages import MmuBudget
from .mmu_pages_designs import CappedTotal, Design, Walk
from .set_pairs import SetPairs
from .slot import Slot, SpecialSlot
from .slot_set import SlotSet
from .vm_config import VmConfig

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .change import Change
    from .dirty_bitmap import DirtyBitmap

_uids = count(1)
_first_page, _end_page = attrgetter("start"), attrgetter("end")
_NO_CAP = 1 << 128
_UCONTROL_PAGES = (1 << 52) - (1 << 8)
"""4 KiB pages of the slot that a user-controlled VM of s390 gets: all but the last MiB."""


def design_for(machine: Machine) -> Design:
    """The accounting design that this kernel has."""
    if machine.profile.has("budget-from-total") or machine.total_capped:
        return CappedTotal(machine.long_bits)
    if machine.profile.arch.is_x86 and not machine.profile.has("budget-ulong"):
        return Walk(32)
    return Walk(machine.long_bits)


class VmState:
    """The slots of all address spaces and everything that hangs on them."""

    __slots__ = (
        "_bindings",
        "_bindings_shared",
        "_bitmaps",
        "_bitmaps_shared",
        "_design",
        "attributes",
        "budget",
        "committed_pages",
        "config",
        "dead",
        "first_possible",
        "flags_matter",
        "machine",
        "possible_slots",
        "spaces",
        "swaps",
        "total_pages",
        "uid",
    )

    def __init__(self, machine: Machine, design: Design | None = None) -> None:
        self.machine = machine
        self.uid = next(_uids)
        """Identity of the VM, kept by its copies: guest_memfd files remember it."""
        self.spaces = [SlotSet() for _ in range(machine.spaces)]
        """Slots by address space, as guest accesses see them once a change is done."""
        self.swaps = [0] * machine.spaces
        """How often the two slot sets of each address space have changed places."""
        self.total_pages = 0
        """Pages of all slots of all spaces, KVM's own included; exact, never wrapped."""
        self.committed_pages: int | None = None
        """The total when a commit last looked at it; None before the first."""
        self._design = design
        self.budget = MmuBudget()
        self.config = VmConfig()
        self.config.protected = machine.protected_vm
        self.config.ucontrol = machine.ucontrol_vm
        self.attributes = AttributeMap()
        self.possible_slots: tuple[Slot, ...] = ()
        """KVM's own slots that may or may not exist: it was not observed what makes them."""
        self.first_possible = _NO_CAP
        """The lowest guest frame of these; beyond all frames if there are none."""
        self.dead = False
        self._bitmaps: dict[int, DirtyBitmap | None] = {}
        """By slot word; None where a slot logs and has none (a dirty ring was on).  A slot that
        logs and is not here has a bitmap that nothing has touched."""
        self._bitmaps_shared = False
        self.flags_matter = False
        """Whether a change of flags does more than change flags: a bitmap was touched, or a ring
        is on.
        """
        self._bindings: dict[GuestMemfd, list[Binding]] = {}
        """File: what is bound of it, by first page; never overlapping."""
        self._bindings_shared = False
        if machine.ucontrol_vm and machine.internal_slots:
            flat = SpecialSlot(
                0, machine.user_slots, 0, _UCONTROL_PAGES, 0, 0, owner="flat ucontrol slot"
            )
            self.apply(SlotChange(CREATE, None, flat))

    def copy(self) -> VmState:
        """An equal state that shares what neither side has changed yet."""
        twin = VmState.__new__(VmState)
        twin.machine, twin.uid, twin._design = self.machine, self.uid, self._design
        twin.spaces = [slots.copy() for slots in self.spaces]
        twin.swaps = self.swaps.copy()
        twin.committed_pages = self.committed_pages
        twin.total_pages = self.total_pages
        twin.budget, twin.config = self.budget.copy(), self.config.copy()
        twin.attributes = self.attributes.copy()
        twin.possible_slots, twin.first_possible = self.possible_slots, self.first_possible
        twin.dead = self.dead
        twin._bitmaps, twin._bitmaps_shared = self._bitmaps, True
        twin.flags_matter = self.flags_matter
        self._bitmaps_shared = True
        twin._bindings, twin._bindings_shared = self._bindings, True
        self._bindings_shared = True
        return twin

    # -- changes

    def apply(self, change: Change) -> None:
        """Make a decided change."""
        if change.__class__ is SlotChange:
            self._commit(change)
        else:
            from .apply import make

            make(self, change)

    def _commit(self, change: SlotChange) -> None:
        """A change of a slot, in the kernel's order: slots, page total, then the budget."""
        kind, old, new = change.kind, change.old, change.new
        if new is None:
            if old is None:
                return
            as_id, flags = old.as_id, old.flags
            self.spaces[as_id].remove(old)
            self.total_pages = self.committed_pages = self.total_pages - old.npages
        elif old is None:
            as_id, flags = new.as_id, new.flags
            self.spaces[as_id].insert(new)
            self.total_pages = self.committed_pages = self.total_pages + new.npages
        else:
            as_id, flags = new.as_id, new.flags | old.flags
            slots = self.spaces[as_id]
            if kind == FLAGS_ONLY:
                slots.replace(new)
            else:
                slots.remove(old)
                slots.insert(new)
        self.swaps[as_id] += SWAPS[kind]
        if flags and (self.flags_matter or flags & KVM_MEM_GUEST_MEMFD):
            self._commit_flags(change)
        budget = self.budget
        if budget.n_used and kind & self.design.commits_on and not budget.n_requested:
            budget.set_goal(self.design.budget(self.total_pages))

    @property
    def design(self) -> Design:
        """The accounting design: what was stated, or what the kernel has."""
        if self._design is None:
            self._design = design_for(self.machine)
        return self._design

    @property
    def total_cap(self) -> int:
        """Most pages that the total may reach."""
        return self.machine.ulong_max if self.design.caps_total else _NO_CAP

    @property
    def n_max_mmu_pages(self) -> int:
        """The shadow-MMU budget in force: 0 before the first slot."""
        if self.budget.goal is not None:
            return self.budget.goal
        # worked out when asked for: it follows from the total at the last create or delete
        return 0 if self.committed_pages is None else self.design.budget(self.committed_pages)

    def lose_count(self, npages: int) -> None:
        """Make the total wrong by so many pages, as a bug of the kernel would: what the EIO of a
        deletion guards.
        """
        self.total_pages -= npages

    @property
    def sets(self) -> SetPairs:
        """The slot sets as they are now: generations, swaps, what look-ups cost."""
        return SetPairs(
            self.machine, tuple(self.swaps), tuple([slots.count for slots in self.spaces])
        )

    @property
    def generations(self) -> list[int]:
        """The generation number (u64) of each address space."""
        return self.sets.generations

    def active_set(self, as_id: int) -> int:
        """Which of the two slot sets of an address space is the active one: 0 or 1."""
        return self.swaps[as_id] & 1

    def _commit_flags(self, change: SlotChange) -> None:
        """Bitmaps and guest_memfd bindings: what else a change makes and frees."""
        old, new = change.old, change.new
        slot = change.slot
        slot_word = slot.slot_word
        logs = new is not None and bool(new.flags & KVM_MEM_LOG_DIRTY_PAGES)
        logged = old is not None and bool(old.flags & KVM_MEM_LOG_DIRTY_PAGES)
        if logs and not logged and new is not None:
            if not self.uses_bitmaps:
                self._own_bitmaps()[slot_word] = None
            elif self.config.manual_protect == 3:
                from .dirty_bitmap import DirtyBitmap

                self._own_bitmaps()[slot_word] = DirtyBitmap(new.npages, initially_set=True)
        elif logged and not logs and slot_word in self._bitmaps:
            del self._own_bitmaps()[slot_word]
        if slot.binding is not None:
            self._commit_binding(change)

    def _commit_binding(self, change: SlotChange) -> None:
        binding = change.slot.binding
        if binding is None:
            return
        bound = self._own_bindings().setdefault(binding.file, [])
        at = bisect_left(bound, binding.start, key=_first_page)
        if change.kind == CREATE:
            bound.insert(at, binding)
        elif change.kind == DELETE and bound[at : at + 1] == [binding]:
            del bound[at]

    def _own_bindings(self) -> dict[GuestMemfd, list[Binding]]:
        if self._bindings_shared:
            self._bindings = {file: bound.copy() for file, bound in self._bindings.items()}
            self._bindings_shared = False
        return self._bindings

    def leave_traces(self, change: Change) -> None:
        """Leave what remains of a change that was refused when it had begun.

        A delete or move has swapped the sets once to hide the slot.  From 5.7
        on it is put back, with a second swap; before, it stays, INVALID.  Other
        changes are what the kernel had done by then.
        """
        if change.__class__ is not SlotChange:
            from .apply import make

            make(self, change)
            return
        old = change.old
        if old is None or change.kind not in (DELETE, MOVE):
            return
        if self.machine.profile.has("failed-change-restored"):
            self.swaps[old.as_id] += 2
            return
        self.swaps[old.as_id] += 1
        flags = old.flags | KVM_MEMSLOT_INVALID
        self.spaces[old.as_id].replace(
            SpecialSlot(
                old.as_id,
                old.id,
                old.base_gfn,
                old.npages,
                old.userspace_addr,
                flags,
                old.binding,
                old.owner,
            )
        )

    def _own_bitmaps(self) -> dict[int, DirtyBitmap | None]:
        if self._bitmaps_shared:
            self._bitmaps = {
                word: bitmap and bitmap.copy() for word, bitmap in self._bitmaps.items()
            }
            self._bitmaps_shared = False
        return self._bitmaps

    def rule_out_possible(self, as_id: int, start_gfn: int, end_gfn: int) -> None:
        """A slot of user space lies on these frames: none of KVM's own can be there."""
        self.suppose_slots(
            tuple(
                slot
                for slot in self.possible_slots
                if slot.as_id != as_id or slot.base_gfn >= end_gfn or start_gfn >= slot.end_gfn
            )
        )

    def suppose_slots(self, possible: tuple[Slot, ...]) -> None:
        """These slots of KVM's own may exist, and no others."""
        self.possible_slots = possible
        self.first_possible = min((slot.base_gfn for slot in possible), default=_NO_CAP)

    def may_meet_possible(self, start_gfn: int, end_gfn: int) -> bool:
        """Whether one of KVM's own slots may be on these frames, in any address space."""
        return any(
            slot.base_gfn < end_gfn and start_gfn < slot.end_gfn for slot in self.possible_slots
        )

    def kill(self) -> None:
        """The VM is marked dead, as the kernel does when it finds a bug of its own."""
        self.dead = True

    # -- look-ups

    @property
    def uses_bitmaps(self) -> bool:
        """Whether slots that log get a bitmap (no ring, or a ring with bitmap)."""
        config = self.config
        return not config.ring_bytes or config.ring_with_bitmap

    @property
    def nr_slots(self) -> int:
        """Slots in all spaces, KVM's own included."""
        nr_slots = 0
        for slots in self.spaces:
            nr_slots += slots.count
        return nr_slots

    def bitmap(self, slot_word: int) -> DirtyBitmap | None:
        """The dirty bitmap of a slot, to look at; None if it has none."""
        bitmap = self._bitmaps.get(slot_word)
        if bitmap is not None or slot_word in self._bitmaps:
            return bitmap
        as_id = slot_word >> 16
        slot = self.spaces[as_id].by_id(slot_word & 0xFFFF) if as_id < len(self.spaces) else None
        if slot is None or not slot.flags & KVM_MEM_LOG_DIRTY_PAGES:
            return None
        from .dirty_bitmap import DirtyBitmap

        return DirtyBitmap(slot.npages)

    def bitmap_to_change(self, slot_word: int) -> DirtyBitmap | None:
        """The dirty bitmap of a slot, to change: never one that a copy still shares."""
        bitmap = self.bitmap(slot_word)
        if bitmap is None:
            return None
        bitmaps = self._own_bitmaps()
        self.flags_matter = True
        return bitmaps.setdefault(slot_word, bitmap)

    def bound_in(self, file: GuestMemfd, start: int, end: int) -> list[Binding]:
        """The bindings that meet pages [start, end) of a file, by first page."""
        bound = self._bindings.get(file, [])
        found = bound[: bisect_left(bound, end, key=_first_page)]
        return found[bisect_right(found, start, key=_end_page) :] if start < end else []

    def bound_at(self, file: GuestMemfd, start: int, end: int) -> Binding | None:
        """The first binding that meets pages [start, end) of a file."""
        bound = self._bindings.get(file, [])
        at = bisect_right(bound, start, key=_end_page)
        return bound[at] if at < len(bound) and bound[at].start < end else None

    def is_bound(self, binding: Binding) -> bool:
        """Whether the file of this binding is still there."""
        bound = self._bindings.get(binding.file, [])
        at = bisect_left(bound, binding.start, key=_first_page)
        return bound[at : at + 1] == [binding]

    def unbind_all(self, file: GuestMemfd) -> None:
        """The file's last descriptor is gone: its slots stay, with nothing behind them."""
        self._own_bindings().pop(file, None)

    def mark_dirty(self, as_id: int, gfn: int) -> None:
        """A guest, or KVM for it, has written this frame."""
        slot = self.spaces[as_id].at(gfn)
        if slot is not None:
            bitmap = self.bitmap_to_change(slot.slot_word)
            if bitmap is not None:
                bitmap.mark(gfn - slot.base_gfn)

    # -- invariants

    def check(self) -> None:
        """Raise InvariantBrokenError if anything that must hold does not."""
        from .invariants import check_state

        check_state(self, self._bitmaps, self._bindings)
