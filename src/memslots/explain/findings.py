"""Findings on calls that were accepted: what a user would want to know anyway.

A `Watch` sees the steps of a replay as they pass and keeps one `Finding` for
each kind of thing and VM, with a count and the first examples.
"""

from __future__ import annotations

from ..replay.step import Step
from ..state.change import CREATE, DELETE, FLAGS_ONLY, MOVE
from ..state.slot import Slot
from ..units import format_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.vm import Vm
    from ..trace.event import Event

WARNING, NOTE = "warning", "note"


class FindingKind:
    """A kind of finding, with its page."""

    __slots__ = ("id", "page", "remedy", "severity", "title")

    def __init__(self, id: str, severity: str, title: str, page: str, remedy: str) -> None:
        self.id = id
        self.severity = severity
        self.title = title
        self.page = page
        self.remedy = remedy


# fmt: off
UNBACKED_WINDOW = FindingKind(
    "unbacked-window", NOTE, "guest memory had no slot for a while",
    "A slot was deleted and its range registered again later.  Between the two calls guest accesses leave the guest as "
    "MMIO: a running vCPU can fail on them, and instruction fetches always do.",
    "Stop all vCPUs around the pair of calls, or change flags and places with single calls.",
)
HOST_ALIAS = FindingKind(
    "host-alias", NOTE, "two guest ranges share host memory",
    "KVM never compares host ranges, so nothing refuses this; what the guest writes at one place appears at the other. "
    "Intended for ROM shadows and VGA windows, disastrous for RAM.",
    "Look whether the userspace_addr of the later slot is meant.",
)
SLOT_OVER_MMIO = FindingKind(
    "slot-over-mmio", WARNING, "a slot covers a device window of the PC",
    "Memory registered over the local APIC, I/O APIC or HPET hides the device or collides with KVM's own APIC page.",
    "End the slot below 0xfec00000, or start it at 4 GiB.",
)
MISALIGNED = FindingKind(
    "huge-page-misaligned", NOTE, "a slot can never be mapped with huge pages",
    "guest_phys_addr and userspace_addr differ modulo 2 MiB, so no 2 MiB range of the guest is one of the host.",
    "Align userspace_addr to 2 MiB as guest_phys_addr is.",
)
SLOTS_NEARLY_USED = FindingKind(
    "slots-nearly-used", WARNING, "nine tenths of the slots are in use",
    "KVM refuses ids beyond KVM_CAP_NR_MEMSLOTS.", "Use fewer, larger slots.",
)
CHURN = FindingKind(
    "slot-churn", NOTE, "a slot is changed over and over",
    "Every change waits for all vCPUs and, for deletions and moves, throws away mappings.",
    "Look for a device or firmware that flips a window; batch changes.",
)
LOGGING_TOGGLED = FindingKind(
    "logging-toggled", NOTE, "dirty logging was switched while the VM ran",
    "Expected during migration and for display memory.", "Nothing, if a migration was running.",
)
TOTAL_NEAR_CAP = FindingKind(
    "total-near-cap", WARNING, "the page total is near the largest unsigned long",
    "From 5.17 on a slot that would wrap the total is refused; before, on 32-bit hosts, the total and the MMU budget "
    "wrap silently.", "Use fewer or smaller slots; on a 32-bit host each page counts once for every slot it is in.",
)
BACKING_UNMAPPED = FindingKind(
    "backing-unmapped", NOTE, "host memory of a slot was unmapped or made inaccessible",
    "KVM takes the pages away from the guest and keeps the slot.  The next access of the guest to them ends KVM_RUN "
    "with EFAULT; memory that is later mapped at the same place becomes the guest's.  Usual while a VM is torn down: "
    "a warning only if the VM is used afterwards.",
    "Delete the slot first, and unmap its memory when that call has returned.",
)
BITMAPS_LARGE = FindingKind(
    "bitmaps-large", NOTE, "dirty bitmaps cost much kernel memory",
    "A slot that logs has two bitmaps of one bit a page; 64 GiB of logged memory cost 4 MiB of the kernel's.",
    "Log only what is migrated; use a dirty ring for very large guests.",
)
# fmt: on
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
    )
}


class Finding:
    """One kind of finding on one VM: how often, and the first times in words."""

    __slots__ = ("count", "examples", "kind", "severity", "steps", "vm_name")

    def __init__(self, kind: FindingKind, vm_name: str) -> None:
        self.kind = kind
        self.severity = kind.severity
        """The kind's, or `warning` where main memory is concerned."""
        self.vm_name = vm_name
        self.count = 0
        self.examples: list[str] = []
        self.steps: list[int] = []
        """Steps of the examples."""


