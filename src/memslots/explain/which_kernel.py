"""Which kernels are consistent with what a recording shows.

Every candidate is put under the same recording; one that would have answered a
single call otherwise is ruled out.  The capabilities that the program asked for
count as much as refusals do.  Candidates that answer alike what the recording
asks of a kernel are tried once (`kernel.asked`).
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from re import IGNORECASE

from ..errnos import EEXIST
from ..errors import UnknownKernelError
from ..kernel.arch import find_arch
from ..kernel.asked import AlikeKernels
from ..kernel.history import BRANCHES
from ..kernel.names import find
from ..kernel.profile import Profile, dated, of_branches
from ..patterns import lazy
from ..replay.replay import Replay
from ..replay.step import DIFFERS, Step
from ..trace.event import Event
from ..uapi.calls import X86_CALLS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..kernel.version import Version
    from .facts import Facts

_X86_VM_TYPES = 32
"""Types that KVM_CAP_VM_TYPES, a mask of 32 bits, can name."""
MOST_EVENTS = 1500
"""Events of a recording that candidates are tried on; the first ones tell most."""
_PROGRAM_ARCH = (
    (lazy(r"qemu-system-(aarch64|arm)\b|aarch64|arm64", IGNORECASE), "arm64"),
    (lazy(r"qemu-system-s390x?|s390x"), "s390x"),
    (lazy(r"qemu-system-ppc64|ppc64(le)?\b|powerpc"), "ppc64"),
    (lazy(r"qemu-system-riscv64|riscv64"), "riscv64"),
    (lazy(r"qemu-system-loongarch64|loongarch"), "loongarch64"),
    (lazy(r"qemu-system-i386\b|i[3-6]86"), "i386"),
)
_ARCH_WORDS = ("arm", "aarch64", "s390", "ppc64", "powerpc", "riscv64", "loongarch", "86")
"""One of them stands in every text that names an architecture."""


class Evidence:
    """What a recording says about the kernel that made it."""

    __slots__ = (
        "arch",
        "arch_reason",
        "build",
        "chosen",
        "consistent",
        "contradictions",
        "remark",
        "ruled_out",
        "vendor",
    )

    def __init__(self, arch: str, arch_reason: str) -> None:
        self.arch = arch
        self.arch_reason = arch_reason
        """Why this architecture: what the recording says, or that it says nothing."""
        self.build = ""
        """What must be said of the build to make the answers possible: `-smm`."""
        self.consistent: list[Profile] = []
        """Candidates that contradict nothing, oldest first."""
        self.ruled_out: dict[str, str] = {}
        """Candidate: the first call that it would have answered otherwise."""
        self.chosen: Profile = dated(BRANCHES[-1], find_arch(arch))
        """The newest consistent one, or the one with the fewest contradictions."""
        self.remark = ""
        """What the recording itself says of the kernel."""
        self.contradictions = 0
        """Calls that the chosen one would have answered otherwise."""
        self.vendor = ""
        """Who carries changes in the stated release that nobody has listed."""


def weigh(
    events: Sequence[Event],
    arch: str | None = None,
    *,
    release: str = "",
    machine: str = "",
    page_bytes: int = 0,
    host: Sequence[str] = (),
    facts: Facts | None = None,
) -> Evidence:
    """The evidence of a recording's events about the kernel.

    arch: if it is known.  release, machine, page_bytes: what uname and the page size were where it
    was recorded, if the recording tells.  host: edits of its name, likewise.  facts: what the text
    around the calls says.
    """
    stated = _stated(release, machine, page_bytes, host)
    remark = ""
    if stated is not None:
        evidence = Evidence(stated.arch.name, f"the recording says {machine}")
        _try_candidates(events, evidence, [stated])
        if not evidence.contradictions:
            from ..kernel.vendors import vendor_of

            evidence.remark = f"{release}, says the recording"
            evidence.vendor = vendor_of(release)
            return evidence
        remark = (
            f"{release}, says the recording, but {evidence.contradictions} of its calls are "
            "answered otherwise there"
        )
        arch = stated.arch.name
    told = f"the recording says {machine}" if machine else "stated"
    name, reason = _guess_arch(events, facts) if arch is None else (arch, told)
    evidence = Evidence(name, reason)
    evidence.remark = remark
    edits = _edits(name, facts)
    if facts is not None and facts.release is not None and not remark:
        profile = _of_text(f"{facts.release.value}/{name}", edits)
        if profile is not None:
            _try_candidates(events, evidence, [profile])
            if not evidence.contradictions:
                from ..kernel.vendors import vendor_of

                evidence.remark = f"{facts.release.value}: {facts.release.reason}"
                evidence.vendor = vendor_of(str(facts.release.value))
                return evidence
            evidence = Evidence(name, reason)
            evidence.remark = f"{facts.release.reason}, but calls are answered otherwise there"
    _try_candidates(events, evidence, _candidates(evidence.arch, edits))
    return evidence


def _edits(arch: str, facts: Facts | None) -> str:
    """The edits of a kernel's name for page size and address bits that the text states."""
    if facts is None:
        return ""
    edits = ""
    if facts.page_shift is not None:
        edits += {14: "+16k", 16: "+64k"}.get(int(facts.page_shift.value), "")
    if facts.gpa_bits is not None and arch in ("x86_64", "riscv64", "loongarch64"):
        edits += f"+pa{facts.gpa_bits.value}"
    return edits


