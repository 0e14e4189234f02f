"""Findings on calls that were accepted: what a user would want to know anyway.

A `Watch` sees the steps of a replay as they pass and keeps one `Finding` for
each kind and VM: numbers and slots, and what was seen first.  Work and memory
grow with the events and with the slots, not with their product.
"""

from __future__ import annotations

from ..replay.step import ACCEPTED, Step
from ..rules.answer import Refused
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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.vm import Vm
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


class _Watched:
    """What is remembered of one VM."""

    __slots__ = (
        "aliases", "changes", "deleted", "dirty_pages", "from_start", "logged", "misaligned",
        "most_pages",
        "region_calls", "run_failed", "unbacked", "vcpu_threads", "windows",
    )  # fmt: skip

    def __init__(self, *, from_start: bool) -> None:
        self.from_start = from_start
        """Whether its creation was recorded."""
        self.deleted: list[tuple[Slot, Step]] = []
        """Slots that are gone and whose range nobody has taken since, with the step that deleted
        them.
        """
        self.changes: dict[int, int] = {}
        """Slot word: changes of it."""
        self.unbacked: set[int] = set()
        """Words of slots whose host memory is gone."""
        self.logged: dict[int, int] = {}
        """Slot word: its pages, for slots that log."""
        self.dirty_pages = 0
        """The sum of these."""
        self.misaligned: dict[int, Seen] = {}
        """Slot word: how it lies, for slots that can have no huge page."""
        self.aliases: set[int] = set()
        """Words of slots that share host memory with another."""
        self.most_pages = 0
        """The largest page total so far."""
        self.region_calls = 0
        self.vcpu_threads: set[int | None] = set()
        """Threads that made vCPUs; None where it was not recorded which."""
        self.windows: list[tuple[Seen, int]] = []
        """The longest windows of which it is not known who could see them, and their bytes."""
        self.run_failed = False
        """Whether a KVM_RUN failed."""


