"""Candidates for a failure that is no region call: causes of the catalogue and rules of the call, ranked together."""

from __future__ import annotations

from errno import EEXIST

from ..rules.catalogue import OTHER_RULES, find_rule
from ..replay.step import REFUSED, Step
from ..uapi.capabilities import CAPS
from .hypotheses import Possibility
from .rank import ENOUGH, rank_causes, rule_points, rules_named
from .words import Words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .facts import Facts

_OWN_SLOTS = (
    "a slot lies where KVM puts its own with the first vCPU: the APIC access page at 0xfee00000, the TSS, the identity map"
)
MOST = 8
"""Candidates that are kept."""
_OF_THE_CALL, _SHARES_ERRNO = 5.0, 2.0
"""Points of a rule for belonging to the call and giving the errno."""

_PROBING = frozenset(("KVM_CHECK_EXTENSION", "KVM_GET_NR_MMU_PAGES", "close", "fork", "clone", "vfork"))
_MAPPING = frozenset(("mmap", "munmap", "mremap", "mprotect"))
_OF_INTEREST = frozenset(
    number for name, number in CAPS.items() if name.startswith(("KVM_CAP_DIRTY_LOG_RING", "KVM_CAP_MANUAL_DIRTY_LOG"))
)
_LINES = 3
"""Lines of an event that count as near it."""


def is_probe(step: Step) -> bool:
    """Whether it is a call with which programs find out what there is, so that a refusal is no failure."""
    event = step.event
    if event.call == "KVM_ENABLE_CAP":
        return step.verdict != REFUSED or event.get("cap") not in _OF_INTEREST
    if event.call in _MAPPING:
        return event.format != "text"
    return event.call in _PROBING


def candidates_of(step: Step, facts: Facts) -> list[Possibility]:
    """What may be behind it, the likeliest first, as far as the call, its errno and the words say."""
    event = step.event
    near = Words("\n".join(event.text.split("\n")[:_LINES]))
    errno = -(event.result or 0)
    call = "" if event.call == "message" else event.call
    found = [
        Possibility(None, each.title, cause=each.cause, points=each.points, named=each.named)
        for each in rank_causes(facts if facts.text else _facts_of(event.text), near, call, errno)
    ]
    if call == "KVM_CREATE_VCPU" and errno == EEXIST:
        found.append(Possibility(find_rule("slot-overlap"), _OWN_SLOTS, points=_OF_THE_CALL + 3.0))
    if call:
        for rule in OTHER_RULES:
            if call in rule.calls.split(", ") and rule.errno == errno and _exists(rule.arches, step):
                points = _OF_THE_CALL + rule_points(facts, rule.id, near)
                found.append(Possibility(rule, rule.title, points=points))
    else:
        found += [
            Possibility(each.rule, each.title, points=each.points - 1.0, named=True)
            for each in rules_named(facts)
            if each.points >= ENOUGH + 1.0
        ]
    found.sort(key=lambda possible: -possible.points)
    return found[:MOST]


def _exists(arches: tuple[str, ...], step: Step) -> bool:
    if not arches or step.before is None:
        return True
    return step.before.vm.profile.arch.name in arches


def _facts_of(text: str) -> Facts:
    from .facts import Facts

    return Facts(text)


LAYOUT = "layout-pasted"
_FAILURE_WORDS = (
    "fail~", "error~", "cannot", "can t", "could not", "unable", "refus~", "denied", "crash~", "panic~", "abort~", "killed",
    "invalid", "no such", "not enough", "insufficient", "insufficient~", "too many", "exceed~", "limit~", "hang", "hangs", "oops", "warning",
    "bug", "fatal", "unexpected", "unknown", "unhandled", "not supported", "does not", "doesn t", "disappear~", "wrong",
    "out of", "broken", "missing", "lost", "dead", "stops", "stopped", "einval", "eexist", "enomem", "efault", "eio",
    "enoent", "eperm", "eacces", "ebusy", "enospc", "enotty", "ebadf", "enodev", "eagain", "eintr", "e2big", "enosys",
    "enoexec", "emfile", "eopnotsupp", "fehler~", "fehlgeschlagen", "slow", "takes", "no free", "busy", "conflict~", "mismatch",
    "overlap~", "exit reason", "reason 8", "fault", "below", "not", "must be", "terminated", "suberror", "sigsegv",
    "sigbus", "is no", "no",
)  # fmt: skip


def names_a_failure(facts: Facts) -> bool:
    """Whether a text speaks of something that failed at all."""
    return any(word in facts.words for word in _FAILURE_WORDS)
