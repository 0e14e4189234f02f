"""The same request on the same slots, but on another kernel or host."""

from __future__ import annotations

from ..errors import MemslotsError
from ..kernel.asked import machine_of
from ..kernel.profile import Profile, of_branches
from ..model.vm import Vm
from ..rules.answer import Accepted, Refused, Undetermined, Unmodelled
from ..state.guest_memfd import GuestMemfd
from ..state.process import Process
from ..state.vm_state import VmState
from ..uapi.flags import KVM_MEM_USER_FLAGS
from ..uapi.region import Region

TYPE_CHECKING = False
if TYPE_CHECKING:
    Outcome = Accepted | Refused | Undetermined | Unmodelled

MOST_SLOTS = 4000
"""With more slots than this a survey of all kernels would keep the user waiting."""


def transplanted(vm: Vm, profile: Profile, vm_type: int | None = None) -> Vm:
    """A VM on another kernel, perhaps of another type, with the same slots, as far as that kernel
    takes them.
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
    for slots in vm.state.spaces:
        for slot in slots:
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
    return transplanted(vm, profile).what_if(request)


def kernels_line(vm: Vm, request: Region, outcome: Outcome) -> str:
    """One sentence: on which releases of this architecture the answer is the same, and what it is
    elsewhere.
    """
    if vm.state.nr_slots > MOST_SLOTS:
        return "not worked out: more than 4000 slots"
    groups: list[tuple[str, str, str]] = []
    stated = {name: setting.value for name, setting in vm.profile.options.items()}
    for profile in of_branches(vm.profile.arch, stated):
        try:
            text = _summary(answer_on(vm, request, profile))
        except MemslotsError:
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
