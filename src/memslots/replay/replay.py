"""Events in, steps out: each recorded call beside what the model answers.

Where the two differ the model follows what was observed (it really happened),
and says so: a step after that may be uncertain.  Memory grows with the slots of
the VMs, not with the length of the recording.
"""

from __future__ import annotations

from errno import EBADF

from ..errors import RefusedError
from ..kernel.profile import Profile
from ..model.vm import Vm
from ..rules.answer import Accepted, Refused, Undetermined, Unmodelled
from ..state.guest_memfd import GuestMemfd
from ..state.process import Host
from ..trace.decode import CLONE
from ..trace.event import Event
from ..uapi.abi import GUEST_MEMFD_FLAG_MMAP, KVM_MEM_GUEST_MEMFD
from ..uapi.region import Request
from .calls import CONFIGURING_CALLS, answer_of
from .follow import follow_accepted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Outcome = Accepted | Refused | Undetermined | Unmodelled

MAPPING_CALLS = frozenset(("mmap", "munmap", "mremap", "mprotect"))
REGION_CALLS = ("KVM_SET_USER_MEMORY_REGION", "KVM_SET_USER_MEMORY_REGION2")

# What a step comes to
ACCEPTED, REFUSED, DIFFERS = "accepted", "refused", "differs"
UNDETERMINED, INCOMPLETE, ECHO, OTHER = "undetermined", "incomplete", "echo", "other"
VERDICTS = {
    ACCEPTED: "observed and expected: accepted",
    REFUSED: "observed and expected: refused",
    DIFFERS: "the model expects another answer than the one observed",
    UNDETERMINED: "the model cannot tell: a fact was not observed",
    INCOMPLETE: "arguments were not recorded",
    ECHO: "the same call again, as an error message",
    OTHER: "not about memory slots",
}


class TrackedVm:
    """One VM of a recording and what is known of its history."""

    __slots__ = ("from_start", "last_step", "made_by", "name", "process", "running", "uncertain_since", "vm")

    def __init__(self, name: str, vm: Vm, *, from_start: bool, process: str | None) -> None:
        self.name = name
        self.process = process
        """What the recording calls its process; None if it names none."""
        self.vm = vm
        self.from_start = from_start
        """Was its creation recorded?  If not, it may have slots that nobody saw."""
        self.uncertain_since = 0
        """Step from which its slots are no longer certain; 0 if they are."""
        self.running = False
        """Has it a vCPU?"""
        self.made_by: dict[int, int] = {}
        """Slot word: the step that made or moved it."""
        self.last_step: Step | None = None


class Step:
    """One call of the recording beside the model's answer, and the totals after it."""

    __slots__ = (
        "assumed", "below_slot", "change", "event", "number", "outcome", "request", "totals", "tracked", "verdict",
    )  # fmt: skip

    def __init__(self, number: int, event: Event, tracked: TrackedVm) -> None:
        self.number = number
        """From 1, over all calls of the recording."""
        self.event = event
        self.tracked = tracked
        self.below_slot = False
        """Is it a mapping call on host memory of one of `tracked`'s slots?"""
        self.request: Request | None = None
        """The region call, if it is one and its arguments are known or could be assumed."""
        self.assumed: tuple[str, ...] = ()
        """Arguments that the recording does not have."""
        self.outcome: Outcome | None = None
        """The model's answer; None where it has none."""
        self.change: Accepted | None = None
        """What the call did to the slots, if it did anything."""
        self.verdict = OTHER
        self.totals: tuple[int, int | None, int] = (0, None, 0)
        """(pages of all slots, MMU budget or None, slots) after the call."""

    @property
    def observed(self) -> int | None:
        """The recorded return value or negated errno."""
        return self.event.result

    @property
    def is_region(self) -> bool:
        """Is it a region call?"""
        return self.event.call in REGION_CALLS

    def __repr__(self) -> str:
        return f"<Step {self.number} {self.event.call} {self.observed} {self.verdict}>"


