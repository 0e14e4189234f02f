"""Whether a vCPU could look at guest memory while there was none: between two calls."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.vm import Vm
    from ..trace.event import Event


def vcpus_in_run(*events: Event) -> int | None:
    """The most vCPUs that were in KVM_RUN at one of the calls; None if the recording does not
    say.
    """
    most: int | None = None
    for event in events:
        vcpus = event.moment()[2]
        if vcpus is not None and (most is None or vcpus > most):
            most = vcpus
    return most


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
    threads = {deleted.moment()[0], event.moment()[0]}
    is_alone = len(vm.state.config.vcpu_ids) == 1 and None not in threads
    return is_alone and threads == vcpu_threads


def time_between(first: Event, last: Event) -> int | None:
    """Nanoseconds from one call to another; None if the recording does not say."""
    begin_ns, end_ns = first.moment()[1], last.moment()[1]
    return None if begin_ns is None or end_ns is None else end_ns - begin_ns
