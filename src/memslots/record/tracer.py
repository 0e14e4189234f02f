"""Following every thread of a tree of processes with ptrace.

A thread is let go at the first step of its end, when it makes no more calls.
From there its parent sees what it would see without us: a tracer that kept it
would have to be waited for first, and a parent that learned of the end by a
pidfd and asks without waiting would find nobody.
"""

from __future__ import annotations

import os
import signal
import time

from ..trace import decode
from ..uapi.calls import REGION_CALLS
from . import ptrace, registers
from .backtrace import Backtraces
from .calls import call_of
from .interruptions import INTERRUPTED, STOPPING, Interruptions
from .mappings import CLONE, EXIT, FORK, MMAP, MMAP2, NUMBERS, PAGE_BYTES, MappingCall
from .memory import Memory
from .processes import attach_advice, is_alive, is_last_thread, process_of, tracer_of
from .runs import PLAIN_RUN, RUN_REQUEST, RunCall, Runs, failed_run, has_failed
from .seccomp import CLONE_NUMBERS, CLONE_UNTRACED, IOCTL_NUMBERS, OURS, PTRACE_NUMBERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..uapi.calls import Call
    from .file import RecordingFile

    Pending = tuple[Call | MappingCall | RunCall, int, int, tuple[int, ...], int | None]


