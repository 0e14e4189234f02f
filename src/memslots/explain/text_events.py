"""Failures that a text tells in sentences, as events: which call, which errno, which numbers.

The readers take lines of known forms.  What they leave is searched here for the
names of calls in any spelling with an errno near them, in either order.
"""

from __future__ import annotations

from ..trace.decode import ERRNO
from ..trace.event import MESSAGE, TEXT, Event
from ..trace.said import ANYWHERE, IN_A_MESSAGE, said
from ..uapi.calls import CALLS, REGION_CALLS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..uapi.calls import Call
    from .facts import Facts
    from .words import Words

_REGION, _REGION2 = "KVM_SET_USER_MEMORY_REGION", "KVM_SET_USER_MEMORY_REGION2"


def _any_of(verbs: str, between: str, nouns: str) -> list[str]:
    """`set the memory regions`: every verb and every noun, with one word or none between."""
    middles = ["", *(f"{word} " for word in between.split())]
    return [
        f"{verb} {middle}memory {noun}"
        for verb in verbs.split()
        for middle in middles
        for noun in nouns.split()
    ]


_SPELLINGS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (_REGION2, ("set user memory region2", "user memory region2", "set memory region2")),
    (
        _REGION,
        (
            "set user memory region", "create user memory region", "create user memory",
            "set memory region ioctl",
            "error registering slot", "error unregistering slot", "kvm userspace memory region",
            "add memory region",
            "remove memory region", "user memory region", "register guest memory", "register "
                "memory region",
            "guest add mem", "registering memory slot", "map guest memory", "vm map memory error",
            "add slot", "memory region ioctl",
            *_any_of(
                "set setting register registering add adding create creating update updating",
                "the a all guest user kvm vm",
                "region regions slot slots",
            ),
        ),
    ),
    ("KVM_CREATE_GUEST_MEMFD", ("create guest memfd", "kvm gmem create")),
    ("KVM_SET_MEMORY_ATTRIBUTES", ("set memory attributes", "failed to set memory .. with attr",
    "set memory attribute")),
    ("KVM_GET_DIRTY_LOG", ("get dirty log", "kvm get dirty log")),
    ("KVM_CLEAR_DIRTY_LOG", ("clear dirty log", "log clear one slot")),
    ("KVM_PRE_FAULT_MEMORY", ("pre fault memory",)),
    ("KVM_CREATE_VCPU", ("create vcpu", "kvm init vcpu", "kvm get vcpu failed")),
    ("KVM_CREATE_VM", ("kvm create vm", "creating vm", "create vm")),
    ("KVM_CREATE_IRQCHIP", ("create irqchip",)),
    ("KVM_RUN", ("kvm run", "vcpu run", "running vcpu", "run vcpu", "vcpu .. error", "run failed",
    "run ioctl")),
    ("KVM_IOEVENTFD", ("ioeventfd", "register ioevent", "ioevent")),
    ("KVM_IRQFD", ("irqfd", "register irqfd")),
    ("VFIO_IOMMU_MAP_DMA", ("vfio dma map", "iommu dma map", "vfio map dma", "iommu map dma",
    "dma map")),
    ("VHOST_SET_MEM_TABLE", ("vhost set mem table", "set mem table")),
)  # fmt: skip
_ALL_NAMES = tuple(name for _, names in _SPELLINGS for name in names)
_LISTED = 8
"""Characters between two calls of a list: `A and B both fail`."""
_ERRNO_WORDS = {name.lower(): number for name, number in ERRNO.items()} | {
    "enoexec": 8,
    "epipe": 32,
}
_AFTER, _BEFORE = 190, 110
"""Characters of words after and before the name of a call in which its errno is looked for."""
_LINES_AROUND, _LINES_OF_ONE = 5, 3
"""Lines before and after a call that is told, and of a message of several lines, in which its
numbers are looked for.
"""
_MOST = 8


