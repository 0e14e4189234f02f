"""Calls around the region calls that decide things: creating VMs and vCPUs, switches, budget.

Each function takes the VM's state, changes it if the call is accepted, and
returns the outcome.
"""

from __future__ import annotations

from errno import EEXIST, EINVAL, ENODEV, ENOENT

from ..errors import UnknownKernelError
from ..kernel.machine import Machine, guest_memfd_built
from ..kernel.profile import Profile
from ..kernel.vm_capabilities import enable_with_zero, is_known
from ..state.vm_state import VmState
from ..units import to_int32
from .answer import Accepted, Answer, Refused, Undetermined, Unmodelled
from .dirty_log import DIRTY_LOG_RULES, enable_manual_protect, enable_ring, enable_ring_with_bitmap, unknown_ioctl
from .rule import Rule

_X86 = "arch/x86/kvm/x86.c"
_MAIN = "virt/kvm/kvm_main.c"

# fmt: off
VM_TYPE_UNSUPPORTED = Rule(
    "vm-type-unsupported", EINVAL, "KVM_CREATE_VM was given a type that this host does not offer.",
    """x86 takes 0 up to 6.7, and since 6.8 the types that KVM_CAP_VM_TYPES lists.  On arm64 the type is the number
    of IPA bits.""",
    "Pass 0, or a type that the host lists.", f"kvm_create_vm() in {_MAIN}, kvm_arch_init_vm()", calls="KVM_CREATE_VM",
)
CAPABILITY_UNKNOWN = Rule(
    "capability-not-enabled", EINVAL, "The VM has no such capability to enable, or not with these arguments.",
    "", "Ask KVM_CHECK_EXTENSION first.", f"kvm_vm_ioctl_enable_cap() in {_X86}", calls="KVM_ENABLE_CAP",
)
MMU_PAGES_TOO_FEW = Rule(
    "mmu-pages-too-few", EINVAL, "KVM_SET_NR_MMU_PAGES asks for fewer than 64 pages.",
    """The value is an unsigned long: a 32-bit program that passes 2^32 asks for 0.  After a success the budget never
    follows the slots again.""",
    "Ask for at least 64, or leave the budget automatic.", f"kvm_vm_ioctl_set_nr_mmu_pages() in {_X86}",
    calls="KVM_SET_NR_MMU_PAGES",
)
IRQCHIP_EXISTS = Rule(
    "irqchip-exists", EEXIST, "The VM has an in-kernel irqchip already.", "", "Create it once.",
    f"kvm_arch_vm_ioctl() in {_X86}", calls="KVM_CREATE_IRQCHIP",
)
IRQCHIP_TOO_LATE = Rule(
    "irqchip-too-late", EINVAL, "The VM has vCPUs.", "", "Create the irqchip before the first vCPU.",
    f"kvm_arch_vm_ioctl() in {_X86}", calls="KVM_CREATE_IRQCHIP",
)
IRQCHIP_UNSUPPORTED = Rule(
    "irqchip-unsupported", ENODEV, "The host's interrupt controller has no such emulation.",
    "arm64 hosts with GICv3 only.", "Create the GIC with KVM_CREATE_DEVICE.", "kvm_vgic_create()",
    calls="KVM_CREATE_IRQCHIP",
)
VCPU_ID_TOO_HIGH = Rule(
    "vcpu-id-too-high", EINVAL, "The vCPU id is not below the limit, or the VM has as many vCPUs as it may.",
    "The id is cut to 32 bits before 6.11.", "Ask KVM_CAP_MAX_VCPU_ID and KVM_CAP_MAX_VCPUS.",
    f"kvm_vm_ioctl_create_vcpu() in {_MAIN}", calls="KVM_CREATE_VCPU",
)
VCPU_EXISTS = Rule(
    "vcpu-exists", EEXIST, "The VM has a vCPU with this id.", "powerpc answers EINVAL.", "Use each id once.",
    f"kvm_vm_ioctl_create_vcpu() in {_MAIN}", calls="KVM_CREATE_VCPU",
)
TSS_TOO_HIGH = Rule(
    "tss-too-high", EINVAL, "The TSS address is above 0xffffd000.",
    "Three pages must fit below 4 GiB.  Checked on every vendor module, also where no slot is made.",
    "Use 0xfffbd000, as QEMU does.", f"kvm_vm_ioctl_set_tss_addr() in {_X86}", calls="KVM_SET_TSS_ADDR",
)
IDENTITY_MAP_TOO_LATE = Rule(
    "identity-map-too-late", EINVAL, "The VM has vCPUs.", "The page is made with the first vCPU.",
    "Call KVM_SET_IDENTITY_MAP_ADDR before KVM_CREATE_VCPU.", f"kvm_arch_vm_ioctl() in {_X86}",
    calls="KVM_SET_IDENTITY_MAP_ADDR",
)
GMEM_FLAGS = Rule(
    "gmem-flags", EINVAL, "KVM_CREATE_GUEST_MEMFD has an unknown flag.",
    "No flags before 6.18; MMAP and INIT_SHARED since, INIT_SHARED not for VMs with private memory.",
    "Ask KVM_CAP_GUEST_MEMFD_FLAGS on the VM.", "kvm_gmem_create() in virt/kvm/guest_memfd.c",
    calls="KVM_CREATE_GUEST_MEMFD", needs=("guest-memfd",),
)
GMEM_SIZE = Rule(
    "gmem-size", EINVAL, "The file's size is 0, negative, or no multiple of the page size.", "",
    "Round the size up to pages.", "kvm_gmem_create() in virt/kvm/guest_memfd.c", calls="KVM_CREATE_GUEST_MEMFD",
    needs=("guest-memfd",),
)
ATTRIBUTES_INVALID = Rule(
    "attributes-invalid", EINVAL, "KVM_SET_MEMORY_ATTRIBUTES has flags, an unsupported attribute, or a bad range.",
    """flags must be 0; only VMs with private memory have an attribute (8, private); the range must be whole pages,
    not empty, and end below 2^64.""",
    "Ask KVM_CAP_MEMORY_ATTRIBUTES on the VM.", f"kvm_vm_ioctl_set_mem_attributes() in {_MAIN}",
    calls="KVM_SET_MEMORY_ATTRIBUTES",
)
PREFAULT_INVALID = Rule(
    "pre-fault-range", EINVAL, "KVM_PRE_FAULT_MEMORY has flags or a bad range, or the vCPU has no such call.",
    "", "Pass whole pages, not empty, that end below 2^64.", f"kvm_vcpu_pre_fault_memory() in {_MAIN}",
    calls="KVM_PRE_FAULT_MEMORY",
)
PREFAULT_NO_SLOT = Rule(
    "pre-fault-no-slot", ENOENT, "No slot holds the address.", "", "Register the memory first.",
    f"kvm_arch_vcpu_pre_fault_memory() in {_X86}", calls="KVM_PRE_FAULT_MEMORY",
)
# fmt: on

