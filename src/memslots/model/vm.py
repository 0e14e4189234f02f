"""`Vm`: one virtual machine of the model, with the calls of a VM file descriptor.

    vm = Vm("6.1/x86_64")
    vm.set_user_memory_region(0, 0, 0, 1 << 30, 0x7f00_0000_0000).unwrap()
    vm.total_pages, vm.mmu_budget

Every call returns an `Outcome` (accepted, refused, undetermined, unmodelled)
and changes the VM only if it is accepted, or leaves what the kernel leaves.
`fork()` gives an independent copy for a what-if.
"""

from __future__ import annotations

from ..kernel.machine import Machine
from ..kernel.names import find
from ..kernel.profile import Profile
from ..rules import dirty_log, vm_calls
from ..rules.answer import Accepted, Answer, Refused, Undetermined, Unmodelled
from ..rules.attempt import Attempt, ForeignAttempt
from ..rules.check_extension import check_extension
from ..rules.fast_path import accept_plain
from ..rules.internal_slots import create_vcpu, set_tss_addr
from ..rules.region.set_memory_region import decide
from ..state.guest_memfd import GuestMemfd
from ..state.mmu_pages_designs import Design
from ..state.process import Host
from ..state.slot import Slot
from ..state.vm_state import VmState
from ..uapi.abi import KVM_MEM_READONLY
from ..uapi.region import Request, checked_uint
from ..units import U32_MAX, U64_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..state.slot_set import SlotSet

    Outcome = Accepted | Refused | Undetermined | Unmodelled


