"""One registered slot.  A published slot never changes: a change makes a new one."""

from __future__ import annotations

from ..uapi.flags import KVM_MEMSLOT_INVALID, flag_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .guest_memfd import Binding


class Slot:
    """A range of guest frames backed by host memory (struct kvm_memory_slot)."""

    __slots__ = ("as_id", "base_gfn", "flags", "id", "npages", "userspace_addr")
    binding: Binding | None = None
    """Pages of a guest_memfd that back the slot."""
    owner = ""
    """Empty for user space; what KVM made it for otherwise (`TSS`, `APIC access page`)."""

    def __init__(
        self, as_id: int, id: int, base_gfn: int, npages: int, userspace_addr: int, flags: int
    ) -> None:
        self.as_id = as_id
        """Address space: 0 normal, 1 SMM on x86."""
        self.id = id
        """Slot id within the address space."""
        self.base_gfn = base_gfn
        """First guest frame."""
        self.npages = npages
        """Length in host pages, at least 1."""
        self.userspace_addr = userspace_addr
        """Host address of the first page, in bytes, as the kernel stores it."""
        self.flags = flags
        """KVM_MEM_* bits, and KVM_MEMSLOT_INVALID where an old kernel left it."""

    @property
    def end_gfn(self) -> int:
        """First guest frame after the slot."""
        return self.base_gfn + self.npages

    @property
    def slot_word(self) -> int:
        """The slot field of a region call: as_id << 16 | id."""
        return self.as_id << 16 | self.id

    @property
    def is_invalid(self) -> bool:
        """Being deleted or moved, or left so by an old kernel: translates to nothing."""
        return bool(self.flags & KVM_MEMSLOT_INVALID)

    def __repr__(self) -> str:
        who = f" ({self.owner})" if self.owner else ""
        return (
            f"<Slot {self.as_id}:{self.id}{who} gfns [{self.base_gfn:#x}, {self.end_gfn:#x}) "
            f"hva {self.userspace_addr:#x} flags {flag_text(self.flags)}>"
        )


class SpecialSlot(Slot):
    """A slot that is backed by guest_memfd, or that KVM made for itself."""

    __slots__ = ("binding", "owner")

    def __init__(
        self,
        as_id: int,
        id: int,
        base_gfn: int,
        npages: int,
        userspace_addr: int,
        flags: int,
        binding: Binding | None = None,
        owner: str = "",
    ) -> None:
        super().__init__(as_id, id, base_gfn, npages, userspace_addr, flags)
        self.binding = binding
        self.owner = owner
