"""The circumstances under which the answer would be as observed.

Hosts, builds, types of VM, host mappings and histories that are not ruled out are put to the
model one by one; those that give the observed errno are possibilities.  What the text says
counts: stated circumstances come first, those against a stated one are not tried.
"""

from __future__ import annotations

from errno import EBADF, EEXIST, EFAULT, EINVAL, EIO, ENOMEM, ENOTTY, EPERM

from ..errors import MemslotsError
from ..kernel.history import BRANCHES
from ..kernel.names import find
from ..model.vm import Vm
from ..replay.step import Step
from ..rules.answer import Refused, Rule, Undetermined
from ..rules.catalogue import ALLOCATION_FAILED, REGION_RULES, find_rule
from ..state.process import PROT_READ, PROT_WRITE, Mapping
from ..uapi.flags import KVM_MEM_LOG_DIRTY_PAGES
from ..uapi.region import Region
from .other_kernels import transplanted
from .ranges import overlapping
from .rank import rank_causes, rule_points
from .words import Words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .causes.cause import Cause
    from .facts import Facts


class Possibility:
    """A rule, or a cause, that would give the observed answer, and when."""

    __slots__ = ("cause", "certain", "named", "points", "rule", "text")

    def __init__(
        self,
        rule: Rule | None,
        text: str,
        *,
        certain: bool = False,
        cause: Cause | None = None,
        points: float = 0.0,
        named: bool = False,
    ) -> None:
        self.rule = rule
        self.cause = cause
        self.text = text
        self.certain = certain
        """Whether nothing but this rule gives this answer, whatever the circumstances."""
        self.points = points
        """What speaks for it; only the order counts."""
        self.named = named
        """Whether the text has it in words."""

    @property
    def id(self) -> str:
        """The id of the rule or cause."""
        return (
            self.rule.id
            if self.rule is not None
            else self.cause.id
            if self.cause is not None
            else ""
        )

    @property
    def title(self) -> str:
        """What it is, in one sentence."""
        return (
            self.rule.title
            if self.rule is not None
            else self.cause.title
            if self.cause is not None
            else ""
        )


_STATED, _KNOWN_ARCH, _OTHER_ARCH = 12.0, 2.0, -2.0
"""Points of a circumstance that the text states; of one on the known architecture; of one on
another.
"""
_VM_TYPES = (
    (1, "the VM is of type 1 (software-protected)"),
    (3, "the VM is a SEV-ES guest"),
    (4, "the VM is a SEV-SNP guest"),
    (5, "the VM is a TDX guest"),
)
_NEWEST = BRANCHES[-1]
# (condition in words, profile): hosts of other architectures, where none is known
_OTHER_HOSTS = (
    ("the host has 16 KiB pages (arm64)", f"{_NEWEST}/arm64+16k"),
    ("the host has 64 KiB pages (arm64)", f"{_NEWEST}/arm64+64k"),
    ("the host is powerpc with 64 KiB pages", f"{_NEWEST}/ppc64"),
    ("the host is arm64 and the VM has 40 bits of guest addresses", f"{_NEWEST}/arm64"),
    ("the host is s390x before 7.1 (slots of whole MiB)", "6.6/s390x"),
    ("the host is riscv64 with 41 bits of guest addresses", f"{_NEWEST}/riscv64+pa41"),
    ("the host is a 32-bit x86", "6.1/i386+pa52"),
)
_X86_WIDTHS = (36, 39, 40, 42, 43, 46, 48, 52)
_RISCV_WIDTHS = (41, 50, 59)
_SIZES = ((14, "16k", "16 KiB"), (16, "64k", "64 KiB"))


def _vm(step: Step) -> Vm:
    """The VM before the call."""
    if step.before is None:
        raise ValueError(f"step {step.number} has not kept the VM before it")
    return step.before.vm