def call_failures(facts: Facts, seen: frozenset[tuple[str, int]]) -> Iterator[Event]:
    """Events of calls that the text names with an errno near; `seen`: (call, errno) that are
    events already.
    """
    told: set[tuple[str, int]] = set(seen)
    for call, spellings in _SPELLINGS:
        for spelling in spellings:
            at = -1
            for _ in range(_MOST):
                at = facts.words.find(spelling, at + 1)
                if at < 0:
                    break
                errno = _errno_near(facts.words.flat, at, at + len(spelling))
                family = call.removesuffix("2")
                if errno is None or (family, errno) in told:
                    continue
                told.add((family, errno))
                yield _event(facts, call, errno, facts.words.line_at(at))


def complete(events: list[Event], facts: Facts) -> None:
    """Give a region call that a message names without a number those of the lines around it: a
    program prints what it tried, and the cause below.

    None where another region call is near, whose they may be.
    """
    calls = [event for event in events if event.call in REGION_CALLS]
    lines = facts.text.split("\n")
    for number, event in enumerate(calls):
        if event.fields or event.format != MESSAGE or not 0 < event.line <= len(lines):
            continue
        first, last = event.line - _LINES_OF_ONE, event.line + _LINES_OF_ONE
        beside = (*calls[max(0, number - 1) : number], *calls[number + 1 : number + 2])
        is_alone = not any(first <= each.line <= last for each in beside)
        if is_alone and lines[event.line - 1].strip() in event.text:
            around = "\n".join(lines[max(0, first - 1) : last])
            event.fields = _fields(around, CALLS[event.call], IN_A_MESSAGE)


def call_in(near: Words, errno: int) -> tuple[str, int]:
    """(call, errno) that a failing line names; no call if it names none."""
    for call, spellings in _SPELLINGS:
        for spelling in spellings:
            at = near.find(spelling)
            if at >= 0:
                found = errno or _errno_near(near.flat, at, at + len(spelling)) or 0
                return call, found
    return "", errno


def _errno_near(flat: str, start: int, end: int) -> int | None:
    """The errno named closest behind the words, else before them; None if another call stands
    between.
    """
    for part, words in ((flat[end : end + _AFTER], 1), (flat[max(0, start - _BEFORE) : start], -1)):
        found = part.split()[::words]
        for place, word in enumerate(found):
            if word in _ERRNO_WORDS:
                between = f" {' '.join(found[:place][::words])} "
                if " mmap " in between:  # it failed before KVM was asked
                    return None
                at = min(
                    (between.find(f" {name} ") for name in _ALL_NAMES if f" {name} " in between),
                    default=-1,
                )
                if at < 0 or (words > 0 and at <= _LISTED):
                    return _ERRNO_WORDS[word]
                break
    return None


def said_by(event: Event) -> dict[str, int]:
    """The numbers that the text of an event itself gives to the fields of its call."""
    return _fields(event.text, CALLS[event.call], IN_A_MESSAGE)


def _event(facts: Facts, call: str, errno: int, line: int) -> Event:
    lines = facts.text.split("\n")
    shown = lines[line - 1].strip() if 0 < line <= len(lines) else ""
    event = Event(call, {}, -errno, text=shown[:400], line=line, format=TEXT)
    if call in CALLS:
        around = "\n".join(lines[max(0, line - 1 - _LINES_AROUND) : line + _LINES_AROUND])
        event.fields = _fields(around, CALLS[call], ANYWHERE)
    return event


def _fields(text: str, call: Call, names: Mapping[str, str]) -> dict[str, int]:
    """The numbers that a text gives by name and that fit; none that is given twice with two
    values.
    """
    values: dict[str, set[int]] = {}
    for field, number in said(text, {each.name: each.bits for each in call.fields}, names):
        values.setdefault(field, set()).add(number)
    return {name: found.pop() for name, found in values.items() if len(found) == 1}
