"""The circumstances under which the answer would be as observed.

Hosts, builds, types of VM, host mappings and histories that are not ruled out are put to the
model one by one; those that give the observed errno are possibilities.  What the text says
counts: stated circumstances come first, those against a stated one are not tried.
"""

from __future__ import annotations

from ..errnos import EFAULT, EIO, ENOMEM
from ..errors import MemslotsError, UnknownKernelError
from ..kernel.history import BRANCHES
from ..kernel.names import find
from ..model.vm import Vm
from ..replay.step import Step
from ..rules.answer import Refused, Undetermined
from ..rules.catalogue import ALLOCATION_FAILED
from ..state.process import PROT_READ, PROT_WRITE, Mapping
from ..uapi.flags import KVM_MEM_LOG_DIRTY_PAGES
from ..uapi.region import Region
from .histories import (
    KNOWN_ARCH,
    OTHER_ARCH,
    STATED,
    by_errno,
    dead,
    hidden_slots,
    histories,
    stated_ranges,
    vm_before,
)
from .other_kernels import transplanted
from .possibility import Possibility
from .rank import rank_causes, rule_points
from .words import Words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..kernel.profile import Profile
    from .facts import Facts


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
    ("the host is riscv64 with 41 bits of guest addresses", f"{_NEWEST}/riscv64+pa41"),
    ("the host is a 32-bit x86", f"{_NEWEST}/i386+pa52"),
)
_X86_WIDTHS = (36, 39, 40, 42, 43, 46, 48, 52)
_RISCV_WIDTHS = (41, 50, 59)
_SIZES = ((14, "16k", "16 KiB"), (16, "64k", "64 KiB"))


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
        yield Possibility(outcome.rule, outcome.rule.title, certain=certain, points=KNOWN_ARCH * 2)
    if errno == ENOMEM and step.is_region:
        yield Possibility(
            ALLOCATION_FAILED,
            ALLOCATION_FAILED.title,
            certain=vm_before(step).profile.arch.is_x86,
            points=3.0,
        )
    if errno == EIO:
        yield from dead(step)
    if request is not None:
        yield from hidden_slots(step, request, errno)
        yield from stated_ranges(step, request, errno, facts)
        yield from _trials(step, request, errno, facts)
        yield from histories(step, request, errno)
    else:
        yield from by_errno(step, errno)


def _trials(step: Step, request: Region, errno: int, facts: Facts) -> Iterator[Possibility]:
    """Each circumstance by itself; on the known architecture and release, and on others only if
    none is known.
    """
    vm = vm_before(step)
    for text, points, twin, changed in _twins(step, vm, request, facts):
        try:
            outcome = twin().what_if(changed)
        except (MemslotsError, ValueError):
            continue
        if isinstance(outcome, Undetermined) and outcome.rule.errno == errno and points >= STATED:
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
        return lambda: transplanted(vm, find(name), request, vm_type)

    def like(vm_type: int | None = None, **options: int | bool) -> Callable[[], Vm]:
        edits = {name.replace("_", "-"): value for name, value in options.items()}
        return lambda: transplanted(
            vm, profile.edited(edits, "supposed") if edits else profile, request, vm_type
        )

    if profile.arch.is_x86:
        known = vm.state.machine.vm_type
        for number, text in _VM_TYPES:
            stated = facts.vm_type is not None and facts.vm_type.value == number
            if facts.vm_type is None or stated or known == number:
                reason = f" ({facts.vm_type.reason})" if stated and facts.vm_type else ""
                yield text + reason, STATED if stated else KNOWN_ARCH - 1, like(number), request
        if profile.option("gpa-bits") is None:
            for bits in _X86_WIDTHS:
                yield (
                    f"the host has {bits} physical address bits",
                    KNOWN_ARCH,
                    like(gpa_bits=bits),
                    request,
                )
        text = "KVM is built without SMM, or the VM has private memory: one address space"
        yield text, KNOWN_ARCH, like(smm=False), request
        if arch == "x86_64":
            yield "the program is a 32-bit one", 0.0, like(compat=True), request
    if arch in ("arm64", "riscv64"):
        yield from _mappings(step, vm, request, facts, like)
    if arch == "arm64":
        text = "the VM is a protected one and has run" + (
            " (as the text says)" if facts.protected else ""
        )
        yield text, STATED if facts.protected else 0.0, lambda: _protected(like()()), request
    if arch == "riscv64" and profile.option("gpa-bits") is None:
        for bits in _RISCV_WIDTHS:
            yield (
                f"the host has {bits} bits of guest addresses",
                KNOWN_ARCH,
                like(gpa_bits=bits),
                request,
            )
    if not facts.page_shift:
        for shift, _, size in _SIZES:
            if shift in profile.arch.page_shifts and shift != profile.page_shift:
                yield f"the host has {size} pages", KNOWN_ARCH, like(page_shift=shift), request
    if facts.release is None:
        for text, name in _older(profile):
            yield text, 0.0, on(name), request
    if not facts.arch_is_known:
        for text, name in _OTHER_HOSTS:
            yield text, OTHER_ARCH, on(name), request
        old = _newest_on("s390x", lambda each: each.has("s390-segment-alignment"))
        if old is not None:
            text = f"the host is s390x with {old.version} or older (slots of whole MiB)"
            yield text, OTHER_ARCH, on(old.name), request


def _older(profile: Profile) -> Iterator[tuple[str, str]]:
    """(circumstance in words, name) of older releases of the same architecture."""
    arch = profile.arch.name
    if profile.arch.is_x86:
        most = profile.limit("user-slots")
        old = _newest_on(arch, lambda each: each.limit("user-slots") < most)
        if old is not None:
            slots = old.limit("user-slots")
            yield f"the kernel is {old.version} or older and has {slots} slots", old.name
    old = _newest_on(arch, lambda each: not each.has("region2"))
    if old is not None:
        yield "the kernel does not know the call", old.name


def _newest_on(arch: str, wanted: Callable[[Profile], bool]) -> Profile | None:
    """The newest release of an architecture that is so."""
    for version in reversed(BRANCHES):
        try:
            profile = find(f"{version}/{arch}")
        except UnknownKernelError:
            continue
        if wanted(profile):
            return profile
    return None


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
            if mte:
                twin.state.config.suppose_memory_tagging()
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
    vm.state.config.suppose_protected()
    return vm


_OF_ARGUMENT = {"userspace_addr": ("hva-", "userspace-addr"), "flags": ("flags-",)}


def _decided_by_recorded(step: Step, refused: Refused, request: Region) -> bool:
    """Whether nothing that the recording lacks decided it, but for what was supposed."""
    supposed = step.region is not None and step.region is not request
    return supposed or not any(
        refused.rule.id.startswith(_OF_ARGUMENT[name]) for name in step.assumed
    )
