"""What a recorded call and the model's answer come to, side by side."""

from __future__ import annotations

from ..errnos import EBADF
from ..model.vm import Vm
from ..rules.answer import Refused, Undetermined, Unmodelled
from ..rules.region.same_id import DELETE_MISSING
from ..state.guest_memfd import GuestMemfd
from ..trace.event import INJECTED, MESSAGE, Event
from ..uapi.calls import VALUE_CALLS
from ..uapi.capabilities import CAPS
from ..uapi.flags import GUEST_MEMFD_FLAG_MMAP
from .step import ACCEPTED, DIFFERS, OTHER, REFUSED, UNDETERMINED, Step
from .tracked_vm import TrackedVm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..rules.answer import Answer

CAPABILITIES_OF_MEMORY = frozenset(
    number
    for name, number in CAPS.items()
    if name.startswith(("KVM_CAP_DIRTY_LOG_RING", "KVM_CAP_MANUAL_DIRTY_LOG"))
    or name in ("KVM_CAP_SPLIT_IRQCHIP", "KVM_CAP_ARM_MTE")
)
"""Those whose answer the model vouches for: they change what slots may do."""
_UNKNOWN_BYTES = (1 << 63) - 1


def tells_of_older_slot(event: Event, answer: Answer, tracked: TrackedVm) -> bool:
    """Whether a call that worked shows a slot that is older than the recording: no surprise, and
    no news.
    """
    if (
        tracked.from_start
        or event.result is None
        or event.result < 0
        or not isinstance(answer, Refused)
    ):
        return False
    from ..rules.dirty_log import NOT_LOGGING

    slot = event.get("slot")
    is_missing = answer.rule in (DELETE_MISSING, NOT_LOGGING)
    return is_missing and slot is not None and tracked.vm.slot(slot) is None


def learn_guest_memfd(vm: Vm, event: Event, fd: int) -> None:
    """A descriptor passed as guest_memfd, and not answered with EBADF, is one: its size is not
    known.
    """
    if event.result == -EBADF or fd in vm.process.fds or vm.process.fds_known:
        return
    if fd >> 31 == 0:
        vm.process.open(fd, GuestMemfd(_UNKNOWN_BYTES, GUEST_MEMFD_FLAG_MMAP, vm.state.uid))


def is_echo(step: Step, tracked: TrackedVm) -> bool:
    """Whether an error message only repeats the call before it."""
    event, last = step.event, tracked.last_event
    if event.format != MESSAGE or last is None or not step.is_region:
        return False
    if event.result is None or last.result != event.result or not tracked.last_is_repeatable:
        return False
    seen = last.fields
    return all(seen.get(name, value) == value for name, value in event.fields.items())


def _is_about_something_else(event: Event) -> bool:
    """Whether a capability is none of memory: what decides those is not in the recording."""
    return event.call == "KVM_ENABLE_CAP" and event.get("cap") not in CAPABILITIES_OF_MEMORY


def compare(step: Step) -> str:
    """What the answer of the model is beside the observed one."""
    answer, observed = step.answer, step.observed
    if answer is None:
        return OTHER
    if step.event.answered_by == INJECTED:
        return REFUSED
    if isinstance(answer, (Undetermined, Unmodelled)):
        return UNDETERMINED if observed is None or step.is_region else OTHER
    if observed is None:
        return ACCEPTED if answer.accepted else REFUSED
    expected = answer.result
    if observed < 0 or expected < 0:
        same = observed == expected
    else:
        # a file descriptor is any number; a capability's value counts
        same = step.event.call not in VALUE_CALLS or observed == expected
    if same:
        return ACCEPTED if observed >= 0 else REFUSED
    return OTHER if _is_about_something_else(step.event) else DIFFERS
