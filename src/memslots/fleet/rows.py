"""One recording as rows of the tables: replayed, watched, and not explained.

Explanations are sentences of one recording; `memslots explain` makes them for the few that a
question about the fleet leads to.
"""

from __future__ import annotations

from itertools import islice
from json import dumps

from ..check.cost import bytes_of_vm
from ..errors import MemslotsError, errno_name
from ..explain.findings import Watch
from ..explain.vm_summary import VmSummary
from ..explain.which_kernel import MOST_EVENTS
from ..replay.replay import Replay
from ..replay.step import ACCEPTED, DIFFERS, ECHO, INCOMPLETE, REFUSED
from ..rules.answer import Refused
from ..rules.decide import DECISIONS
from ..state.change import KIND_NAMES
from ..trace.event import MESSAGE, Reading, printable
from ..trace.recorded_region import FD, FIRST, RecordedRegion
from ..uapi.calls import CALLS, REGION_CALLS
from .monitors import vmm_of
from .part import quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..explain.finding import Finding
    from ..replay.step import Step
    from ..replay.tracked_vm import TrackedVm
    from ..trace.event import Event
    from .host_kernels import Chosen, Kernels
    from .inputs import Input
    from .opened import Opener

    Row = tuple[object, ...]

_FIELDS = frozenset(("slot", "flags", "guest_phys_addr", "memory_size", "userspace_addr"))
_REGION_FIELDS = len(_FIELDS)
_U32, _U64 = (1 << 32) - 1, (1 << 64) - 1
_KEPT = frozenset(name for name in DECISIONS if "DIRTY" not in name) - {"KVM_CHECK_EXTENSION"}
"""Calls that have a row though they are no region calls: they decide what slots may be."""
_TEXT_MAX = 400
_STEPS_HELD = 8192
_NOTES_MAX = 2000
_KVM = "KVM_"


class Rows:
    """The rows that one recording gives, but for those of the table of recordings."""

    __slots__ = ("findings", "refusals", "steps", "vms")

    def __init__(self) -> None:
        self.vms: list[Row] = []
        self.steps: list[str] = []
        """Lines of CSV."""
        self.refusals: list[Row] = []
        self.findings: list[Row] = []


