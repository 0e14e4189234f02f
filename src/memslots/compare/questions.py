"""Short questions to a kernel whose answers tell kernels apart.

    from memslots.compare.questions import answers
    answers(find("5.16/x86_64"))

Each question makes a VM and calls it.  They are chosen so that every dated
behaviour that a program can notice shows in one of them.
"""

from __future__ import annotations

from ..model.vm import Vm
from ..rules.answer import Accepted, Refused, Undetermined, Unmodelled
from ..rules.create_vm import usual_vm_type
from ..rules.raised import RefusedError
from ..uapi.capabilities import (
    KVM_CAP_DIRTY_LOG_RING,
    KVM_CAP_DIRTY_LOG_RING_ACQ_REL,
    KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
)
from ..uapi.flags import (
    GUEST_MEMFD_FLAG_MMAP,
    KVM_DIRTY_LOG_INITIALLY_SET,
    KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE,
    KVM_MEM_GUEST_MEMFD,
    KVM_MEM_LOG_DIRTY_PAGES,
    KVM_MEM_READONLY,
)
from ..uapi.region import Region

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..kernel.profile import Profile
    from ..rules.answer import Answer, Rule

    Ask = Callable[[Vm], "Answer | QuestionReply"]

H = 0x1000_0000
"""A host address that every architecture has."""
_LOW_H = 0x1_0000
"""One from which a 32-bit process has 3 GiB less 64 KiB."""
_GIB = 1 << 30
_X86, _ARM64 = ("x86_64", "i386"), ("arm64",)

# Kinds of reply
ACCEPTED, REFUSED, DEPENDS, UNMODELLED = "accepted", "refused", "depends", "unmodelled"
NUMBER, BOUNDS, SLOTS_ACCEPTED = "number", "bounds", "slots-accepted"
BUDGET_KEPT, BUDGET_WORKED_OUT = "budget-kept", "budget-worked-out"
# Remarks on one
FINDS_SLOT = "finds-slot"
LEAVES_NOTHING, LEAVES_INVALID, LEAVES_SLOT = "leaves-nothing", "leaves-invalid", "leaves-slot"


class QuestionReply:
    """What a kernel answers to a question; replies that look the same are equal."""

    __slots__ = ("errno", "high", "kind", "number", "remark", "rule", "slot")

    def __init__(
        self,
        kind: str,
        number: int = 0,
        *,
        high: int = 0,
        rule: Rule | None = None,
        errno: int = 0,
        slot: int = 0,
        remark: str = "",
    ) -> None:
        self.kind = kind
        self.number = number
        """Of NUMBER, BOUNDS (the lower one) and SLOTS_ACCEPTED."""
        self.high = high
        """The upper bound."""
        self.rule = rule
        self.errno = errno
        """Positive."""
        self.slot = slot
        """The slot at which it was answered (FINDS_SLOT)."""
        self.remark = remark

    def _key(self) -> tuple[object, ...]:
        return self.kind, self.number, self.high, self.rule, self.errno, self.slot, self.remark

    def __eq__(self, other: object) -> bool:
        return isinstance(other, QuestionReply) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"<QuestionReply {self._key()}>"


class Question:
    """One question."""

    __slots__ = ("arches", "ask", "gpa_bits", "id")

    def __init__(
        self, id: str, ask: Ask, arches: tuple[str, ...] = (), *, gpa_bits: int | None = None
    ) -> None:
        self.id = id
        self.ask = ask
        self.arches = arches
        """Architectures that it makes sense on; empty: all."""
        self.gpa_bits = gpa_bits
        """Guest-physical address bits of the host that it needs, unless the profile states them."""

    def __repr__(self) -> str:
        return f"<Question {self.id}>"


def answers(profile: Profile) -> dict[Question, QuestionReply]:
    """Each question that applies to the kernel, with the kernel's reply."""
    return {
        question: reply_of(question, profile)
        for question in QUESTIONS
        if not question.arches or profile.arch.name in question.arches
    }


def reply_of(question: Question, profile: Profile) -> QuestionReply:
    """The reply of one kernel to one question."""
    if question.gpa_bits is not None and profile.option("gpa-bits") is None:
        profile = profile.edited({"gpa-bits": question.gpa_bits})
    try:
        return _reply(question.ask(Vm(profile, usual_vm_type(profile))))
    except RefusedError as error:
        return _reply(error.refused)