class Vm:
    """One VM: the only mutable holder.  Its state is `state`; everything else is a value."""

    __slots__ = ("host", "profile", "state")

    def __init__(
        self,
        kernel: Profile | str,
        vm_type: int = 0,
        *,
        host: Host | None = None,
        design: Design | None = None,
        state: VmState | None = None,
    ) -> None:
        """KVM_CREATE_VM of `vm_type` on a kernel, given as a profile or by name.

        Raises UnknownKernelError for a name that is not known, RefusedError for
        a type that the kernel refuses.
        """
        self.profile = kernel if isinstance(kernel, Profile) else find(kernel)
        checked_uint("vm_type", vm_type)
        if self.profile.option("compat"):
            vm_type &= U32_MAX
        vm_type &= (1 << self.profile.arch.long_bits) - 1
        refused = vm_calls.check_vm_type(self.profile, vm_type)
        if refused is not None:
            refused.unwrap()
        self.host = Host() if host is None else host
        self.state = VmState(Machine(self.profile, vm_type), design) if state is None else state

    def fork(self) -> Vm:
        """An independent equal VM: change it to see what would happen."""
        twin = Vm.__new__(Vm)
        twin.profile = self.profile
        twin.host = self.host.copy()
        twin.state = self.state.copy()
        return twin

    # -- the region calls

    def set_user_memory_region(
        self, slot: int, flags: int, guest_phys_addr: int, memory_size: int, userspace_addr: int
    ) -> Outcome:
        """KVM_SET_USER_MEMORY_REGION: create, delete (memory_size 0), move or re-flag a slot.

        slot and flags are u32, the addresses and the size u64 in bytes.  Raises
        TypeError or ValueError for values that do not fit.
        """
        return self.submit(Request(slot, flags, guest_phys_addr, memory_size, userspace_addr))

    def set_user_memory_region2(
        self,
        slot: int,
        flags: int,
        guest_phys_addr: int,
        memory_size: int,
        userspace_addr: int,
        guest_memfd: int = 0,
        guest_memfd_offset: int = 0,
    ) -> Outcome:
        """KVM_SET_USER_MEMORY_REGION2 (6.8 and later)."""
        return self.submit(
            Request(slot, flags, guest_phys_addr, memory_size, userspace_addr, guest_memfd, guest_memfd_offset, True)
        )

    def submit(self, request: Request, *, by_other_process: bool = False) -> Outcome:
        """Decide a region call and carry out what it does.

        by_other_process: the caller is not the process that created the VM, e.g. a forked child.
        """
        state = self.state
        if by_other_process:
            return self._carry_out(ForeignAttempt(request, state, self.host))
        accepted = accept_plain(request, state)
        if accepted is None:
            return self._carry_out(Attempt(request, state, self.host))
        if accepted.kind:
            state.apply(accepted)
        return accepted

    def _carry_out(self, attempt: Attempt) -> Outcome:
        outcome = decide(attempt)
        if isinstance(outcome, Accepted):
            self.state.apply(outcome)
        elif isinstance(outcome, Refused) and outcome.change is not None:
            self.state.fail(outcome.change)
        return outcome

    def what_if(self, request: Request) -> Outcome:
        """The answer that the request would get; the VM stays as it is."""
        return decide(Attempt(request, self.state, self.host))

    # -- dirty logging

    def get_dirty_log(self, slot: int, buffer_bytes: int | None = None) -> Outcome:
        """KVM_GET_DIRTY_LOG; `outcome.data` is the DirtyBitmap handed out."""
        checked_uint("slot", slot, U32_MAX)
        if buffer_bytes is not None:
            checked_uint("buffer_bytes", buffer_bytes)
        return dirty_log.get_dirty_log(self.state, slot, buffer_bytes)

    def clear_dirty_log(
        self, slot: int, first_page: int, num_pages: int, mask: int | None = None, buffer_bytes: int | None = None
    ) -> Outcome:
        """KVM_CLEAR_DIRTY_LOG of pages [first_page, first_page + num_pages) named by `mask` (None: all)."""
        checked_uint("slot", slot, U32_MAX)
        checked_uint("first_page", first_page, U64_MAX)
        checked_uint("num_pages", num_pages, U32_MAX)
        if mask is not None and (not isinstance(mask, int) or mask < 0):
            checked_uint("mask", mask)  # one bit a page: however large, but a number
        if buffer_bytes is not None:
            checked_uint("buffer_bytes", buffer_bytes)
        return dirty_log.clear_dirty_log(self.state, slot, first_page, num_pages, mask, buffer_bytes)

    def reset_dirty_rings(self) -> Outcome:
        """KVM_RESET_DIRTY_RINGS."""
        return dirty_log.reset_dirty_rings(self.state)

    def mark_dirty(self, gpa: int, as_id: int = 0) -> None:
        """A guest has written the page at this guest-physical address."""
        self._space(as_id)
        self.state.mark_dirty(as_id, checked_uint("gpa", gpa) >> self.page_shift)

    # -- other calls of a VM file descriptor

    def check_extension(self, capability: int, *, on_system: bool = False) -> Outcome:
        """KVM_CHECK_EXTENSION on the VM, or on /dev/kvm."""
        return check_extension(self.state, checked_uint("capability", capability), on_system=on_system)

    def enable_cap(self, capability: int, *arguments: int, flags: int = 0) -> Outcome:
        """KVM_ENABLE_CAP."""
        checked_uint("capability", capability, U32_MAX)
        checked_uint("flags", flags, U32_MAX)
        for argument in arguments:
            checked_uint("argument", argument)
        return vm_calls.enable_cap(self.state, capability, flags, arguments)

    def create_irqchip(self) -> Outcome:
        """KVM_CREATE_IRQCHIP."""
        return vm_calls.create_irqchip(self.state)

    def create_vcpu(self, vcpu_id: int) -> Outcome:
        """KVM_CREATE_VCPU: the first one may make KVM's own slots."""
        return create_vcpu(self.state, self.host, checked_uint("vcpu_id", vcpu_id) & self._caller_ulong_max)

    def set_tss_addr(self, gpa: int) -> Outcome:
        """KVM_SET_TSS_ADDR: three pages of KVM's own on Intel without unrestricted guest."""
        return set_tss_addr(self.state, self.host, checked_uint("gpa", gpa) & self._caller_ulong_max)

    def set_identity_map_addr(self, gpa: int) -> Outcome:
        """KVM_SET_IDENTITY_MAP_ADDR: where the first vCPU puts that page."""
        return vm_calls.set_identity_map_addr(self.state, checked_uint("gpa", gpa))

    def set_nr_mmu_pages(self, npages: int) -> Outcome:
        """KVM_SET_NR_MMU_PAGES: from now on the budget stays as user space sets it."""
        checked_uint("npages", npages)
        return vm_calls.set_nr_mmu_pages(self.state, npages & self._caller_ulong_max)

    def get_nr_mmu_pages(self) -> Outcome:
        """KVM_GET_NR_MMU_PAGES (up to 6.3)."""
        return vm_calls.get_nr_mmu_pages(self.state)

    def create_guest_memfd(self, size_bytes: int, flags: int = 0, fd: int | None = None) -> Outcome:
        """KVM_CREATE_GUEST_MEMFD; the value is the new file descriptor (`fd`, or the next free one)."""
        checked_uint("size_bytes", size_bytes)
        checked_uint("flags", flags)
        if fd is not None:
            checked_uint("fd", fd, U32_MAX)
        refused = vm_calls.check_guest_memfd(self.state, size_bytes, flags)
        if refused is not None:
            return refused
        file = GuestMemfd(size_bytes, flags, self.state.uid)
        if fd is None:
            fd = max((2, *self.host.fds)) + 1
        self.host.fds[fd] = file
        return Answer(value=fd, data=file)

    def close_guest_memfd(self, fd: int) -> bool:
        """close() of a guest_memfd's only descriptor; False (EBADF) if it is not open."""
        if fd not in self.host.fds:
            return False
        file = self.host.fds.pop(fd)
        if file is not None:
            self.state.unbind_all(file)
        return True

    def set_memory_attributes(self, gpa: int, size_bytes: int, attributes: int, flags: int = 0) -> Outcome:
        """KVM_SET_MEMORY_ATTRIBUTES on a range of bytes."""
        for name, value in (("gpa", gpa), ("size_bytes", size_bytes), ("attributes", attributes), ("flags", flags)):
            checked_uint(name, value)
        return vm_calls.set_memory_attributes(self.state, gpa, size_bytes, attributes, flags)

    def pre_fault_memory(self, gpa: int, size_bytes: int, flags: int = 0) -> Outcome:
        """KVM_PRE_FAULT_MEMORY on a vCPU of the VM."""
        for name, value in (("gpa", gpa), ("size_bytes", size_bytes), ("flags", flags)):
            checked_uint(name, value)
        return vm_calls.pre_fault_memory(self.state, gpa, size_bytes, flags)

    # -- look-ups and totals

    @property
    def page_shift(self) -> int:
        """Bits of the offset within a host page."""
        return self.state.machine.page_shift

    def _space(self, as_id: int) -> SlotSet:
        """The slots of an address space; ValueError or TypeError with the value if the VM has no such space."""
        return self.state.spaces[checked_uint("as_id", as_id, len(self.state.spaces) - 1)]

    @property
    def _caller_ulong_max(self) -> int:
        return U32_MAX if self.profile.option("compat") else self.state.machine.ulong_max

    @property
    def total_pages(self) -> int:
        """Host pages of all slots, all address spaces, KVM's own included (nr_memslot_pages)."""
        return self.state.total_pages

    @property
    def mmu_budget(self) -> int | None:
        """The x86 shadow-MMU page budget in force (n_max_mmu_pages); None on other architectures."""
        return self.state.n_max_mmu_pages if self.profile.arch.is_x86 else None

    def slots(self, as_id: int = 0) -> Iterator[Slot]:
        """The slots of an address space in gfn order."""
        return iter(self._space(as_id))

    def slot(self, slot_word: int) -> Slot | None:
        """The slot named as in a call: as_id << 16 | id."""
        as_id = checked_uint("slot_word", slot_word, U32_MAX) >> 16
        return self.state.spaces[as_id].by_id(slot_word & 0xFFFF) if as_id < len(self.state.spaces) else None

    def slot_at(self, gpa: int, as_id: int = 0) -> Slot | None:
        """The slot that holds a guest-physical address."""
        return self._space(as_id).at(checked_uint("gpa", gpa) >> self.page_shift)

    def gpa_to_hva(self, gpa: int, as_id: int = 0, *, write: bool = False) -> int | None:
        """The host address behind a guest-physical one; None without backing, or for a write to read-only memory."""
        slot = self.slot_at(gpa, as_id)
        if slot is None or slot.is_invalid or (write and slot.flags & KVM_MEM_READONLY):
            return None
        return slot.userspace_addr + gpa - (slot.base_gfn << self.page_shift)

    def slots_at_hva(self, start: int, end: int, as_id: int = 0) -> list[Slot]:
        """The slots backed by any of the host bytes [start, end)."""
        return self._space(as_id).by_hva(
            checked_uint("start", start), checked_uint("end", end, 1 << 64), self.page_shift
        )

    def check(self) -> None:
        """Raise InvariantBrokenError if anything that must hold does not."""
        self.state.check()

    def __repr__(self) -> str:
        return f"<Vm on {self.profile.name}: {self.state.nr_slots} slots, {self.total_pages} pages>"
