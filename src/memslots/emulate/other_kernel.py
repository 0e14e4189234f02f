"""The VMs of a running program, as another kernel would have them.

A call is put to the model before the kernel under us makes it; what came of it
is told afterwards, so that the model goes on with what the program saw.
"""

from __future__ import annotations

from ..model.session import Session
from ..model.vm import Vm
from ..replay.follow import follow_accepted
from ..rules.answer import NO_CHANGE, Accepted, Refused, Unmodelled
from ..rules.create_vm import check_vm_type
from ..rules.decide import DECISIONS
from ..rules.raised import RefusedError
from ..state.change import SlotChange
from ..state.process import Process
from ..uapi.calls import CALLS, MAKERS, REGION_CALLS, SYSTEM, VM
from ..uapi.region import region_of
from .kvm_files import has_same_memory, is_same_file, kind_of
from .other_capabilities import value_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..kernel.profile import Profile
    from ..rules.answer import Answer
    from ..uapi.calls import Call


class EmulatedVm:
    """One VM of the program: its descriptor, and what the model knows of it."""

    __slots__ = ("aliases", "fd", "model", "pid", "taken_by", "waiting")

    def __init__(self, model: Vm, pid: int, fd: int) -> None:
        self.model = model
        self.pid = pid
        """The process that made it."""
        self.fd = fd
        self.aliases: set[tuple[int, int]] = set()
        """Process and number of other descriptors that stand for it."""
        self.taken_by = 0
        """The thread whose call on it the kernel is making; 0: none."""
        self.waiting: list[tuple[int, Callable[[], None]]] = []
        """Threads that wait for their turn, and what takes up their calls."""


class MadeCall:
    """One call of the program on its way."""

    __slots__ = (
        "answer", "argument", "by_other_process", "call", "fd", "fields", "is_sure", "on", "pid",
        "tid", "vm",
    )  # fmt: skip

    def __init__(
        self, call: Call, tid: int, pid: int, fd: int, fields: dict[str, int], argument: int = 0
    ) -> None:
        self.call = call
        self.argument = argument
        """The third argument of ioctl(): a number, or where the structure lies."""
        self.tid = tid
        self.pid = pid
        self.fd = fd
        self.fields = fields
        self.on = ""
        """The kind of descriptor; empty: none of KVM's."""
        self.vm: EmulatedVm | None = None
        """The VM concerned; None for /dev/kvm, and for one that nobody saw made."""
        self.by_other_process = False
        self.is_sure = True
        """Whether the descriptor was looked at, and not only its number known."""
        self.answer: Answer | None = None
        """What the model answers; None where it has no answer."""

    @property
    def recorded_fd(self) -> int:
        """The descriptor that a recording names, which does not show dup()."""
        is_alias = self.vm is not None and (self.pid, self.fd) in self.vm.aliases
        return self.vm.fd if self.vm is not None and is_alias else self.fd

    @property
    def kind(self) -> int | None:
        """What the call would do to a slot (of `state.change`); None if nothing is to be done."""
        change = self.answer.change if isinstance(self.answer, Accepted) else None
        return change.kind if isinstance(change, SlotChange) else None


