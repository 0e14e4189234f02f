"""Events in, steps out: each recorded call beside what the model answers.

Where the two differ the model follows what was observed (it really happened),
and says so: a step after that may be uncertain.  Memory grows with the slots of
the VMs, not with the length of the recording.
"""

from __future__ import annotations

from ..kernel.profile import Profile
from ..model.session import Session
from ..model.vm import Vm
from ..rules.answer import NO_CHANGE, Accepted, Refused, Undetermined
from ..rules.decide import DECISIONS
from ..rules.fast_path import UNCHANGED
from ..rules.raised import RefusedError
from ..state.change import SlotChange
from ..state.process import Process
from ..trace.decode import CLONE
from ..trace.event import KERNEL_WARNING, MESSAGE, TEXT, Event
from ..trace.recorded_region import FD, TID, RecordedRegion
from ..uapi.calls import CALLS, MAKERS, REGION_CALLS, SYSTEM, VM
from ..uapi.flags import KVM_MEM_GUEST_MEMFD
from .follow import follow_accepted
from .host_places import HostPlaces
from .region_of_event import region_of_event
from .step import ACCEPTED, DIFFERS, ECHO, INCOMPLETE, OTHER, REFUSED, Step
from .tracked_vm import TrackedVm
from .verdict import compare, is_echo, learn_guest_memfd, tells_of_older_slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator

MAPPING_CALLS = frozenset(("mmap", "munmap", "mremap", "mprotect"))
_CHILD_CALLS = frozenset(("fork", "vfork", "clone"))
_CLONE_VM = CLONE["CLONE_VM"]
_WORDS = (MESSAGE, TEXT, KERNEL_WARNING)
"""Formats of what is told of a call; it may be told twice."""


