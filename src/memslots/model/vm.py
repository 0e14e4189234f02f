"""`Vm`: one virtual machine of the model, with the calls of a VM file descriptor.

    vm = Vm("6.1/x86_64")
    vm.set_user_memory_region(0, 0, 0, 1 << 30, 0x7f00_0000_0000).unwrap()
    vm.total_pages, vm.mmu_budget

Every call returns an answer (accepted, refused, undetermined, unmodelled) and
changes the VM only if it is accepted, or leaves what the kernel leaves.  People
use the methods that are named after the calls; programs use `call`, to which
they all come.  `fork()` gives an independent copy for a what-if.
"""

from __future__ import annotations

from ..kernel.asked import machine_of
from ..kernel.names import find
from ..kernel.profile import Profile
from ..rules.answer import NO_CHANGE, Accepted, Refused
from ..rules.attempt import Attempt, ForeignAttempt, RegionAttempt
from ..rules.create_vm import check_vm_type
from ..rules.decide import DECISIONS, decide
from ..rules.fast_path import UNCHANGED, accept_plain, plain_change, plain_limits
from ..rules.region.set_memory_region import decide as decide_region
from ..state.change import FileMade, SlotChange
from ..state.mmu_pages_designs import Design
from ..state.process import Process
from ..state.vm_state import VmState
from ..uapi.calls import CALLS, REGION_CALLS, SYSTEM, VCPU, VM
from ..uapi.region import Region, checked_uint, region_of
from ..units import U32_MAX
from .slot_lookups import SlotLookups

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..rules.answer import Answer
    from ..state.change import Change


