"""Candidates for a failure that is no region call: causes of the catalogue and rules of the call,
ranked together.
"""

from __future__ import annotations

from ..errnos import EEXIST
from ..kernel.history import FACTS
from ..patterns import lazy
from ..replay.step import REFUSED, Step
from ..replay.verdict import CAPABILITIES_OF_MEMORY
from ..rules.answer import Rule
from ..trace.event import MESSAGE, TEXT
from ..uapi.calls import CALLS
from .rank import ENOUGH, rank_causes, rule_points, rules_named
from .text_events import call_in
from .words import Words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .facts import Facts
    from .possibility import Possibility

OWN_SLOTS = (
    "It may be one of KVM's own: the APIC access page at 0xfee00000, the TSS, the identity map"
)
_OWN_SLOTS = (
    "a slot lies where KVM puts its own with the first vCPU: the APIC access page at 0xfee00000, "
    "the TSS, the identity map"
)
MOST = 8
"""Candidates that are kept."""
_OF_THE_CALL, _SHARES_ERRNO = 5.0, 2.0
"""Points of a rule for belonging to the call and giving the errno."""

_PROBING = frozenset(
    ("KVM_CHECK_EXTENSION", "KVM_GET_NR_MMU_PAGES", "close", "fork", "clone", "vfork")
)
_MAPPING = frozenset(("mmap", "munmap", "mremap", "mprotect"))
_LINES = 3
"""Lines of an event that count as near it."""


def is_probe(step: Step) -> bool:
    """Whether it is a call with which programs find out what there is, so that a refusal is no
    failure.
    """
    event = step.event
    if event.call == "KVM_ENABLE_CAP":
        return step.verdict != REFUSED or event.get("cap") not in CAPABILITIES_OF_MEMORY
    if event.call in _MAPPING:
        return event.format != TEXT
    return event.call in _PROBING


def candidates_of(step: Step, facts: Facts) -> list[Possibility]:
    """What may be behind it, the likeliest first, as far as the call, its errno and the words
    say.
    """
    from ..rules import ioctl
    from ..rules.catalogue import OTHER_RULES, find_rule
    from .histories import by_errno
    from .possibility import Possibility

    event = step.event
    near = Words("\n".join(event.text.split("\n")[:_LINES]))
    errno = -(event.result or 0)
    call = "" if event.call == MESSAGE else event.call
    if not call:
        call, errno = call_in(near, errno)
    found = [
        Possibility(None, each.title, cause=each.cause, points=each.points, named=each.named)
        for each in rank_causes(facts if facts.text else _facts_of(event.text), near, call, errno)
    ]
    if call in CALLS:
        found += [
            Possibility(rule, rule.title, points=_OF_THE_CALL + rule_points(facts, rule.id, near))
            for rule in ioctl.RULES
            if rule.errno == errno
        ]
    if call == "KVM_CREATE_VCPU" and errno == EEXIST:
        found.append(Possibility(find_rule("slot-overlap"), _OWN_SLOTS, points=_OF_THE_CALL + 3.0))
    if call:
        for rule in OTHER_RULES:
            if (
                call in rule.calls.split(", ")
                and rule.errno == errno
                and _exists(rule.arches, step)
            ):
                points = _OF_THE_CALL + rule_points(facts, rule.id, near)
                found.append(Possibility(rule, rule.title, points=points))
    else:
        if errno and _is_about_regions(near):
            found += by_errno(step, errno)
        found += [
            Possibility(each.rule, _text(each.rule), points=each.points - 1.0, named=True)
            for each in rules_named(facts)
            if each.rule is not None and each.points >= ENOUGH + 0.5
        ]
    best: dict[str, Possibility] = {}
    for each_possible in sorted(found, key=lambda possible: -possible.points):
        best.setdefault(each_possible.id, each_possible)
    return list(best.values())[:MOST]


_REGION_WORDS = (
    "map memory", "map region", "update region", "add region", "user memory", "memory region",
    "memory slot", "memslot",
    "map guest memory", "guest memory", "memory map", "set memory",
)  # fmt: skip
_KVM_WORDS = ("kvm~", "hypervisor", "vm", "vmm", "memory manager")


