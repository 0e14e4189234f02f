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
from .watched_vm import WatchedVm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.vm import Vm
    from ..replay.replay import Replay
    from ..replay.step import Step
    from ..replay.tracked_vm import TrackedVm
    from ..trace.event import Event

_MAIN_MEMORY_BYTES = 64 << 20
_CHURN_CHANGES = 100
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
            watched = self._vms[tracked.name] = WatchedVm(from_start=tracked.from_start)
            watched.most_changes = _CHURN_CHANGES - 1
            watched.near_cap_pages = (tracked.vm.state.machine.ulong_max * 9 - 1) // 10
        if watched.unbacked or not is_plain:
            step = replay.step
            if step.below_slot:
                self._see_mapping(step, tracked.vm, watched)
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
                watched.count_logging(room)
        else:
            watched.region_calls += 1
        if replay.change is not None:
            self._see_change(replay, replay.change, tracked, watched)

    def _see_change(
        self, replay: Replay, change: SlotChange, tracked: TrackedVm, watched: WatchedVm
    ) -> None:
        kind, old, new = change.kind, change.old, change.new
        slot = change.slot
        word = slot.as_id << 16 | slot.id
        pages = tracked.vm.state.total_pages
        if pages > watched.most_pages:
            watched.most_pages = pages
        watched.changes[word] = changes = watched.changes.get(word, 0) + 1
        if changes > watched.most_changes or changes == _CHURN_CHANGES:
            self._see_churn(replay, slot, changes, watched)
        if kind == DELETE and old is not None:
            watched.deleted.append((old, replay.number, replay.event))
            del watched.deleted[:-_MOST_DELETED]
            watched.misaligned.pop(word, None)
        elif kind & PLACING and new is not None:
            if watched.deleted:
                self._see_window(replay, new, watched)
            self._see_alias(replay, new, watched)
            self._see_place(replay, new, watched)
            if kind == CREATE:
                self._see_slots(replay, new)
        elif kind == FLAGS_ONLY and new is not None and tracked.running:
            self._again(LOGGING_TOGGLED, replay, new)
        if watched.logged or (new is not None and new.flags & KVM_MEM_LOG_DIRTY_PAGES):
            self._see_logging(replay, change, watched)
        if pages > watched.near_cap_pages:
            most = tracked.vm.state.machine.ulong_max
            self._once(TOTAL_NEAR_CAP, replay, pages, pages=pages, most=most)

    def _see_churn(self, replay: Replay, slot: Slot, changes: int, watched: WatchedVm) -> None:
        watched.most_changes = max(watched.most_changes, changes)
        seen = Seen(replay.step, slot, changes=changes)
        if changes == _CHURN_CHANGES:
            self._add(CHURN, replay.step, seen)
        finding = self.findings.get((replay.tracked.name, CHURN.id))
        if finding is not None:
            finding.rise(seen, changes)

    def _see_mapping(self, step: Step, vm: Vm, watched: WatchedVm) -> None:
        """A mapping call takes memory from below a slot, or puts some there."""
        regained, (first, end) = _concerned_bytes(step.event)
        for as_id in range(len(vm.state.spaces)):
            for slot in vm.slots_at_hva(first, end, as_id) if first < end else ():
                if regained:
                    watched.unbacked.discard(slot.slot_word)
                    continue
                seen = Seen(step, slot, what=step.event.call, first_hva=first, end_hva=end)
                self._add(BACKING_UNMAPPED, step, seen)
                watched.unbacked.add(slot.slot_word)

    def _see_use(self, step: Step, watched: WatchedVm) -> None:
        """Whether a VM with a slot whose memory is gone removes that slot, or goes on."""
        if step.event.call not in CALLS:
            return
        if step.change is not None and step.change.old is not None:
            watched.unbacked.discard(step.change.old.slot_word)
        elif (step.vm_name, BACKING_UNMAPPED.id) in self.findings:
            self.findings[step.vm_name, BACKING_UNMAPPED.id].severity = WARNING

    def _see_slots(self, replay: Replay, new: Slot) -> None:
        state = replay.tracked.vm.state
        used, most = state.spaces[new.as_id].count, state.machine.user_slots
        if used * 10 >= most * 9:
            self._once(SLOTS_NEARLY_USED, replay, used, used=used, most=most)

    def _see_logging(self, replay: Replay, change: SlotChange, watched: WatchedVm) -> None:
        watched.count_logging(change)
        nbytes = watched.dirty_pages // 4
        if change.new is not None and nbytes >= _LARGE_BITMAPS_BYTES:
            self._once(BITMAPS_LARGE, replay, nbytes, bitmap_bytes=nbytes)

    def _see_window(self, replay: Replay, new: Slot, watched: WatchedVm) -> None:
        first, end, as_id = new.base_gfn, new.end_gfn, new.as_id
        taken = [
            entry
            for entry in watched.deleted
            if entry[0].base_gfn < end
            and first < entry[0].base_gfn + entry[0].npages
            and entry[0].as_id == as_id
        ]
        if not taken:
            return
        watched.deleted = [entry for entry in watched.deleted if entry not in taken]
        tracked, event = replay.tracked, replay.event
        for old, number, deleted in taken:
            in_run = vcpus_in_run(deleted, event)
            if in_run == 0:
                continue
            if in_run is None and nobody_could_look(
                event, deleted, tracked.vm, watched.vcpu_threads,
                from_start=tracked.from_start, is_running=tracked.running,
            ):  # fmt: skip
                continue
            start, stop = max(old.base_gfn, first), min(old.end_gfn, end)
            shift = tracked.vm.page_shift
            seen = Seen(
                replay.step, old, first_gpa=start << shift, end_gpa=stop << shift,
                deleted_step=number,
                window_ns=_between(deleted, event), vcpus_in_run=in_run,
            )  # fmt: skip
            finding = self._add(UNBACKED_WINDOW, replay.step, seen)
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
        tracked = replay.tracked
        shift = tracked.vm.page_shift
        is_many = len(watched.aliases) >= _MOST_ALIASES
        if not is_many and watched.places.is_alone(new, shift):
            return
        step = replay.step
        if "userspace_addr" in step.assumed:
            return
        if is_many:
            if (step.vm_name, HOST_ALIAS.id) in self.findings:
                self.findings[step.vm_name, HOST_ALIAS.id].is_at_least = True
            return
        end = new.userspace_addr + (new.npages << shift)
        worst: Seen | None = None
        for other in tracked.vm.slots_at_hva(new.userspace_addr, end, new.as_id):
            if other.id == new.id:
                continue
            watched.aliases |= {new.slot_word, other.slot_word}
            first = max(new.userspace_addr, other.userspace_addr)
            nbytes = min(end, other.userspace_addr + (other.npages << shift)) - first
            seen = Seen(
                step, new, other, first_hva=first, shared_bytes=nbytes,
                is_window=int(_is_window(new, other, first, nbytes, shift)),
            )  # fmt: skip
            if worst is None or _weight(seen) > _weight(worst):
                worst = seen
        if worst is None:
            return
        finding = self._add(HOST_ALIAS, step, worst)
        if finding is not None and worst.other is not None:
            finding.slots.add(worst.other.slot_word)
            if _weight(worst) >= (1, _MAIN_MEMORY_BYTES):
                finding.warn(worst)

    def _see_place(self, replay: Replay, new: Slot, watched: WatchedVm) -> None:
        vm = replay.tracked.vm
        start, nbytes = new.base_gfn << vm.page_shift, new.npages << vm.page_shift
        is_near = start < _WINDOWS_END and start + nbytes > _WINDOWS_START
        if is_near and vm.profile.arch.is_x86 and new.as_id == 0:
            for name, gpa, window_bytes in DEVICE_WINDOWS:
                if start < gpa + window_bytes and gpa < start + nbytes:
                    seen = Seen(replay.step, new, what=name, gpa=gpa)
                    self._add(SLOT_OVER_MMIO, replay.step, seen)
        if watched.misaligned:
            watched.misaligned.pop(new.slot_word, None)
        if nbytes < 2 * _HUGE_BYTES or new.flags & KVM_MEM_GUEST_MEMFD:
            return  # private pages come from the file: its offset decides, not userspace_addr
        offset_bytes = (start - new.userspace_addr) % _HUGE_BYTES
        if offset_bytes and "userspace_addr" not in replay.step.assumed:
            seen = Seen(replay.step, new, slot_bytes=nbytes, offset_bytes=offset_bytes)
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
        return self.findings.setdefault((vm_name, kind.id), Finding(kind, vm_name))

    def _add(self, kind: FindingKind, step: Step, seen: Seen) -> Finding | None:
        finding = self._finding(kind, step.vm_name)
        if finding is not None:
            finding.add(seen)
        return finding

    def _again(self, kind: FindingKind, replay: Replay, slot: Slot) -> None:
        """Count one more time; the first ones are kept."""
        finding = self._finding(kind, replay.tracked.name)
        if finding is not None:
            if len(finding.seen) < MOST_SEEN:
                finding.add(Seen(replay.step, slot))
            else:
                finding.count_one(replay.number, slot)

    def _once(self, kind: FindingKind, replay: Replay, height: int, **numbers: int) -> None:
        """Say once that a mark was passed, and how far at most."""
        finding = self.findings.get((replay.tracked.name, kind.id))
        if finding is not None and height <= finding.height:
            return
        seen = Seen(replay.step, None, None, "", **numbers)
        if finding is None:
            finding = self._add(kind, replay.step, seen)
        if finding is not None:
            finding.rise(seen, height)


def vcpus_in_run(*events: Event) -> int | None:
    """The most vCPUs that were in KVM_RUN at one of the calls; None if the recording does not
    say.
    """
    known = [event.vcpus_in_run for event in events if event.vcpus_in_run is not None]
    return max(known) if known else None


def nobody_could_look(
    event: Event,
    deleted: Event,
    vm: Vm,
    vcpu_threads: set[int | None],
    *,
    from_start: bool,
    is_running: bool,
) -> bool:
    """Whether no vCPU was in the guest: there was none, or the only one's thread made the calls
    itself.
    """
    if not from_start:
        return False
    if not is_running:
        return True
    threads = {deleted.pid, event.pid}
    is_alone = len(vm.state.config.vcpu_ids) == 1 and None not in threads
    return is_alone and threads == vcpu_threads


def _between(first: Event, last: Event) -> int | None:
    return None if first.time_ns is None or last.time_ns is None else last.time_ns - first.time_ns


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
