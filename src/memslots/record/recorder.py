"""Recording a program that is started here, or one that runs already.

A started program carries a filter that stops it at memory calls only.  A
running one cannot be given a filter, so all its system calls stop: slower, but
it can be left again at any time.
"""

from __future__ import annotations

import os
import signal
import time

from ..trace import decode as words
from . import ptrace
from .beginning import begin_stopped
from .calls import call_of
from .file import RecordingFile
from .mappings import CLONE, FORK, MMAP, MMAP2, NUMBERS, PAGE_BYTES, MappingCall
from .processes import process_of
from .seccomp import IOCTL_NUMBERS, Filter, check_machine
from .start import start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..uapi.calls import Call
    from .beginning import Beginning

    Pending = tuple[Call | MappingCall, int, int, tuple[int, ...]]

_GROUP_STOPS = frozenset((signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU))
PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class Recorded:
    """What came of a recording."""

    __slots__ = ("beginning", "calls", "lost", "path", "processes", "status")

    def __init__(
        self,
        path: str,
        calls: int,
        processes: int,
        status: int,
        lost: int | None = 0,
        beginning: Beginning | None = None,
    ) -> None:
        self.path = path
        self.calls = calls
        self.processes = processes
        """Threads and processes seen."""
        self.status = status
        """How the program ended, as waitpid gives it; 0 for one that was left running."""
        self.lost = lost
        """Calls that were seen to begin and are not in the recording; None if nobody knows."""
        self.beginning = beginning
        """What a recording of something that ran already began with."""

    @property
    def exit_code(self) -> int:
        """The exit status, or the negated number of the signal that ended it."""
        return os.waitstatus_to_exitcode(self.status)


def record(command: Sequence[str], path: str, *, stdout: int | None = None, mappings: bool = False) -> Recorded:
    """Run a command and record it and all it starts; returns when the last of them has ended.

    stdout: descriptor for its standard output, instead of ours.  mappings: also mmap, munmap, mremap and mprotect.
    Raises OSError for a command that cannot be run, DeviceUnavailableError where nothing can be traced.
    """
    check_machine()
    with RecordingFile(path, command, "ptrace with a seccomp filter") as file:
        # a signal that comes before there is somebody to pass it on waits
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (*PASSED_ON, signal.SIGINT, signal.SIGQUIT))
        try:
            child = start(command, stdout, Filter(mappings=mappings), before)
            tracer = Tracer(file, root=child, mappings=mappings)
            undo = tracer.pass_signals_on()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        try:
            tracer.loop()
        finally:
            undo()
        file.end(tracer.status)
        return Recorded(path, file.calls, tracer.processes, tracer.status)


def attach(pid: int, path: str, *, mappings: bool = False) -> Recorded:
    """Record a running process until it ends, or until SIGINT or SIGTERM tell us to leave it.

    mappings: also mmap, munmap, mremap and mprotect.
    Raises OSError for one that cannot be traced.
    """
    check_machine()
    if not os.path.isdir(f"/proc/{pid}/task"):
        raise ProcessLookupError(f"there is no process {pid}")
    with RecordingFile(path, [f"pid {pid}"], "ptrace at every system call") as file:
        tracer = Tracer(file, root=pid, filtered=False, mappings=mappings)
        tracer.seize_threads(pid)
        undo = tracer.leave_on_signal()
        try:
            beginning = begin_stopped(file, pid, tracer.threads())
            tracer.loop()
        finally:
            undo()
        file.end(tracer.status)
        return Recorded(path, file.calls, tracer.processes, tracer.status, beginning=beginning)