class OneRecording:
    """Reads and replays a recording; `run()` leaves its rows, whole or up to where it broke off."""

    __slots__ = (
        "_chosen", "_counts", "_first_ns", "_host", "_id", "_input", "_last_ns", "_replay",
        "_sink", "_summaries", "_watch", "error", "reading", "rows", "steps",
    )  # fmt: skip

    def __init__(self, one: Input, sink: Callable[[list[str]], object], host: str = "") -> None:
        """sink: takes lines of steps."""
        self._input = one
        self._sink = sink
        self.steps = 0
        """Lines that were handed on."""
        self._host = host or one.host
        self._id = one.id
        self.reading = Reading()
        self.error = ""
        """Why it could not be read to its end."""
        self.rows = Rows()
        self._chosen: Chosen | None = None
        self._replay: Replay | None = None
        self._clear()

    def _clear(self) -> None:
        self._watch = Watch()
        self._summaries: dict[str, VmSummary] = {}
        self._counts = dict.fromkeys(("kvm", "region", "refused", "surprises"), 0)
        self._first_ns: int | None = None
        self._last_ns: int | None = None
        self.rows = Rows()

    def run(self, opener: Opener, kernels: Kernels, *, is_stated: bool = False) -> None:
        """Take every event; what goes wrong is in `error`.

        is_stated: the host was stated, so what the recording says of it does not count.
        """
        try:
            with opener.events(self._input, self.reading) as events:
                head = list(islice(events, MOST_EVENTS))
                if self.reading.node and not is_stated:
                    self._host = printable(self.reading.node)
                self._take(head, events, kernels)
        except (MemslotsError, OSError, ValueError, EOFError) as error:
            self.error = printable(str(error))[:_TEXT_MAX] or type(error).__name__
        self._finish()

    def _take(self, head: list[Event], events: Iterator[Event], kernels: Kernels) -> None:
        chosen = kernels.first_choice(self._host, head, self.reading)
        if not self._replayed(head, chosen):
            self._clear()
            chosen = kernels.weighed(self._host, head, self.reading)
            self._replayed(head, chosen)
        self._chosen = chosen
        replay = self._replay
        assert replay is not None
        for number, event in enumerate(events, len(head) + 1):
            if replay.advance(number, event):
                self._see_plain(replay)
            else:
                self._see(replay)
            if len(self.rows.steps) >= _STEPS_HELD:
                self.flush()

    def flush(self) -> None:
        """Hand on the lines of steps that there are: recordings may be longer than memory."""
        self.steps += len(self.rows.steps)
        self._sink(self.rows.steps)
        self.rows.steps.clear()

    def _replayed(self, head: list[Event], chosen: Chosen) -> bool:
        """Replay the first events; False if they show that it is another kernel."""
        self._replay = replay = Replay((), chosen.profile, most_kept=0, with_sets=False)
        for number, event in enumerate(head, 1):
            if replay.advance(number, event):
                self._see_plain(replay)
                continue
            if chosen.is_contradicted_by(replay.step):
                return False
            self._see(replay)
        return True

    def _see_plain(self, replay: Replay) -> None:
        """Look at a region call that was accepted, as the model has it: what most calls are."""
        event, tracked, number = replay.event, replay.tracked, replay.number
        vm, change, counts = tracked.vm, replay.change, self._counts
        state = vm.state
        tid, time_ns, _ = event.moment()
        if time_ns is not None:
            if self._first_ns is None:
                self._first_ns = time_ns
            self._last_ns = time_ns
        counts["kvm"] += 1
        counts["region"] += 1
        self._watch.see(replay, is_plain=True)
        summary = self._summaries.get(tracked.name)
        if summary is None:
            summary = self._summaries[tracked.name] = VmSummary(number, event, tracked.name)
        summary.see_plain(number, event, change, state)
        line = 0
        if event.__class__ is RecordedRegion:
            row = event.row
            slot, flags, gpa, nbytes, hva = row[FIRST : FIRST + _REGION_FIELDS]
            called = (
                f"{self._id},{number},{time_ns},{tid},{quoted(tracked.process)},{row[FD]},,"
                f"{quoted(tracked.name)},{REGION_CALLS[0]},{slot},{flags},{gpa},{nbytes},{hva},,0"
            )
        else:
            called = self._call_columns(number, event, tracked, is_region=True)
            line = event.line
        duration_ns, budget = event.taken()[1], vm.mmu_budget
        self.rows.steps.append(
            f"{called},0,,{ACCEPTED},{'' if change is None else KIND_NAMES[change.kind]},"
            f"{state.total_pages},{state.nr_slots},{'' if budget is None else budget},"
            f"{'' if duration_ns is None else duration_ns},{line}\n"
        )

    def _see(self, replay: Replay) -> None:
        step, tracked, counts = replay.step, replay.tracked, self._counts
        event = step.event
        call, verdict = event.call, step.verdict
        if event.time_ns is not None:
            if self._first_ns is None:
                self._first_ns = event.time_ns
            self._last_ns = event.time_ns
        counts["kvm"] += call.startswith(_KVM)
        self._watch.see(replay)
        summary = self._summaries.get(step.vm_name)
        if summary is None:
            summary = self._summaries[step.vm_name] = VmSummary(step.number, event, step.vm_name)
        summary.see(step)
        is_region = call in REGION_CALLS
        counts["region"] += is_region
        if verdict == DIFFERS:
            counts["surprises"] += 1
        fails = verdict in (REFUSED, DIFFERS, INCOMPLETE) or (event.is_failure and verdict != ECHO)
        if fails and (call in CALLS or call == MESSAGE):
            counts["refused"] += is_region and (event.result or 0) < 0
            self.rows.refusals.append(self._refusal(step))
        elif not is_region and call not in _KEPT:
            return
        if call != MESSAGE:
            self.rows.steps.append(self._step(step, tracked, is_region=is_region))

    def _step(self, step: Step, tracked: TrackedVm, *, is_region: bool) -> str:
        """The row of a step as a line of CSV: there are so many that the way through a tuple shows.

        The order is that of STEPS.
        """
        event, answer = step.event, step.answer
        pages, budget, slots = step.totals
        rule = getattr(answer, "rule", None)
        expected = None if answer is None else answer.result
        duration_ns = event.duration_ns
        return (
            f"{self._call_columns(step.number, event, tracked, is_region=is_region)},"
            f"{'' if expected is None else expected},{'' if rule is None else rule.id},"
            f"{step.verdict},{'' if step.change is None else KIND_NAMES[step.change.kind]},"
            f"{pages},{slots},{'' if budget is None else budget},"
            f"{'' if duration_ns is None else duration_ns},{event.line}\n"
        )

    def _call_columns(
        self, number: int, event: Event, tracked: TrackedVm, *, is_region: bool
    ) -> str:
        """The columns of a step that say what was called, up to its result."""
        fields = event.fields
        region, others = ",,,,", fields
        if is_region:
            get = fields.get
            slot, flags, gpa = get("slot"), get("flags"), get("guest_phys_addr")
            nbytes, hva = get("memory_size"), get("userspace_addr")
            region = (
                f"{'' if slot is None else slot & _U32},{'' if flags is None else flags & _U32},"
                f"{'' if gpa is None else gpa & _U64},{'' if nbytes is None else nbytes & _U64},"
                f"{'' if hva is None else hva & _U64}"
            )
            if len(fields) == _REGION_FIELDS and hva is not None and slot is not None:
                others = {}
            else:
                others = {key: value for key, value in fields.items() if key not in _FIELDS}
        time_ns, tid, fd, new_fd = event.time_ns, event.pid, event.fd, event.new_fd
        result = event.result
        return (
            f"{self._id},{number},{'' if time_ns is None else time_ns},"
            f"{'' if tid is None else tid},{quoted(tracked.process)},{'' if fd is None else fd},"
            f"{'' if new_fd is None else new_fd},{quoted(tracked.name)},{event.call},{region},"
            f"{quoted(dumps(others)) if others else ''},{'' if result is None else result}"
        )

    def _refusal(self, step: Step) -> Row:
        event, answer = step.event, step.answer
        fields = event.fields
        refused = answer if isinstance(answer, Refused) else None
        rule = getattr(answer, "rule", None)
        other = None if refused is None or refused.other is None else refused.other.slot_word
        expected = None if answer is None else answer.result
        errno = event.errno
        return (
            step.vm_name, step.number, event.time_ns, event.call,
            None if errno is None else errno_name(errno) if errno else "0",
            None if rule is None else rule.id,
            None if expected is None else errno_name(-expected) if expected < 0 else "0",
            step.verdict,
            _within(fields.get("slot"), _U32), _within(fields.get("guest_phys_addr"), _U64),
            _within(fields.get("memory_size"), _U64), other,
            None if refused is None else dumps(dict(refused.numbers)),
            printable(event.text.strip())[:_TEXT_MAX] if event.call == MESSAGE else None,
        )  # fmt: skip

    def _finish(self) -> None:
        self._watch.finish()
        kernel = self._chosen.profile.name if self._chosen is not None else None
        vmms: dict[str, str] = {}
        tracked = [] if self._replay is None else self._replay.vms
        for each in tracked:
            summary = self._summaries.get(each.name)
            if summary is not None:
                vmms[each.name] = vmm = vmm_of(summary.process, self.reading.formats)
                self.rows.vms.append(self._vm(each, summary, kernel, vmm))
        where = (self._id, self._host, kernel)
        self.rows.refusals = [
            (*where, row[0], vmms.get(str(row[0])), *row[1:]) for row in self.rows.refusals
        ]
        self.rows.findings = [
            (*where, each.vm_name, vmms.get(each.vm_name), *_finding(each))
            for each in self._watch.findings.values()
        ]

    def _vm(self, tracked: TrackedVm, summary: VmSummary, kernel: str | None, vmm: str) -> Row:
        vm = tracked.vm
        limit = vm.state.machine.user_slots
        timed = summary.timed_calls
        return (
            self._id, self._host, kernel, tracked.name, vmm, summary.process, summary.pid,
            tracked.from_start, summary.vcpus, summary.region_calls, summary.refused_calls,
            vm.state.nr_slots, summary.most_slots, limit,
            min(max(0, limit - space.count) for space in vm.state.spaces), vm.total_pages,
            summary.most_pages, 1 << vm.page_shift, vm.mmu_budget,
            bytes_of_vm(vm, self._chosen.profile) if self._chosen is not None else None,
            summary.region_ns if timed else None, timed, summary.longest_ns if timed else None,
            summary.first_step, summary.last_step, tracked.uncertain_since or None,
        )  # fmt: skip

    @property
    def surprises(self) -> int:
        """Calls that the kernel's model answers otherwise."""
        return self._counts["surprises"]

    def recording_row(self) -> Row:
        """The row of the recording itself."""
        one, reading, counts, chosen = self._input, self.reading, self._counts, self._chosen
        return (
            self._id, self._host, printable(one.name), one.nbytes, one.changed_ns,
            None if chosen is None else chosen.profile.name, None if chosen is None else chosen.how,
            reading.release, " ".join(sorted(reading.formats)), reading.calls, counts["kvm"],
            counts["region"], counts["refused"], counts["surprises"], len(self.rows.vms),
            self._first_ns, self._last_ns, sum(reading.skipped.values()),
            printable("; ".join(reading.notes))[:_NOTES_MAX], self.error,
        )  # fmt: skip


def _finding(found: Finding) -> Row:
    lengths = [seen.numbers.get("window_ns", 0) for seen in found.seen]
    seen = found.peak or (found.seen[0] if found.seen else None)
    return (
        found.kind.id, found.severity, found.count, found.times, found.height or None,
        found.steps[0] if found.steps else None, found.steps[-1] if found.steps else None,
        max(lengths, default=0) or None, dumps(seen.numbers) if seen is not None else None,
    )  # fmt: skip


def _within(value: int | None, most: int) -> int | None:
    """A number of a call, as wide as the call has it; recordings may hold anything."""
    return None if value is None else value & most
