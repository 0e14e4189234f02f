"""Following a program on a machine without /dev/kvm, and giving it one.

Its descriptors are real: opening /dev/kvm makes a memory file instead, a VM is
an event descriptor, a vCPU a memory file that can be mapped.  Memory calls are
the model's, KVM_RUN gives the same exit each time, and what else VMMs ask at
their start is answered by `faked_calls`.
"""

from __future__ import annotations

import errno
import os
import struct

from ..record import ptrace, registers
from ..record.runs import EXIT_REASON_AT
from ..record.seccomp import LOOK_NUMBERS, OPEN_NUMBERS
from ..rules.answer import Accepted, Refused, Undetermined, Unmodelled
from ..trace.event import MODEL
from ..uapi.calls import CALLS, GUEST_MEMFD, SYSTEM, VCPU, VM
from .emulating_tracer import EmulatingTracer, Fate
from .faked_calls import API_VERSION, RUN_BYTES, FakedCalls, looks_like_a_device
from .faked_cpu import CAPABILITIES
from .hand_out import write, write_bitmap
from .other_kernel import MadeCall
from .words import NOT_FAKED, NOT_MODELLED, UNDECIDED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..record.tracer import Pending

_DEVICE = b"/dev/kvm\0"
_MEMFD_CREATE, _EVENTFD = 319, 290
_MFD_CLOEXEC, _EFD_CLOEXEC = 1, os.O_CLOEXEC
_IMMEDIATE_EXIT_AT = 1
_EAX_STAT = frozenset((21, 269, 439))
"""access() and its kin, which fill no structure."""
EXITS = {"hlt": 5, "shutdown": 8, "fail-entry": 9, "internal-error": 17, "unknown": 0}
"""Exits of KVM_RUN that say nothing more than their reason."""


def faked_kind_of(tid: int, fd: int) -> str | None:
    """What a descriptor of a faked KVM is; None for one that the session knows, or nobody."""
    try:
        name = os.readlink(f"/proc/{tid}/fd/{fd}")
    except OSError:
        return ""
    if name.startswith("/memfd:/dev/kvm"):
        return SYSTEM
    return None if name.startswith(("/memfd:", "anon_inode:[eventfd]")) else ""


def run_result(word: str) -> tuple[int, int]:
    """(result, exit reason) of KVM_RUN by name: `hlt`, `shutdown`, `EINTR`.  Raises ValueError."""
    if word in EXITS:
        return 0, EXITS[word]
    number = getattr(errno, word, None) if word.isupper() else None
    if number is None:
        raise ValueError(f"KVM_RUN gives {', '.join(EXITS)}, or an errno such as EINTR: not {word}")
    return -int(number), -1


