"""A running VM beside the model: what its slots cost, how many are left, and whether the two
agree.
"""

from __future__ import annotations

import os

from ..check import metadata
from ..errors import DeviceUnavailableError
from ..kernel.arch import find_arch
from ..kernel.names import find
from ..kernel.profile import dated
from ..kernel.vendors import release_of
from ..rules.own_slots import OWN_SLOT_NAMES
from ..uapi.flags import KVM_MEM_USER_FLAGS
from .descriptors import names_of, sees_all_processes
from .look import look
from .snapshot import host_of, model_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..kernel.profile import Profile
    from ..model.vm import Vm
    from ..state.slot import Slot
    from .running_vm import RunningVm


class Disagreement:
    """One number of which the kernel and the model think differently."""

    __slots__ = ("kernel", "model", "what")

    def __init__(self, what: str, kernel: object, model: object) -> None:
        self.what = what
        self.kernel = kernel
        self.model = model

    def __repr__(self) -> str:
        return f"<Disagreement {self.what}: kernel {self.kernel}, model {self.model}>"


class BesideModel:
    """One running VM and what the model makes of it."""

    __slots__ = ("disagreements", "model", "user_slots", "vm")

    def __init__(self, vm: RunningVm, profile: Profile) -> None:
        """profile: of the kernel that the VM runs on."""
        self.vm = vm
        self.user_slots = host_of(profile).user_slots
        vm.name_own_slots(self.user_slots, OWN_SLOT_NAMES if profile.arch.is_x86 else ())
        self.model = model_of(vm, profile)
        self.disagreements = list(_disagreements(vm, self.model))

    @property
    def cost_bytes(self) -> int | None:
        """Kernel memory of the slots, with the reverse maps and write tracking that they really
        have.

        None where it is not known for this kernel.  Worked out when asked for: 0.1 ms a slot.
        """
        state, profile = self.model.state, self.model.profile
        slots = self.vm.slots()
        conditions = metadata.Conditions(
            shadow=any(slot.has_rmaps for slot in slots),
            tracker=any(slot.has_write_track for slot in slots),
        )
        heads = [metadata.head_bytes(profile, space.count) for space in state.spaces]
        if None in heads or metadata.descriptor_bytes(profile) is None:
            return None
        arrays = sum(
            array.allocated
            for space in state.spaces
            for slot in space
            for array in metadata.arrays_of(profile, slot, conditions, bitmaps=state.uses_bitmaps)
        )
        return (
            arrays
            + sum(head or 0 for head in heads)
            + state.config.ring_bytes * len(state.config.vcpu_ids)
        )

    @property
    def slots_left(self) -> list[int]:
        """Slots that user space may still make, in each address space."""
        return [
            self.user_slots - sum(slot.id < self.user_slots for slot in space)
            for space in self.vm.spaces
        ]  # fmt: skip


def look_beside_model(pid: int | None = None) -> list[BesideModel]:
    """The VMs of a process, or of all processes but ours, beside the model of the kernel they run
    on.

    Raises ProcessLookupError if there is no such process, or it has no VM; DeviceUnavailableError.
    """
    found = look(None if pid is None else [pid])
    if pid is not None and not found:
        if not os.path.isdir(f"/proc/{pid}"):
            where = "" if sees_all_processes() else " here (PID namespace)"
            raise ProcessLookupError(f"there is no process {pid}{where}")
        raise ProcessLookupError(
            f"process {pid} ({names_of(pid)[0]}) has no VM; `memslots live vms` lists those that do"
        )
    profile = profile_of_host()
    return [BesideModel(vm, profile) for vm in found]


def profile_of_host() -> Profile:
    """The kernel under us: asked through /dev/kvm, or dated by its release where that is not
    there.
    """
    try:
        return find("host")
    except DeviceUnavailableError:
        uname = os.uname()
        return dated(release_of(uname.release, uname.version), find_arch(uname.machine))


def _disagreements(vm: RunningVm, model: Vm) -> Iterator[Disagreement]:
    if vm.kernel_total_pages is not None and vm.kernel_total_pages != vm.total_pages:
        yield Disagreement("nr_memslot_pages", vm.kernel_total_pages, vm.total_pages)
    may_be = {(slot.as_id, slot.id) for slot in model.state.possible_slots}
    real = {_key(slot) for slot in vm.slots() if (slot.as_id, slot.id) not in may_be}
    expected = {
        _key(slot) for as_id in range(len(model.state.spaces)) for slot in model.slots(as_id)
    }
    for key in sorted(real ^ expected):
        yield Disagreement(
            f"slot {key[0]}:{key[1]}",
            key if key in real else None,
            key if key in expected else None,
        )
    undecided = sum(slot.npages for slot in vm.slots() if (slot.as_id, slot.id) in may_be)
    if vm.total_pages != model.total_pages + undecided:
        yield Disagreement("total pages", vm.total_pages, model.total_pages)
    if undecided or vm.mmu_budget is None or model.mmu_budget is None:
        return
    if not vm.total_pages and not vm.numbers.get("arch.n_requested_mmu_pages"):
        return  # 0 before the first slot, the least that there is after the last one
    # a budget below what is in use becomes what is in use
    used = vm.numbers.get("arch.n_used_mmu_pages")
    most = vm.mmu_budget if used is None else max(model.mmu_budget, used)
    if not model.mmu_budget <= vm.mmu_budget <= most:
        yield Disagreement("n_max_mmu_pages", vm.mmu_budget, model.mmu_budget)


def _key(slot: Slot) -> tuple[int, int, int, int, int]:
    return slot.as_id, slot.id, slot.base_gfn, slot.npages, slot.flags & KVM_MEM_USER_FLAGS