_MOST_EXAMPLES = 3
_MAIN_MEMORY_BYTES = 64 << 20
_CHURN_CHANGES = 100
_LARGE_BITMAPS_BYTES = 64 << 20
_MOST_DELETED = 64
_ALIAS_LIMIT = 4096
_HUGE_BYTES = 1 << 21
_DEVICES = (("I/O APIC", 0xFEC0_0000, 0x1000), ("HPET", 0xFED0_0000, 0x1000), ("local APIC", 0xFEE0_0000, 0x1000))


class Watch:
    """Looks at each step of a replay; `findings` grows."""

    __slots__ = ("_changes", "_deleted", "_ignored", "_unbacked", "findings")

    def __init__(self, ignored: frozenset[str] = frozenset()) -> None:
        self._ignored = ignored
        self.findings: dict[tuple[str, str], Finding] = {}
        self._deleted: dict[str, list[tuple[Slot, Step]]] = {}
        self._changes: dict[tuple[str, int], int] = {}
        self._unbacked: dict[str, set[int]] = {}
        """VM: words of slots whose memory is gone."""

    def see(self, step: Step, vm: Vm) -> None:
        """Look at a step and at its VM, right after the replay has taken it."""
        if step.below_slot:
            self._see_mapping(step, vm)
            return
        if self._unbacked:
            self._see_use(step)
        change = step.change
        if change is None:
            return
        kind, old, new = change.kind, change.old, change.new
        self._see_churn(step, change.slot)
        if kind == DELETE and old is not None:
            gone = self._deleted.setdefault(step.vm_name, [])
            gone.append((old, step))
            del gone[:-_MOST_DELETED]
        if kind in (CREATE, MOVE) and new is not None:
            self._see_window(step, vm, new)
            self._see_alias(step, vm, new)
            self._see_place(step, vm, new)
        if kind == FLAGS_ONLY and new is not None and step.is_running:
            state = "on" if new.flags & 1 else "off"
            self._add(LOGGING_TOGGLED, step, f"step {step.number}: slot {new.id} {state}")
        self._see_totals(step, vm)
        if step.totals[2] * 10 >= vm.state.machine.user_slots * 9:
            used, most = step.totals[2], vm.state.machine.user_slots
            self._add(SLOTS_NEARLY_USED, step, f"step {step.number}: {used} of {most}")

    def _see_mapping(self, step: Step, vm: Vm) -> None:
        """A mapping call takes memory from below a slot, or puts some there."""
        regained, (first, end) = _concerned_bytes(step.event)
        words = self._unbacked.setdefault(step.vm_name, set())
        for as_id in range(len(vm.state.spaces)):
            for slot in vm.slots_at_hva(first, end, as_id) if first < end else ():
                if regained:
                    words.discard(slot.slot_word)
                    continue
                where = f"{step.event.call} of host [{first:#x}, {end:#x})"
                gpa, nbytes = slot.base_gfn << vm.page_shift, slot.npages << vm.page_shift
                text = f"step {step.number}: {where} below slot {slot.id} (gpa {gpa:#x}, {format_bytes(nbytes)})"
                self._add(BACKING_UNMAPPED, step, text)
                words.add(slot.slot_word)

    def _see_use(self, step: Step) -> None:
        """A VM with a slot whose memory is gone: is that slot removed, or does the VM go on?"""
        words = self._unbacked.get(step.vm_name)
        if not words or not step.event.call.startswith("KVM_"):
            return
        change = step.change
        if change is not None and change.old is not None:
            words.discard(change.old.slot_word)
        elif (step.vm_name, BACKING_UNMAPPED.id) in self.findings:
            self.findings[step.vm_name, BACKING_UNMAPPED.id].severity = WARNING

    def _see_totals(self, step: Step, vm: Vm) -> None:
        """Sizes that grow until something gives."""
        state = vm.state
        if state.total_pages * 10 >= state.machine.ulong_max * 9:
            text = f"step {step.number}: {state.total_pages} pages of {state.machine.ulong_max}"
            self._add(TOTAL_NEAR_CAP, step, text)
        change = step.change
        if change is not None and change.new is not None and change.new.flags & 1:
            logged = sum(slot.npages for slots in state.spaces for slot in slots if slot.flags & 1)
            if logged // 4 >= _LARGE_BITMAPS_BYTES:
                self._add(BITMAPS_LARGE, step, f"step {step.number}: {format_bytes(logged // 4)} of bitmaps")

    def _add(self, kind: FindingKind, step: Step, text: str, concerned_bytes: int = 0) -> None:
        if kind.id in self._ignored:
            return
        key = (step.vm_name, kind.id)
        finding = self.findings.get(key)
        if finding is None:
            finding = self.findings[key] = Finding(kind, step.vm_name)
        finding.count += 1
        if concerned_bytes >= _MAIN_MEMORY_BYTES and finding.severity == NOTE:
            # what firmware does to ROM and shadow windows is usual; for the guest's main memory it is not
            finding.severity = WARNING
            finding.examples.insert(0, text)
            finding.steps.insert(0, step.number)
            return
        if len(finding.examples) < _MOST_EXAMPLES:
            finding.examples.append(text)
            finding.steps.append(step.number)

    def _see_churn(self, step: Step, slot: Slot) -> None:
        key = (step.vm_name, slot.slot_word)
        self._changes[key] = changes = self._changes.get(key, 0) + 1
        if changes == _CHURN_CHANGES:
            self._add(CHURN, step, f"slot {slot.id}: {changes} changes by step {step.number}")

    def _see_window(self, step: Step, vm: Vm, new: Slot) -> None:
        gone = self._deleted.get(step.vm_name, [])
        # a single vCPU is outside the guest while its own exit is handled
        one_vcpu = step.from_start and len(vm.state.config.vcpu_ids) == 1
        left = []
        for old, deleted in gone:
            start, end = max(old.base_gfn, new.base_gfn), min(old.end_gfn, new.end_gfn)
            if old.as_id != new.as_id or start >= end:
                left.append((old, deleted))
                continue
            if not step.is_running and step.from_start:
                continue  # nobody could look: no vCPU yet
            shift = vm.page_shift
            where = f"[{start << shift:#x}, {end << shift:#x})"
            self._add(
                UNBACKED_WINDOW, step,
                f"{where}, from step {deleted.number} to step {step.number}{_duration(deleted, step)}",
                0 if one_vcpu else (end - start) << shift,
            )  # fmt: skip
        self._deleted[step.vm_name] = left

    def _see_alias(self, step: Step, vm: Vm, new: Slot) -> None:
        if "userspace_addr" in step.assumed or step.totals[2] > _ALIAS_LIMIT:
            return
        end = new.userspace_addr + (new.npages << vm.page_shift)
        for other in vm.slots_at_hva(new.userspace_addr, end, new.as_id):
            if other.id != new.id:
                shared = min(end, other.userspace_addr + (other.npages << vm.page_shift))
                nbytes = shared - max(new.userspace_addr, other.userspace_addr)
                first = f"slot {new.id} (gpa {new.base_gfn << vm.page_shift:#x})"
                second = f"slot {other.id} (gpa {other.base_gfn << vm.page_shift:#x})"
                shared_text = f"{format_bytes(nbytes)} at host {new.userspace_addr:#x}"
                text = f"step {step.number}: {first} and {second} share {shared_text}"
                self._add(HOST_ALIAS, step, text, nbytes)

    def _see_place(self, step: Step, vm: Vm, new: Slot) -> None:
        start, nbytes = new.base_gfn << vm.page_shift, new.npages << vm.page_shift
        if vm.profile.arch.is_x86 and new.as_id == 0:
            for name, gpa, window_bytes in _DEVICES:
                if start < gpa + window_bytes and gpa < start + nbytes:
                    self._add(SLOT_OVER_MMIO, step, f"step {step.number}: slot {new.id} covers the {name} at {gpa:#x}")
        if "userspace_addr" not in step.assumed and nbytes >= 2 * _HUGE_BYTES:
            offset = (start - new.userspace_addr) % _HUGE_BYTES
            if offset:
                text = f"step {step.number}: slot {new.id}, {format_bytes(nbytes)}, off by {offset:#x}"
                self._add(MISALIGNED, step, text)


def _concerned_bytes(event: Event) -> tuple[bool, tuple[int, int]]:
    """Host bytes [first, end) that a mapping call gives (True) or takes (False); none at all if first == end."""
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


def _duration(first: Step, last: Step) -> str:
    if first.event.time_ns is None or last.event.time_ns is None:
        return ""
    return f", {(last.event.time_ns - first.event.time_ns) / 1000:.0f} µs"