class Vm(SlotLookups):
    """One VM: a profile, the state of the VM, and the process that calls; implements
    `model.kvm.Kvm`.
    """

    __slots__ = ("_plain", "process", "profile", "state")

    def __init__(
        self,
        kernel: Profile | str,
        vm_type: int = 0,
        *,
        process: Process | None = None,
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
        refused = check_vm_type(self.profile, vm_type) if state is None else None
        if isinstance(refused, Refused):
            refused.unwrap()
        self.process = Process() if process is None else process
        self.state = VmState(machine_of(self.profile, vm_type), design) if state is None else state
        self._plain = plain_limits(self.state.machine)

    @classmethod
    def of_unknown_type(cls, profile: Profile, process: Process) -> Vm:
        """A VM whose creation nobody saw."""
        return cls(profile, process=process, state=VmState(machine_of(profile, None)))

    def fork(self) -> Vm:
        """An independent equal VM: change it to see what would happen."""
        twin = Vm.__new__(Vm)
        twin.profile = self.profile
        twin.process = self.process.copy()
        twin.state = self.state.copy()
        twin._plain = self._plain
        return twin

    # -- the one door

    def call(
        self,
        name: str,
        fields: Mapping[str, int] | None = None,
        *,
        on: str = VM,
        buffer_bytes: int | None = None,
        new_fd: int | None = None,
        by_other_process: bool = False,
    ) -> Answer:
        """Decide any call of `uapi.calls.CALLS` by name, and carry out what it does.

        on: the kind of descriptor (SYSTEM, VM, VCPU); buffer_bytes: of the bitmap's buffer (None:
        enough); new_fd: the number of a descriptor that is made (None: the next free one).  Raises
        ValueError or TypeError for a call that no such descriptor takes, or fields that are missing
        or do not fit.
        """
        if name in REGION_CALLS:
            return self.submit(region_of(name, fields or {}), by_other_process=by_other_process)
        answer = decide(
            self._attempt(name, fields or {}, on, buffer_bytes, new_fd, by_other_process)
        )
        self.carry_out(answer)
        return answer

    def what_if(
        self,
        call: Region | str,
        fields: Mapping[str, int] | None = None,
        *,
        on: str = VM,
        buffer_bytes: int | None = None,
        new_fd: int | None = None,
        by_other_process: bool = False,
    ) -> Answer:
        """The answer that a region, or a call by name, would get; the VM stays as it is."""
        if isinstance(call, str) and call in REGION_CALLS:
            call = region_of(call, fields or {})
        if isinstance(call, Region):
            make = ForeignAttempt if by_other_process else RegionAttempt
            return decide_region(make(call, self.state, self.process))
        return decide(self._attempt(call, fields or {}, on, buffer_bytes, new_fd, by_other_process))

    def decide(self, region: Region) -> Answer:
        """The answer to a region; the VM stays as it is.

        As `what_if`, with a quick way for ordinary ones.
        """
        accepted = accept_plain(region, self.state, self._plain)
        return self.what_if(region) if accepted is None else accepted

    def submit(self, region: Region, *, by_other_process: bool = False) -> Answer:
        """Decide a region call and carry out what it does.

        by_other_process: the caller is not the process that created the VM, e.g. a forked child.
        """
        state = self.state
        if not by_other_process:
            change = plain_change(
                region.slot, region.flags, region.guest_phys_addr, region.memory_size,
                region.userspace_addr, region.low_bits, state, self._plain
            )  # fmt: skip
            if change is UNCHANGED:
                return NO_CHANGE
            if change is not None:
                state.apply(change)
                return Accepted(change)
        answer = self.what_if(region, by_other_process=by_other_process)
        self.carry_out(answer)
        return answer

    def decide_plain(
        self, slot: int, flags: int, guest_phys_addr: int, memory_size: int, userspace_addr: int
    ) -> SlotChange | None:
        """What a call of the first form plainly changes, if its numbers fit; None: ask `decide`."""
        low_bits = (guest_phys_addr | memory_size | userspace_addr) & 0xFFFF
        return plain_change(
            slot, flags, guest_phys_addr, memory_size, userspace_addr, low_bits, self.state,
            self._plain
        )  # fmt: skip

    def take_plain(
        self, slot: int, flags: int, guest_phys_addr: int, memory_size: int, userspace_addr: int
    ) -> SlotChange | None:
        """The way of `submit` for a call of the first form whose numbers nobody has checked.

        Carries it out and returns what it changes (UNCHANGED: nothing), if it is plainly
        acceptable; otherwise the VM stays as it is: `submit` or `decide` look closer.
        """
        try:
            wide = guest_phys_addr | memory_size | userspace_addr
            if (slot | flags) >> 32 or wide >> 64 or (slot | flags | wide).__class__ is not int:
                return None
        except TypeError:
            return None
        return self.take_fitting(slot, flags, guest_phys_addr, memory_size, userspace_addr)

    def take_fitting(
        self, slot: int, flags: int, guest_phys_addr: int, memory_size: int, userspace_addr: int
    ) -> SlotChange | None:
        """As `take_plain`, for numbers that are known to fit."""
        change = self.decide_plain(slot, flags, guest_phys_addr, memory_size, userspace_addr)
        if change is not None and change is not UNCHANGED:
            self.state.apply(change)
        return change

    def _attempt(
        self,
        name: str,
        fields: Mapping[str, int],
        on: str,
        buffer_bytes: int | None,
        new_fd: int | None,
        by_other_process: bool,
    ) -> Attempt:
        call = CALLS.get(name)
        if call is None or not (name in DECISIONS or call.is_beside_memory):
            raise ValueError(f"{name} is no call that a VM of the model takes")
        missing = call.missing(fields)
        if missing:
            raise ValueError(f"{name} lacks {', '.join(missing)}")
        known = {}
        for field in call.fields:
            if field.name in fields:
                known[field.name] = checked_uint(
                    field.name, fields[field.name], (1 << field.bits) - 1
                )
        if call.is_number:
            # the argument itself is an unsigned long of the caller
            known = {field: value & self._caller_ulong_max for field, value in known.items()}
        mask = fields.get("mask")
        if mask is not None:
            known["mask"] = (
                mask if isinstance(mask, int) and mask >= 0 else checked_uint("mask", mask)
            )
        if buffer_bytes is not None:
            checked_uint("buffer_bytes", buffer_bytes)
        if new_fd is not None:
            checked_uint("new_fd", new_fd, U32_MAX)
        return Attempt(
            name, known, self.state, self.process, on=on, buffer_bytes=buffer_bytes, new_fd=new_fd,
            by_other_process=by_other_process,
        )  # fmt: skip

    def carry_out(self, answer: Answer) -> None:
        """Do what an answer says that was given to this VM as it is now."""
        if isinstance(answer, Accepted):
            if answer.change is not None:
                self.make(answer.change)
        elif isinstance(answer, Refused) and answer.traces is not None:
            self.state.leave_traces(answer.traces)

    def make(self, change: Change) -> None:
        """Make a change that was decided for this VM, or for one in the same state."""
        if isinstance(change, FileMade):
            self.process.open(change.fd, change.file)
        else:
            self.state.apply(change)

    # -- the region calls

    def set_user_memory_region(
        self, slot: int, flags: int, guest_phys_addr: int, memory_size: int, userspace_addr: int
    ) -> Answer:
        """KVM_SET_USER_MEMORY_REGION: create, delete (memory_size 0), move or re-flag a slot.

        slot and flags are u32, the addresses and the size u64 in bytes.  Raises
        TypeError or ValueError for values that do not fit.
        """
        return self.submit(Region(slot, flags, guest_phys_addr, memory_size, userspace_addr))

    def set_user_memory_region2(
        self,
        slot: int,
        flags: int,
        guest_phys_addr: int,
        memory_size: int,
        userspace_addr: int,
        guest_memfd: int = 0,
        guest_memfd_offset: int = 0,
    ) -> Answer:
        """KVM_SET_USER_MEMORY_REGION2 (6.8 and later)."""
        return self.submit(
            Region(
                slot,
                flags,
                guest_phys_addr,
                memory_size,
                userspace_addr,
                guest_memfd,
                guest_memfd_offset,
                True,
            )
        )

    # -- dirty logging

    def get_dirty_log(self, slot: int, buffer_bytes: int | None = None) -> Answer:
        """KVM_GET_DIRTY_LOG; `answer.data` is the DirtyBitmap handed out."""
        return self.call("KVM_GET_DIRTY_LOG", {"slot": slot}, buffer_bytes=buffer_bytes)

    def clear_dirty_log(
        self,
        slot: int,
        first_page: int,
        num_pages: int,
        mask: int | None = None,
        buffer_bytes: int | None = None,
    ) -> Answer:
        """KVM_CLEAR_DIRTY_LOG of pages [first_page, first_page + num_pages) named by `mask` (None:
        all).
        """
        fields = {"slot": slot, "first_page": first_page, "num_pages": num_pages}
        if mask is not None:
            fields["mask"] = mask
        return self.call("KVM_CLEAR_DIRTY_LOG", fields, buffer_bytes=buffer_bytes)

    def reset_dirty_rings(self) -> Answer:
        """KVM_RESET_DIRTY_RINGS."""
        return self.call("KVM_RESET_DIRTY_RINGS")

    def mark_dirty(self, gpa: int, as_id: int = 0) -> None:
        """A guest has written the page at this guest-physical address."""
        self._space(as_id)
        self.state.mark_dirty(as_id, checked_uint("gpa", gpa) >> self.page_shift)

    # -- other calls of a VM file descriptor

    def check_extension(self, capability: int, *, on_system: bool = False) -> Answer:
        """KVM_CHECK_EXTENSION on the VM, or on /dev/kvm."""
        return self.call("KVM_CHECK_EXTENSION", {"cap": capability}, on=SYSTEM if on_system else VM)

    def enable_cap(self, capability: int, *arguments: int, flags: int = 0) -> Answer:
        """KVM_ENABLE_CAP with up to four arguments."""
        four = (*arguments, 0, 0, 0, 0)[:4]
        fields = {f"arg{number}": argument for number, argument in enumerate(four)}
        return self.call("KVM_ENABLE_CAP", {"cap": capability, "flags": flags, **fields})

    def create_irqchip(self) -> Answer:
        """KVM_CREATE_IRQCHIP."""
        return self.call("KVM_CREATE_IRQCHIP")

    def create_vcpu(self, vcpu_id: int) -> Answer:
        """KVM_CREATE_VCPU: the first one may make KVM's own slots."""
        return self.call("KVM_CREATE_VCPU", {"vcpu_id": vcpu_id})

    def set_tss_addr(self, gpa: int) -> Answer:
        """KVM_SET_TSS_ADDR: three pages of KVM's own on Intel without unrestricted guest."""
        return self.call("KVM_SET_TSS_ADDR", {"addr": gpa})

    def set_identity_map_addr(self, gpa: int) -> Answer:
        """KVM_SET_IDENTITY_MAP_ADDR: where the first vCPU puts that page."""
        return self.call("KVM_SET_IDENTITY_MAP_ADDR", {"addr": gpa})

    def set_nr_mmu_pages(self, npages: int) -> Answer:
        """KVM_SET_NR_MMU_PAGES: from now on the budget stays as user space sets it."""
        return self.call("KVM_SET_NR_MMU_PAGES", {"nr_pages": npages})

    def get_nr_mmu_pages(self) -> Answer:
        """KVM_GET_NR_MMU_PAGES (up to 6.3)."""
        return self.call("KVM_GET_NR_MMU_PAGES")

    def create_guest_memfd(self, size_bytes: int, flags: int = 0, fd: int | None = None) -> Answer:
        """KVM_CREATE_GUEST_MEMFD; the value is the new file descriptor (`fd`, or the next free
        one).
        """
        return self.call("KVM_CREATE_GUEST_MEMFD", {"size": size_bytes, "flags": flags}, new_fd=fd)

    def close_guest_memfd(self, fd: int) -> bool:
        """close() of a guest_memfd's only descriptor; False (EBADF) if it is not open."""
        if fd not in self.process.fds:
            return False
        file = self.process.close(fd)
        if file is not None:
            self.state.unbind_all(file)
        return True

    def set_memory_attributes(
        self, gpa: int, size_bytes: int, attributes: int, flags: int = 0
    ) -> Answer:
        """KVM_SET_MEMORY_ATTRIBUTES on a range of bytes."""
        fields = {"address": gpa, "size": size_bytes, "attributes": attributes, "flags": flags}
        return self.call("KVM_SET_MEMORY_ATTRIBUTES", fields)

    def pre_fault_memory(self, gpa: int, size_bytes: int, flags: int = 0) -> Answer:
        """KVM_PRE_FAULT_MEMORY on a vCPU of the VM."""
        return self.call(
            "KVM_PRE_FAULT_MEMORY", {"gpa": gpa, "size": size_bytes, "flags": flags}, on=VCPU
        )

    @property
    def _caller_ulong_max(self) -> int:
        return U32_MAX if self.profile.option("compat") else self.state.machine.ulong_max

    def check(self) -> None:
        """Raise InvariantBrokenError if anything that must hold does not."""
        self.state.check()

    def _repr_svg_(self) -> str:
        """The picture of a notebook: what lies where."""
        from ..views.space_time import svg_of

        return svg_of([("VM", self)])

    def __repr__(self) -> str:
        return f"<Vm on {self.profile.name}: {self.state.nr_slots} slots, {self.total_pages} pages>"