def possibilities(step: Step, facts: Facts) -> list[Possibility]:
    """Rules and causes that may have given the observed refusal, the likeliest first."""
    errno = -(step.observed or 0)
    near = Words(step.event.text)
    found: dict[str, Possibility] = {}
    for possible in _possible(step, errno, facts):
        known = found.get(possible.id)
        if known is None:
            if possible.rule is not None:
                possible.points += rule_points(facts, possible.rule.id, near)
            found[possible.id] = possible
            continue
        known.certain |= possible.certain
        if possible.text not in known.text and known.text.count("; or ") < 3:
            known.text += f"; or {possible.text}"
    if any(possible.certain for possible in found.values()):
        return sorted(found.values(), key=lambda possible: -possible.points)
    for each in rank_causes(facts, near, step.event.call, errno):
        if each.cause is not None and any(call == step.event.call for call, _ in each.cause.calls):
            found[each.id] = Possibility(
                None, each.title, cause=each.cause, points=each.points - 4.0, named=each.named
            )
    return sorted(found.values(), key=lambda possible: -possible.points)


def _possible(step: Step, errno: int, facts: Facts) -> Iterator[Possibility]:
    request = step.region
    outcome = step.answer
    if isinstance(outcome, Undetermined) and outcome.rule.errno == errno:
        # the question is answered by the kernel; certain if no other rule answers so
        certain = errno in (EFAULT, ENOMEM)
        yield Possibility(outcome.rule, outcome.rule.title, certain=certain, points=_KNOWN_ARCH * 2)
    if errno == ENOMEM and step.is_region:
        yield Possibility(
            ALLOCATION_FAILED,
            ALLOCATION_FAILED.title,
            certain=_vm(step).profile.arch.is_x86,
            points=3.0,
        )
    if errno == EIO:
        yield from _dead(step)
    if request is not None:
        yield from _hidden_slots(step, request, errno)
        yield from _stated_ranges(step, request, errno, facts)
        yield from _trials(step, request, errno, facts)
        yield from _histories(step, request, errno)
    else:
        yield from by_errno(step, errno)


def _trials(step: Step, request: Region, errno: int, facts: Facts) -> Iterator[Possibility]:
    """Each circumstance by itself; on the known architecture and release, and on others only if
    none is known.
    """
    vm = _vm(step)
    for text, points, twin, changed in _twins(step, vm, request, facts):
        try:
            outcome = twin().what_if(changed)
        except (MemslotsError, ValueError):
            continue
        if isinstance(outcome, Undetermined) and outcome.rule.errno == errno and points >= _STATED:
            yield Possibility(outcome.rule, f"if {text}", points=points)
        if (
            isinstance(outcome, Refused)
            and outcome.errno == errno
            and _decided_by_recorded(step, outcome, changed)
        ):
            yield Possibility(outcome.rule, f"if {text}", points=points)


def _twins(
    step: Step, vm: Vm, request: Region, facts: Facts
) -> Iterator[tuple[str, float, Callable[[], Vm], Region]]:  # fmt: skip
    """(circumstance in words, points, how to make the VM under it, the request under it)."""
    profile = vm.profile
    arch = profile.arch.name

    def on(name: str, vm_type: int | None = None) -> Callable[[], Vm]:
        return lambda: transplanted(vm, find(name), vm_type)

    def like(vm_type: int | None = None, **options: int | bool) -> Callable[[], Vm]:
        edits = {name.replace("_", "-"): value for name, value in options.items()}
        return lambda: transplanted(
            vm, profile.edited(edits, "supposed") if edits else profile, vm_type
        )

    if profile.arch.is_x86:
        known = vm.state.machine.vm_type
        for number, text in _VM_TYPES:
            stated = facts.vm_type is not None and facts.vm_type.value == number
            if facts.vm_type is None or stated or known == number:
                reason = f" ({facts.vm_type.reason})" if stated and facts.vm_type else ""
                yield text + reason, _STATED if stated else _KNOWN_ARCH - 1, like(number), request
        if profile.option("gpa-bits") is None:
            for bits in _X86_WIDTHS:
                yield (
                    f"the host has {bits} physical address bits",
                    _KNOWN_ARCH,
                    like(gpa_bits=bits),
                    request,
                )
        text = "KVM is built without SMM, or the VM has private memory: one address space"
        yield text, _KNOWN_ARCH, like(smm=False), request
        if arch == "x86_64":
            yield "the program is a 32-bit one", 0.0, like(compat=True), request
    if arch in ("arm64", "riscv64"):
        yield from _mappings(step, vm, request, facts, like)
    if arch == "arm64":
        text = "the VM is a protected one and has run" + (
            " (as the text says)" if facts.protected else ""
        )
        yield text, _STATED if facts.protected else 0.0, lambda: _protected(like()()), request
    if arch == "riscv64" and profile.option("gpa-bits") is None:
        for bits in _RISCV_WIDTHS:
            yield (
                f"the host has {bits} bits of guest addresses",
                _KNOWN_ARCH,
                like(gpa_bits=bits),
                request,
            )
    if not facts.page_shift:
        for shift, _, size in _SIZES:
            if shift in profile.arch.page_shifts and shift != profile.page_shift:
                yield f"the host has {size} pages", _KNOWN_ARCH, like(page_shift=shift), request
    if facts.release is None:
        if profile.arch.is_x86:
            yield (
                "the kernel is older than 5.12 and has 509 slots",
                0.0,
                on(f"5.10/{arch}"),
                request,
            )
        yield "the kernel does not know the call", 0.0, on(f"6.6/{arch}"), request
    if not facts.arch_is_known:
        for text, name in _OTHER_HOSTS:
            yield text, _OTHER_ARCH, on(name), request