class Replay:
    """Replays events on one profile; iterate over it once."""

    def __init__(
        self,
        events: Iterable[Event],
        profile: Profile,
        *,
        irqchip: bool = False,
        process: Process | None = None,
        assume_accepted: bool = False,
        most_kept: int | None = None,
        kept_steps: Container[int] = (),
        wanted: Callable[[Step], bool] | None = None,
        only_answers: bool = False,
        with_sets: bool = True,
    ) -> None:
        """irqchip: VMs whose creation was not recorded have an in-kernel irqchip and a vCPU.

        process: what is known of the process that calls (default: of each process what its calls
        show). assume_accepted: go on as if accepted where the answer depends on what was not
        observed. most_kept: steps that keep the VM before them, so that they can be explained
        (None: all that want it). kept_steps: numbers of steps that keep it whatever they come to.
        wanted: asked of a step that may want an explanation whether it shall keep that VM (default:
        it shall). only_answers: steps need not say what the VM is like after them. with_sets: they
        say what its slot sets are like, too.
        """
        self.profile = profile
        self.vms: list[TrackedVm] = []
        """All VMs met, in order."""
        self.tracked: TrackedVm
        """The VM of the call that was taken last; it goes on living."""
        self.number = 0
        """The call that was taken last, from 1."""
        self.event: Event
        """That call."""
        self.change: SlotChange | None = None
        """What it did to the slots, if it did anything."""
        self._step: Step | None = None
        self._caller: tuple[str | None, int | None, int | None] | None = None
        """Who made the plain call before, on which descriptor."""
        self._same: TrackedVm | None = None
        """The VM of that descriptor, as long as only plain calls follow."""
        self._events = events
        self._irqchip = irqchip
        self._process = process
        self._processes: dict[str, Process] = {}
        self._assume_accepted = assume_accepted
        self._left_to_keep = most_kept
        self._kept_steps = kept_steps
        self._wanted = wanted
        self._only_answers = only_answers
        self._with_sets = with_sets
        self._session: Session[TrackedVm] = Session()
        self._names: dict[str, int] = {}
        self._system: TrackedVm | None = None
        self._vms_of: dict[str, list[TrackedVm]] = {}
        self._host_places = HostPlaces()
        """Process: where its VMs have host memory, from its first mapping call on."""

    def __iter__(self) -> Iterator[Step]:
        for number, event in enumerate(self._events, 1):
            yield self.take(number, event)

    def _repr_svg_(self) -> str:
        """The picture of a notebook: the VMs as they stand after the step given out last."""
        from ..views.space_time import svg_of

        return svg_of([(tracked.name, tracked.vm) for tracked in self.vms])

    def take(self, number: int, event: Event) -> Step:
        """The step of one event; number: from 1."""
        self.advance(number, event)
        return self.step

    def advance(self, number: int, event: Event) -> bool:
        """Take one event; `step` is made when it is asked for.

        Whether it was plain: a region call that was accepted, and that the model accepts at a
        glance.  Most calls of a recording are, and their steps tell nothing that `event`, `change`
        and `tracked` do not.
        """
        self.number, self.event, self.change = number, event, None
        caller: tuple[str | None, int | None, int | None]
        if event.__class__ is RecordedRegion:
            caller = event.of_process, event.row[TID], event.row[FD]
        elif event.call == REGION_CALLS[0] and not event.result and event.format not in _WORDS:
            caller = event.process, event.pid, event.fd
        else:
            return self._look_closer(number, event)
        if self._kept_steps and number in self._kept_steps:
            return self._look_closer(number, event)
        tracked = self._same if caller == self._caller else None
        if tracked is None:
            process = self._session.process(caller[0], caller[1])
            tracked = self._session.vm_on(process, caller[2])
            if tracked is None:
                return self._look_closer(number, event)
        change = tracked.take_plain(number, event)
        if change is None:
            return self._look_closer(number, event)
        if self._same is not tracked:
            self._session.use(self._session.process(caller[0], caller[1]), tracked)
            self._caller, self._same = caller, tracked
        self.tracked, self._step = tracked, None
        if change is not UNCHANGED:
            self.change = change
            if self._host_places.are_asked:
                self._host_places.see_change(tracked, change)
        return True

    def _look_closer(self, number: int, event: Event) -> bool:
        """Take a call that is not plain."""
        self._step = step = self._take(number, event)
        if self.tracked is not self._same or event.call not in REGION_CALLS:
            self._same = None  # what the descriptor is, or who made the last call, may be another
        self.change = step.change
        if self._host_places.are_asked:
            self._host_places.see(self.tracked, step)
        return False

    @property
    def assumed(self) -> tuple[str, ...]:
        """Arguments of the last call that the recording does not have."""
        return () if self._step is None else self._step.assumed

    @property
    def step(self) -> Step:
        """The step of the call that was taken last."""
        if self._step is None:
            self._step = self._plain_step()
        return self._step

    def _plain_step(self) -> Step:
        tracked, event, change = self.tracked, self.event, self.change
        step = Step(
            self.number, event, tracked.name, tracked.vm.page_shift, from_start=tracked.from_start
        )
        step.region, _ = region_of_event(event, tracked.vm)
        step.answer = NO_CHANGE if change is None else Accepted(change)
        step.change, step.verdict = change, ACCEPTED
        self._complete(step, tracked)
        return step

    def _take(self, number: int, event: Event) -> Step:
        process = self._session.process(event.process, event.pid, is_told=event.format in _WORDS)
        tracked, on, is_sure = self._place(event, process)
        step = Step(
            number, event, tracked.name, tracked.vm.page_shift, from_start=tracked.from_start
        )
        if is_echo(step, tracked):
            step.verdict = ECHO
        elif event.call in MAPPING_CALLS:
            step.below_slot = tracked is not self._system_vm(event, process)
        elif event.call in REGION_CALLS:
            self._take_region(step, tracked)
        elif event.call in DECISIONS:
            self._take_other(step, tracked, on, is_sure=is_sure)
        else:
            self._keep(step, tracked)
            tracked.running = tracked.running or event.call == "KVM_RUN"
        self._follow_descriptors(event, process, step, tracked)
        if not self._only_answers:
            self._complete(step, tracked)
        tracked.last_event = event
        tracked.last_is_repeatable = step.is_region or step.verdict == ECHO
        self.tracked = tracked
        return step

    def _complete(self, step: Step, tracked: TrackedVm) -> None:
        """Write down the VM as it is after the call."""
        vm = tracked.vm
        step.totals = (vm.total_pages, vm.mmu_budget, vm.state.nr_slots)
        if self._with_sets:
            step.sets = vm.state.sets
        step.is_running, step.uncertain_since = tracked.running, tracked.uncertain_since

    # -- which VM

    def _place(self, event: Event, process: str) -> tuple[TrackedVm, str, bool]:
        """The VM that the event is about, the kind of descriptor, and whether that was seen."""
        name = event.call
        if name in MAPPING_CALLS:
            behind = self._host_places.vm_behind(event, process, self._vms_of.get(process, ()))
            return behind or self._system_vm(event, process), SYSTEM, True
        if name not in CALLS:
            known = (
                None
                if event.fd is None or name != "close"
                else self._session.look_up(process, event.fd)
            )
            current = self._session.current(process)
            return (known.vm if known else current or self._system_vm(event, process)), SYSTEM, True
        if name == "KVM_CREATE_VM":
            if event.result is not None and event.result < 0:
                current = self._session.current(process)
                return current or self._system_vm(event, process), SYSTEM, True
            made = self._new_vm(f"VM {len(self.vms) + 1}", event, process, from_start=True)
            return made, SYSTEM, True
        place = self._session.place(name, process, event.fd)
        if place.vm is not None:
            return place.vm, place.on, place.is_sure
        if place.on == SYSTEM:
            current = self._session.current(process) if not place.is_sure else None
            return current or self._system_vm(event, process), SYSTEM, place.is_sure
        return self._adopt(event, process), place.on, place.is_sure

    def _adopt(self, event: Event, process: str) -> TrackedVm:
        """The VM on a descriptor without a recorded creation."""
        owner = f" of {event.process}" if event.process else ""
        name = "VM 1" if event.fd is None else f"VM on fd {event.fd}{owner}"
        tracked = self._new_vm(name, event, process, from_start=False)
        self._session.opened(process, event.fd, VM, tracked)
        return tracked

    def _system_vm(self, event: Event, process: str) -> TrackedVm:
        """A VM that is none of the recording's: calls on /dev/kvm itself are put to it."""
        if self._system is None:
            vm = Vm.of_unknown_type(self.profile, Process(mappings_known=False, fds_known=False))
            self._system = TrackedVm("/dev/kvm", vm, -1, from_start=False, process="")
        return self._system

    def _new_vm(self, name: str, event: Event, process: str, *, from_start: bool) -> TrackedVm:
        """A VM first met in this event, which made it if `from_start`."""
        memory = self._process
        if memory is None:
            memory = self._processes.setdefault(
                process, Process(mappings_known=False, fds_known=False)
            )
        if from_start:
            try:
                vm = Vm(self.profile, event.get("type") or 0, process=memory)
            except RefusedError:
                # the step itself says that the model would refuse the type
                vm = Vm.of_unknown_type(self.profile, memory)
        else:
            vm = Vm.of_unknown_type(self.profile, memory)
            if self._irqchip:
                vm.create_irqchip()
                vm.create_vcpu(0)
        self._names[name] = same = self._names.get(name, 0) + 1
        name = name if same == 1 else f"{name} ({same})"
        tracked = TrackedVm(name, vm, len(self.vms), from_start=from_start, process=process)
        self.vms.append(tracked)
        self._vms_of.setdefault(process, []).append(tracked)
        return tracked

    def _follow_descriptors(
        self, event: Event, process: str, step: Step, tracked: TrackedVm
    ) -> None:
        """What a call opens and closes, and whom it makes."""
        name, result = event.call, event.result
        if name in _CHILD_CALLS:
            if result is not None and result > 0:
                self._session.forked(
                    process, result, is_thread=bool((event.get("flags") or 0) & _CLONE_VM)
                )
        elif name in MAKERS:
            # a VM whose type the model refuses is there all the same: what follows wants to be
            # answered
            expected = name == "KVM_CREATE_VM" or step.answer is None or bool(step.answer.accepted)
            made = expected if result is None else result >= 0
            if made:
                self._session.opened(process, event.new_fd, CALLS[name].makes, tracked)
        elif name == "close" and event.fd is not None and not (result is not None and result < 0):
            closed = self._session.closed(process, event.fd)
            if closed is not None and tracked.vm.close_guest_memfd(event.fd):
                tracked.changed()

    # -- what the model answers

    def _take_other(self, step: Step, tracked: TrackedVm, on: str, *, is_sure: bool) -> None:
        event = step.event
        fields = dict(event.fields)
        if event.call == "KVM_CREATE_VCPU" and "vcpu_id" not in fields:
            step.assumed = ("vcpu_id",)
            fields["vcpu_id"] = max((-1, *tracked.vm.state.config.vcpu_ids)) + 1
        if CALLS[event.call].missing(fields):
            step.verdict = INCOMPLETE if event.errno else OTHER
        else:
            try:
                answer = tracked.vm.what_if(
                    event.call,
                    fields,
                    on=on,
                    buffer_bytes=fields.get("buffer_bytes"),
                    new_fd=event.new_fd,
                )
                if (
                    not is_sure
                    and on == SYSTEM
                    and event.result is not None
                    and answer.result != event.result
                ):
                    # /dev/kvm or a VM: what it answered tells
                    answer = tracked.vm.what_if(event.call, fields, on=VM)
            except (ValueError, TypeError):
                step.verdict = OTHER  # numbers that do not fit: the reader has counted them
                return
            step.answer = NO_CHANGE if tells_of_older_slot(event, answer, tracked) else answer
            step.verdict = compare(step)
        self._keep(step, tracked)
        if step.answer is not None and (
            step.observed is None or step.verdict in (ACCEPTED, REFUSED)
        ):
            tracked.carry_out(step.answer)
        if event.call == "KVM_CREATE_VCPU" and (step.observed or 0) >= 0:
            tracked.running = True

    def _take_region(self, step: Step, tracked: TrackedVm) -> None:
        event = step.event
        region, step.assumed = region_of_event(event, tracked.vm)
        if region is None:
            step.verdict = INCOMPLETE
            self._keep(step, tracked)
            if event.result == 0 and not tracked.uncertain_since:
                tracked.uncertain_since = step.number
            return
        step.region = region
        if region.flags & KVM_MEM_GUEST_MEMFD:
            learn_guest_memfd(tracked.vm, event, region.guest_memfd)
        answer = tracked.vm.decide(region)
        if tells_of_older_slot(event, answer, tracked):
            answer = NO_CHANGE
        step.answer = answer
        step.verdict = compare(step)
        self._keep(step, tracked)
        accepted = event.result == 0 or (
            event.result is None
            and (answer.accepted or (self._assume_accepted and isinstance(answer, Undetermined)))
        )
        if not accepted:
            if isinstance(answer, Refused):
                tracked.carry_out(answer)  # a refused change that had begun leaves traces
        elif isinstance(answer, Accepted):
            tracked.carry_out(answer)
            step.change = answer.change if isinstance(answer.change, SlotChange) else None
        else:
            tracked.changed()
            step.made_room, step.change = follow_accepted(tracked.vm, region, answer)
        if step.verdict == DIFFERS and not tracked.uncertain_since:
            tracked.uncertain_since = step.number
        if step.change is not None and step.change.new is not None:
            tracked.made_by[region.slot] = step.number

    def _keep(self, step: Step, tracked: TrackedVm) -> None:
        """Keep the VM as it is before the call, where there may be something to explain."""
        if step.number in self._kept_steps:
            step.before = tracked.before()
            return
        if step.verdict in (ACCEPTED, OTHER) and not step.event.is_failure:
            return
        if self._wanted is not None and not self._wanted(step):
            return
        if self._left_to_keep is not None:
            if self._left_to_keep <= 0:
                return
            self._left_to_keep -= 1
        step.before = tracked.before()