def _of_text(name: str, edits: str) -> Profile | None:
    """The profile of a release that a text names; None if it is not known."""
    from ..kernel.vendors import release_of

    release, _, arch = name.partition("/")
    try:
        return _edited(f"{release_of(release)}/{arch}", edits)
    except UnknownKernelError:
        return None


def _edited(name: str, edits: str) -> Profile:
    """The profile with those edits that its architecture has."""
    try:
        return find(name + edits)
    except UnknownKernelError:
        return find(name)


def _stated(release: str, machine: str, page_bytes: int, host: Sequence[str]) -> Profile | None:
    """The profile of what uname said; None if it said nothing that is known."""
    if not release:
        return None
    from ..kernel.vendors import release_of

    try:
        profile = find(f"{release_of(release)}/{find_arch(machine).name}")
        usual = page_bytes in (0, 1 << profile.page_shift)
        sized = profile if usual else find(f"{profile.name}+{page_bytes >> 10}k")
        return _edited(sized.name, "".join(host))
    except UnknownKernelError:
        return None


def _try_candidates(events: Sequence[Event], evidence: Evidence, candidates: list[Profile]) -> None:
    events = events[:MOST_EVENTS]
    alike = AlikeKernels(lambda profile: _contradictions(events, profile, most=1), candidates)
    tried = [alike.find(candidate) for candidate in candidates]
    if all(count for count, _ in tried):
        # none fits: the one with the fewest contradictions is the best guess
        most = MOST_EVENTS
        alike = AlikeKernels(lambda profile: _contradictions(events, profile, most + 1), candidates)
        for number, candidate in enumerate(candidates):
            tried[number] = alike.find(candidate)
            most = min(most, tried[number][0])
    best: tuple[int, int] | None = None
    for number, (candidate, (count, first)) in enumerate(zip(candidates, tried)):
        if count:
            evidence.ruled_out[candidate.name] = first
        else:
            evidence.consistent.append(candidate)
        if best is None or (count, -number) <= best:
            best = (count, -number)
            evidence.chosen, evidence.contradictions = candidate, count
    if evidence.contradictions:
        _try_builds(events, evidence, [candidate.version for candidate in candidates])
    least = evidence.contradictions
    if least and not _contradictions(events, evidence.chosen, 1, surely=True)[0]:
        # what was not recorded of these calls may be what was refused: they rule nothing out
        evidence.contradictions = 0
        for candidate, (count, _) in zip(candidates, tried):
            if best is not None and count == best[0]:
                evidence.consistent.append(candidate)
                del evidence.ruled_out[candidate.name]


def _candidates(arch: str, edits: str = "") -> list[Profile]:
    """One profile for each branch in which KVM exists on the architecture."""
    plain = of_branches(find_arch(arch))
    return [_edited(each.name, edits) for each in plain] if edits else plain