class Tracer:
    """Follows every thread of a tree of processes."""

    def __init__(
        self, file: RecordingFile, root: int, *, filtered: bool = True, mappings: bool = False,
        runs: bool = False, backtraces: bool = False,
    ) -> None:  # fmt: skip
        self.file = file
        self.root = root
        self.status = 0
        self.processes = 1
        self._filtered = filtered
        self._mappings = mappings
        self._runs = Runs() if runs or not filtered else None
        """None where KVM_RUN does not stop."""
        self._backtraces = Backtraces() if backtraces else None
        self._vm_makers: set[int] = set()
        """Processes that have made a VM."""
        self._pids: dict[int, int] = {}
        """Thread: its process, where that was asked."""
        self._resume = ptrace.CONT if filtered else ptrace.SYSCALL
        self._pending: dict[int, Pending] = {}
        """Thread: the call in which it is."""
        self._known: set[int] = {root}
        self._early: set[int] = set()
        """Threads that were seen before their parent's stop announced them."""
        self._let_die: set[int] = set()
        """Threads that were let go at their end.

        Children of ours among them are to be waited for all the same.
        """
        self._leaving = False
        self.wants_to_trace = False
        """Whether the program tried to trace, or to be traced: it cannot, as we do."""
        self.trouble = ""
        """What went wrong here; the program goes on without regard to it."""
        self._memory = Memory()
        self._interruptions = Interruptions()

    def has_root(self) -> bool:
        """Whether the first process is there, at least as one that was not waited for."""
        return self.root in self._known

    def threads(self) -> list[int]:
        """The threads that are followed now."""
        return list(self._known)

    def knows_vcpu(self, pid: int, vm_fd: int, vcpu_fd: int) -> None:
        """A vCPU was there before the recording."""
        if self._runs is not None:
            self._runs.made(pid, vm_fd, vcpu_fd)

    # -- beginnings and endings

    def seize_threads(self, pid: int) -> None:
        """Seize all threads of a process, those too that appear meanwhile.  Raises OSError."""
        seized: set[int] = set()
        alive = False
        while True:
            new = {int(name) for name in os.listdir(f"/proc/{pid}/task")} - seized
            if not new:
                if not alive:
                    raise ProcessLookupError(f"process {pid} has ended")
                return
            for tid in new:
                try:
                    ptrace.demand(ptrace.SEIZE, tid, 0, ptrace.FOLLOW)
                except ProcessLookupError:
                    continue
                except PermissionError as error:
                    if not is_alive(tid) or tracer_of(tid) == os.getpid():
                        # it has ended, and its parent has not asked how; or one that was seized
                        # has just started it, and so it is followed already
                        continue
                    raise PermissionError(error.errno, attach_advice(pid)) from None
                finally:
                    seized.add(tid)
                alive = True
                self._known.add(tid)
                ptrace.ask(ptrace.INTERRUPT, tid)
            self.processes = len(self._known)

    def leave(self, *_: object) -> None:
        """Let go of all threads.  May be a signal's handler."""
        self._leaving = True
        for tid in tuple(self._known):
            ptrace.ask(ptrace.INTERRUPT, tid)

    def follow_program(self) -> None:
        """Let the root, which has just become the program and stands still since, go on; follow
        until all ended.
        """
        self._memory.open(self.root)
        ptrace.ask(self._resume, self.root)
        self.loop()

    # -- the loop

    def loop(self) -> None:
        """Follow until no thread is left."""
        waitpid, children = os.waitpid, ptrace.WAIT
        seccomp_stop = (ptrace.EVENT_SECCOMP << 16) | (signal.SIGTRAP << 8) | 0x7F
        syscall_stop = ((signal.SIGTRAP | 0x80) << 8) | 0x7F
        while self._known:
            try:
                tid, status = waitpid(-1, children)
            except ChildProcessError:
                break
            try:
                if status == seccomp_stop:
                    self._entered(tid)
                elif status == syscall_stop:
                    self._at_call(tid)
                elif status & 0xFF == 0x7F:
                    self._stopped(tid, status >> 16, status >> 8 & 0xFF)
                else:
                    self._ended(tid, status)
            except Exception as error:  # an end of ours would be the program's
                self.trouble = f"{type(error).__name__}: {error}"
                is_signal = status >> 16 == 0 and status != syscall_stop and status & 0xFF == 0x7F
                ptrace.ask(self._resume, tid, 0, status >> 8 & 0xFF if is_signal else 0)
        for tid in tuple(self._pending):
            self._unfinished(tid)
        self._memory.close()
        if self._filtered:
            self._reap()

    def _reap(self) -> None:
        """Wait for those that a process of the tree made our children (CLONE_PARENT): they have
        ended.
        """
        try:
            while os.waitpid(-1, ptrace.WAIT | os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return

    def _entered(self, tid: int) -> None:
        """At the entry of a call that the filter picked out: remember it, and stop again at its
        exit.
        """
        entry = ptrace.call_at(tid)
        if entry is not None:
            if entry[6] == OURS:
                self._look(tid, entry)
            else:
                registers.refuse(tid)  # a filter of the program's own wants a tracer, and has none
        if not self._enter(tid):
            self._pending.pop(
                tid, None
            )  # it was killed here, and the kernel does not make the call

    def _enter(self, tid: int) -> bool:
        """Let a call begin that was looked at; False if the thread is gone."""
        return ptrace.ask(ptrace.SYSCALL, tid)

    def _look(self, tid: int, entry: tuple[int, int, int, int, int, int, int]) -> None:
        """Take up a call of any kind that begins, if it is one to keep."""
        _, arch, number, first, second, third, _ = entry
        if number in IOCTL_NUMBERS.get(arch, ()):
            self._begin(tid, first, second, third)
        elif number in PTRACE_NUMBERS.get(arch, ()):
            self.wants_to_trace |= first in ptrace.BEGINNINGS
        elif number in CLONE_NUMBERS.get(arch, ()):
            if first & CLONE_UNTRACED:
                registers.trace_child(tid, arch, first)
        elif self._mappings:
            call = NUMBERS.get(arch, {}).get(number)
            if call is not None:
                arguments = ptrace.arguments()
                fd = ptrace.as_fd(arguments[4]) if call is MMAP else -1
                values = call.values(arguments, PAGE_BYTES if arch in MMAP2 else 1)
                self._pending[tid] = (call, time.time_ns(), fd, values, None)

    def _begin(self, tid: int, fd: int, request: int, argument: int) -> None:
        call = call_of(request)
        if call is None:
            if self._runs is not None and request & 0xFFFF_FFFF == RUN_REQUEST:
                self._runs.enters(tid, self._pid(tid), ptrace.as_fd(fd))
                self._pending[tid] = (PLAIN_RUN, time.time_ns(), ptrace.as_fd(fd), (), None)
            return
        values: tuple[int, ...] = ()
        if call.is_number:
            values = (argument,)
        elif call.has_structure:
            data = self._memory.read(tid, argument, call.struct.size)
            if data is not None:
                values = call.struct.unpack_from(data)
        inside = None
        if self._runs is not None and call.name in REGION_CALLS:
            inside = self._runs.inside(self._pid(tid), ptrace.as_fd(fd))
        self._pending[tid] = (call, time.time_ns(), ptrace.as_fd(fd), values, inside)

    def _pid(self, tid: int) -> int:
        """The process of a thread; 0 if it is gone."""
        if tid not in self._pids:
            self._pids[tid] = (process_of(tid) or (0,))[0]
        return self._pids[tid]

    def _at_call(self, tid: int) -> None:
        """At the exit of a call; without a filter also at the entry of any."""
        pending = self._pending.pop(tid, None)
        if pending is not None:
            result = ptrace.result_at(tid)
            if result == INTERRUPTED and self._interruptions.undo_at_exit(tid, pending[0]):
                self._made_again(tid)
            else:
                self._returned(tid, pending, result)
        elif not self._filtered:
            entry = ptrace.call_at(tid)
            if entry is not None and entry[0] == ptrace.INFO_ENTRY:
                self._look(tid, entry)
        if self._leaving:
            self._let_go(tid, 0)
        else:
            ptrace.ask(self._resume, tid)

    def _made_again(self, tid: int) -> None:
        """The call that a thread was in will begin once more."""
        if self._runs is not None:
            self._runs.leaves(tid)

    def _returned(self, tid: int, pending: Pending, result: int | None) -> None:
        """A call has come back."""
        call, time_ns, fd, values, inside = pending
        if self._runs is not None:
            if call is PLAIN_RUN:
                self._runs.leaves(tid, result)
                if not has_failed(result):
                    return
                call, values = failed_run(self._memory, tid, fd)
            elif result is not None and result >= 0:
                self._runs.returned(self._pid(tid), fd, call.name, values, result)
        if call.name == "KVM_CREATE_VM" and result is not None and result >= 0:
            self._vm_makers.add(self._pid(tid))
        took_ns = max(0, time.time_ns() - time_ns)
        if self._backtraces is not None and has_failed(result) and call.name.startswith("KVM_"):
            self.file.frames(tid, self._backtraces.frames(tid, self._memory))
        self.file.add(call, tid, time_ns, result, fd, values, inside, took_ns)

    def _stopped(self, tid: int, event: int, number: int) -> None:
        if tid not in self._known:
            self._appear(tid, event)
        if event == ptrace.EVENT_EXIT:
            self._let_end(tid)
            return
        if event in ptrace.EVENTS_OF_CHILDREN:
            child = ptrace.message_at(tid)
            if child in self._early:
                self._early.discard(child)
            elif child:
                self._meet(child)
            if event != ptrace.EVENT_CLONE:
                self._memory.open(child)
        if event == ptrace.EVENT_EXEC:
            self._executed(tid)
        stands = event == ptrace.EVENT_STOP and number in STOPPING
        if stands:
            self._interruptions.stands(tid)
        elif event in (0, ptrace.EVENT_STOP):
            self._interruptions.undo(tid, 0 if event else number)
        if self._leaving:
            self._let_go(tid, 0 if event else number)
        elif stands:
            ptrace.ask(ptrace.LISTEN, tid)  # stays stopped, as it would be without us
        else:
            resume = ptrace.SYSCALL if tid in self._pending else self._resume
            ptrace.ask(resume, tid, 0, 0 if event else number)

    def _appear(self, tid: int, event: int) -> None:
        """A thread that we do not know has stopped."""
        if (
            event == ptrace.EVENT_EXEC
        ):  # with the number of its process, whose first thread has ended before
            self._known.add(tid)
            self._let_die.discard(tid)
        else:
            self._early.add(tid)
            self._meet(tid)

    def _meet(self, tid: int) -> None:
        """A new thread: it stopped, or its parent was told its number."""
        self._known.add(tid)
        self._let_die.discard(tid)
        self.processes += 1
        ids = process_of(tid) if self._mappings else None
        if ids is not None:
            process, parent = ids
            if process == tid:
                self.file.add(FORK, parent, time.time_ns(), tid, -1, ())
            else:
                self.file.add(CLONE, process, time.time_ns(), tid, -1, (decode.CLONE["CLONE_VM"],))

    def _executed(self, tid: int) -> None:
        """A process has become another program: its number is now that of the thread that did
        it.
        """
        former = ptrace.message_at(tid)
        if former and former != tid:
            self._unfinished(former)
            self._memory.forget(former)
            self._known.discard(former)
        self._unfinished(tid)
        self._memory.forget(tid)
        self._memory.open(tid)

    def _let_go(self, tid: int, number: int) -> None:
        if tid in self._pending:
            self._unfinished(tid)
        ptrace.ask(ptrace.DETACH, tid, 0, number)
        self._known.discard(tid)

    def _let_end(self, tid: int) -> None:
        """A thread is about to end.

        Killed once more at this stop it is ours still, and its end will be told.
        """
        pid = self._pid(tid) if self._vm_makers else 0
        self._unfinished(tid)
        self._memory.forget(tid)
        if pid in self._vm_makers and is_last_thread(pid):
            self._vm_makers.discard(pid)
            self.file.add(EXIT, tid, time.time_ns(), ptrace.message_at(tid), -1, ())
        if tid == self.root or self._is_last_of_root(tid):
            self.status = ptrace.message_at(tid)
        if ptrace.ask(ptrace.DETACH, tid):
            self._let_die.add(tid)
            if (
                tid != self.root or not self._filtered
            ):  # the program is our child, and is waited for as such
                self._known.discard(tid)

    def _is_last_of_root(self, tid: int) -> bool:
        """Whether a thread outlives the first one of a process that is not our child: its end is
        the process's.
        """
        if self._filtered or self.root in self._known:
            return False
        return (process_of(tid) or (0,))[0] == self.root

    def _ended(self, tid: int, status: int) -> None:
        self._unfinished(tid)
        self._memory.forget(tid)
        if tid in self._known:
            self._known.discard(tid)
        elif tid in self._let_die:
            self._let_die.discard(tid)
        else:
            self._early.add(tid)
            self.processes += 1
        if tid == self.root:
            self.status = status

    def _unfinished(self, tid: int) -> None:
        """The thread is gone, or has become another program, in the middle of a call."""
        self._interruptions.forget(tid)
        pending = self._pending.pop(tid, None)
        if self._runs is not None:
            self._runs.leaves(tid)
            self._pids.pop(tid, None)
        if pending is not None and pending[0] is not PLAIN_RUN:
            call, time_ns, fd, values, inside = pending
            self.file.add(call, tid, time_ns, None, fd, values, inside)