class Replay:
    """Replays events on one profile; iterate over it once."""

    def __init__(self, events: Iterable[Event], profile: Profile, *, irqchip: bool = False) -> None:
        """irqchip: VMs whose creation was not recorded have an in-kernel irqchip and a vCPU."""
        self.profile = profile
        self._irqchip = irqchip
        self.vms: list[TrackedVm] = []
        """All VMs met, in order."""
        self._events = events
        self._by_fd: dict[tuple[str | None, int], TrackedVm] = {}
        """By program and fd: numbers mean nothing in another process."""
        self._current: TrackedVm | None = None
        self._elsewhere: set[int] = set()
        """Threads of processes that were forked: their memory is not that of the VM's process."""

    def __iter__(self) -> Iterator[Step]:
        for number, event in enumerate(self._events, 1):
            behind = self._behind(event) if event.call in MAPPING_CALLS else None
            step = Step(number, event, behind or self._tracked(event))
            step.below_slot = behind is not None
            self._take(step)
            vm = step.tracked.vm
            step.totals = (vm.total_pages, vm.mmu_budget, vm.state.nr_slots)
            yield step
            step.tracked.last_step = step

    def _tracked(self, event: Event) -> TrackedVm:
        """The VM that the event is about; a new one for KVM_CREATE_VM or an fd never seen."""
        if event.call in _CHILD_CALLS and event.result is not None and event.result > 0:
            own_memory = not (event.get("flags") or 0) & _CLONE_VM
            if own_memory or event.pid in self._elsewhere:
                self._elsewhere.add(event.result)
        if event.call == "KVM_CREATE_VM" and (event.result is None or event.result >= 0):
            made = self._new_vm(f"VM {len(self.vms) + 1}", event, from_start=True)
            if event.new_fd is not None:
                self._by_fd[event.vm, event.new_fd] = made
            return made
        if event.fd is not None and event.call in VM_FD_CALLS:
            key = (event.vm, event.fd)
            known = self._by_fd.get(key)
            if known is None:
                known = self._by_fd[key] = self._adopt(event)
            self._current = known
            return known
        if self._current is None:
            # calls on /dev/kvm itself: asked of a VM that is none of the recording's
            made = self._new_vm("/dev/kvm", event, from_start=False)
            self.vms.pop()
            if event.call in REGION_CALLS:
                made.name = "VM 1"
                self.vms.append(made)
                return made
            self._current = None
            return made
        return self._current

    def _adopt(self, event: Event) -> TrackedVm:
        """An fd without a recorded creation: the one VM whose creation gave no fd, or a new one."""
        unplaced = [tracked for tracked in self.vms if tracked not in self._by_fd.values()]
        if unplaced and event.vm is None:
            return unplaced[-1]
        owner = f" of {event.vm}" if event.vm else ""
        return self._new_vm(f"VM on fd {event.fd}{owner}", event, from_start=False)

    def _behind(self, event: Event) -> TrackedVm | None:
        """The VM with a slot on the host memory that a mapping call is about."""
        first, nbytes = event.result if event.call == "mmap" else event.get("addr"), event.get("length")
        if event.pid in self._elsewhere or not first or not nbytes or not 0 < first <= first + nbytes <= 1 << 64:
            return None
        for tracked in self.vms:
            spaces = range(len(tracked.vm.state.spaces))
            if tracked.process == event.vm and any(
                tracked.vm.slots_at_hva(first, first + nbytes, as_id) for as_id in spaces
            ):
                return tracked
        return None

    def _new_vm(self, name: str, event: Event, *, from_start: bool) -> TrackedVm:
        """A VM first met in this event, which made it if `from_start`."""
        vm_type = (event.get("type") or 0) if from_start else 0
        host = Host(mappings_known=False, fds_known=False)
        try:
            vm = Vm(self.profile, vm_type, host=host)
        except RefusedError:
            vm = Vm(self.profile, host=host)  # the step itself says that the model would refuse the type
        if not from_start and self.profile.arch.name == "arm64":
            vm.state.machine.forget_vm_type()
        if not from_start and self._irqchip:
            vm.create_irqchip()
            vm.create_vcpu(0)
        tracked = TrackedVm(name, vm, from_start=from_start, process=event.vm)
        self.vms.append(tracked)
        self._current = tracked
        return tracked

    def _take(self, step: Step) -> None:
        if _is_echo(step):
            step.verdict = ECHO
        elif step.is_region:
            self._take_region(step)
        elif step.event.call in CONFIGURING_CALLS:
            step.outcome = answer_of(step.event, step.tracked.vm)
            step.verdict = _compare(step)
            if step.event.call == "KVM_CREATE_VCPU" and (step.observed or 0) >= 0:
                step.tracked.running = True

    def _take_region(self, step: Step) -> None:
        tracked, event = step.tracked, step.event
        request, step.assumed = _request_of(event, tracked.vm)
        if request is None:
            step.verdict = INCOMPLETE
            if event.result == 0 and not tracked.uncertain_since:
                tracked.uncertain_since = step.number
            return
        step.request = request
        _learn_guest_memfd(tracked.vm, request, event)
        if event.result is None or event.result == 0:
            outcome = tracked.vm.what_if(request)
            if event.result == 0 or isinstance(outcome, Accepted):
                step.change = follow_accepted(tracked.vm, request, outcome)
        else:
            # a refused change that had begun leaves traces: let the model leave them too
            before = tracked.vm.what_if(request)
            outcome = tracked.vm.submit(request) if isinstance(before, Refused) else before
        step.outcome = outcome
        step.verdict = _compare(step)
        if step.verdict == DIFFERS and not tracked.uncertain_since:
            tracked.uncertain_since = step.number
        if step.change is not None and step.change.new is not None:
            tracked.made_by[request.slot] = step.number