def _try_builds(events: Sequence[Event], evidence: Evidence, releases: list[Version]) -> None:
    """Other builds of the same releases: without SMM, without two-dimensional paging, with the
    types of VMs that were made.
    """
    builds: dict[str, list[Profile]] = {}
    types = _vm_types_made(events)
    for edits in (
        "-smm", "-tdp", "-smm-tdp", "+attributes-built", "-guest-memfd-built",
        *(f"+vm-types={types:#x}{more}" for more in ("", "-smm") if types & ~1),
    ):  # fmt: skip
        try:
            builds[edits] = [find(f"{version}/{evidence.arch}{edits}") for version in releases]
        except UnknownKernelError:
            continue
    alike = AlikeKernels(
        lambda profile: _contradictions(events, profile, evidence.contradictions),
        [candidate for tried in builds.values() for candidate in tried],
    )
    for edits, tried in builds.items():
        counts = [(candidate, alike.find(candidate)[0]) for candidate in tried]
        least = min(count for _, count in counts)
        if least < evidence.contradictions:
            evidence.contradictions = least
            evidence.chosen = [candidate for candidate, count in counts if count == least][-1]
            if not least:
                evidence.consistent = [candidate for candidate, count in counts if not count]
                evidence.build = edits
                return


def _vm_types_made(events: Sequence[Event]) -> int:
    """Mask of the types of VMs that there are, ordinary ones among them, as x86 counts them."""
    made = (
        event.get("type") or 0
        for event in events
        if event.call == "KVM_CREATE_VM" and (event.result or 0) >= 0
    )
    return reduce(or_, (1 << number for number in made if 0 <= number < _X86_VM_TYPES), 1)


def _contradictions(
    events: Sequence[Event], profile: Profile, most: int = MOST_EVENTS, *, surely: bool = False
) -> tuple[int, str]:
    """How many calls the kernel would have answered otherwise, at most so many, and the first.

    surely: whatever was not recorded of those calls.
    """
    count, first = 0, ""
    replay = Replay((), profile, most_kept=0, only_answers=True)
    for number, event in enumerate(events, 1):
        if replay.advance(number, event):
            continue
        step = replay.step
        if contradicts(step) and not (surely and step.assumed and (step.observed or 0) < 0):
            count += 1
            if not first:
                expected = step.answer.reason if step.answer is not None else ""
                first = f"step {step.number} {step.event.call}: {expected}"
            if count == most:
                break
    return count, first


def _about_something_else(step: Step) -> bool:
    """A failure to create a VM is seldom about the release, an overlap with something unseen
    never.
    """
    event = step.event
    if event.call in ("KVM_CREATE_VM", "KVM_CREATE_VCPU"):
        return (event.result or 0) < 0
    return event.result == -EEXIST and not step.from_start


def contradicts(step: Step) -> bool:
    """Whether a step shows that the recording is of another kernel than it is replayed on."""
    return step.verdict == DIFFERS and not _about_something_else(step)


def arch_of(events: Sequence[Event]) -> str:
    """The architecture that the calls of a recording show, or the one that is assumed."""
    return _guess_arch(events, None)[0]


ASSUMED = "assumed: the recording does not say"


def _guess_arch(events: Sequence[Event], facts: Facts | None) -> tuple[str, str]:
    if facts is not None and facts.arch is not None:
        return str(facts.arch.value), facts.arch.reason
    for event in events[:MOST_EVENTS]:
        if event.call in X86_CALLS and (event.result or 0) >= 0:
            return "x86_64", f"{event.call} is a call of x86"
        text = event.text.lower()
        if not any(word in text for word in _ARCH_WORDS):
            continue
        for pattern, arch in _PROGRAM_ARCH:
            match = pattern.search(event.text)
            if match:
                return arch, f"the recording names {match.group(0)}"
    if facts is not None and facts.page_shift is not None:
        return "arm64", f"{facts.page_shift.reason}, which no x86 host has"
    return "x86_64", ASSUMED