class Watch:
    """Looks at each step of a replay; `findings` grows, and is complete after `finish()`."""

    __slots__ = ("_ignored", "_vms", "findings")

    def __init__(self, ignored: frozenset[str] = frozenset()) -> None:
        self._ignored = ignored
        self._vms: dict[str, _Watched] = {}
        self.findings: dict[tuple[str, str], Finding] = {}
        """(VM, kind's id): the finding."""

    def see(self, step: Step, vm: Vm) -> None:
        """Look at a step and at its VM, right after the replay has taken it."""
        watched = self._vms.get(step.vm_name)
        if watched is None:
            watched = self._vms[step.vm_name] = _Watched(from_start=step.from_start)
        if step.below_slot:
            self._see_mapping(step, vm, watched)
            return
        call, observed = step.event.call, step.observed
        if call == "KVM_CREATE_VCPU" and (observed or 0) >= 0:
            watched.vcpu_threads.add(step.event.pid)
        elif call == "KVM_RUN" and observed is not None and observed < 0:
            watched.run_failed = True
        if watched.unbacked:
            self._see_use(step, watched)
        watched.region_calls += step.is_region
        if step.change is not None:
            self._see_change(step, step.change, vm, watched)

    def _see_change(self, step: Step, change: SlotChange, vm: Vm, watched: _Watched) -> None:
        new, slot = change.new, change.slot
        word = slot.slot_word
        watched.most_pages = max(watched.most_pages, step.totals[0])
        watched.changes[word] = changes = watched.changes.get(word, 0) + 1
        if changes >= _CHURN_CHANGES:
            seen = Seen(step, slot, changes=changes)
            if changes == _CHURN_CHANGES:
                self._add(CHURN, step, seen)
            self._peak(CHURN, step, seen, changes)
        if change.kind == DELETE and change.old is not None:
            watched.deleted.append((change.old, step))
            del watched.deleted[:-_MOST_DELETED]
            watched.misaligned.pop(word, None)
        if change.kind & PLACING and new is not None:
            self._see_window(step, vm, new, watched)
            self._see_alias(step, vm, new, watched)
            self._see_place(step, vm, new, watched)
        if change.kind == CREATE and new is not None:
            self._see_slots(step, vm, new)
        if change.kind == FLAGS_ONLY and new is not None and step.is_running:
            self._add(LOGGING_TOGGLED, step, Seen(step, new))
        self._see_logging(step, change, vm, watched)
        pages, most = step.totals[0], vm.state.machine.ulong_max
        if pages * 10 >= most * 9:
            self._once(TOTAL_NEAR_CAP, step, Seen(step, pages=pages, most=most), pages)

    def _see_mapping(self, step: Step, vm: Vm, watched: _Watched) -> None:
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

    def _see_use(self, step: Step, watched: _Watched) -> None:
        """Whether a VM with a slot whose memory is gone removes that slot, or goes on."""
        if step.event.call not in CALLS:
            return
        if step.change is not None and step.change.old is not None:
            watched.unbacked.discard(step.change.old.slot_word)
        elif (step.vm_name, BACKING_UNMAPPED.id) in self.findings:
            self.findings[step.vm_name, BACKING_UNMAPPED.id].severity = WARNING

    def _see_slots(self, step: Step, vm: Vm, new: Slot) -> None:
        used, most = vm.state.spaces[new.as_id].count, vm.state.machine.user_slots
        if used * 10 >= most * 9:
            self._once(SLOTS_NEARLY_USED, step, Seen(step, used=used, most=most), used)

    def _see_logging(self, step: Step, change: SlotChange, vm: Vm, watched: _Watched) -> None:
        """The pages of all slots that log, kept as a running total."""
        logged = watched.logged
        if step.verdict != ACCEPTED and isinstance(step.answer, Refused):
            # the replay has made room for what the model would have refused
            logged = {
                slot.slot_word: slot.npages
                for slots in vm.state.spaces
                for slot in slots
                if slot.flags & KVM_MEM_LOG_DIRTY_PAGES
            }
            watched.logged, watched.dirty_pages = logged, sum(logged.values())
        else:
            watched.dirty_pages -= logged.pop(change.slot.slot_word, 0)
            if change.new is not None and change.new.flags & KVM_MEM_LOG_DIRTY_PAGES:
                logged[change.new.slot_word] = change.new.npages
                watched.dirty_pages += change.new.npages
        if change.new is not None and watched.dirty_pages // 4 >= _LARGE_BITMAPS_BYTES:
            nbytes = watched.dirty_pages // 4
            self._once(BITMAPS_LARGE, step, Seen(step, bitmap_bytes=nbytes), nbytes)

    def _see_window(self, step: Step, vm: Vm, new: Slot, watched: _Watched) -> None:
        left = []
        for old, deleted in watched.deleted:
            start, end = max(old.base_gfn, new.base_gfn), min(old.end_gfn, new.end_gfn)
            if old.as_id != new.as_id or start >= end:
                left.append((old, deleted))
                continue
            in_run = vcpus_in_run(deleted.event, step.event)
            nobody = nobody_could_look(step, deleted, vm, watched.vcpu_threads)
            if in_run == 0 or (in_run is None and nobody):
                continue
            shift = vm.page_shift
            seen = Seen(
                step, old, first_gpa=start << shift, end_gpa=end << shift,
                deleted_step=deleted.number,
                window_ns=_between(deleted.event, step.event), vcpus_in_run=in_run,
            )  # fmt: skip
            finding = self._add(UNBACKED_WINDOW, step, seen)
            if finding is None:
                continue
            finding.is_known = finding.is_known and in_run is not None
            nbytes = (end - start) << shift
            if in_run and nbytes >= _MAIN_MEMORY_BYTES:
                finding.warn(seen)
            watched.windows.append((seen, nbytes))
            watched.windows.sort(key=lambda window: -window[1])
            del watched.windows[MOST_SEEN:]
        watched.deleted = left

    def _see_alias(self, step: Step, vm: Vm, new: Slot, watched: _Watched) -> None:
        if "userspace_addr" in step.assumed:
            return
        if len(watched.aliases) >= _MOST_ALIASES:
            if (step.vm_name, HOST_ALIAS.id) in self.findings:
                self.findings[step.vm_name, HOST_ALIAS.id].is_at_least = True
            return
        shift = vm.page_shift
        end = new.userspace_addr + (new.npages << shift)
        worst: Seen | None = None
        for other in vm.slots_at_hva(new.userspace_addr, end, new.as_id):
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

    def _see_place(self, step: Step, vm: Vm, new: Slot, watched: _Watched) -> None:
        start, nbytes = new.base_gfn << vm.page_shift, new.npages << vm.page_shift
        if vm.profile.arch.is_x86 and new.as_id == 0:
            for name, gpa, window_bytes in DEVICE_WINDOWS:
                if start < gpa + window_bytes and gpa < start + nbytes:
                    self._add(SLOT_OVER_MMIO, step, Seen(step, new, what=name, gpa=gpa))
        watched.misaligned.pop(new.slot_word, None)
        if new.flags & KVM_MEM_GUEST_MEMFD:
            return  # private pages come from the file: its offset decides, not userspace_addr
        if "userspace_addr" not in step.assumed and nbytes >= 2 * _HUGE_BYTES:
            offset_bytes = (start - new.userspace_addr) % _HUGE_BYTES
            if offset_bytes:
                seen = Seen(step, new, slot_bytes=nbytes, offset_bytes=offset_bytes)
                watched.misaligned[new.slot_word] = seen
                if nbytes >= _MAIN_MEMORY_BYTES:
                    self._misaligned(step.vm_name, seen)

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

    def _once(self, kind: FindingKind, step: Step, seen: Seen, height: int) -> None:
        """Say once that a mark was passed, and how far at most."""
        if (step.vm_name, kind.id) not in self.findings:
            self._add(kind, step, seen)
        self._peak(kind, step, seen, height)

    def _peak(self, kind: FindingKind, step: Step, seen: Seen, height: int) -> None:
        finding = self.findings.get((step.vm_name, kind.id))
        if finding is not None:
            finding.rise(seen, height)


def vcpus_in_run(*events: Event) -> int | None:
    """The most vCPUs that were in KVM_RUN at one of the calls; None if the recording does not
    say.
    """
    known = [event.vcpus_in_run for event in events if event.vcpus_in_run is not None]
    return max(known) if known else None


def nobody_could_look(step: Step, deleted: Step, vm: Vm, vcpu_threads: set[int | None]) -> bool:
    """Whether no vCPU was in the guest: there was none, or the only one's thread made the calls
    itself.
    """
    if not step.from_start:
        return False
    if not step.is_running:
        return True
    threads = {deleted.event.pid, step.event.pid}
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
