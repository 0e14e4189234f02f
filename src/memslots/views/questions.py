"""The questions of `compare.questions` and their answers as text."""

from __future__ import annotations

from ..compare.questions import (
    ACCEPTED,
    BOUNDS,
    BUDGET_KEPT,
    BUDGET_WORKED_OUT,
    DEPENDS,
    FINDS_SLOT,
    LEAVES_INVALID,
    LEAVES_NOTHING,
    LEAVES_SLOT,
    NUMBER,
    REFUSED,
    SLOTS_ACCEPTED,
    UNMODELLED,
    Question,
    QuestionReply,
    answers,
)
from ..errors import errno_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..kernel.profile import Profile

_TITLES = {
    "address-spaces": "address spaces",
    "user-slots": "user slots",
    "one-page": "a slot of one host page",
    "slot-id-509": "slot id 509",
    "slot-id-32764": "slot id 32764",
    "space-1": "a slot of address space 1 (SMM)",
    "read-only": "a read-only slot",
    "region2": "KVM_SET_USER_MEMORY_REGION2",
    "slot-4-kib": "a slot of 4 KiB",
    "slot-4-gib": "a slot of 4 GiB",
    "slot-4-gib-and-a-page": "a slot of 4 GiB and a page",
    "hva-end": "end of host addresses",
    "hva-3-gib": "a host address at 3 GiB",
    "hva-2-62": "a host address at 2^62",
    "tagged-hva": "a host address with a tag in its top byte",
    "hva-below-1-mib-alignment": "a host address not aligned to 1 MiB",
    "rewritten-upper-half": "changing a slot made with rubbish above 32 bits of its host address",
    "gpa-2-36": "slot beyond the 36th address bit",
    "gpa-2-46": "slot beyond the 46th address bit",
    "gpa-2-52": "slot beyond the 52nd address bit",
    "ends-at-ipa-limit": "a slot that ends exactly at 2^40 (VM of 40 bits)",
    "refused-move": "a move that the architecture refuses",
    "many-pages": "5462 slots of 3 GiB less 64 KiB",
    "mmu-budget-of-1-gib": "MMU budget of 1 GiB",
    "mmu-budget-of-820-gib": "MMU budget of 820 GiB",
    "budget-on-flags": "MMU budget on a change of flags",
    "set-nr-mmu-pages-2-32": "KVM_SET_NR_MMU_PAGES of 2^32",
    "get-nr-mmu-pages": "KVM_GET_NR_MMU_PAGES with 256 MiB",
    "clear-dirty-log": "KVM_CLEAR_DIRTY_LOG",
    "initially-set": "dirty log with all pages initially set",
    "ring": "a dirty ring",
    "ring-acq-rel": "a dirty ring (acquire-release)",
    "guest-memfd": "a guest_memfd slot",
    "mappable-guest-memfd": "a guest_memfd slot of a mappable file",
    "guest-memfd-bound-twice": "part of a guest_memfd bound twice",
    "guest-memfd-toggled": "a guest_memfd slot set without the flag",
    "attributes": "KVM_SET_MEMORY_ATTRIBUTES of nothing",
    "vcpu-id-2000": "vCPU id 2000",
    "vcpu-id-2-32": "vCPU id 2^32",
}
_REMARKS = {
    LEAVES_NOTHING: "leaves nothing",
    LEAVES_INVALID: "leaves the slot, INVALID",
    LEAVES_SLOT: "leaves the slot as it was",
}


def question_text(question: Question) -> str:
    """What is asked, as a title."""
    return _TITLES[question.id]


def reply_text(reply: QuestionReply | None) -> str | None:
    """A reply in a few words: `accepted`, `EINVAL gfn-above-max`, a number."""
    if reply is None:
        return None
    text = _kind_text(reply)
    if reply.remark == FINDS_SLOT:
        return f"slot {reply.slot}: {text}"
    return f"{text}; {_REMARKS[reply.remark]}" if reply.remark in _REMARKS else text


def _kind_text(reply: QuestionReply) -> str:
    rule = reply.rule.id if reply.rule is not None else ""
    bounds = f"{reply.number:#x}"
    if reply.high != reply.number:
        bounds = f"between {bounds} and {reply.high:#x}"
    return {
        ACCEPTED: "accepted",
        NUMBER: str(reply.number),
        REFUSED: f"{errno_name(reply.errno)} {rule}",
        DEPENDS: f"depends on the host ({rule})",
        UNMODELLED: "not modelled",
        SLOTS_ACCEPTED: f"{reply.number} slots accepted",
        BUDGET_KEPT: "left alone",
        BUDGET_WORKED_OUT: "worked out anew",
        BOUNDS: bounds,
    }[reply.kind]


def answers_text(profile: Profile) -> dict[str, str]:
    """Title of each question that applies to a kernel: its answer in words."""
    return {
        question_text(question): reply_text(reply) or ""
        for question, reply in answers(profile).items()
    }
