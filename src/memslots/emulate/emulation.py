"""Running a program as if on another kernel."""

from __future__ import annotations

import os
import tempfile

from ..errors import DeviceUnavailableError
from ..kernel.names import find
from ..record.recorder import Recorded, follow
from ..record.registers import can_answer
from ..record.seccomp import Filter, check_machine
from .differences import differences, host_spaces, profile_like_here
from .emulated_file import EmulatedFile
from .emulating_tracer import EmulatingTracer
from .faking_tracer import FakingTracer, faked_kind_of, run_result
from .injection import injections_of
from .other_kernel import OtherKernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ..kernel.profile import Profile
    from .injection import Injection
    from .words import Remark, Shortfall


class Emulated(Recorded):
    """What came of an emulation: its recording, who answered, and where it was not true."""

    __slots__ = (
        "answered", "differences", "injections", "kernel", "remarks", "remarks_left_out",
    )  # fmt: skip

    def __init__(self, recorded: Recorded, kernel: str) -> None:
        super().__init__(
            recorded.path, recorded.calls, recorded.processes, recorded.status, recorded.lost,
            recorded.remark,
        )  # fmt: skip
        self.kernel = kernel
        """The name of the kernel; empty: the host's, and calls were injected only."""
        self.answered: dict[str, int] = {}
        """Who: how many calls."""
        self.differences: list[Shortfall] = []
        """What of that kernel this machine cannot be."""
        self.remarks: list[Remark] = []
        """Calls whose answer was not that kernel's, or may not be."""
        self.remarks_left_out = 0
        self.injections: list[Injection] = []


def kernel_named(
    name: str, *, slots: int | None = None, facts: Sequence[str] = (), host: Sequence[str] = ()
) -> Profile:
    """The kernel to emulate: see `profile_like_here`.  Raises UnknownKernelError."""
    return profile_like_here(name, slots=slots, facts=facts, host=host)


def emulate(
    command: Sequence[str],
    path: str,
    profile: Profile | None = None,
    *,
    inject: Iterable[str | Injection] = (),
    stdout: int | None = None,
    arguments: bool = False,
    inherited: Iterable[int] = (),
    for_good: bool = False,
    started: Callable[[list[Shortfall]], object] | None = None,
    no_kvm: bool = False,
    run_exit: str = "hlt",
) -> Emulated:
    """Run a command and all that it starts on the host, answered as the kernel of `profile` would.

    path: where the recording goes.  profile: None: the host answers, and calls are injected only.
    inject: expressions as of `injection`.  started: is told before the program runs what of that
    kernel this machine cannot be.  no_kvm: /dev/kvm is faked; run_exit: what KVM_RUN gives then.
    The others: as of `record`.  Raises OSError for a
    command that cannot be run, DeviceUnavailableError where nothing can be traced, ValueError for
    an expression that is wrong.
    """
    check_machine()
    if not can_answer():
        raise DeviceUnavailableError(
            "calls are answered in registers, which is written for x86-64 only: "
            f"this machine is {os.uname().machine}"
        )
    injections = injections_of(inject)
    run_answer = run_result(run_exit)
    if no_kvm and profile is None:
        raise ValueError("without /dev/kvm only a model can answer: name the kernel")
    runs = no_kvm or any("KVM_RUN" in injection.calls for injection in injections)
    name = "" if profile is None else profile.name
    kernel = OtherKernel(
        find("host") if profile is None else profile,
        *((faked_kind_of, "") if no_kvm else ()),
    )
    found = [] if profile is None else differences(profile, has_kvm=not no_kvm)
    if started is not None:
        started(found)
    spaces = 0 if no_kvm else host_spaces()
    followed: list[EmulatingTracer] = []
    file = EmulatedFile(path, command, name, arguments=arguments)

    def make_tracer(root: int) -> EmulatingTracer:
        make = FakingTracer if no_kvm else EmulatingTracer
        tracer = make(
            file, root, kernel, injections, decides=profile is not None, runs=runs, spaces=spaces
        )
        if isinstance(tracer, FakingTracer):
            tracer.prepare(run_answer)
        followed.append(tracer)
        return tracer

    with file:
        recorded = follow(
            command, file, Filter(runs=runs, faked=no_kvm), make_tracer, stdout=stdout,
            inherited=inherited, for_good=for_good,
        )  # fmt: skip
    emulated = Emulated(recorded, name)
    emulated.injections = injections
    emulated.differences = found
    for tracer in followed:
        emulated.answered = tracer.answered
        emulated.remarks, emulated.remarks_left_out = tracer.remarks, tracer.remarks_left_out
    return emulated


def run(
    command: Sequence[str],
    *,
    kernel: str | Profile | None = None,
    inject: Iterable[str | Injection] = (),
    path: str | None = None,
    slots: int | None = None,
    facts: Sequence[str] = (),
    host: Sequence[str] = (),
    stdout: int | None = None,
    no_kvm: bool = False,
    run_exit: str = "hlt",
) -> Emulated:
    """Run a command as if on a kernel given by name; the recording is kept where `path` says, or in
    a temporary file.  The others: as of `emulate`.
    """
    profile = (
        kernel
        if not isinstance(kernel, str)
        else kernel_named(kernel, slots=slots, facts=facts, host=host)
    )
    if path is None:
        number, path = tempfile.mkstemp(prefix="memslots-", suffix=".rec")
        os.close(number)
    return emulate(
        command, path, profile, inject=inject, stdout=stdout, no_kvm=no_kvm, run_exit=run_exit
    )
