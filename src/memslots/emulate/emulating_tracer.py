"""Following a program as the recorder does, and answering its memory calls as another kernel.

Calls on one VM are let in one after the other, as the kernel itself makes them:
a thread that comes while another is inside waits at the entry of its call.  So
each is answered for the state in which the kernel meets it.
"""

from __future__ import annotations

import time

from ..record import registers
from ..record.mappings import CLONE, FORK
from ..record.processes import process_of
from ..record.runs import PLAIN_RUN
from ..record.tracer import Tracer
from ..rules.answer import Accepted, Refused, Undetermined, Unmodelled
from ..rules.fast_path import UNCHANGED
from ..trace import decode
from ..trace.event import ANSWERERS, HOST, INJECTED, MODEL
from ..uapi.calls import CALLS, QUERIES, SYSTEM, VCPU, VM
from .hand_out import write_bitmap, write_memory_fault
from .other_kernel import EmulatedVm, MadeCall, OtherKernel
from .words import (
    HOST_LACKS_SPACE,
    HOST_REFUSED,
    NOT_MODELLED,
    OTHER_BITMAP,
    UNDECIDED,
    UNKNOWN_VM,
    Remark,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..record.tracer import Pending
    from ..state.change import SlotChange
    from .emulated_file import EmulatedFile
    from .injection import Injection

ANSWERED_ALONE = QUERIES | {"KVM_GET_NR_MMU_PAGES"}
"""Calls whose value is the model's: the kernel under us is not asked."""
_BITMAPS = frozenset(call.name for call in CALLS.values() if call.name.endswith("_DIRTY_LOG"))
_REQUESTS = {name: call.request() for name, call in CALLS.items()}
_REGION = CALLS["KVM_SET_USER_MEMORY_REGION"]
MOST_REMARKS = 10_000


class Fate:
    """What becomes of one call that has begun."""

    __slots__ = ("answered_by", "delay_us", "made", "result")

    def __init__(self, made: MadeCall) -> None:
        self.made = made
        self.answered_by = HOST
        self.result: int | None = None
        """What the program gets without the kernel; None: the kernel makes the call."""
        self.delay_us = 0


class EmulatingTracer(Tracer):
    """A tracer whose tree of processes meets another kernel."""

    def __init__(
        self,
        file: EmulatedFile,
        root: int,
        kernel: OtherKernel,
        injections: Sequence[Injection] = (),
        *,
        decides: bool = True,
        runs: bool = False,
        spaces: int = 1,
    ) -> None:
        """decides: the model refuses; if not, it only follows.  runs: KVM_RUN stops too.  spaces:
        address spaces that the host has.
        """
        super().__init__(file, root, runs=runs)
        self.kernel = kernel
        self.remarks: list[Remark] = []
        self.remarks_left_out = 0
        self.answered = dict.fromkeys(ANSWERERS, 0)
        """Answerer: calls."""
        self._emulated = file
        self._injections = injections
        self._decides = decides
        self._spaces = spaces
        self._fates: dict[int, Fate] = {}
        """Thread: the call in which it is, where that is one of KVM's."""
        self._plain: dict[int, tuple[EmulatedVm, SlotChange]] = {}
        """Thread: the region call in which it is, which the model accepts at first sight: the
        kernel makes it, and there is nothing to say.  Most calls are of this kind.
        """
        self._held: set[int] = set()
        """Threads that wait at the entry of a call."""

    # -- the entry of a call

    def _begin(self, tid: int, fd: int, request: int, argument: int) -> None:
        try:
            self._take_up(tid, fd, request, argument)
        except Exception:
            self._pending.pop(tid, None)  # the kernel makes the call, and nobody waits for it
            self._drop(tid)
            raise

    def _take_up(self, tid: int, fd: int, request: int, argument: int) -> None:
        """Find out what a call is about, and decide who answers it."""
        super()._begin(tid, fd, request, argument)
        pending = self._pending.get(tid)
        if pending is None:
            return
        call, _, signed_fd, values, _ = pending
        if call is _REGION and request & 0xFFFF_FFFF == _REQUESTS[call.name]:
            change = self._plain_change(tid, signed_fd, values)
            if change is not None:
                self._plain[tid] = change
                change[0].taken_by = tid
                return
        known = CALLS.get(call.name)
        if known is None:
            return
        fields = dict(zip(call.names, values)) if call is not PLAIN_RUN else {}
        made = MadeCall(known, tid, self._pid(tid), signed_fd, fields, argument)
        if call is PLAIN_RUN:
            self.kernel.begin(made)
            self._decree(Fate(made))
            return
        if request & 0xFFFF_FFFF == _REQUESTS[known.name]:
            self.kernel.begin(made)
        vm = made.vm
        if vm is not None and made.on != VCPU:
            if vm.taken_by:
                del self._pending[tid]
                self._held.add(tid)
                vm.waiting.append((tid, lambda: self._begin_again(tid, fd, request, argument)))
                return
            vm.taken_by = tid
        self.kernel.decide(made)
        self._decree(Fate(made))

    def _plain_change(
        self, tid: int, fd: int, values: tuple[int, ...]
    ) -> tuple[EmulatedVm, SlotChange] | None:
        """The VM of a region call and what it changes, if the kernel has only to make it."""
        if self._injections or not self._decides or not values or values[0] >> 16 >= self._spaces:
            return None
        vm = self.kernel.vm_made_by(self._pids.get(tid) or self._pid(tid), fd)
        if vm is None or vm.taken_by:
            return None
        change = vm.model.decide_plain(*values)
        return None if change is None else (vm, change)

    def _begin_again(self, tid: int, fd: int, request: int, argument: int) -> None:
        """It is the turn of a thread that waited."""
        self._held.discard(tid)
        self._begin(tid, fd, request, argument)
        if not self._enter(tid):
            self._pending.pop(tid, None)
            self._drop(tid)

    def _decree(self, fate: Fate) -> None:
        """Decide who answers a call, and what."""
        made = fate.made
        self._fates[made.tid] = fate
        is_readable = bool(made.on) and (not made.call.has_structure or bool(made.fields))
        for injection in self._injections if is_readable else ():
            if not injection.hits(made):
                continue
            fate.delay_us += injection.delay_us
            if injection.result is not None:
                fate.result, fate.answered_by = injection.result, INJECTED
                if injection.memory_fault is not None:
                    write_memory_fault(made.tid, made.fd, injection.memory_fault)
                return
        if self._decides:
            self._decide(fate)

    def _decide(self, fate: Fate) -> None:
        """Have the model answer, or leave it to the host; only then look whether the descriptor is
        still what it was, since most calls go to the host, who knows.
        """
        made = fate.made
        self._rule(fate)
        if fate.answered_by != MODEL or made.is_sure:
            return
        was = made.on, made.vm
        self.kernel.begin(made, looking=True)
        if (made.on, made.vm) != was:
            if was[1] is not None:
                self._leave(was[1], made.tid)
            fate.result, fate.answered_by = None, HOST
            self.kernel.decide(made)
            self._rule(fate)

    def _rule(self, fate: Fate) -> None:
        """What the model says of a call."""
        made, answer = fate.made, fate.made.answer
        if isinstance(answer, Refused):
            fate.result = answer.result
        elif isinstance(answer, Accepted):
            if made.call.name in ANSWERED_ALONE:
                fate.result = answer.value
            elif self._is_beyond_host(made):
                fate.result = write_bitmap(made, self._memory)
        if fate.result is not None:
            fate.answered_by = MODEL

    def _is_beyond_host(self, made: MadeCall) -> bool:
        """Whether a call is about an address space that only the model has."""
        slot = made.fields.get("slot")
        return made.on == VM and slot is not None and slot >> 16 >= self._spaces

    def _enter(self, tid: int) -> bool:
        if tid in self._held:
            return True
        fate = self._fates.get(tid)
        if fate is not None:
            if fate.delay_us:
                time.sleep(fate.delay_us / 1e6)
            if fate.result is not None and not registers.skip(tid, fate.result):
                return False
        if super()._enter(tid):
            return True
        self._drop(tid)
        return False

    # -- its exit

    def _made_again(self, tid: int) -> None:
        super()._made_again(tid)
        self._drop(tid)

    def _returned(self, tid: int, pending: Pending, result: int | None) -> None:
        if tid in self._plain:
            vm = self._plain[tid][0]
            try:
                self._note_plain(tid, pending, result)
            finally:
                if vm.waiting:
                    self._let_in(vm)
            return
        fate = self._fates.pop(tid, None)
        if fate is None:
            super()._returned(tid, pending, result)
            return
        try:
            self._note(fate, pending, result)
        finally:
            self._let_next_in(fate)

    def _note_plain(self, tid: int, pending: Pending, result: int | None) -> None:
        """A call has come back that the model accepts: nothing but recording is left to do."""
        vm, change = self._plain.pop(tid)
        vm.taken_by = 0
        call, time_ns, fd, values, inside = pending
        if result == 0:
            if change is not UNCHANGED:
                vm.model.state.apply(change)
            calls = self._emulated.calls
            self._emulated.answered_by = HOST
            took_ns = max(0, time.time_ns() - time_ns)
            self.file.add(call, tid, time_ns, 0, fd, values, inside, took_ns)
            self.answered[HOST] += self._emulated.calls - calls
        else:
            made = MadeCall(_REGION, tid, vm.pid, fd, dict(zip(call.names, values)))
            made.on, made.vm = VM, vm
            self.kernel.decide(made)
            self._note(Fate(made), pending, result)

    def _note(self, fate: Fate, pending: Pending, result: int | None) -> None:
        """A call of KVM's has come back: record it, and go on with what it did."""
        made = fate.made
        if result is not None and made.on != "":
            self.kernel.finish(made, result)
        pending = (*pending[:2], made.recorded_fd, *pending[3:])
        before = self._emulated.calls
        self._emulated.answered_by = self._said_of(fate)
        super()._returned(made.tid, pending, result)
        self._emulated.answered_by = ""
        self.answered[fate.answered_by] += self._emulated.calls - before
        if result is not None and self._decides:
            self._remark(fate, result)

    def _said_of(self, fate: Fate) -> str:
        """Who answered, where that is worth saying: without another kernel the host always does."""
        return "" if fate.answered_by == HOST and not self._decides else fate.answered_by

    def _remark(self, fate: Fate, result: int) -> None:
        """Say where the answer was not the emulated kernel's, or may not be."""
        made, answer, kind, question = fate.made, fate.made.answer, "", ""
        if fate.answered_by == INJECTED or made.call is CALLS["KVM_RUN"]:
            return
        if fate.answered_by == MODEL:
            kind = HOST_LACKS_SPACE if result >= 0 and self._is_beyond_host(made) else ""
        elif isinstance(answer, Accepted) and result < 0:
            kind = HOST_REFUSED
        elif isinstance(answer, Undetermined):
            kind, question = UNDECIDED, answer.question
        elif isinstance(answer, Unmodelled) and made.call.name not in QUERIES:
            kind, question = NOT_MODELLED, answer.what
        elif made.on not in ("", SYSTEM) and made.vm is None:
            kind = UNKNOWN_VM
        elif made.call.name in _BITMAPS and result >= 0 and self._has_other_pages():
            kind = OTHER_BITMAP
        if kind:
            self._say(kind, made.call.name, made.fields, result, question)

    def _say(
        self, kind: str, call: str, fields: dict[str, int], result: int, question: str = ""
    ) -> None:
        """Remark on the call that was recorded last."""
        if len(self.remarks) < MOST_REMARKS:
            step = self._emulated.calls
            self.remarks.append(Remark(kind, step, call, fields, result, question))
        else:
            self.remarks_left_out += 1

    def _has_other_pages(self) -> bool:
        return self.kernel.profile.page_shift != _PAGE_SHIFT

    def _let_next_in(self, fate: Fate) -> None:
        """A call on a VM has come back: the next thread's turn."""
        if fate.made.vm is not None:
            self._leave(fate.made.vm, fate.made.tid)

    def _leave(self, vm: EmulatedVm, tid: int) -> None:
        if vm.taken_by == tid:
            vm.taken_by = 0
            self._let_in(vm)

    def _let_in(self, vm: EmulatedVm) -> None:
        """Let the next thread begin its call on a VM."""
        while vm.waiting and not vm.taken_by:
            _, begin = vm.waiting.pop(0)
            begin()

    def _drop(self, tid: int) -> None:
        """A thread is gone, with the call in which it was or for which it waited."""
        self._held.discard(tid)
        self._plain.pop(tid, None)
        fate = self._fates.pop(tid, None)
        if fate is not None:
            self._let_next_in(fate)
        for vm in self.kernel.vms:
            self._leave(vm, tid)
            if vm.waiting:
                vm.waiting = [waiting for waiting in vm.waiting if waiting[0] != tid]

    def _unfinished(self, tid: int) -> None:
        fate = self._fates.get(tid)
        if fate is not None:
            self._emulated.answered_by = self._said_of(fate)
        elif tid in self._plain:
            self._emulated.answered_by = HOST
        super()._unfinished(tid)
        self._emulated.answered_by = ""
        self._pids.pop(tid, None)
        self._drop(tid)

    # -- processes

    def _meet(self, tid: int) -> None:
        super()._meet(tid)
        ids = process_of(tid)
        if ids is None:
            return
        process, parent = ids
        if process == tid:
            self.kernel.forked(parent, tid)
            self.file.add(FORK, parent, time.time_ns(), tid, -1, ())
        elif process != self.root:
            self.file.add(CLONE, process, time.time_ns(), tid, -1, (decode.CLONE["CLONE_VM"],))


_PAGE_SHIFT = 12
"""Of x86-64, where programs are emulated."""