VM_CALL_RULES = (
    VM_TYPE_UNSUPPORTED,
    CAPABILITY_UNKNOWN,
    MMU_PAGES_TOO_FEW,
    IRQCHIP_EXISTS,
    IRQCHIP_TOO_LATE,
    IRQCHIP_UNSUPPORTED,
    VCPU_ID_TOO_HIGH,
    VCPU_EXISTS,
    TSS_TOO_HIGH,
    IDENTITY_MAP_TOO_LATE,
    GMEM_FLAGS,
    GMEM_SIZE,
    ATTRIBUTES_INVALID,
    PREFAULT_INVALID,
    PREFAULT_NO_SLOT,
    *DIRTY_LOG_RULES,
)

VM_TYPE_FACTS = {"vm-type-sev": 0b1100, "vm-type-snp": 1 << 4, "vm-type-tdx": 1 << 5}
"""Fact: mask of the VM types that it brings on x86."""
_2_64 = 1 << 64
_HIGHEST_TSS_GPA = 0xFFFF_D000
_MOST_IRQ_ROUTES = 4096
"""KVM_MAX_IRQ_ROUTES, since 4.17.  What KVM_CAP_SPLIT_IRQCHIP reserves is bound by it, not by the pins of an IOAPIC."""


def check_vm_type(profile: Profile, vm_type: int) -> Refused | None:
    """KVM_CREATE_VM: is the type one that the host offers?"""
    arch = profile.arch.name
    fine = vm_type == 0
    if profile.arch.is_x86 and profile.has("vm-type-argument"):
        fine = vm_type < 32 and bool(x86_vm_types(profile) >> vm_type & 1)
    elif arch == "arm64" and profile.has("arm64-vm-type-is-ipa-bits"):
        most = profile.number("gpa-bits")
        fine = vm_type == 0 or (32 <= vm_type <= (52 if most is None else most))
    elif arch in ("riscv64", "mips"):
        fine = True  # the type is not looked at
    elif arch == "ppc64":
        fine = vm_type in (0, 1)
    elif arch == "ppc32":
        fine = vm_type in (0, 2)
    elif arch == "s390x":
        fine = vm_type in (0, 1)
    return None if fine else VM_TYPE_UNSUPPORTED.refuse(vm_type=vm_type)