def _mappings(
    step: Step, vm: Vm, request: Region, facts: Facts, like: Callable[..., Callable[[], Vm]]
) -> Iterator[tuple[str, float, Callable[[], Vm], Region]]:
    """What may lie at the host address, on architectures that look at it."""
    if not request.memory_size:
        return
    start, end = request.userspace_addr, request.userspace_addr + request.memory_size
    logging = (
        request.replace(flags=request.flags | KVM_MEM_LOG_DIRTY_PAGES)
        if "flags" in step.assumed
        else request
    )

    def behind(mapping: Mapping, *, mte: bool = False) -> Callable[[], Vm]:
        def make() -> Vm:
            twin = like()()
            twin.process.mappings = [mapping]
            twin.state.config.arm64_mte = mte
            return twin

        return make

    device = Mapping(start, end, is_pfn=True)
    yield (
        "it logs dirty pages and a device is mapped there (VFIO, GPU)",
        0.0,
        behind(device),
        logging,
    )
    readonly = Mapping(start, end, PROT_READ)
    yield "part of the host memory is mapped read-only", 0.0, behind(readonly), request
    shared = Mapping(start, end, PROT_READ | PROT_WRITE, is_shared=True)
    yield (
        "the VM has memory tagging on (KVM_CAP_ARM_MTE) and the memory is shared",
        -1.0,
        behind(shared, mte=True),
        request,
    )


def _protected(vm: Vm) -> Vm:
    vm.state.config.protected = vm.state.config.hypervisor_vm_created = True
    return vm


_OF_ARGUMENT = {"userspace_addr": ("hva-", "userspace-addr"), "flags": ("flags-",)}


def _decided_by_recorded(step: Step, refused: Refused, request: Region) -> bool:
    """Whether nothing that the recording lacks decided it, but for what was supposed."""
    supposed = step.region is not None and step.region is not request
    return supposed or not any(
        refused.rule.id.startswith(_OF_ARGUMENT[name]) for name in step.assumed
    )


def _hidden_slots(step: Step, request: Region, errno: int) -> Iterator[Possibility]:
    """KVM's own slots on Intel and AMD hosts."""
    vm = _vm(step)
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
                outcome.rule, f"KVM's own {other.owner}, {where}, {when}", points=_KNOWN_ARCH
            )


def _stated_ranges(step: Step, request: Region, errno: int, facts: Facts) -> Iterator[Possibility]:
    """Ranges that the text names and that overlap the request."""
    if errno == EEXIST and request.memory_size:
        for text in overlapping(facts, request, step.event.line):
            yield Possibility(find_rule("slot-overlap"), text, points=_STATED)


def _histories(step: Step, request: Region, errno: int) -> Iterator[Possibility]:
    """Slots that were registered before, without being recorded, and arguments that were not."""
    vm = _vm(step)
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
    if errno == EINVAL and request.flags & 4:
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


def _dead(step: Step) -> Iterator[Possibility]:
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
    arch = _vm(step).profile.arch.name
    rules = [
        rule
        for rule in REGION_RULES
        if rule.errno == errno
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