_CHILD_CALLS = frozenset(("fork", "vfork", "clone"))
_CLONE_VM = CLONE["CLONE_VM"]
_UNKNOWN_BYTES = (1 << 63) - 1
VM_FD_CALLS = frozenset(REGION_CALLS) | CONFIGURING_CALLS - {"KVM_CREATE_VM", "KVM_CHECK_EXTENSION"}
_ASSUMED_HVA = 1 << 20
"""Low and aligned for every page and segment size: an address that was not recorded shall refuse nothing."""


def _request_of(event: Event, vm: Vm) -> tuple[Request | None, tuple[str, ...]]:
    """The region call of an event, with what it lacks filled in as harmlessly as possible."""
    fields = event.fields
    if "slot" not in fields or "memory_size" not in fields or "guest_phys_addr" not in fields:
        return None, ()
    region2 = event.call.endswith("2")
    assumed = [name for name in ("flags", "userspace_addr") if name not in fields]
    slot = vm.slot(fields["slot"])
    flags = fields.get("flags", slot.flags & 7 if slot is not None else 0)
    hva = fields.get("userspace_addr")
    if hva is None:
        hva = slot.userspace_addr if slot is not None else _ASSUMED_HVA
    try:
        request = Request(
            fields["slot"], flags, fields["guest_phys_addr"], fields["memory_size"], hva,
            fields.get("guest_memfd", 0), fields.get("guest_memfd_offset", 0), region2,
        )  # fmt: skip
    except (ValueError, TypeError):
        return None, ()
    return request, tuple(assumed)


def _learn_guest_memfd(vm: Vm, request: Request, event: Event) -> None:
    """A file descriptor passed as guest_memfd, and not answered with EBADF, is one: its size is not known."""
    if not request.flags & KVM_MEM_GUEST_MEMFD or event.result == -EBADF or request.guest_memfd in vm.host.fds:
        return
    if request.guest_memfd >> 31 == 0:
        vm.host.fds[request.guest_memfd] = GuestMemfd(_UNKNOWN_BYTES, GUEST_MEMFD_FLAG_MMAP, vm.state.uid)


def _is_echo(step: Step) -> bool:
    """Does an error message only repeat the call before it?"""
    event, last = step.event, step.tracked.last_step
    if event.format != "message" or last is None or not step.is_region:
        return False
    if event.result is None or last.observed != event.result or not (last.is_region or last.verdict == ECHO):
        return False
    seen = last.event.fields
    return all(seen.get(name, value) == value for name, value in event.fields.items())


def _compare(step: Step) -> str:
    outcome, observed = step.outcome, step.observed
    if outcome is None:
        return OTHER
    if isinstance(outcome, (Undetermined, Unmodelled)):
        return UNDETERMINED if observed is None or step.is_region else OTHER
    if observed is None:
        return ACCEPTED if outcome.accepted else REFUSED
    expected = outcome.result
    if observed < 0 or expected < 0:
        same = observed == expected
    else:
        # a file descriptor is any number; a capability's value counts
        same = step.event.call not in ("KVM_CHECK_EXTENSION", "KVM_GET_NR_MMU_PAGES") or observed == expected
    if same:
        return ACCEPTED if observed >= 0 else REFUSED
    return DIFFERS