def x86_vm_types(profile: Profile) -> int:
    """Mask of the types that the host offers and the release knows: 0 ordinary, 1 software-protected, and so on."""
    known = 0b11
    for fact, types in VM_TYPE_FACTS.items():
        known |= types if profile.has(fact) else 0
    return (profile.number("vm-types") or 1) & known


def enable_cap(state: VmState, capability: int, flags: int, arguments: tuple[int, ...]) -> (
    Accepted | Refused | Undetermined | Unmodelled
):  # fmt: skip
    """KVM_ENABLE_CAP on a VM."""
    profile, config = state.machine.profile, state.config
    argument = arguments[0] if arguments else 0
    if capability == 168:
        return enable_manual_protect(state, flags, argument)
    if capability in (192, 223):
        return enable_ring(state, argument, acq_rel=capability == 223)
    if capability == 225:
        return enable_ring_with_bitmap(state, flags)
    refused = CAPABILITY_UNKNOWN.refuse(capability=capability, argument=argument)
    if flags:
        return refused
    if capability == 128 and profile.has("cap-x86-max-vcpu-id"):
        limit = profile.limit("max-vcpu-id")
        if argument > limit or (config.max_vcpu_id or 0) not in (0, argument):
            return refused
        config.max_vcpu_id = argument or None
        return Accepted()
    if capability == 121 and profile.arch.is_x86:
        if argument > _MOST_IRQ_ROUTES:
            return refused
        if config.irqchip or config.vcpu_ids:
            return IRQCHIP_EXISTS.refuse()
        config.irqchip = config.split_irqchip = True
        return Accepted()
    errno = enable_with_zero(profile, capability)
    if errno is None:
        return refused
    if any(arguments):
        return Unmodelled(f"KVM_ENABLE_CAP({capability}) with arguments") if is_known(capability) else refused
    return CAPABILITY_UNKNOWN.refuse(errno=errno, capability=capability) if errno else Accepted()


def create_irqchip(state: VmState) -> Accepted | Refused:
    """KVM_CREATE_IRQCHIP."""
    profile, config = state.machine.profile, state.config
    if profile.arch.name == "arm64":
        return IRQCHIP_UNSUPPORTED.refuse()
    if not profile.arch.is_x86:
        return unknown_ioctl(state)
    if config.irqchip:
        return IRQCHIP_EXISTS.refuse()
    if config.vcpu_ids:
        return IRQCHIP_TOO_LATE.refuse(vcpus_count=len(config.vcpu_ids))
    config.irqchip = True
    return Accepted()


def check_vcpu(state: VmState, vcpu_id: int) -> Refused | Undetermined | None:
    """KVM_CREATE_VCPU, the checks before KVM's own slots are made."""
    profile, config = state.machine.profile, state.config
    if not profile.has("vcpu-id-checked-wide"):
        vcpu_id &= 0xFFFF_FFFF
    try:
        limit, most = profile.limit("max-vcpu-id"), profile.limit("max-vcpus")
    except UnknownKernelError:
        # s390x, mips and loongarch: nobody asked such a kernel, but one vCPU all have
        if vcpu_id == 0 and not config.vcpu_ids:
            return None
        return VCPU_ID_TOO_HIGH.ask("how many vCPUs does the host allow?  State +max-vcpu-id=N and +max-vcpus=N")
    if profile.arch.name == "ppc64":
        limit = most  # ids are packed by core, one thread a core unless asked
    if config.max_vcpu_id is not None:
        limit = min(limit, config.max_vcpu_id)
    if vcpu_id >= limit or len(config.vcpu_ids) >= most:
        return VCPU_ID_TOO_HIGH.refuse(vcpu_id=vcpu_id, limit_count=limit)
    return None


def add_vcpu(state: VmState, vcpu_id: int) -> Accepted | Refused:
    """KVM_CREATE_VCPU, after KVM's own slots were made: ids are unique."""
    profile, config = state.machine.profile, state.config
    if not profile.has("vcpu-id-checked-wide"):
        vcpu_id &= 0xFFFF_FFFF
    if vcpu_id in config.vcpu_ids:
        return VCPU_EXISTS.refuse(errno=EINVAL if profile.arch.is_powerpc else EEXIST, vcpu_id=vcpu_id)
    config.vcpu_ids = (*config.vcpu_ids, vcpu_id)
    if config.max_vcpu_id is None and profile.has("cap-x86-max-vcpu-id"):
        config.max_vcpu_id = profile.limit("max-vcpu-id")
    return Accepted()


def set_identity_map_addr(state: VmState, gpa: int) -> Accepted | Refused:
    """KVM_SET_IDENTITY_MAP_ADDR."""
    if not state.machine.profile.arch.is_x86:
        return unknown_ioctl(state)
    if state.config.vcpu_ids:
        return IDENTITY_MAP_TOO_LATE.refuse(vcpus_count=len(state.config.vcpu_ids))
    state.config.identity_map_gpa = gpa
    return Accepted()