class OtherKernel:
    """Every VM of a tree of processes, under one profile."""

    def __init__(
        self, profile: Profile, look: Callable[[int, int], str | None] = kind_of,
        unseen: str = SYSTEM,
    ) -> None:  # fmt: skip
        """look: says what a descriptor of a thread is, None where that cannot be seen; unseen: what
        it is then, unless it is known.
        """
        self.profile = profile
        self.vms: list[EmulatedVm] = []
        """In the order in which they were made."""
        self._look = look
        self._unseen = unseen
        self._session: Session[EmulatedVm] = Session()
        self._names: dict[int, str] = {}
        """Process: its name in the session, of all but the first one."""
        self._processes: dict[int, Process] = {}
        self._system = Vm.of_unknown_type(profile, _unknown_process())

    def forked(self, parent: int, child: int) -> None:
        """A process has made another, which begins with its descriptors."""
        name = self._name(parent)
        self._session.forked(name, child, is_thread=False)
        self._names[child] = self._session.process(None, child)

    def _name(self, pid: int) -> str:
        return self._names.get(pid, "")

    def begin(self, made: MadeCall, *, looking: bool = False) -> None:
        """Find out what a call is about.

        looking: look at the descriptor even if its number is known: it may have been closed.
        """
        known = self._session.look_up(self._name(made.pid), made.fd)
        made.is_sure = looking or known is None
        if known is not None and not looking:
            made.on, made.vm = known.kind, known.vm
            self._find_process(made)
            return
        made.vm = None
        kind = self._look(made.tid, made.fd)
        if kind is None:
            if known is None:
                made.vm = self._found_by_file(made)
            kind = known.kind if known is not None else VM if made.vm else self._unseen
        made.on = kind
        if kind in ("", SYSTEM):
            return
        if known is not None and known.kind == kind:
            made.vm = known.vm
        elif kind == VM and made.vm is None:
            made.vm = self._found_by_file(made)
        self._find_process(made)

    def vm_made_by(self, pid: int, fd: int) -> EmulatedVm | None:
        """The VM that a process has made on this descriptor, and uses itself."""
        known = self._session.look_up(self._name(pid), fd)
        vm = known.vm if known is not None and known.kind == VM else None
        return vm if vm is not None and vm.pid == pid and vm.fd == fd else None

    def _find_process(self, made: MadeCall) -> None:
        if made.vm is not None and made.vm.pid != made.pid:
            made.by_other_process = not has_same_memory(made.pid, made.vm.pid)

    def _found_by_file(self, made: MadeCall) -> EmulatedVm | None:
        """The VM on a descriptor that no call made: dup(), or passed from another process."""
        for vm in self.vms:
            if is_same_file(made.pid, made.fd, vm.pid, vm.fd):
                self._session.opened(self._name(made.pid), made.fd, VM, vm)
                vm.aliases.add((made.pid, made.fd))
                return vm
        return None

    def decide(self, made: MadeCall, new_fd: int | None = None) -> None:
        """Have the model answer; nothing changes.  new_fd: what the kernel has made meanwhile."""
        made.answer = None
        name = made.call.name
        if made.call.missing(made.fields) or not made.on:
            return
        try:
            if name == "KVM_CREATE_VM":
                if made.on == SYSTEM:
                    made.answer = check_vm_type(self.profile, made.fields["type"]) or NO_CHANGE
            elif made.vm is not None and name in REGION_CALLS:
                if made.on == VM:
                    region = region_of(name, made.fields)
                    model = made.vm.model
                    if made.by_other_process:
                        made.answer = model.what_if(region, by_other_process=True)
                    else:
                        made.answer = model.decide(region)
            elif name in DECISIONS and (made.vm is not None or made.on == SYSTEM):
                model = self._system if made.vm is None else made.vm.model
                made.answer = model.what_if(
                    name, made.fields, on=made.on, new_fd=new_fd,
                    by_other_process=made.by_other_process,
                )  # fmt: skip
        except (ValueError, TypeError):
            return  # numbers that do not fit
        if name == "KVM_CHECK_EXTENSION" and isinstance(made.answer, Unmodelled):
            value = value_of(self.profile, made.fields["cap"])
            if value is not None:
                made.answer = Accepted(value=value)

    def finish(self, made: MadeCall, result: int) -> None:
        """The program has this result: go on with it."""
        name = made.call.name
        if name in MAKERS and result >= 0:
            self._opened(made, result)
        vm, answer = made.vm, made.answer
        if vm is None or answer is None or name == "KVM_CREATE_VM":
            return
        if result < 0:
            if isinstance(answer, Refused) and answer.result == result:
                vm.model.carry_out(answer)  # a refused change that had begun leaves traces
        elif isinstance(answer, Accepted):
            vm.model.carry_out(answer)
        elif name in REGION_CALLS:
            follow_accepted(vm.model, region_of(name, made.fields), answer)

    def _opened(self, made: MadeCall, fd: int) -> None:
        name = self._name(made.pid)
        if made.call.name == "KVM_CREATE_VM":
            made.vm = self._new_vm(made, fd)
        elif CALLS[made.call.name].makes != VM and made.vm is not None:
            self.decide(made, new_fd=fd)
        if made.vm is not None:
            self._session.opened(name, fd, made.call.makes, made.vm)

    def _new_vm(self, made: MadeCall, fd: int) -> EmulatedVm:
        process = self._processes.setdefault(made.pid, _unknown_process())
        try:
            model = Vm(self.profile, made.fields.get("type", 0), process=process)
        except RefusedError:
            model = Vm.of_unknown_type(self.profile, process)
        vm = EmulatedVm(model, made.pid, fd)
        self.vms.append(vm)
        return vm


def _unknown_process() -> Process:
    return Process(mappings_known=False, fds_known=False)
