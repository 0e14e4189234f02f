"""Findings on calls that were accepted: what a user would want to know anyway.

A `Watch` sees the calls of a replay as they pass and keeps one `Finding` for
each kind and VM: numbers and slots, and what was seen first.  Work and memory
grow with the events and with the slots, not with their product.
"""

from __future__ import annotations

from ..state.change import CREATE, DELETE, FLAGS_ONLY, PLACING, SlotChange
from ..state.slot import Slot
from ..uapi.calls import CALLS
from ..uapi.flags import KVM_MEM_GUEST_MEMFD, KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY
from .finding import MOST_SEEN, Finding, Seen
from .finding_kinds import (
    BACKING_UNMAPPED,
    BITMAPS_LARGE,
    CHURN,
    HOST_ALIAS,
    LOGGING_TOGGLED,
    MISALIGNED,
    NOTE,
    SLOT_OVER_MMIO,
    SLOTS_NEARLY_USED,
    TOTAL_NEAR_CAP,
    UNBACKED_WINDOW,
    WARNING,
    FindingKind,
)
from .watched_vm import CHURN_CHANGES, WatchedVm
from .who_could_look import nobody_could_look, time_between, vcpus_in_run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..replay.replay import Replay
    from ..replay.step import Step
    from ..replay.tracked_vm import TrackedVm
    from ..trace.event import Event

_MAIN_MEMORY_BYTES = 64 << 20
_LARGE_BITMAPS_BYTES = 64 << 20
_MOST_DELETED = 64
_MOST_ALIASES = 256
"""Slots on shared host memory that are told apart; with more, only that there are more."""
_CHOSEN_CALLS = 10
"""A VM without a beginning and with no more region calls than these was picked out by hand."""
_HUGE_BYTES = 1 << 21
_LOW_MEMORY_BYTES = 1 << 20
"""Below this guest address lie VGA windows, ROM shadows and what firmware keeps for SMM."""
DEVICE_WINDOWS = (
    ("I/O APIC", 0xFEC0_0000, 0x1000), ("HPET", 0xFED0_0000, 0x1000),
    ("local APIC", 0xFEE0_0000, 0x1000),
)  # fmt: skip
_WINDOWS_START = min(gpa for _, gpa, _ in DEVICE_WINDOWS)
_WINDOWS_END = max(gpa + nbytes for _, gpa, nbytes in DEVICE_WINDOWS)


