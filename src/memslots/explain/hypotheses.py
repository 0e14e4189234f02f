"""Under which circumstances would the answer be as observed?

Hosts, builds and histories that the recording does not rule out are put to the
model one by one; those that give the observed errno are possibilities.
"""

from __future__ import annotations

from errno import EEXIST, EFAULT, EINVAL, EIO, ENOMEM

from ..errors import MemslotsError
from ..kernel.history import BRANCHES
from ..kernel.names import find
from ..model.vm import Vm
from ..replay.step import Step
from ..rules.answer import Refused, Rule, Undetermined
from ..rules.catalogue import ALLOCATION_FAILED, REGION_RULES, find_rule
from ..uapi.region import Region
from .other_kernels import transplanted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Possibility:
    """A rule that would give the observed answer, and when."""

    __slots__ = ("certain", "rule", "text")

    def __init__(self, rule: Rule, text: str, *, certain: bool = False) -> None:
        self.rule = rule
        self.text = text
        self.certain = certain
        """Does nothing but this rule give this answer, whatever the circumstances?"""


_NEWEST = BRANCHES[-1]
# (condition in words, profile): single departures from an ordinary host
_HOSTS = (
    ("KVM is built without SMM, or the VM has private memory: one address space", f"{_NEWEST}/x86_64-smm"),
    ("the kernel is older than 5.12 and has 509 slots", "5.10/x86_64"),
    ("the host has 36 physical address bits", f"{_NEWEST}/x86_64+pa36"),
    ("the host has 39 physical address bits", f"{_NEWEST}/x86_64+pa39"),
    ("the host has 40 physical address bits", f"{_NEWEST}/x86_64+pa40"),
    ("the host has 46 physical address bits", f"{_NEWEST}/x86_64+pa46"),
    ("the host has 52 physical address bits", f"{_NEWEST}/x86_64+pa52"),
    ("the host is a 32-bit x86", "6.1/i386+pa52"),
    ("the host has 16 KiB pages (arm64)", f"{_NEWEST}/arm64+16k"),
    ("the host has 64 KiB pages (arm64)", f"{_NEWEST}/arm64+64k"),
    ("the host is powerpc with 64 KiB pages", f"{_NEWEST}/ppc64"),
    ("the host is arm64 and the VM has 40 bits of guest addresses", f"{_NEWEST}/arm64"),
    ("the host is s390x before 7.1 (slots of whole MiB)", "6.6/s390x"),
    ("the host is riscv64 with 41 bits of guest addresses", f"{_NEWEST}/riscv64+pa41"),
    ("the kernel does not know the call", "6.6/x86_64"),
)


def _vm(step: Step) -> Vm:
    """The VM before the call."""
    if step.before is None:
        raise ValueError(f"step {step.number} has not kept the VM before it")
    return step.before.vm


def possibilities(step: Step) -> list[Possibility]:
    """Rules that may have given the observed refusal, the likeliest first."""
    errno = -(step.observed or 0)
    found: dict[str, Possibility] = {}
    for possible in _possible(step, errno):
        known = found.get(possible.rule.id)
        if known is None:
            found[possible.rule.id] = possible
        elif possible.text not in known.text:
            known.text += f"; or {possible.text}"
    return list(found.values())


def _possible(step: Step, errno: int) -> Iterator[Possibility]:
    request = step.region
    outcome = step.answer
    if isinstance(outcome, Undetermined) and outcome.rule.errno == errno:
        # the question is answered by the kernel; certain if no other rule answers so
        yield Possibility(outcome.rule, outcome.rule.title, certain=errno in (EFAULT, ENOMEM))
    if errno == ENOMEM and step.is_region:
        yield Possibility(ALLOCATION_FAILED, ALLOCATION_FAILED.title, certain=_vm(step).profile.arch.is_x86)
    if step.event.call == "KVM_CREATE_VCPU" and errno == EEXIST:
        text = "a slot lies where KVM puts its own with the first vCPU: the APIC page at 0xfee00000, the identity map"
        yield Possibility(find_rule("slot-overlap"), text)
        yield Possibility(find_rule("vcpu-exists"), "a vCPU with this id exists already")
        return
    if request is not None:
        yield from _hidden_slots(step, request, errno)
        arch = f"/{_vm(step).profile.arch.name}"
        likely = [host for host in _HOSTS if arch in host[1]]
        yield from _hosts(step, request, errno, likely)
        yield from _histories(step, request, errno)
        yield from _hosts(step, request, errno, [host for host in _HOSTS if host not in likely])
    else:
        yield from _by_errno(step, errno)


