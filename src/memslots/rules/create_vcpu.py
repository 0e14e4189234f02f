"""KVM_CREATE_VCPU: ids, and the slots that KVM makes for the first vCPU."""

from __future__ import annotations

from ..errnos import EEXIST, EINVAL, EIO
from ..errors import UnknownKernelError
from ..state.change import OwnSlotsMade, VcpuMade
from .answer import Accepted, Refused, Rule, Undetermined, Unmodelled
from .attempt import Attempt
from .own_slots import slots_for_vcpu

_MAIN = "virt/kvm/kvm_main.c"

# fmt: off
VCPU_ID_TOO_HIGH = Rule(
    "vcpu-id-too-high", EINVAL, "The vCPU id is not below the limit, or the VM has as many vCPUs "
                                "as it may.",
    "The id is cut to 32 bits before 6.11.", "Ask KVM_CAP_MAX_VCPU_ID and KVM_CAP_MAX_VCPUS.",
    f"kvm_vm_ioctl_create_vcpu() in {_MAIN}", calls="KVM_CREATE_VCPU",
)
VCPU_EXISTS = Rule(
    "vcpu-exists", EEXIST, "The VM has a vCPU with this id.",
    "powerpc answers EINVAL before {vcpu-exists-first}.",
    "Use each id once.",
    f"kvm_vm_ioctl_create_vcpu() in {_MAIN}", calls="KVM_CREATE_VCPU",
)
TDX_VCPU_TOO_EARLY = Rule(
    "tdx-vcpu-too-early", EIO, "The TDX guest is not initialised, or has no split irqchip.",
    "A vCPU belongs to the TDX module, which knows the guest from KVM_TDX_INIT_VM on.  Without a "
    "split irqchip the answer is EINVAL then.",
    "Call KVM_TDX_INIT_VM, enable KVM_CAP_SPLIT_IRQCHIP, then make vCPUs.",
    "tdx_vcpu_create() in arch/x86/kvm/vmx/tdx.c", calls="KVM_CREATE_VCPU",
    needs=("vm-type-tdx",), arches=("x86_64",),
)
# fmt: on

RULES = (VCPU_ID_TOO_HIGH, TDX_VCPU_TOO_EARLY, VCPU_EXISTS)


def decide(attempt: Attempt) -> Accepted | Refused | Undetermined | Unmodelled:
    """The answer to KVM_CREATE_VCPU; the id is already as wide as the caller's unsigned long."""
    profile, config = attempt.machine.profile, attempt.state.config
    vcpu_id = attempt.get("vcpu_id")
    if not profile.has("vcpu-id-checked-wide"):
        vcpu_id &= 0xFFFF_FFFF
    refused = _check_limits(attempt, vcpu_id)
    if refused is not None:
        return refused
    if profile.has("vcpu-exists-first") and vcpu_id in config.vcpu_ids:
        return VCPU_EXISTS.refuse(vcpu_id=vcpu_id)
    if attempt.machine.is_tdx:
        return _decide_tdx(attempt, vcpu_id)
    own_slots = OwnSlotsMade()
    if profile.arch.is_x86:
        made = slots_for_vcpu(attempt)
        if not isinstance(made, OwnSlotsMade):
            return made
        own_slots = made
    if vcpu_id in config.vcpu_ids:
        # KVM's own slots are there by now, and stay
        errno = EINVAL if profile.arch.is_powerpc else EEXIST
        return VCPU_EXISTS.refuse_late(own_slots, errno=errno, vcpu_id=vcpu_id)
    max_vcpu_id = config.max_vcpu_id
    if max_vcpu_id is None and profile.has("cap-x86-max-vcpu-id"):
        max_vcpu_id = profile.limit("max-vcpu-id")
    return Accepted(VcpuMade(vcpu_id, own_slots, max_vcpu_id))


def _decide_tdx(attempt: Attempt, vcpu_id: int) -> Accepted | Refused | Undetermined:
    """The answer for a TDX guest, whose vCPUs bring no slots."""
    launched, config = attempt.machine.profile.option("launched"), attempt.state.config
    if launched is None:
        return TDX_VCPU_TOO_EARLY.ask(
            "has the guest been initialised (KVM_TDX_INIT_VM)?  That call is not modelled: state "
            "+launched or -launched"
        )
    if not launched or not config.split_irqchip:
        return TDX_VCPU_TOO_EARLY.refuse(errno=EINVAL if launched else EIO, vcpu_id=vcpu_id)
    if vcpu_id in config.vcpu_ids:
        return VCPU_EXISTS.refuse(vcpu_id=vcpu_id)
    return Accepted(VcpuMade(vcpu_id, OwnSlotsMade(), config.max_vcpu_id))


def _check_limits(attempt: Attempt, vcpu_id: int) -> Refused | Undetermined | None:
    """Refuses an id or a number of vCPUs beyond what the kernel or user space allows."""
    profile, config = attempt.machine.profile, attempt.state.config
    try:
        limit, most = profile.limit("max-vcpu-id"), profile.limit("max-vcpus")
    except UnknownKernelError:
        # s390x, mips and loongarch: nobody asked such a kernel, but one vCPU all have
        if vcpu_id == 0 and not config.vcpu_ids:
            return None
        return VCPU_ID_TOO_HIGH.ask(
            "how many vCPUs does the host allow?  State +max-vcpu-id=N and +max-vcpus=N"
        )
    if profile.arch.name == "ppc64":
        limit = most  # ids are packed by core, one thread a core unless asked
    if config.max_vcpu_id is not None:
        limit = min(limit, config.max_vcpu_id)
    if vcpu_id >= limit or len(config.vcpu_ids) >= most:
        return VCPU_ID_TOO_HIGH.refuse(vcpu_id=vcpu_id, limit_count=limit)
    return None