class FakingTracer(EmulatingTracer):
    """A tracer whose tree of processes meets a KVM that is not there."""

    def prepare(self, run_answer: tuple[int, int]) -> None:
        """Say what KVM_RUN gives: its result and exit reason, see `run_result`."""
        self._run_answer = run_answer
        self._fakes = FakedCalls(self._memory)
        self._skips: dict[int, int] = {}
        """Thread: what its call returns, which is not recorded."""
        self._opening: dict[int, tuple[int, ...]] = {}
        """Thread: the arguments to restore when it has its descriptor."""
        self._asked: dict[int, tuple[int, int, int]] = {}
        """Thread: the arguments of its call."""
        self._said: set[int] = set()
        """Requests without an answer that were told of."""

    # -- the entry of a call

    def _look(self, tid: int, entry: tuple[int, int, int, int, int, int, int]) -> None:
        _, arch, number, first, second, third, _ = entry
        at = OPEN_NUMBERS.get(arch, {}).get(number)
        if at is not None:
            if self._memory.read(tid, (first, second)[at], len(_DEVICE)) == _DEVICE:
                self._open(tid, (first, second)[at], (second, third)[at], number)
            return
        at = LOOK_NUMBERS.get(arch, {}).get(number)
        if at is not None:
            if self._memory.read(tid, (first, second)[at], len(_DEVICE)) == _DEVICE:
                self._skips[tid] = self._stat(tid, number)
            return
        super()._look(tid, entry)

    def _open(self, tid: int, path: int, flags: int, number: int) -> None:
        """Have it make a memory file of that name instead."""
        if number == 437:  # openat2: the flags stand in a structure
            data = self._memory.read(tid, flags, 8)
            flags = struct.unpack("=Q", data)[0] if data else 0
        cloexec = _MFD_CLOEXEC if flags & os.O_CLOEXEC else 0
        self._opening[tid] = ptrace.arguments()[:3]
        registers.replace(tid, _MEMFD_CREATE, path, cloexec)

    def _stat(self, tid: int, number: int) -> int:
        if number in _EAX_STAT:
            return 0
        at, data = looks_like_a_device(number)
        return 0 if write(tid, (ptrace.arguments()[at], data)) else -errno.EFAULT

    def _take_up(self, tid: int, fd: int, request: int, argument: int) -> None:
        self._asked[tid] = (fd, request, argument)
        super()._take_up(tid, fd, request, argument)
        if tid in self._pending or tid in self._held:
            return
        made = MadeCall(CALLS["KVM_SET_MSRS"], tid, self._pid(tid), ptrace.as_fd(fd), {}, argument)
        self.kernel.begin(made)  # whatever call it is: its descriptor tells
        if not made.on:
            return  # no file of KVM's: the kernel says so
        file: object = made.vm if made.on == VM else (made.pid, made.fd)
        result = self._fakes.answer(tid, made.on, file, request & 0xFFFF_FFFF, argument)
        if result is None:
            result = -errno.ENOTTY
            if request not in self._said:
                self._said.add(request)
                self._say(NOT_FAKED, f"ioctl {request & 0xFFFF_FFFF:#x}", {}, result)
        self._skips[tid] = result

    def _plain_change(self, tid: int, fd: int, values: tuple[int, ...]) -> None:
        """None: no kernel makes the call."""

    def _rule(self, fate: Fate) -> None:
        made, answer = fate.made, fate.made.answer
        fate.answered_by = MODEL
        name = made.call.name
        if not made.on or (name == "KVM_RUN" and made.on != VCPU):
            fate.result = None  # no such file of KVM's: the kernel says so
        elif name == "KVM_RUN":
            fate.result = self._run(made)
        elif made.call.has_structure and not made.fields:
            fate.result = -errno.EFAULT
        elif isinstance(answer, Refused):
            fate.result = answer.result
        elif name == "KVM_GET_API_VERSION":
            fate.result = API_VERSION
        elif name == "KVM_GET_VCPU_MMAP_SIZE":
            fate.result = RUN_BYTES
        elif name == "KVM_CHECK_EXTENSION":
            known = isinstance(answer, Accepted)
            fate.result = answer.value if known else CAPABILITIES.get(made.fields["cap"], 0)  # type: ignore[union-attr]
        elif made.call.is_beside_memory:
            fate.result = 0  # about interrupts and I/O events, which nobody will raise
        elif answer is None:
            fate.result = -errno.ENOTTY
        elif made.call.makes:
            fate.result = None  # the kernel makes a descriptor
        else:
            fate.result = write_bitmap(made, self._memory) or getattr(answer, "value", 0)

    def _run(self, made: MadeCall) -> int:
        """The one answer of KVM_RUN, or EINTR where the program does not want to wait."""
        result, reason = self._run_answer
        try:
            page = os.open(f"/proc/{made.tid}/fd/{made.fd}", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return -errno.EBADF
        try:
            if os.pread(page, 1, _IMMEDIATE_EXIT_AT) not in (b"", b"\0"):
                return -errno.EINTR
            if reason >= 0:
                os.pwrite(page, struct.pack("=I", reason), EXIT_REASON_AT)
        except OSError:
            return -errno.ENOTTY
        finally:
            os.close(page)
        return result

    def _enter(self, tid: int) -> bool:
        skipped = self._skips.pop(tid, None)
        if skipped is not None:
            return registers.skip(tid, skipped) and ptrace.ask(self._resume, tid)
        fate = self._fates.get(tid)
        if fate is not None and fate.result is None and fate.made.call.makes and fate.made.on:
            self._make_descriptor(fate.made)
        return super()._enter(tid)

    def _make_descriptor(self, made: MadeCall) -> None:
        """Have the kernel make a descriptor of a kind that it has."""
        self._opening[made.tid] = self._asked[made.tid]
        if made.call.makes == VM:
            registers.replace(made.tid, _EVENTFD, 0, _EFD_CLOEXEC)
        else:
            registers.replace(made.tid, _MEMFD_CREATE, self._any_text(made), _MFD_CLOEXEC)

    def _any_text(self, made: MadeCall) -> int:
        """The address of a short text in the program: a memory file wants a name."""
        try:
            with open(f"/proc/{made.tid}/stat", "rb") as file:
                words = file.read().rpartition(b") ")[2].split()
        except OSError:
            return 0
        arg_start, arg_end, _, env_end = map(int, words[45:49])
        for address in (arg_end - 1, env_end - 1, arg_start):
            if self._memory.read(made.tid, address, 1) == b"\0" or address == arg_start:
                return address
        return 0

    # -- its exit

    def _at_call(self, tid: int) -> None:
        arguments = self._opening.pop(tid, None)
        if arguments:
            registers.set_arguments(tid, *arguments)
        super()._at_call(tid)

    def _returned(self, tid: int, pending: Pending, result: int | None) -> None:
        fate = self._fates.get(tid)
        if fate is not None and result is not None and result >= 0:
            nbytes = 0
            if fate.made.call.makes == VCPU:
                nbytes = RUN_BYTES
            elif fate.made.call.makes == GUEST_MEMFD:
                nbytes = fate.made.fields["size"]
            if nbytes:
                _resize(tid, result, nbytes)
        super()._returned(tid, pending, result)

    def _remark(self, fate: Fate, result: int) -> None:
        made, answer = fate.made, fate.made.answer
        if made.call.name in ("KVM_RUN", "KVM_CHECK_EXTENSION") or not made.on:
            return
        if isinstance(answer, Undetermined):
            self._say(UNDECIDED, made.call.name, made.fields, result, answer.question)
        elif isinstance(answer, Unmodelled):
            self._say(NOT_MODELLED, made.call.name, made.fields, result, answer.what)

    def _unfinished(self, tid: int) -> None:
        for kept in (self._skips, self._opening, self._asked):
            kept.pop(tid, None)
        super()._unfinished(tid)


def _resize(tid: int, fd: int, nbytes: int) -> None:
    try:
        file = os.open(f"/proc/{tid}/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.ftruncate(file, nbytes)
    except OSError:
        return
    finally:
        os.close(file)
