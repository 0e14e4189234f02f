"""One VM that runs, as the kernel holds it: its slots, its totals, and who holds it open."""

from __future__ import annotations

from ..state.slot import Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class RunningSlot(Slot):
    """A slot with what else its struct kvm_memory_slot tells."""

    __slots__ = (
        "gmem_file",
        "gmem_offset_pages",
        "has_bitmap",
        "has_rmaps",
        "has_write_track",
        "owner",
    )

    def __init__(
        self,
        as_id: int,
        id: int,
        base_gfn: int,
        npages: int,
        userspace_addr: int,
        flags: int,
        *,
        has_bitmap: bool = False,
        has_rmaps: bool | None = None,
        has_write_track: bool | None = None,
        gmem_file: int = 0,
        gmem_offset_pages: int = 0,
    ) -> None:
        super().__init__(as_id, id, base_gfn, npages, userspace_addr, flags)
        self.owner = ""
        """What KVM made it for; see `RunningVm.name_own_slots`."""
        self.has_bitmap = has_bitmap
        """Whether there is a dirty bitmap."""
        self.has_rmaps = has_rmaps
        """Whether there are reverse maps (x86).  None where the kernel has no such thing."""
        self.has_write_track = has_write_track
        """Whether there are write-track counters (x86).  None likewise."""
        self.gmem_file = gmem_file
        """Kernel address of the struct file of its guest_memfd; 0 without one."""
        self.gmem_offset_pages = gmem_offset_pages


class Holder:
    """A process that has descriptors of a VM or of its vCPUs open."""

    __slots__ = ("command", "gmem_fds", "name", "pid", "vcpu_fds", "vm_fds")

    def __init__(self, pid: int, name: str, command: str) -> None:
        self.pid = pid
        """As we see it: another number in another PID namespace."""
        self.name = name
        """What the kernel calls the process (15 letters)."""
        self.command = command
        """Its words, separated by spaces; the name in brackets if it has none."""
        self.vm_fds: list[int] = []
        """Lowest first."""
        self.vcpu_fds: dict[int, int] = {}
        """vCPU id: file descriptor, the lowest of several."""
        self.gmem_fds: dict[int, int] = {}
        """Kernel address of the struct file of a guest_memfd: file descriptor."""

    def __repr__(self) -> str:
        return f"<Holder {self.pid} {self.name} vm {self.vm_fds} vcpus {len(self.vcpu_fds)}>"


class RunningVm:
    """One struct kvm."""

    __slots__ = ("address", "consistent", "generations", "holders", "numbers", "spaces", "tries")

    def __init__(
        self,
        address: int,
        spaces: list[list[RunningSlot]],
        generations: list[int],
        numbers: Mapping[str, int],
        *,
        consistent: bool = True,
        tries: int = 1,
    ) -> None:
        self.address = address
        """Kernel address of its struct kvm."""
        self.spaces = spaces
        """Slots of each address space, by guest frame, KVM's own included."""
        self.generations = generations
        self.numbers = numbers
        """Members of struct kvm by name, where the kernel has them: `nr_memslot_pages`,
        `arch.n_max_mmu_pages`, ...
        """
        self.consistent = consistent
        """Whether all slots are of one moment.  False if they changed at every try to read them."""
        self.tries = tries
        self.holders: list[Holder] = []
        """The process that made it comes first, if it holds it still."""

    def slots(self) -> list[RunningSlot]:
        """All slots, address space by address space."""
        return [slot for space in self.spaces for slot in space]

    @property
    def nr_slots(self) -> int:
        """Slots of all address spaces, KVM's own included."""
        return sum(map(len, self.spaces))

    @property
    def total_pages(self) -> int:
        """Pages of all slots, added up."""
        return sum(slot.npages for space in self.spaces for slot in space)

    @property
    def kernel_total_pages(self) -> int | None:
        """nr_memslot_pages, which KVM keeps since 5.17; None before."""
        return self.numbers.get("nr_memslot_pages")

    @property
    def mmu_budget(self) -> int | None:
        """n_max_mmu_pages (x86); None elsewhere."""
        return self.numbers.get("arch.n_max_mmu_pages")

    @property
    def vcpus(self) -> int:
        """vCPUs that are online."""
        return self.numbers.get("online_vcpus", 0)

    @property
    def vcpu_ids(self) -> list[int]:
        """Ids of the vCPUs whose descriptors are open somewhere."""
        return sorted({vcpu_id for holder in self.holders for vcpu_id in holder.vcpu_fds})

    def name_own_slots(self, user_slots: int, names: tuple[str, ...]) -> None:
        """Say of slots with ids from `user_slots` on that they are KVM's own; names: of the first,
        the second, ...
        """
        for slot in self.slots():
            if slot.id >= user_slots:
                at = slot.id - user_slots
                slot.owner = names[at] if at < len(names) else "KVM"

    def __repr__(self) -> str:
        return f"<RunningVm {self.address:#x} {self.nr_slots} slots, {self.total_pages} pages>"