def _reply(answer: Answer | QuestionReply, slot: int = 0, remark: str = "") -> QuestionReply:
    if isinstance(answer, Refused):
        return QuestionReply(
            REFUSED, rule=answer.rule, errno=answer.errno, slot=slot, remark=remark
        )
    if isinstance(answer, Undetermined):
        return QuestionReply(DEPENDS, rule=answer.rule, slot=slot, remark=remark)
    if isinstance(answer, Unmodelled):
        return QuestionReply(UNMODELLED, slot=slot, remark=remark)
    if isinstance(answer, Accepted):
        return QuestionReply(
            NUMBER if answer.value else ACCEPTED, answer.value, slot=slot, remark=remark
        )
    return answer


def _region(
    slot: int = 0, gpa: int = 0, nbytes: int | None = None, hva: int = H, flags: int = 0, *,
    region2: bool = False
) -> Ask:  # fmt: skip
    def ask(vm: Vm) -> Answer:
        size_bytes = 1 << vm.page_shift if nbytes is None else nbytes
        return vm.submit(Region(slot, flags, gpa, size_bytes, hva, region2=region2))

    return ask


def _page(vm: Vm, slot: int = 0, gfn: int = 0, flags: int = 0, npages: int = 1) -> Answer:
    shift = vm.page_shift
    return vm.set_user_memory_region(slot, flags, gfn << shift, npages << shift, H)


def _rewritten_upper_half(vm: Vm) -> Answer:
    hva = H | 1 << 40
    vm.set_user_memory_region(0, 0, 0, 1 << vm.page_shift, hva)
    return vm.set_user_memory_region(0, KVM_MEM_LOG_DIRTY_PAGES, 0, 1 << vm.page_shift, hva)


def _after_refused_move(vm: Vm) -> QuestionReply:
    _page(vm)
    move = vm.set_user_memory_region(0, 0, 1 << 60, 1 << vm.page_shift, H)
    slot = vm.slot(0)
    if slot is None:
        return _reply(move, remark=LEAVES_NOTHING)
    return _reply(move, remark=LEAVES_INVALID if slot.is_invalid else LEAVES_SLOT)


def _at_ipa_limit(vm: Vm) -> Answer:
    page = 1 << vm.page_shift
    return vm.set_user_memory_region(0, 0, (1 << 40) - page, page, H)


def _many_pages(vm: Vm) -> QuestionReply:
    """Slots of just under 3 GiB until the total would wrap 32 bits."""
    npages = 786416
    for number in range(1, 5463):
        outcome = vm.set_user_memory_region(number, 0, number * 786432 << 12, npages << 12, _LOW_H)
        if not isinstance(outcome, Accepted):
            return _reply(outcome, number, FINDS_SLOT)
    return QuestionReply(SLOTS_ACCEPTED, 5462)


def _budget_of(pages: int) -> Ask:
    def ask(vm: Vm) -> QuestionReply:
        slot_pages, slot = 786416, 0
        left = pages
        while left:
            npages = min(left, slot_pages)
            outcome = vm.set_user_memory_region(slot, 0, slot * 786432 << 12, npages << 12, _LOW_H)
            if not isinstance(outcome, Accepted):
                return _reply(outcome, slot, FINDS_SLOT)
            slot, left = slot + 1, left - npages
        return QuestionReply(NUMBER, vm.mmu_budget or 0)

    return ask


def _budget_after_flags(vm: Vm) -> QuestionReply:
    _page(vm, npages=65536)
    vm.state.budget.goal, vm.state.budget.n_used = 99, 1  # as a guest that runs may leave it
    _page(vm, npages=65536, flags=KVM_MEM_LOG_DIRTY_PAGES)
    return QuestionReply(BUDGET_KEPT if vm.mmu_budget == 99 else BUDGET_WORKED_OUT)


def _initially_set(vm: Vm) -> Answer:
    return vm.enable_cap(
        KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
        KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET,
    )


def _clear(vm: Vm) -> Answer:
    _page(vm, npages=100, flags=KVM_MEM_LOG_DIRTY_PAGES)
    return vm.clear_dirty_log(0, 64, 36)


def _guest_memfd(vm: Vm) -> Answer:
    made = vm.create_guest_memfd(16 << vm.page_shift)
    if not isinstance(made, Accepted):
        return made
    return vm.set_user_memory_region2(
        0, KVM_MEM_GUEST_MEMFD, 0, 1 << vm.page_shift, H, made.value, 0
    )


def _mappable_guest_memfd(vm: Vm) -> Answer:
    made = vm.create_guest_memfd(16 << vm.page_shift, GUEST_MEMFD_FLAG_MMAP)
    if not isinstance(made, Accepted):
        return made
    return vm.set_user_memory_region2(
        0, KVM_MEM_GUEST_MEMFD, 0, 1 << vm.page_shift, H, made.value, 0
    )


