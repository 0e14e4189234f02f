"""Recording a program that is started here, or one that runs already.

A started program carries a filter that stops it at memory calls only.  A
running one cannot be given a filter, so all its system calls stop: slower, but
it can be left again at any time.
"""

from __future__ import annotations

import os
import signal
import threading

from ..errors import DeviceUnavailableError
from .beginning import begin_stopped
from .file import RecordingFile
from .seccomp import Filter, check_machine
from .signals import held, on_leaving, pass_on
from .start import EndedTooEarlyError, start
from .tracer import Tracer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from concurrent.futures import ThreadPoolExecutor
    from typing import TypeVar

    from .beginning import Beginning

    T = TypeVar("T")


_TRACES_ITSELF = (
    "the program tried to trace another (a debugger, a leak or crash checker) and was refused,"
    " because the recorder traces it: record such programs with --bpf"
)


class Recorded:
    """What came of a recording."""

    __slots__ = ("beginning", "calls", "lost", "path", "processes", "remark", "status")

    def __init__(
        self,
        path: str,
        calls: int,
        processes: int,
        status: int,
        lost: int | None = 0,
        remark: str = "",
        beginning: Beginning | None = None,
    ) -> None:
        self.path = path
        """Where the recording is; empty if there is none."""
        self.calls = calls
        self.processes = processes
        """Threads and processes seen."""
        self.status = status
        """How the program ended, as waitpid gives it; 0 for one that was left running."""
        self.lost = lost
        """Calls that were seen to begin and are not in the recording; None if nobody knows."""
        self.remark = remark
        """Why calls are missing, or the whole recording."""
        self.beginning = beginning
        """What a recording of something that ran already began with."""

    @property
    def exit_code(self) -> int:
        """The exit status, or the negated number of the signal that ended it."""
        return os.waitstatus_to_exitcode(self.status)


def record(
    command: Sequence[str], path: str, *, stdout: int | None = None, mappings: bool = False,
    runs: bool = False, backtraces: bool = False, arguments: bool = False,
    inherited: Iterable[int] = (), for_good: bool = False,
) -> Recorded:  # fmt: skip
    """Run a command and record it and all it starts; returns when the last of them has ended.

    stdout: descriptor for its standard output, instead of ours.  mappings: also mmap, munmap,
    mremap and mprotect.  runs: KVM_RUN stops too, so that failed ones and the number of vCPUs in it
    are seen, at a price.  backtraces: of refused calls, the functions that led to them (x86-64).
    arguments: the recording names the command's arguments too.  inherited:
    descriptors that are for the program alone, and are closed here once it has them.  for_good:
    signals are not minded any more afterwards, as the caller is about to end as the program did.
    Raises OSError for a command that cannot be run, DeviceUnavailableError where nothing can be
    traced.
    """
    check_machine()
    with RecordingFile(path, command, "ptrace with a seccomp filter", arguments=arguments) as file:
        return follow(
            command, file, Filter(mappings=mappings, runs=runs),
            lambda root: Tracer(
                file, root, mappings=mappings, runs=runs, backtraces=backtraces
            ),
            stdout=stdout, inherited=inherited, for_good=for_good,
        )  # fmt: skip


def follow(
    command: Sequence[str], file: RecordingFile, seccomp: Filter,
    make_tracer: Callable[[int], Tracer], *, stdout: int | None = None,
    inherited: Iterable[int] = (), for_good: bool = False,
) -> Recorded:  # fmt: skip
    """Run a command under a filter, followed by the tracer that is made for its process; otherwise
    as `record`.
    """
    with _Apart() as apart:
        with held() as before:
            try:
                child = apart.run(lambda: start(command, stdout, seccomp, before))
            except EndedTooEarlyError as error:
                return Recorded("", 0, 1, error.status, remark=f"nothing is recorded: {error}")
            tracer = make_tracer(child)
            undo = pass_on(child, tracer.has_root, for_good=for_good)
        try:
            for fd in inherited:
                os.closerange(fd, fd + 1)
            file.begin()
            apart.run(tracer.follow_program)
        finally:
            undo()
        return _recorded(file, tracer)


def attach(pid: int, path: str, *, mappings: bool = False, backtraces: bool = False) -> Recorded:
    """Record a running process until it ends, or until SIGINT or SIGTERM tell us to leave it.

    mappings: also mmap, munmap, mremap and mprotect.  backtraces: as of `record`.
    Raises OSError for one that cannot be traced.
    """
    check_machine()
    if not os.path.isdir("/proc/self/task"):
        raise DeviceUnavailableError(
            "/proc is not mounted: without it nobody knows a process's threads"
        )
    if not os.path.isdir(f"/proc/{pid}/task"):
        raise ProcessLookupError(f"there is no process {pid}")
    with RecordingFile(path, [f"pid {pid}"], "ptrace at every system call") as file:
        with held():
            tracer = Tracer(
                file, root=pid, filtered=False, mappings=mappings, backtraces=backtraces
            )
            tracer.seize_threads(pid)
            undo = on_leaving(tracer.leave)
        try:
            file.begin()
            beginning = begin_stopped(file, pid, tracer.threads(), vcpu=tracer.knows_vcpu)
            tracer.loop()
        finally:
            undo()
        return _recorded(file, tracer, beginning)


def _recorded(file: RecordingFile, tracer: Tracer, beginning: Beginning | None = None) -> Recorded:
    lost = None if tracer.trouble else file.lost
    file.end(tracer.status, lost)
    remark = file.failure or tracer.trouble or (_TRACES_ITSELF if tracer.wants_to_trace else "")
    return Recorded(file.path, file.calls, tracer.processes, tracer.status, lost, remark, beginning)


class _Apart:
    """Runs what waits for children where the caller's own children are not waited for: on a thread
    that has none.
    """

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None

    def __enter__(self) -> _Apart:
        if _has_children():
            from concurrent.futures import ThreadPoolExecutor

            self._threads = ThreadPoolExecutor(1)
        return self

    def run(self, work: Callable[[], T]) -> T:
        """Do the work, always on the same thread, and return what it does."""
        return self._threads.submit(work).result() if self._threads else work()

    def __exit__(self, *_: object) -> None:
        if self._threads:
            self._threads.shutdown()


def _has_children() -> bool:
    try:
        with open(f"/proc/self/task/{threading.get_native_id()}/children") as file:
            return bool(file.read())
    except OSError:
        return False  # a kernel that does not say so, or no /proc


def end_as(recorded: Recorded) -> int:
    """The program's exit code; if a signal ended it, the same signal ends us."""
    code = recorded.exit_code
    if code < 0:
        import resource
        import sys

        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (AttributeError, OSError):
                continue  # closed, or its disk is full: no reason to end in another way
        # the program has dumped its core, if it did: ours would overwrite it
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        signal.signal(-code, signal.SIG_DFL) if -code not in (
            signal.SIGKILL,
            signal.SIGSTOP,
        ) else None
        os.kill(os.getpid(), -code)
        return 128 - code
    return code
