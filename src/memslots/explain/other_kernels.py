"""The same request on the same slots, but on another kernel or host."""

from __future__ import annotations

from ..errors import MemslotsError
from ..kernel.asked import AlikeKernels, machine_of
from ..kernel.profile import Profile, of_branches
from ..model.vm import Vm
from ..rules.answer import Accepted, Refused, Undetermined, Unmodelled
from ..state.guest_memfd import GuestMemfd
from ..state.process import Process
from ..state.vm_state import VmState
from ..uapi.flags import KVM_MEM_GUEST_MEMFD, KVM_MEM_USER_FLAGS
from ..uapi.region import Region
from ..units import U32_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..state.slot import Slot

    Outcome = Accepted | Refused | Undetermined | Unmodelled


def transplanted(vm: Vm, profile: Profile, request: Region, vm_type: int | None = None) -> Vm:
    """A VM on another kernel, perhaps of another type, with the same slots, as far as that kernel
    takes them and the answer to a request can depend on them.
    """
    vm_type = (
        vm.state.machine.vm_type
        if vm_type is None and profile.arch is vm.profile.arch
        else vm_type or 0
    )
    process = Process(mappings_known=False, fds_known=False)
    process.mappings = list(vm.process.mappings)
    twin = Vm(profile, process=process, state=VmState(machine_of(profile, vm_type)))
    files = {
        file: GuestMemfd(file.size_bytes, file.flags, twin.state.uid)
        for file in vm.process.fds.values()
        if file is not None
    }
    twin.process.fds = {
        fd: None if file is None else files[file] for fd, file in vm.process.fds.items()
    }
    fds = {file: fd for fd, file in vm.process.fds.items() if file is not None}
    _make_own_slots(vm, twin)
    shift = vm.page_shift
    for slot in _slots_that_matter(vm, request):
        if slot.owner:
            continue
        binding = slot.binding
        twin.submit(
            Region(
                slot.slot_word, slot.flags & KVM_MEM_USER_FLAGS,
                slot.base_gfn << shift, slot.npages << shift,
                slot.userspace_addr,
                0 if binding is None else fds.get(binding.file, 0),
                0 if binding is None else binding.start << shift, binding is not None,
            )
        )  # fmt: skip
    return twin


def _slots_that_matter(vm: Vm, request: Region) -> list[Slot]:
    """Slots that the answer to a region call can depend on: the one of the same id, those on the
    same guest memory or part of a guest_memfd; all where the page total may pass 32 bits.
    """
    as_id, slot_id = request.slot >> 16, request.slot & 0xFFFF
    if vm.total_pages + (request.memory_size >> vm.page_shift) > U32_MAX:
        return [slot for slots in vm.state.spaces for slot in slots]
    found: list[Slot | None] = []
    file = vm.process.fds.get(request.guest_memfd)
    if request.flags & KVM_MEM_GUEST_MEMFD and file is not None:
        offset = request.guest_memfd_offset
        start, end = offset >> vm.page_shift, (offset + request.memory_size >> vm.page_shift) + 1
        found += [vm.slot(each.slot_word) for each in vm.state.bound_in(file, start, end)]
    if as_id < len(vm.state.spaces):
        slots = vm.state.spaces[as_id]
        first = request.guest_phys_addr >> vm.page_shift
        end = (request.guest_phys_addr + request.memory_size >> vm.page_shift) + 1
        found += slots.overlaps(first, end, slot_id)
        found.append(slots.by_id(slot_id))
    return sorted(
        {slot for slot in found if slot is not None}, key=lambda slot: (slot.as_id, slot.base_gfn)
    )


def _make_own_slots(vm: Vm, twin: Vm) -> None:
    """Make the calls to which KVM answers with slots of its own, where the VM has made them (x86).

    Which slots they bring depends on the twin's kernel and host.
    """
    config = vm.state.config
    if not vm.profile.arch.is_x86 or not twin.profile.arch.is_x86:
        return
    if config.irqchip:
        twin.call("KVM_CREATE_IRQCHIP")
    if config.identity_map_gpa:
        twin.call("KVM_SET_IDENTITY_MAP_ADDR", {"addr": config.identity_map_gpa})
    if config.tss_gpa is not None:
        twin.call("KVM_SET_TSS_ADDR", {"addr": config.tss_gpa})
    for vcpu_id in config.vcpu_ids[:1]:
        twin.call("KVM_CREATE_VCPU", {"vcpu_id": vcpu_id})


def answer_on(vm: Vm, request: Region, profile: Profile) -> Outcome:
    """What another kernel would answer."""
    return transplanted(vm, profile, request).what_if(request)


def kernels_line(vm: Vm, request: Region, outcome: Outcome) -> str:
    """One sentence: on which releases of this architecture the answer is the same, and what it is
    elsewhere.
    """
    groups: list[tuple[str, str, str]] = []
    stated = {name: setting.value for name, setting in vm.profile.options.items()}
    kernels = of_branches(vm.profile.arch, stated)

    def answered(profile: Profile) -> str | None:
        try:
            return _summary(answer_on(vm, request, profile))
        except MemslotsError:
            return None

    alike = AlikeKernels(answered, kernels)
    for profile in kernels:
        text = alike.find(profile)
        if text is None:
            continue
        release = str(profile.version)
        if groups and groups[-1][2] == text:
            groups[-1] = (groups[-1][0], release, text)
        else:
            groups.append((release, release, text))
    if not groups:
        return "not known for this architecture"
    if len(groups) == 1:
        same = groups[0][2] == _summary(outcome)
        return (
            f"the same on all of {groups[0][0]} to {groups[0][1]}"
            if same
            else f"{groups[0][2]} on all"
        )
    return "; ".join(f"{_span(first, last)}: {text}" for first, last, text in groups)


def _span(first: str, last: str) -> str:
    return first if first == last else f"{first} to {last}"


def _summary(outcome: Outcome) -> str:
    if isinstance(outcome, Refused):
        return outcome.reason.split(":")[0].split(";")[0]
    if isinstance(outcome, Accepted):
        return "accepted"
    return "depends on the host" if isinstance(outcome, Undetermined) else "not modelled"
