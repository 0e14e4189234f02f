"""One region call against one VM: all that a check may see."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..state.guest_memfd import Binding
    from ..state.process import Host
    from ..state.slot import Slot
    from ..state.vm_state import VmState
    from ..uapi.region import Request


class Attempt:
    """A region call on its way through the checks.

    What one check works out (which slot, which change) is kept for those after
    it, as the kernel keeps it in local variables.
    """

    __slots__ = (
        "as_id",
        "binding",
        "flags",
        "gfn",
        "host",
        "hva",
        "kind",
        "machine",
        "npages",
        "old",
        "request",
        "slot_id",
        "state",
    )
    owner = ""
    """What KVM makes the slot for, if it is one of its own."""
    by_other_process = False
    """Does a process other than the VM's creator call?"""
    old: Slot | None
    """The slot registered under this id; set by the identity check."""
    kind: int
    """CREATE, DELETE, MOVE, FLAGS_ONLY or NOTHING; set by the identity check."""
    binding: Binding
    """Set by the guest_memfd check, for requests with KVM_MEM_GUEST_MEMFD."""

    def __init__(self, request: Request, state: VmState, host: Host) -> None:
        machine = state.machine
        self.request = request
        self.state = state
        self.host = host
        self.machine = machine
        slot_word = request.slot
        self.as_id = slot_word >> 16
        self.slot_id = slot_word & 0xFFFF
        self.flags = request.flags
        self.gfn = request.guest_phys_addr >> machine.page_shift
        self.npages = request.memory_size >> machine.page_shift
        """Host pages; 0 deletes."""
        self.hva = request.userspace_addr & machine.ulong_max
        """Host address as an unsigned long, in bytes."""


class ForeignAttempt(Attempt):
    """An attempt by a process other than the one that created the VM."""

    __slots__ = ()
    by_other_process = True


class InternalAttempt(Attempt):
    """KVM registers a slot of its own."""

    __slots__ = ("owner",)

    def __init__(self, request: Request, state: VmState, host: Host, owner: str) -> None:
        super().__init__(request, state, host)
        self.owner = owner