class Tracer:
    """Follows every thread of a tree of processes."""

    def __init__(self, file: RecordingFile, root: int, *, filtered: bool = True, mappings: bool = False) -> None:
        self.file = file
        self.root = root
        self.status = 0
        self.processes = 1
        self._filtered = filtered
        self._mappings = mappings
        self._resume = ptrace.CONT if filtered else ptrace.SYSCALL
        self._pending: dict[int, Pending] = {}
        """Thread: the call in which it is."""
        self._known: set[int] = {root}
        self._early: set[int] = set()
        """Threads that were seen before their parent's stop announced them."""
        self._leaving = False
        self._memory = ptrace.Memory()

    # -- beginnings and endings

    def seize_threads(self, pid: int) -> None:
        """Seize all threads of a process, those too that appear meanwhile.  Raises OSError."""
        seized: set[int] = set()
        while True:
            new = {int(name) for name in os.listdir(f"/proc/{pid}/task")} - seized
            if not new:
                return
            for tid in new:
                try:
                    ptrace.demand(ptrace.SEIZE, tid, 0, ptrace.FOLLOW)
                except ProcessLookupError:
                    continue
                except PermissionError as error:
                    raise PermissionError(error.errno, _attach_advice(pid)) from None
                finally:
                    seized.add(tid)
                self._known.add(tid)
                ptrace.ask(ptrace.INTERRUPT, tid)
            self.processes = len(self._known)

    def threads(self) -> list[int]:
        """The threads that are followed now."""
        return list(self._known)

    def pass_signals_on(self) -> Undo:
        """What the terminal sends reaches the program by itself; what is sent to us is passed on to it."""
        undo = Undo()
        for number in (signal.SIGINT, signal.SIGQUIT):
            undo.set(number, signal.SIG_IGN)
        for number in PASSED_ON:
            undo.set(number, self._forward)
        return undo

    def _forward(self, number: int, _frame: object) -> None:
        # the root is ours until its end was taken with waitpid, so its number means no one else
        if self.root in self._known:
            os.kill(self.root, number)

    def leave_on_signal(self) -> Undo:
        """SIGINT, SIGTERM and SIGHUP make us let go of all threads."""
        undo = Undo()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            undo.set(number, self._leave)
        return undo

    def _leave(self, _number: int, _frame: object) -> None:
        self._leaving = True
        for tid in tuple(self._known):
            ptrace.ask(ptrace.INTERRUPT, tid)

    # -- the loop

    def loop(self) -> None:
        """Follow until no thread is left."""
        waitpid, wall = os.waitpid, ptrace.WALL
        seccomp_stop = (ptrace.EVENT_SECCOMP << 16) | (signal.SIGTRAP << 8) | 0x7F
        syscall_stop = ((signal.SIGTRAP | 0x80) << 8) | 0x7F
        while True:
            try:
                tid, status = waitpid(-1, wall)
            except ChildProcessError:
                break
            if status == seccomp_stop:
                self._entered(tid)
            elif status == syscall_stop:
                self._at_call(tid)
            elif status & 0xFF == 0x7F:
                self._stopped(tid, status >> 16, status >> 8 & 0xFF)
            else:
                self._ended(tid, status)
            if not self._known:
                break
        for tid in tuple(self._pending):
            self._unfinished(tid)
        self._memory.close()

    def _entered(self, tid: int) -> None:
        """At the entry of a call that the filter picked out: remember it, and stop again at its exit."""
        entry = ptrace.call_at(tid)
        if entry is not None:
            self._look(tid, entry)
        ptrace.ask(ptrace.SYSCALL, tid)

    def _look(self, tid: int, entry: tuple[int, int, int, int, int, int]) -> None:
        """A call of any kind begins: is it one to keep?"""
        _, arch, number, first, second, third = entry
        if number in IOCTL_NUMBERS.get(arch, ()):
            self._begin(tid, first, second, third)
        elif self._mappings:
            call = NUMBERS.get(arch, {}).get(number)
            if call is not None:
                arguments = ptrace.arguments()
                fd = _signed(arguments[4]) if call is MMAP else -1
                values = call.values(arguments, PAGE_BYTES if arch in MMAP2 else 1)
                self._pending[tid] = (call, time.time_ns(), fd, values)

    def _begin(self, tid: int, fd: int, request: int, argument: int) -> None:
        call = call_of(request)
        if call is None:
            return
        values: tuple[int, ...] = ()
        if call.is_number:
            values = (argument,)
        elif call.has_structure:
            data = self._memory.read(tid, argument, call.struct.size)
            if data is not None:
                values = call.struct.unpack_from(data)
        self._pending[tid] = (call, time.time_ns(), _signed(fd), values)

    def _at_call(self, tid: int) -> None:
        """At the exit of a call; without a filter also at the entry of any."""
        pending = self._pending.pop(tid, None)
        if pending is not None:
            result = ptrace.result_at(tid)
            call, time_ns, fd, values = pending
            self.file.add(call, tid, time_ns, result, fd, values)
        elif not self._filtered:
            entry = ptrace.call_at(tid)
            if entry is not None and entry[0] == ptrace.INFO_ENTRY:
                self._look(tid, entry)
        if self._leaving:
            self._let_go(tid, 0)
        else:
            ptrace.ask(self._resume, tid)

    def _stopped(self, tid: int, event: int, number: int) -> None:
        if tid not in self._known:
            self._early.add(tid)
            self._meet(tid)
        if event in ptrace.EVENTS_OF_CHILDREN:
            child = ptrace.message_at(tid)
            if child in self._early:
                self._early.discard(child)
            elif child:
                self._meet(child)
        if event == ptrace.EVENT_EXEC:
            self._unfinished(tid)  # a call in which the process's first thread was, if another executed
            self._memory.forget(tid)
        if self._leaving:
            self._let_go(tid, 0 if event else number)
        elif event == ptrace.EVENT_STOP and number in _GROUP_STOPS:
            ptrace.ask(ptrace.LISTEN, tid)  # stays stopped, as it would be without us
        else:
            resume = ptrace.SYSCALL if tid in self._pending else self._resume
            ptrace.ask(resume, tid, 0, 0 if event else number)

    def _meet(self, tid: int) -> None:
        """A new thread: it stopped, or its parent was told its number."""
        self._known.add(tid)
        self.processes += 1
        ids = process_of(tid) if self._mappings else None
        if ids is not None:
            process, parent = ids
            if process == tid:
                self.file.add(FORK, parent, time.time_ns(), tid, -1, ())
            else:
                self.file.add(CLONE, process, time.time_ns(), tid, -1, (words.CLONE["CLONE_VM"],))

    def _let_go(self, tid: int, number: int) -> None:
        if tid in self._pending:
            self._unfinished(tid)
        ptrace.ask(ptrace.DETACH, tid, 0, number)
        self._known.discard(tid)

    def _ended(self, tid: int, status: int) -> None:
        self._unfinished(tid)
        self._memory.forget(tid)
        if tid in self._known:
            self._known.discard(tid)
        else:
            self._early.add(tid)
            self.processes += 1
        if tid == self.root:
            self.status = status

    def _unfinished(self, tid: int) -> None:
        """The thread is gone, or has become another program, in the middle of a call."""
        pending = self._pending.pop(tid, None)
        if pending is not None:
            call, time_ns, fd, values = pending
            self.file.add(call, tid, time_ns, None, fd, values)


def _signed(fd: int) -> int:
    """A file descriptor as the int that the kernel takes it for."""
    fd &= 0xFFFF_FFFF
    return fd - (fd >> 31 << 32)


class Undo:
    """Signal handlers to put back."""

    def __init__(self) -> None:
        self._before: dict[int, object] = {}

    def set(self, number: int, handler: object) -> None:
        """Set a handler, unless this is not the main thread, where Python allows none."""
        try:
            self._before[number] = signal.signal(number, handler)  # type: ignore[arg-type]
        except ValueError:
            return

    def __call__(self) -> None:
        """Put them back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]


def _attach_advice(pid: int) -> str:
    return (
        f"process {pid} may not be traced by you: it belongs to another user, is being traced already,"
        " or kernel.yama.ptrace_scope forbids it (start it with `memslots record -- ...` instead)"
    )


def end_as(recorded: Recorded) -> int:
    """The program's exit code; if a signal ended it, the same signal ends us."""
    code = recorded.exit_code
    if code < 0:
        import resource
        import sys

        sys.stdout.flush()
        sys.stderr.flush()
        # the program has dumped its core, if it did: ours would overwrite it
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), -code)
        return 128 - code
    return code