class Watch:
    """Looks at each call of a replay; `findings` grows, and is complete after `finish()`.

    What a call may tell of is decided by numbers at hand; its step is made only where there is
    something to say.
    """

    __slots__ = ("_ignored", "_vms", "findings")

    def __init__(self, ignored: frozenset[str] = frozenset()) -> None:
        self._ignored = ignored
        self._vms: dict[str, WatchedVm] = {}
        self.findings: dict[tuple[str, str], Finding] = {}
        """(VM, kind's id): the finding."""

    def see(self, replay: Replay, *, is_plain: bool = False) -> None:
        """Look at the call that a replay has taken last, and at its VM.

        is_plain: what `Replay.advance` said of it.
        """
        tracked = replay.tracked
        watched = self._vms.get(tracked.name)
        if watched is None:
            watched = WatchedVm(tracked.vm.state.machine, from_start=tracked.from_start)
            self._vms[tracked.name] = watched
        if watched.unbacked or not is_plain:
            step = replay.step
            if step.below_slot:
                self._see_mapping(replay, step.event, watched)
                return
            call, observed = step.event.call, step.observed
            if call == "KVM_CREATE_VCPU" and (observed or 0) >= 0:
                watched.vcpu_threads.add(step.event.pid)
            elif call == "KVM_RUN" and observed is not None and observed < 0:
                watched.run_failed = True
            if watched.unbacked:
                self._see_use(step, watched)
            watched.region_calls += step.is_region
            for room in step.made_room:
                watched.count_logging(room.slot.slot_word, room.new)
        else:
            watched.region_calls += 1
        if replay.change is not None:
            self._see_change(replay, replay.change, tracked, watched)

    def _see_change(
        self, replay: Replay, change: SlotChange, tracked: TrackedVm, watched: WatchedVm
    ) -> None:
        kind, old, new = change.kind, change.old, change.new
        slot = old if new is None else new
        if slot is None:
            return
        word = slot.as_id << 16 | slot.id
        pages = tracked.vm.state.total_pages
        if pages > watched.most_pages:
            watched.most_pages = pages
        watched.changes[word] = changes = watched.changes.get(word, 0) + 1
        if changes > watched.most_changes or changes == CHURN_CHANGES:
            self._see_churn(replay, slot, changes, watched)
        if kind == DELETE and old is not None:
            watched.deleted.append((old, replay.number, replay.event))
            if len(watched.deleted) > _MOST_DELETED:
                del watched.deleted[0]
            if watched.misaligned:
                watched.misaligned.pop(word, None)
        elif kind & PLACING and new is not None:
            if watched.deleted:
                self._see_window(replay, new, watched)
            if len(watched.aliases) >= _MOST_ALIASES or not watched.places.is_alone(
                new, watched.page_shift
            ):
                self._see_alias(replay, new, watched)
            self._see_place(replay, new, watched)
            if kind == CREATE:
                used = tracked.vm.state.spaces[new.as_id].count
                if used >= watched.many_slots:
                    most = tracked.vm.state.machine.user_slots
                    self._once(SLOTS_NEARLY_USED, replay, used, used=used, most=most)
        elif kind == FLAGS_ONLY and new is not None and tracked.running:
            self._again(LOGGING_TOGGLED, replay, new)
        if watched.logged or (new is not None and new.flags & KVM_MEM_LOG_DIRTY_PAGES):
            watched.count_logging(word, new)
            nbytes = watched.dirty_pages // 4
            if nbytes >= _LARGE_BITMAPS_BYTES and new is not None:
                self._once(BITMAPS_LARGE, replay, nbytes, bitmap_bytes=nbytes)
        if pages > watched.near_cap_pages:
            most = tracked.vm.state.machine.ulong_max
            self._once(TOTAL_NEAR_CAP, replay, pages, pages=pages, most=most)

    def _see_churn(self, replay: Replay, slot: Slot, changes: int, watched: WatchedVm) -> None:
        watched.most_changes = max(watched.most_changes, changes)
        seen = Seen(replay.number, watched.page_shift, slot, changes=changes)
        if changes == CHURN_CHANGES:
            self._add(CHURN, replay, seen)
        finding = self.findings.get((replay.tracked.name, CHURN.id))
        if finding is not None:
            finding.rise(seen, changes)

    def _see_mapping(self, replay: Replay, event: Event, watched: WatchedVm) -> None:
        """A mapping call takes memory from below a slot, or puts some there."""
        vm = replay.tracked.vm
        regained, (first, end) = _concerned_bytes(event)
        for as_id in range(len(vm.state.spaces)):
            for slot in vm.slots_at_hva(first, end, as_id) if first < end else ():
                if regained:
                    watched.unbacked.discard(slot.slot_word)
                    continue
                seen = Seen(
                    replay.number, watched.page_shift, slot, what=event.call, first_hva=first,
                    end_hva=end,
                )  # fmt: skip
                self._add(BACKING_UNMAPPED, replay, seen)
                watched.unbacked.add(slot.slot_word)

    def _see_use(self, step: Step, watched: WatchedVm) -> None:
        """Whether a VM with a slot whose memory is gone removes that slot, or goes on."""
        if step.event.call not in CALLS:
            return
        if step.change is not None and step.change.old is not None:
            watched.unbacked.discard(step.change.old.slot_word)
        elif (step.vm_name, BACKING_UNMAPPED.id) in self.findings:
            self.findings[step.vm_name, BACKING_UNMAPPED.id].severity = WARNING

    def _see_window(self, replay: Replay, new: Slot, watched: WatchedVm) -> None:
        first, as_id = new.base_gfn, new.as_id
        end = first + new.npages
        deleted = watched.deleted
        taken = [
            entry
            for entry in deleted
            if (old := entry[0]).base_gfn < end
            and first < old.base_gfn + old.npages
            and old.as_id == as_id
        ]
        if not taken:
            return
        if len(taken) == len(deleted):
            deleted.clear()
        else:
            watched.deleted = [entry for entry in deleted if entry not in taken]
        tracked, event = replay.tracked, replay.event
        for old, number, gone in taken:
            in_run = vcpus_in_run(gone, event)
            if in_run == 0:
                continue
            if in_run is None and nobody_could_look(
                event, gone, tracked.vm, watched.vcpu_threads,
                from_start=tracked.from_start, is_running=tracked.running,
            ):  # fmt: skip
                continue
            start, stop = max(old.base_gfn, first), min(old.end_gfn, end)
            shift = watched.page_shift
            seen = Seen(
                replay.number, shift, old, first_gpa=start << shift, end_gpa=stop << shift,
                deleted_step=number,
                window_ns=time_between(gone, event), vcpus_in_run=in_run,
            )  # fmt: skip
            finding = self._add(UNBACKED_WINDOW, replay, seen)
            if finding is None:
                continue
            finding.is_known = finding.is_known and in_run is not None
            nbytes = (stop - start) << shift
            if in_run and nbytes >= _MAIN_MEMORY_BYTES:
                finding.warn(seen)
            watched.windows.append((seen, nbytes))
            watched.windows.sort(key=lambda window: -window[1])
            del watched.windows[MOST_SEEN:]

    def _see_alias(self, replay: Replay, new: Slot, watched: WatchedVm) -> None:
        tracked, shift = replay.tracked, watched.page_shift
        if "userspace_addr" in replay.assumed:
            return
        if len(watched.aliases) >= _MOST_ALIASES:
            if (tracked.name, HOST_ALIAS.id) in self.findings:
                self.findings[tracked.name, HOST_ALIAS.id].is_at_least = True
            return
        end = new.userspace_addr + (new.npages << shift)
        worst: Seen | None = None
        for other in watched.places.beside(new, end, tracked.vm):
            watched.aliases |= {new.slot_word, other.slot_word}
            first = max(new.userspace_addr, other.userspace_addr)
            nbytes = min(end, other.userspace_addr + (other.npages << shift)) - first
            seen = Seen(
                replay.number, shift, new, other, first_hva=first, shared_bytes=nbytes,
                is_window=int(_is_window(new, other, first, nbytes, shift)),
            )  # fmt: skip
            if worst is None or _weight(seen) > _weight(worst):
                worst = seen
        if worst is None:
            return
        finding = self._add(HOST_ALIAS, replay, worst)
        if finding is not None and worst.other is not None:
            finding.slots.add(worst.other.slot_word)
            if _weight(worst) >= (1, _MAIN_MEMORY_BYTES):
                finding.warn(worst)

    def _see_place(self, replay: Replay, new: Slot, watched: WatchedVm) -> None:
        shift = watched.page_shift
        start, nbytes = new.base_gfn << shift, new.npages << shift
        if (
            start < _WINDOWS_END
            and start + nbytes > _WINDOWS_START
            and replay.tracked.vm.profile.arch.is_x86
            and new.as_id == 0
        ):
            for name, gpa, window_bytes in DEVICE_WINDOWS:
                if start < gpa + window_bytes and gpa < start + nbytes:
                    seen = Seen(replay.number, shift, new, what=name, gpa=gpa)
                    self._add(SLOT_OVER_MMIO, replay, seen)
        if watched.misaligned:
            watched.misaligned.pop(new.slot_word, None)
        if nbytes < 2 * _HUGE_BYTES or new.flags & KVM_MEM_GUEST_MEMFD:
            return  # private pages come from the file: its offset decides, not userspace_addr
        offset_bytes = (start - new.userspace_addr) % _HUGE_BYTES
        if offset_bytes and "userspace_addr" not in replay.assumed:
            seen = Seen(replay.number, shift, new, slot_bytes=nbytes, offset_bytes=offset_bytes)
            watched.misaligned[new.slot_word] = seen
            if nbytes >= _MAIN_MEMORY_BYTES:
                self._misaligned(replay.tracked.name, seen)

    def _misaligned(self, vm_name: str, seen: Seen) -> None:
        finding = self._finding(MISALIGNED, vm_name)
        slot = seen.slot
        if finding is not None and slot is not None:
            first = slot.userspace_addr
            if finding.ranges.add(first, first + (slot.npages << seen.page_shift)):
                finding.add(seen)
            finding.slots.add(slot.slot_word)

    # -- collecting

    def finish(self) -> None:
        """Decide what only the whole recording decides."""
        for name, watched in self._vms.items():
            for seen in watched.misaligned.values():
                nbytes = seen.numbers["slot_bytes"]
                if (
                    nbytes < _MAIN_MEMORY_BYTES
                    and 4 * nbytes >= watched.most_pages << seen.page_shift
                ):
                    self._misaligned(name, seen)
            window = self.findings.get((name, UNBACKED_WINDOW.id))
            if window is not None and watched.windows:
                longest, nbytes = watched.windows[0]
                is_chosen = not watched.from_start and watched.region_calls <= _CHOSEN_CALLS
                if nbytes >= _MAIN_MEMORY_BYTES and (watched.run_failed or is_chosen):
                    window.warn(longest)
                elif window.severity == NOTE:
                    window.seen = [seen for seen, _ in watched.windows]

    def _finding(self, kind: FindingKind, vm_name: str) -> Finding | None:
        """The finding of that kind on a VM, begun if there is none; None if it is not wanted."""
        if kind.id in self._ignored:
            return None
        finding = self.findings.get((vm_name, kind.id))
        if finding is None:
            finding = self.findings[vm_name, kind.id] = Finding(kind, vm_name)
        return finding

    def _add(self, kind: FindingKind, replay: Replay, seen: Seen) -> Finding | None:
        finding = self._finding(kind, replay.tracked.name)
        if finding is not None:
            finding.add(seen)
        return finding

    def _again(self, kind: FindingKind, replay: Replay, slot: Slot) -> None:
        """Count one more time; the first ones are kept."""
        finding = self._finding(kind, replay.tracked.name)
        if finding is not None:
            if len(finding.seen) < MOST_SEEN:
                finding.add(Seen(replay.number, replay.tracked.vm.page_shift, slot))
            else:
                finding.count_one(replay.number, slot)

    def _once(self, kind: FindingKind, replay: Replay, height: int, **numbers: int) -> None:
        """Say once that a mark was passed, and how far at most."""
        finding = self.findings.get((replay.tracked.name, kind.id))
        if finding is not None and height <= finding.height:
            return
        seen = Seen(replay.number, replay.tracked.vm.page_shift, None, None, "", **numbers)
        if finding is None:
            finding = self._add(kind, replay, seen)
        if finding is not None:
            finding.rise(seen, height)


