"""One call against one VM: all that a check may see."""

from __future__ import annotations

from ..uapi.calls import VM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..state.guest_memfd import Binding
    from ..state.process import Process
    from ..state.slot import Slot
    from ..state.vm_state import VmState
    from ..uapi.region import Region


class Attempt:
    """A call other than a region call; nothing here is changed by a decision."""

    __slots__ = (
        "buffer_bytes",
        "by_other_process",
        "call",
        "fields",
        "machine",
        "new_fd",
        "on",
        "process",
        "state",
    )

    def __init__(
        self,
        call: str,
        fields: Mapping[str, int],
        state: VmState,
        process: Process,
        *,
        on: str = VM,
        buffer_bytes: int | None = None,
        new_fd: int | None = None,
        by_other_process: bool = False,
    ) -> None:
        self.call = call
        """The ioctl's name."""
        self.fields = fields
        """Its arguments by name, as `uapi.calls` has them; what the call needs is there."""
        self.state = state
        self.process = process
        self.machine = state.machine
        self.on = on
        """The kind of descriptor it is made on: SYSTEM, VM or VCPU of `uapi.calls`."""
        self.buffer_bytes = buffer_bytes
        """Bytes of the buffer that the argument points at; None: enough."""
        self.new_fd = new_fd
        """The number that a descriptor made by the call gets; None: the next one that is free."""
        self.by_other_process = by_other_process
        """Whether a process other than the VM's creator calls."""

    def get(self, name: str) -> int:
        """An argument; 0 where it is optional and was not given."""
        return self.fields.get(name, 0)


class RegionAttempt:
    """A region call on its way through the checks.

    What one check works out (which slot, which change) is kept for those after
    it, as the kernel keeps it in local variables.
    """

    __slots__ = (
        "as_id",
        "binding",
        "flags",
        "gfn",
        "hva",
        "kind",
        "machine",
        "npages",
        "old",
        "process",
        "region",
        "slot_id",
        "state",
    )
    owner = ""
    """What KVM makes the slot for, if it is one of its own."""
    by_other_process = False
    """Whether a process other than the VM's creator calls."""
    old: Slot | None
    """The slot registered under this id; set by the check of the same id."""
    kind: int
    """CREATE, DELETE, MOVE, FLAGS_ONLY or NOTHING; set by the check of the same id."""
    binding: Binding
    """Set by the guest_memfd check, for regions with KVM_MEM_GUEST_MEMFD."""

    def __init__(self, region: Region, state: VmState, process: Process) -> None:
        machine = state.machine
        self.region = region
        self.state = state
        self.process = process
        self.machine = machine
        slot_word = region.slot
        self.as_id = slot_word >> 16
        self.slot_id = slot_word & 0xFFFF
        self.flags = region.flags
        self.gfn = region.guest_phys_addr >> machine.page_shift
        self.npages = region.memory_size >> machine.page_shift
        """Host pages; 0 deletes."""
        self.hva = region.userspace_addr & machine.ulong_max
        """Host address as an unsigned long, in bytes."""


class ForeignAttempt(RegionAttempt):
    """An attempt by a process other than the one that created the VM."""

    __slots__ = ()
    by_other_process = True


class InternalAttempt(RegionAttempt):
    """KVM registers a slot of its own."""

    __slots__ = ("owner",)

    def __init__(self, region: Region, state: VmState, process: Process, owner: str) -> None:
        super().__init__(region, state, process)
        self.owner = owner
