"""Under which histories would the answer be as observed: slots and facts that nobody recorded."""

from __future__ import annotations

from ..errnos import EBADF, EEXIST, EINVAL, EIO, ENOTTY, EPERM
from ..kernel.names import find
from ..model.vm import Vm
from ..replay.region_of_event import region_of_event
from ..replay.step import Step
from ..rules.answer import Refused
from ..rules.catalogue import REGION_RULES, find_rule
from ..trace.event import Event
from ..uapi.flags import KVM_MEM_GUEST_MEMFD
from ..uapi.region import Region
from .possibility import Possibility
from .ranges import overlapping
from .text_events import said_by

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .facts import Facts

STATED, KNOWN_ARCH, OTHER_ARCH = 12.0, 2.0, -2.0
"""Points of a circumstance that the text states; of one on the known architecture; of one on
another.
"""


def vm_before(step: Step) -> Vm:
    """The VM before the call."""
    if step.before is None:
        raise ValueError(f"step {step.number} has not kept the VM before it")
    return step.before.vm


def hidden_slots(step: Step, request: Region, errno: int) -> Iterator[Possibility]:
    """KVM's own slots on Intel and AMD hosts."""
    vm = vm_before(step)
    if not vm.profile.arch.is_x86 or not request.memory_size or errno != EEXIST:
        return
    for options, when in (
        (
            "+intel+apicv",
            "created with the first vCPU where the irqchip is in the kernel and APICv or AVIC is "
            "in use",
        ),
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
            yield Possibility(
                outcome.rule, f"KVM's own {other.owner}, {where}, {when}", points=KNOWN_ARCH
            )


def stated_ranges(step: Step, request: Region, errno: int, facts: Facts) -> Iterator[Possibility]:
    """Ranges that the text names and that overlap the request."""
    if errno == EEXIST and request.memory_size:
        for text in overlapping(facts, request, step.event.line):
            yield Possibility(find_rule("slot-overlap"), text, points=STATED)


def histories(step: Step, request: Region, errno: int) -> Iterator[Possibility]:
    """Slots that were registered before, without being recorded, and arguments that were not."""
    vm = vm_before(step)
    known = vm.slot(request.slot)
    if errno == EEXIST and request.memory_size and not step.from_start:
        text = "a slot that the recording does not show covers part of the range"
        yield Possibility(find_rule("slot-overlap"), text, certain=True)
    elif errno == EEXIST and request.memory_size:
        text = (
            "one of KVM's own slots, or a slot that the recording does not show, covers part of "
            "the range"
        )
        yield Possibility(find_rule("slot-overlap"), text, certain=True)
    if errno == EINVAL and known is None:
        if not request.memory_size:
            yield Possibility(
                find_rule("delete-missing"),
                "there was no slot with this id",
                certain=True,
                points=4.0,
            )
        elif not step.from_start:
            for rule_id, what in (
                ("size-change", "size"),
                ("userspace-addr-change", "host address"),
            ):
                text = f"a slot with this id was registered before with another {what}"
                yield Possibility(find_rule(rule_id), text)
    if errno == EBADF:
        yield Possibility(
            find_rule("gmem-fd-closed"), find_rule("gmem-fd-closed").title, certain=True, points=3.0
        )
    if errno == EINVAL and request.flags & KVM_MEM_GUEST_MEMFD:
        yield Possibility(find_rule("gmem-fd-other-file"), find_rule("gmem-fd-other-file").title)
        yield Possibility(
            find_rule("gmem-range-bound"),
            "another slot, not recorded, is bound to this range of the file",
        )
    for name in step.assumed:
        if errno == EINVAL and name == "userspace_addr":
            yield Possibility(
                find_rule("hva-unaligned"),
                "the host address (not recorded) is not aligned to a page",
                points=1.0,
            )
            yield Possibility(
                find_rule("hva-out-of-range"),
                "the host address (not recorded) is out of range",
                points=-1.0,
            )
        if errno == EINVAL and name == "flags":
            yield Possibility(
                find_rule("flags-invalid"),
                "the flags (not recorded) are not supported here",
                points=-1.0,
            )


def dead(step: Step) -> Iterator[Possibility]:
    """Why KVM answers EIO to every call on a VM."""
    yield Possibility(
        find_rule("vm-dead"),
        "KVM marked the VM dead: look for a warning in the kernel log",
        points=2.0,
    )
    yield Possibility(
        find_rule("foreign-process"), "the call came from another process than the VM's creator"
    )


_OF_SHORT_CALL = ("flags-of-region2",)
_OF_LONG_CALL = (
    "gmem-range-bound", "gmem-range", "gmem-fd-closed", "gmem-fd-other-file",
    "gmem-offset-unaligned", "gmem-offset-wraps",
    "gmem-not-mappable", "guest-memfd-change",
)  # fmt: skip
_COMMON = (
    "size-unaligned", "hva-unaligned", "size-change", "gpa-unaligned", "userspace-addr-change",
    "flags-invalid",
    "slot-id-too-high", "gfn-above-max", "slot-too-large", "delete-missing",
)  # fmt: skip
"""Causes of a lone EINVAL in the order in which public reports have them."""


def by_errno(step: Step, errno: int) -> Iterator[Possibility]:
    """Nothing is known of the call but its errno."""
    if errno == EIO:
        return
    decisive = _by_known_numbers(step, errno)
    if decisive is not None:
        yield decisive
        if decisive.certain:
            return
    arch = vm_before(step).profile.arch.name
    rules = [
        rule
        for rule in REGION_RULES
        if rule.errno == errno
        and (decisive is None or rule is not decisive.rule)
        and (not rule.arches or arch in rule.arches)
        and rule.id not in (_OF_SHORT_CALL if step.event.call.endswith("2") else _OF_LONG_CALL)
    ]
    for rule in rules:
        text = rule.title
        if rule.id == "slot-overlap":
            text += (
                "  It may be one of KVM's own: the APIC access page at 0xfee00000, the TSS, the "
                "identity map"
            )
        points = (
            (len(_COMMON) - _COMMON.index(rule.id)) / len(_COMMON) if rule.id in _COMMON else -1.0
        )
        yield Possibility(
            rule, text, certain=len(rules) == 1 or errno in (EEXIST, ENOTTY, EPERM), points=points
        )


_HARMLESS = {
    "slot": 0, "flags": 0, "guest_phys_addr": 0, "memory_size": 1 << 20, "userspace_addr": 1 << 20,
}  # fmt: skip


def _by_known_numbers(step: Step, errno: int) -> Possibility | None:
    """The rule that refuses the numbers that are known, whatever the others and the slots are.

    Certain if the message itself has them: `size 512` on a line beside it may be another size.
    """
    known, profile = step.event.fields, vm_before(step).profile
    if not known or known.get("memory_size") == 0:  # a deletion: of slots that nobody recorded
        return None
    vm = Vm(profile)
    region, _ = region_of_event(Event(step.event.call, {**_HARMLESS, **known}), vm)
    answer = vm.what_if(region) if region is not None else None
    if not isinstance(answer, Refused) or answer.errno != errno:
        return None
    numbers = ", ".join(
        f"{name} {number:#x}" if isinstance(number, int) else f"{name} {number}"
        for name, number in answer.numbers.items()
    )
    text = f"{answer.rule.title.rstrip('.')}: {numbers}" if numbers else answer.rule.title
    is_its_own = known.items() <= said_by(step.event).items()
    return Possibility(answer.rule, text, certain=is_its_own, points=STATED)
