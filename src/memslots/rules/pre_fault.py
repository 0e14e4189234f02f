"""KVM_PRE_FAULT_MEMORY on a vCPU: how far it comes, and what stops it.

Of a slot that logs, KVM marks pages dirty which the host has written before: it maps them writable
at once.  As with what a guest writes, `Vm.mark_dirty` says so if somebody knows.
"""

from __future__ import annotations

from ..errnos import EFAULT, EINVAL, ENOENT, ENOSPC, EOPNOTSUPP
from ..kernel.arch import S390
from ..state.process import PROT_READ
from ..uapi.flags import GUEST_MEMFD_FLAG_MMAP
from .answer import Accepted, Refused, Rule, Undetermined
from .attempt import Attempt

_X86 = "arch/x86/kvm/x86.c"
_MAIN = "virt/kvm/kvm_main.c"
_MMU = "arch/x86/kvm/mmu/mmu.c"
_2_64 = 1 << 64

# fmt: off
PREFAULT_INVALID = Rule(
    "pre-fault-range", EINVAL, "KVM_PRE_FAULT_MEMORY has flags or a bad range, or the vCPU has no "
                               "such call.",
    "", "Pass whole pages, not empty, that end below 2^64.", "kvm_vcpu_pre_fault_memory() in "
        f"{_MAIN}",
    calls="KVM_PRE_FAULT_MEMORY",
)
PREFAULT_UCONTROL = Rule(
    "pre-fault-ucontrol", EINVAL, "The VM is a user-controlled one.",
    "Its pages are mapped one by one by another call.", "Use KVM_S390_VCPU_FAULT.",
    "kvm_arch_vcpu_pre_fault_memory() in arch/s390/kvm/kvm-s390.c", calls="KVM_PRE_FAULT_MEMORY",
    needs=("pre-fault-memory",), arches=S390,
)
PREFAULT_TOO_EARLY = Rule(
    "pre-fault-too-early", EOPNOTSUPP, "The SNP or TDX guest has not been launched yet.",
    """Before the launch is finished, private pages are given to the guest by the launch calls
    alone, so that they are measured.""",
    "Finish the launch first: KVM_SEV_SNP_LAUNCH_FINISH, KVM_TDX_FINALIZE_VM.",
    f"kvm_arch_vcpu_pre_fault_memory() in {_MMU}", calls="KVM_PRE_FAULT_MEMORY",
    needs=("pre-fault-memory",), arches=("x86_64",),
)
PREFAULT_NO_SLOT = Rule(
    "pre-fault-no-slot", ENOENT, "No slot holds the address.", "", "Register the memory first.",
    f"kvm_arch_vcpu_pre_fault_memory() in {_X86}", calls="KVM_PRE_FAULT_MEMORY",
    needs=("pre-fault-memory",),
)
PREFAULT_NOT_MAPPED = Rule(
    "pre-fault-not-mapped", EFAULT, "The slot's host memory is not mapped, or its file is closed.",
    """The host memory is what userspace_addr names, or a guest_memfd made with
    GUEST_MEMFD_FLAG_MMAP.  Pages before it are mapped all the same: the call succeeds if there is
    one, and says how many bytes are left.""",
    "Map the memory before.", f"kvm_arch_vcpu_pre_fault_memory() in {_X86}",
    calls="KVM_PRE_FAULT_MEMORY",
    needs=("pre-fault-memory",),
)
PREFAULT_NO_BUDGET = Rule(
    "pre-fault-no-budget", ENOSPC, "The budget of shadow pages is still 0: no slot has been "
                                   "registered.",
    "Only where page tables are kept by the shadow MMU: without two-dimensional paging, or on "
    "32-bit hosts.",
    "Register the memory first.", f"make_mmu_pages_available() in {_MMU}",
    calls="KVM_PRE_FAULT_MEMORY",
    needs=("pre-fault-memory",),
)
PREFAULT_UNSUPPORTED = Rule(
    "pre-fault-unsupported", EOPNOTSUPP, "The host has no two-dimensional paging: there is "
                                         "nothing to map ahead.",
    "", "Ask KVM_CAP_PRE_FAULT_MEMORY first, which is 0 there.", f"kvm_tdp_map_page() in {_MMU}",
    calls="KVM_PRE_FAULT_MEMORY", needs=("pre-fault-memory",),
)
# fmt: on

