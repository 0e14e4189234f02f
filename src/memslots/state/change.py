"""What an accepted call does to a VM: one type for each kind of change.

A change is decided by `rules` and made by `VmState.apply`; it holds everything
that is needed for it, so that making it cannot fail.  The kinds of slot change
are the kernel's own: KVM_MR_CREATE, KVM_MR_DELETE, KVM_MR_MOVE, KVM_MR_FLAGS_ONLY.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from .guest_memfd import GuestMemfd
    from .slot import Slot

    Change: TypeAlias = (
        "SlotChange | VcpuMade | TssPlaced | IdentityMapPlaced | IrqchipMade | BudgetRequested | "
        "ManualProtectSet"
        " | MemoryTaggingEnabled | RingEnabled | RingBitmapEnabled | VcpuIdsLimited | "
        "DirtyLogRead | DirtyLogCleared"
        " | AttributesSet | FileMade | OwnSlotsMade"
    )

NOTHING = 0
CREATE = 1
DELETE = 2
MOVE = 4
FLAGS_ONLY = 8
KIND_NAMES = {
    NOTHING: "nothing to do",
    CREATE: "create",
    DELETE: "delete",
    MOVE: "move",
    FLAGS_ONLY: "flags only",
}
PLACING = CREATE | MOVE
"""The kinds that put a slot somewhere."""
SWAPS = {CREATE: 1, DELETE: 2, MOVE: 2, FLAGS_ONLY: 1}
"""How often the two slot sets of the address space change places."""


class SlotChange:
    """A slot is created, deleted, moved, or gets other flags."""

    __slots__ = ("kind", "new", "old")

    def __init__(self, kind: int, old: Slot | None, new: Slot | None) -> None:
        self.kind = kind
        """CREATE, DELETE, MOVE or FLAGS_ONLY."""
        self.old = old
        """The slot as it was; None for CREATE."""
        self.new = new
        """The slot as it will be; None for DELETE."""

    @property
    def slot(self) -> Slot:
        """The slot concerned, new if there is a new one."""
        slot = self.new or self.old
        if slot is None:
            raise ValueError("a change of no slot")
        return slot

    def __repr__(self) -> str:
        return f"<{KIND_NAMES[self.kind]}: {self.old} -> {self.new}>"


class _Record:
    """A change that is its fields and nothing more."""

    __slots__: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        return self.__class__ is other.__class__ and all(
            getattr(self, name) == getattr(other, name) for name in self.__slots__
        )

    __hash__ = None  # type: ignore[assignment]  # nobody keys by one

    def __repr__(self) -> str:
        fields = ", ".join(f"{name} {getattr(self, name)!r}" for name in self.__slots__)
        return f"<{self.__class__.__name__} {fields}>"


class OwnSlotsMade(_Record):
    """KVM has made slots of its own, or may have."""

    __slots__ = ("made", "possible")

    def __init__(self, made: tuple[SlotChange, ...] = (), possible: tuple[Slot, ...] = ()) -> None:
        self.made = made
        self.possible = possible
        """Slots that exist or not, depending on what nobody observed; in place of earlier ones of
        the same owner.
        """


class VcpuMade(_Record):
    """A vCPU, and with the first one slots of KVM's own."""

    __slots__ = ("max_vcpu_id", "own_slots", "vcpu_id")

    def __init__(self, vcpu_id: int, own_slots: OwnSlotsMade, max_vcpu_id: int | None) -> None:
        self.vcpu_id = vcpu_id
        self.own_slots = own_slots
        self.max_vcpu_id = max_vcpu_id
        """The limit on ids from now on; None: that of the kernel."""


class TssPlaced(_Record):
    """KVM_SET_TSS_ADDR: the address, and the slot there if this host needs one."""

    __slots__ = ("gpa", "own_slots")

    def __init__(self, gpa: int, own_slots: OwnSlotsMade) -> None:
        self.gpa = gpa
        self.own_slots = own_slots


class IdentityMapPlaced(_Record):
    """KVM_SET_IDENTITY_MAP_ADDR: where the first vCPU puts that page."""

    __slots__ = ("gpa",)

    def __init__(self, gpa: int) -> None:
        self.gpa = gpa


class IrqchipMade(_Record):
    """An in-kernel irqchip, whole or split."""

    __slots__ = ("split",)

    def __init__(self, *, split: bool) -> None:
        self.split = split


class BudgetRequested(_Record):
    """User space asks for a number of shadow pages: the budget never follows the slots again."""

    __slots__ = ("npages",)

    def __init__(self, npages: int) -> None:
        self.npages = npages


class ManualProtectSet(_Record):
    """KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2: 0, 1, or 3 with all pages initially set."""

    __slots__ = ("mode",)

    def __init__(self, mode: int) -> None:
        self.mode = mode


class RingEnabled(_Record):
    """A dirty ring of so many bytes for each vCPU."""

    __slots__ = ("ring_bytes",)

    def __init__(self, ring_bytes: int) -> None:
        self.ring_bytes = ring_bytes


class RingBitmapEnabled(_Record):
    """Dirty bitmaps beside the ring."""

    __slots__ = ()


class MemoryTaggingEnabled(_Record):
    """KVM_CAP_ARM_MTE."""

    __slots__ = ()


class VcpuIdsLimited(_Record):
    """KVM_CAP_MAX_VCPU_ID: ids below this from now on; None: no limit stated."""

    __slots__ = ("limit",)

    def __init__(self, limit: int | None) -> None:
        self.limit = limit


class DirtyLogRead(_Record):
    """KVM_GET_DIRTY_LOG clears what it hands out."""

    __slots__ = ("slot_word",)

    def __init__(self, slot_word: int) -> None:
        self.slot_word = slot_word


class DirtyLogCleared(_Record):
    """KVM_CLEAR_DIRTY_LOG of pages [first_page, first_page + num_pages) that `mask` names (None:
    all).
    """

    __slots__ = ("first_page", "mask", "num_pages", "slot_word")

    def __init__(self, slot_word: int, first_page: int, num_pages: int, mask: int | None) -> None:
        self.slot_word = slot_word
        self.first_page = first_page
        self.num_pages = num_pages
        self.mask = mask


class AttributesSet(_Record):
    """KVM_SET_MEMORY_ATTRIBUTES of frames [start_gfn, end_gfn)."""

    __slots__ = ("attributes", "end_gfn", "start_gfn")

    def __init__(self, start_gfn: int, end_gfn: int, attributes: int) -> None:
        self.start_gfn = start_gfn
        self.end_gfn = end_gfn
        self.attributes = attributes


class FileMade(_Record):
    """KVM_CREATE_GUEST_MEMFD: a new file on a descriptor of the process."""

    __slots__ = ("fd", "file")

    def __init__(self, fd: int, file: GuestMemfd) -> None:
        self.fd = fd
        self.file = file