def _is_window(new: Slot, other: Slot, first_hva: int, nbytes: int, page_shift: int) -> bool:
    """Whether it is what firmware does: a ROM's shadow, or memory that appears below 1 MiB."""
    first_gpas = [
        (slot.base_gfn << page_shift) + first_hva - slot.userspace_addr for slot in (new, other)
    ]
    if min(first_gpas) + nbytes <= _LOW_MEMORY_BYTES:
        return True
    return bool((new.flags | other.flags) & KVM_MEM_READONLY)


def _weight(alias: Seen) -> tuple[int, int]:
    """How bad shared memory is: RAM before windows, then by length."""
    return 1 - alias.numbers["is_window"], alias.numbers["shared_bytes"]


def _concerned_bytes(event: Event) -> tuple[bool, tuple[int, int]]:
    """Host bytes [first, end) that a mapping call gives (True) or takes (False); none if first ==
    end.
    """
    first, nbytes, result = event.get("addr") or 0, event.get("length") or 0, event.result
    if event.call == "mmap":
        first = result or 0
    if result is None or result < 0 or first + nbytes > 1 << 64:
        return False, (0, 0)
    if event.call == "mremap":
        kept = min(nbytes, event.get("new_length") or 0) if result == first else 0
        return False, (first + kept, first + nbytes)
    gives = event.call != "munmap" and event.get("prot") != 0
    return gives, (first, first + nbytes)