RULES = (
    PREFAULT_INVALID,
    PREFAULT_UCONTROL,
    PREFAULT_TOO_EARLY,
    PREFAULT_NO_BUDGET,
    PREFAULT_UNSUPPORTED,
    PREFAULT_NO_SLOT,
    PREFAULT_NOT_MAPPED,
)


def decide(attempt: Attempt) -> Accepted | Refused | Undetermined:
    """The answer to KVM_PRE_FAULT_MEMORY of bytes [gpa, gpa + size); its data are the bytes that
    are left.
    """
    machine = attempt.machine
    gpa, size_bytes, flags = attempt.get("gpa"), attempt.get("size"), attempt.get("flags")
    numbers = {"guest_phys_addr": gpa, "size_bytes": size_bytes, "flags": flags}
    if not machine.profile.has("pre-fault-memory"):
        return PREFAULT_INVALID.refuse(
            **numbers
        )  # vCPU file descriptors answer EINVAL to unknown calls
    if (
        flags
        or not size_bytes
        or (gpa | size_bytes) & machine.page_mask
        or gpa + size_bytes >= _2_64
    ):
        return PREFAULT_INVALID.refuse(**numbers)
    if attempt.state.config.ucontrol:
        return PREFAULT_UCONTROL.refuse(**numbers)
    if machine.launched_later and not machine.profile.option("launched"):
        if machine.profile.option("launched") is False:
            return PREFAULT_TOO_EARLY.refuse(**numbers)
        return PREFAULT_TOO_EARLY.ask(
            "has the launch been finished (KVM_SEV_SNP_LAUNCH_FINISH, KVM_TDX_FINALIZE_VM)?  "
            "These calls are not modelled: state +launched or -launched",
            **numbers,
        )
    tdp = machine.profile.option("tdp")
    if (not tdp or machine.long_bits < 64) and not attempt.state.n_max_mmu_pages:
        return PREFAULT_NO_BUDGET.refuse(**numbers)
    if not tdp:
        return PREFAULT_UNSUPPORTED.refuse(**numbers)
    done_bytes, refused = 0, None
    while refused is None and done_bytes < size_bytes:
        reached, refused = _mapped_up_to(attempt, gpa + done_bytes)
        done_bytes = min(reached - gpa, size_bytes)
    if refused is not None and not done_bytes:
        return refused
    return Accepted(data=size_bytes - done_bytes)


def _mapped_up_to(attempt: Attempt, gpa: int) -> tuple[int, Refused | None]:
    """The guest address up to which memory is there from `gpa` on; if that is `gpa`, also what
    refuses its page.
    """
    state, process, shift = attempt.state, attempt.process, attempt.machine.page_shift
    slot = state.spaces[0].at(gpa >> shift)
    if slot is None:
        return gpa, PREFAULT_NO_SLOT.refuse(guest_phys_addr=gpa)
    end = (slot.base_gfn + slot.npages) << shift
    # a file that can be mapped is where faults are served from; any other only holds private memory
    if slot.binding is not None and slot.binding.file.flags & GUEST_MEMFD_FLAG_MMAP:
        if state.is_bound(slot.binding):
            return end, None
        return gpa, PREFAULT_NOT_MAPPED.refuse(guest_phys_addr=gpa)
    if not process.mappings_known:
        return end, None
    hva = slot.userspace_addr + gpa - (slot.base_gfn << shift)
    mapping = process.at(hva)
    if mapping is None or not mapping.prot & PROT_READ:
        return gpa, PREFAULT_NOT_MAPPED.refuse(guest_phys_addr=gpa, hva=hva)
    return min(end, gpa + mapping.end - hva), None