def _guest_memfd_overlap(vm: Vm) -> Answer:
    made = vm.create_guest_memfd(16 << vm.page_shift, GUEST_MEMFD_FLAG_MMAP)
    if not isinstance(made, Accepted):
        return made
    size_bytes = 1 << vm.page_shift
    for slot in (0, 1):
        gpa = slot * 8 * size_bytes
        outcome = vm.set_user_memory_region2(
            slot, KVM_MEM_GUEST_MEMFD, gpa, size_bytes, H, made.value, 0
        )
    return outcome


def _toggle_guest_memfd(vm: Vm) -> Answer:
    outcome = _mappable_guest_memfd(vm)
    return (
        vm.set_user_memory_region2(0, 0, 0, 1 << vm.page_shift, H)
        if isinstance(outcome, Accepted)
        else outcome
    )


def _get_nr_mmu(vm: Vm) -> Answer:
    _page(vm, npages=65536)
    return vm.get_nr_mmu_pages()


def _spaces(vm: Vm) -> QuestionReply:
    return QuestionReply(NUMBER, len(vm.state.spaces))


def _user_slots(vm: Vm) -> QuestionReply:
    return QuestionReply(NUMBER, vm.state.machine.user_slots)


def _hva_end(vm: Vm) -> QuestionReply:
    machine = vm.state.machine
    return QuestionReply(BOUNDS, machine.hva_end, high=machine.hva_end_high)


QUESTIONS = (
    Question("address-spaces", _spaces),
    Question("user-slots", _user_slots),
    Question("one-page", _page),
    Question("slot-id-509", _region(slot=509)),
    Question("slot-id-32764", _region(slot=32764)),
    Question("space-1", _region(slot=1 << 16)),
    Question("read-only", _region(flags=KVM_MEM_READONLY)),
    Question("region2", _region(region2=True)),
    Question("slot-4-kib", _region(nbytes=4096)),
    Question("slot-4-gib", _region(nbytes=4 * _GIB, hva=0)),
    Question("slot-4-gib-and-a-page", _region(nbytes=4 * _GIB + 65536, hva=H)),
    Question("hva-end", _hva_end),
    Question("hva-3-gib", _region(hva=3 * _GIB)),
    Question("hva-2-62", _region(hva=1 << 62)),
    Question("tagged-hva", _region(hva=1 << 56 | H)),
    Question("hva-below-1-mib-alignment", _region(nbytes=1 << 20, hva=H + 65536)),
    Question("rewritten-upper-half", _rewritten_upper_half),
    Question("gpa-2-36", _region(gpa=1 << 36)),
    Question("gpa-2-46", _region(gpa=1 << 46)),
    Question("gpa-2-52", _region(gpa=1 << 52)),
    Question("ends-at-ipa-limit", _at_ipa_limit, _ARM64),
    Question("refused-move", _after_refused_move),
    Question("many-pages", _many_pages, _X86, gpa_bits=52),
    Question("mmu-budget-of-1-gib", _budget_of(1 << 18), _X86),
    Question("mmu-budget-of-820-gib", _budget_of(820 << 18), _X86, gpa_bits=52),
    Question("budget-on-flags", _budget_after_flags, _X86),
    Question("set-nr-mmu-pages-2-32", lambda vm: vm.set_nr_mmu_pages(1 << 32), _X86),
    Question("get-nr-mmu-pages", _get_nr_mmu, _X86),
    Question("clear-dirty-log", _clear),
    Question("initially-set", _initially_set),
    Question("ring", lambda vm: vm.enable_cap(KVM_CAP_DIRTY_LOG_RING, 65536)),
    Question("ring-acq-rel", lambda vm: vm.enable_cap(KVM_CAP_DIRTY_LOG_RING_ACQ_REL, 65536)),
    Question("guest-memfd", _guest_memfd),
    Question("mappable-guest-memfd", _mappable_guest_memfd),
    Question("guest-memfd-bound-twice", _guest_memfd_overlap),
    Question("guest-memfd-toggled", _toggle_guest_memfd),
    Question("attributes", lambda vm: vm.set_memory_attributes(0, 1 << vm.page_shift, 0)),
    Question("vcpu-id-2000", lambda vm: vm.create_vcpu(2000)),
    Question("vcpu-id-2-32", lambda vm: vm.create_vcpu(1 << 32)),
)