def _is_about_regions(near: Words) -> bool:
    """Whether a line speaks of guest memory given to KVM, though it names no call."""
    return any(word in near for word in _REGION_WORDS) and any(word in near for word in _KVM_WORDS)


def _text(rule: Rule) -> str:
    return f"{rule.title}  {OWN_SLOTS}" if rule.id == "slot-overlap" else rule.title


_CALL_FACTS = (("REGION2", "region2"), ("_GUEST_MEMFD", "guest-memfd"),
               ("_ATTRIBUTES", "memory-attributes"))  # fmt: skip
"""(end of a call's name, fact that says since when it is there)."""


def since(call: str) -> str:
    """Since which release there is a call; empty if it has always been there."""
    fact = next(
        (
            fact
            for end, name in _CALL_FACTS
            if call.endswith(end)
            for fact in FACTS
            if fact.name == name
        ),
        None,
    )
    return "" if fact is None else f"{call} exists since {fact.since}"


OTHER_HYPERVISOR = "other-hypervisor"
_HYPERVISORS = (
    ("Gunyah", "gunyah"), ("bhyve", "bhyve"), ("VirtualBox", "verr~"), ("Xen", "libxl"),
    ("Xen", "xc dom"), ("Xen", "xen"),
    ("WHPX, the Hyper-V platform of Windows", "whpx"), ("Hyper-V", "hyper v"), ("the Hypervisor "
        "framework of macOS", "hvf"),
    ("the Hypervisor framework of macOS", "hv error"),
    ("the Hypervisor framework of macOS", "hv vm map"),
    ("Microsoft's mshv", "mshv"), ("VMware", "vmware"), ("ACRN", "acrn"), ("HAXM", "haxm"),
    ("NVMM", "nvmm"),
    ("GenieZone", "gzvm"), ("Windows", "exe"),
)  # fmt: skip


def hypervisor_named(facts: Facts) -> str:
    """Which product it is."""
    return next((name for name, sign in _HYPERVISORS if sign in facts.words), "another one")


def _exists(arches: tuple[str, ...], step: Step) -> bool:
    if not arches or step.before is None:
        return True
    return step.before.vm.profile.arch.name in arches


def _facts_of(text: str) -> Facts:
    from .facts import Facts

    return Facts(text)


LAYOUT = "layout-pasted"
_FAILURE_WORDS = (
    "fail~", "error~", "cannot", "can t", "could not", "unable", "refus~", "denied", "crash~",
    "panic~", "abort~", "killed",
    "invalid", "no such", "not enough", "insufficient", "insufficient~", "too many", "exceed~",
    "limit~", "hang", "hangs", "oops", "warning",
    "bug", "fatal", "unexpected", "unknown", "unhandled", "not supported", "does not", "doesn t",
    "disappear~", "wrong",
    "out of", "broken", "missing", "lost", "dead", "stops", "stopped", "einval", "eexist", "enomem",
    "efault", "eio",
    "enoent", "eperm", "eacces", "ebusy", "enospc", "enotty", "ebadf", "enodev", "eagain", "eintr",
    "e2big", "enosys",
    "enoexec", "emfile", "eopnotsupp", "fehler~", "fehlgeschlagen", "slow", "takes", "no free",
    "busy", "conflict~", "mismatch",
    "overlap~", "unaligned", "misaligned", "exit reason", "reason 8", "fault", "below", "not",
    "must be", "terminated",
    "suberror", "sigsegv",
    "sigbus", "is no", "no", "less", "assert~", "incomplete", "exited", "panicked", "must",
)  # fmt: skip


_QEMU_SPEAKS = lazy(r"(?m)^(?:.{0,200}\s)?qemu-(?:system-\w+|kvm): (?!warning:|info:)\S")
"""QEMU puts its name before errors, warnings and hints alone."""


def qemu_speaks(facts: Facts) -> bool:
    """Whether there is an error message of QEMU."""
    return "qemu-" in facts.text and _QEMU_SPEAKS.search(facts.text) is not None


def names_a_failure(facts: Facts) -> bool:
    """Whether a text speaks of something that failed at all."""
    return any(word in facts.words for word in _FAILURE_WORDS) or qemu_speaks(facts)
