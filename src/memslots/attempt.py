"""One region call against one VM: all that a check may see."""

from __future__ import annotations

from .change import NOTHING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .guest_memfd import Binding
    from .host import Host
    from .request import Request
    from .slot import Slot
    from .state import VmState


class Attempt:
    """A region call on its way through the checks.

    What one check works out (which slot, which change) is kept for those after
    it, as the kernel keeps it in local variables.
    """

    __slots__ = (
        "as_id",
        "binding",
        "by_other_process",
        "flags",
        "gfn",
        "host",
        "hva",
        "kind",
        "machine",
        "npages",
        "old",
        "owner",
        "request",
        "slot_id",
        "state",
    )

    def __init__(
        self, request: Request, state: VmState, host: Host, owner: str = "", by_other_process: bool = False
    ) -> None:
        machine = state.machine
        self.request = request
        self.state = state
        self.host = host
        self.machine = machine
        self.owner = owner
        """What KVM makes the slot for, if it is one of its own; empty for user space."""
        self.by_other_process = by_other_process
        """Does a process other than the VM's creator call?"""
        slot_word = request.slot
        self.as_id = slot_word >> 16
        self.slot_id = slot_word & 0xFFFF
        self.flags = request.flags
        self.gfn = request.guest_phys_addr >> machine.page_shift
        self.npages = request.memory_size >> machine.page_shift
        """Host pages; 0 deletes."""
        self.hva = request.userspace_addr & machine.ulong_max
        """Host address as an unsigned long, in bytes."""
        self.old: Slot | None = None
        """The slot registered under this id."""
        self.kind = NOTHING
        """Set by the identity check."""
        self.binding: Binding | None = None
        """Set by the guest_memfd check."""