def check_tss_addr(state: VmState, gpa: int) -> Refused | None:
    """KVM_SET_TSS_ADDR, the check before the slot is made."""
    if not state.machine.profile.arch.is_x86:
        return unknown_ioctl(state)
    return TSS_TOO_HIGH.refuse(tss_gpa=gpa) if gpa > _HIGHEST_TSS_GPA else None


def set_nr_mmu_pages(state: VmState, npages: int) -> Accepted | Refused:
    """KVM_SET_NR_MMU_PAGES; the argument is already as wide as the caller's unsigned long."""
    profile = state.machine.profile
    if not profile.arch.is_x86:
        return unknown_ioctl(state)
    if not profile.has("budget-ulong"):
        npages &= 0xFFFF_FFFF
    if npages < 64:
        return MMU_PAGES_TOO_FEW.refuse(npages=npages)
    state.budget.set_goal(npages)
    state.budget.n_requested = npages
    return Accepted()


def get_nr_mmu_pages(state: VmState) -> Accepted | Refused:
    """KVM_GET_NR_MMU_PAGES: the budget as an int."""
    if not state.machine.profile.has("get-nr-mmu-pages"):
        return unknown_ioctl(state)
    return Answer(value=to_int32(state.n_max_mmu_pages))


def guest_memfd_flags(machine: Machine) -> int:
    """Flags that KVM_CREATE_GUEST_MEMFD takes on this VM."""
    if not machine.profile.has("guest-memfd-mmap"):
        return 0
    return 1 if machine.private_memory else 3


def check_guest_memfd(state: VmState, size_bytes: int, flags: int) -> Refused | None:
    """KVM_CREATE_GUEST_MEMFD."""
    machine = state.machine
    if not guest_memfd_built(machine.profile):
        return unknown_ioctl(state)
    if flags & ~guest_memfd_flags(machine):
        return GMEM_FLAGS.refuse(flags=flags, allowed=guest_memfd_flags(machine))
    if size_bytes == 0 or size_bytes >> 63 or size_bytes & machine.page_mask:
        return GMEM_SIZE.refuse(size_bytes=size_bytes)
    return None


def set_memory_attributes(state: VmState, gpa: int, size_bytes: int, attributes: int, flags: int) -> (
    Accepted | Refused | Undetermined
):  # fmt: skip
    """KVM_SET_MEMORY_ATTRIBUTES on bytes [gpa, gpa + size_bytes)."""
    machine = state.machine
    if not machine.profile.has("memory-attributes"):
        return unknown_ioctl(state)
    built = machine.profile.option("attributes-built")
    if not built:
        if built is None and not machine.private_memory:
            return ATTRIBUTES_INVALID.ask(
                "are memory attributes built in (KVM_CAP_MEMORY_ATTRIBUTES on /dev/kvm)?  State +attributes-built"
            )
        if built is False:
            return unknown_ioctl(state)
    numbers = {"guest_phys_addr": gpa, "size_bytes": size_bytes, "attributes": attributes, "flags": flags}
    if flags or attributes & ~machine.attributes_mask or not size_bytes or gpa + size_bytes >= _2_64:
        return ATTRIBUTES_INVALID.refuse(**numbers)
    if (gpa | size_bytes) & machine.page_mask:
        return ATTRIBUTES_INVALID.refuse(**numbers)
    state.attributes.set(gpa >> machine.page_shift, (gpa + size_bytes) >> machine.page_shift, attributes)
    return Accepted()


def pre_fault_memory(state: VmState, gpa: int, size_bytes: int, flags: int) -> Accepted | Refused | Unmodelled:
    """KVM_PRE_FAULT_MEMORY on a vCPU: checks only, nothing is mapped here."""
    machine = state.machine
    if not machine.profile.has("pre-fault-memory"):
        return PREFAULT_INVALID.refuse()  # vCPU file descriptors answer EINVAL to unknown calls
    if flags or not size_bytes or (gpa | size_bytes) & machine.page_mask or gpa + size_bytes >= _2_64:
        return PREFAULT_INVALID.refuse(guest_phys_addr=gpa, size_bytes=size_bytes, flags=flags)
    if not machine.profile.option("tdp"):
        return Unmodelled("KVM_PRE_FAULT_MEMORY without two-dimensional paging")
    if state.spaces[0].at(gpa >> machine.page_shift) is None:
        return PREFAULT_NO_SLOT.refuse(guest_phys_addr=gpa)
    return Accepted()