def _hosts(
    step: Step, request: Region, errno: int, hosts: list[tuple[str, str]]
) -> Iterator[Possibility]:  # fmt: skip
    """Another host or build with the same slots."""
    for text, name in hosts:
        try:
            outcome = transplanted(_vm(step), find(name)).what_if(request)
        except MemslotsError:
            continue
        if isinstance(outcome, Refused) and outcome.errno == errno and _decided_by_recorded(step, outcome):
            yield Possibility(outcome.rule, f"if {text}")


def _decided_by_recorded(step: Step, refused: Refused) -> bool:
    return not any(
        name in step.assumed and refused.rule.id.startswith(prefix)
        for name, prefix in (("userspace_addr", "hva-"), ("userspace_addr", "userspace-addr"), ("flags", "flags-"))
    )


def _hidden_slots(step: Step, request: Region, errno: int) -> Iterator[Possibility]:
    """KVM's own slots on Intel and AMD hosts."""
    vm = _vm(step)
    if not vm.profile.arch.is_x86 or not request.memory_size:
        return
    for options, when in (
        ("+intel+apicv", "created with the first vCPU where the irqchip is in the kernel and APICv or AVIC is in use"),
        ("+intel-unrestricted-guest", "created on Intel processors without unrestricted guest"),
    ):
        profile = find(f"{vm.profile.version}/{vm.profile.arch.name}{options}")
        trial = Vm(profile)
        tss = vm.state.config.tss_gpa
        trial.create_irqchip()
        if tss is not None:
            trial.set_tss_addr(tss)
        trial.create_vcpu(0)
        outcome = trial.what_if(request)
        if isinstance(outcome, Refused) and outcome.errno == errno and outcome.other is not None:
            other = outcome.other
            where = f"gfns [{other.base_gfn:#x}, {other.end_gfn:#x})"
            yield Possibility(outcome.rule, f"KVM's own {other.owner}, {where}, {when}")


def _histories(step: Step, request: Region, errno: int) -> Iterator[Possibility]:
    """Slots that were registered before, without being recorded."""
    vm = _vm(step)
    known = vm.slot(request.slot)
    if errno == EEXIST and request.memory_size:
        text = "a slot that the recording does not show covers part of the range"
        yield Possibility(find_rule("slot-overlap"), text, certain=True)
    if errno == EINVAL and known is None:
        if not request.memory_size:
            yield Possibility(find_rule("delete-missing"), "there was no slot with this id", certain=True)
        elif not step.from_start:
            for rule_id, what in (("size-change", "size"), ("userspace-addr-change", "host address")):
                text = f"a slot with this id was registered before with another {what}"
                yield Possibility(find_rule(rule_id), text)
    for name in step.assumed:
        if errno == EINVAL and name == "userspace_addr":
            yield Possibility(find_rule("hva-unaligned"), "the host address (not recorded) is not aligned to a page")
            yield Possibility(find_rule("hva-out-of-range"), "the host address (not recorded) is out of range")
        if errno == EINVAL and name == "flags":
            yield Possibility(find_rule("flags-invalid"), "the flags (not recorded) are not supported here")


_COMMON = (
    "size-unaligned",
    "hva-unaligned",
    "gpa-unaligned",
    "size-change",
    "userspace-addr-change",
    "slot-id-too-high",
)


def _unlikely(rule: Rule) -> int:
    """Sorts the causes seen most often in public reports to the front."""
    return _COMMON.index(rule.id) if rule.id in _COMMON else len(_COMMON)


def _by_errno(step: Step, errno: int) -> Iterator[Possibility]:
    """Nothing is known of the call but its errno."""
    if errno == EIO:
        yield Possibility(find_rule("vm-dead"), "KVM marked the VM dead: look for a warning in the kernel log")
        yield Possibility(find_rule("foreign-process"), "the call came from another process than the VM's creator")
        return
    rules = sorted((rule for rule in REGION_RULES if rule.errno == errno), key=_unlikely)
    x86 = _vm(step).profile.arch.is_x86
    for rule in rules:
        if x86 and rule.source.startswith("kvm_arch") and "x86" not in rule.source:
            continue
        if errno == EEXIST and rule.id == "gmem-range-bound" and not step.event.call.endswith("2"):
            continue
        text = rule.title
        if rule.id == "slot-overlap":
            text += "  It may be one of KVM's own: the APIC access page at 0xfee00000, the TSS, the identity map"
        yield Possibility(rule, text, certain=len(rules) == 1 or errno == EEXIST)
