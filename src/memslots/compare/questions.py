"""Short questions to a kernel whose answers tell kernels apart.

    from memslots.compare.questions import answers
    answers(find("5.16/x86_64"))["slot beyond the 46th address bit"]

Each probe makes a VM, calls it, and says the answer in a few words: `accepted`,
`EINVAL gfn-above-max`, a number.  They are chosen so that every dated behaviour
that a program can notice shows in one of them.
"""

from __future__ import annotations

from ..errors import errno_name
from ..model.vm import Vm
from ..rules.answer import Accepted, Refused, RefusedError, Undetermined, Unmodelled
from ..rules.create_vm import usual_vm_type
from ..uapi.flags import KVM_MEM_GUEST_MEMFD, KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY
from ..uapi.region import Region

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..kernel.profile import Profile

    Outcome = Accepted | Refused | Undetermined | Unmodelled
    Question = Callable[[Vm], Outcome | int | str]

H = 0x1000_0000
"""A host address that every architecture has."""
_LOW_H = 0x1_0000
"""One from which a 32-bit process has 3 GiB less 64 KiB."""
_GIB = 1 << 30
_MANUAL_PROTECT, _RING, _RING_ACQ_REL, _RING_WITH_BITMAP = 168, 192, 223, 225
_X86, _ARM64 = ("x86_64", "i386"), ("arm64",)


class Probe:
    """One question."""

    __slots__ = ("arches", "ask", "gpa_bits", "title")

    def __init__(self, title: str, ask: Question, arches: tuple[str, ...] = (), *, gpa_bits: int | None = None) -> None:
        self.title = title
        self.ask = ask
        self.arches = arches
        """Architectures that it makes sense on; empty: all."""
        self.gpa_bits = gpa_bits
        """Guest-physical address bits of the host that it needs, unless the profile states them."""


def answers(profile: Profile) -> dict[str, str]:
    """Title of each probe that applies to the kernel: the answer in words."""
    found = {}
    for probe in PROBES:
        if not probe.arches or profile.arch.name in probe.arches:
            found[probe.title] = answer(probe, profile)
    return found


def answer(probe: Probe, profile: Profile) -> str:
    """The answer of one kernel to one probe."""
    if probe.gpa_bits is not None and profile.option("gpa-bits") is None:
        profile = profile.edited({"gpa-bits": probe.gpa_bits})
    try:
        outcome = probe.ask(Vm(profile, usual_vm_type(profile)))
    except RefusedError as error:
        outcome = error.refused
    return in_words(outcome)


def in_words(outcome: Outcome | int | str) -> str:
    """An outcome in a few words."""
    if isinstance(outcome, Refused):
        return f"{errno_name(outcome.errno)} {outcome.rule.id}"
    if isinstance(outcome, Undetermined):
        return f"depends on the host ({outcome.rule.id})"
    if isinstance(outcome, Unmodelled):
        return "not modelled"
    if isinstance(outcome, Accepted):
        return str(outcome.value) if outcome.value else "accepted"
    return str(outcome)


def _region(
    slot: int = 0, gpa: int = 0, nbytes: int | None = None, hva: int = H, flags: int = 0, *, region2: bool = False
) -> Question:  # fmt: skip
    def ask(vm: Vm) -> Outcome:
        size_bytes = 1 << vm.page_shift if nbytes is None else nbytes
        return vm.submit(Region(slot, flags, gpa, size_bytes, hva, region2=region2))

    return ask


def _page(vm: Vm, slot: int = 0, gfn: int = 0, flags: int = 0, npages: int = 1) -> Outcome:
    shift = vm.page_shift
    return vm.set_user_memory_region(slot, flags, gfn << shift, npages << shift, H)


def _rewritten_upper_half(vm: Vm) -> Outcome:
    hva = H | 1 << 40
    vm.set_user_memory_region(0, 0, 0, 1 << vm.page_shift, hva)
    return vm.set_user_memory_region(0, KVM_MEM_LOG_DIRTY_PAGES, 0, 1 << vm.page_shift, hva)


def _after_refused_move(vm: Vm) -> str:
    _page(vm)
    move = vm.set_user_memory_region(0, 0, 1 << 60, 1 << vm.page_shift, H)
    slot = vm.slot(0)
    left = "nothing" if slot is None else "the slot, INVALID" if slot.is_invalid else "the slot as it was"
    return f"{in_words(move)}; leaves {left}"


def _at_ipa_limit(vm: Vm) -> Outcome:
    page = 1 << vm.page_shift
    return vm.set_user_memory_region(0, 0, (1 << 40) - page, page, H)


def _many_pages(vm: Vm) -> str:
    """Slots of just under 3 GiB until the total would wrap 32 bits."""
    npages = 786416
    for number in range(1, 5463):
        outcome = vm.set_user_memory_region(number, 0, number * 786432 << 12, npages << 12, _LOW_H)
        if not isinstance(outcome, Accepted):
            return f"slot {number}: {in_words(outcome)}"
    return "5462 slots accepted"


def _budget_of(pages: int) -> Question:
    def ask(vm: Vm) -> str:
        slot_pages, slot = 786416, 0
        left = pages
        while left:
            npages = min(left, slot_pages)
            outcome = vm.set_user_memory_region(slot, 0, slot * 786432 << 12, npages << 12, _LOW_H)
            if not isinstance(outcome, Accepted):
                return f"slot {slot}: {in_words(outcome)}"
            slot, left = slot + 1, left - npages
        return str(vm.mmu_budget)

    return ask


def _budget_after_flags(vm: Vm) -> str:
    _page(vm, npages=65536)
    vm.state.budget.goal, vm.state.budget.n_used = 99, 1  # as a guest that runs may leave it
    _page(vm, npages=65536, flags=KVM_MEM_LOG_DIRTY_PAGES)
    return "left alone" if vm.mmu_budget == 99 else "worked out anew"


def _initially_set(vm: Vm) -> Outcome:
    return vm.enable_cap(_MANUAL_PROTECT, 3)


def _clear(vm: Vm) -> Outcome:
    _page(vm, npages=100, flags=KVM_MEM_LOG_DIRTY_PAGES)
    return vm.clear_dirty_log(0, 64, 36)


def _guest_memfd(vm: Vm) -> Outcome:
    made = vm.create_guest_memfd(16 << vm.page_shift)
    if not isinstance(made, Accepted):
        return made
    return vm.set_user_memory_region2(0, KVM_MEM_GUEST_MEMFD, 0, 1 << vm.page_shift, H, made.value, 0)


def _mappable_guest_memfd(vm: Vm) -> Outcome:
    made = vm.create_guest_memfd(16 << vm.page_shift, 1)
    if not isinstance(made, Accepted):
        return made
    return vm.set_user_memory_region2(0, KVM_MEM_GUEST_MEMFD, 0, 1 << vm.page_shift, H, made.value, 0)


def _guest_memfd_overlap(vm: Vm) -> Outcome:
    made = vm.create_guest_memfd(16 << vm.page_shift, 1)
    if not isinstance(made, Accepted):
        return made
    size_bytes = 1 << vm.page_shift
    for slot in (0, 1):
        gpa = slot * 8 * size_bytes
        outcome = vm.set_user_memory_region2(slot, KVM_MEM_GUEST_MEMFD, gpa, size_bytes, H, made.value, 0)
    return outcome


def _toggle_guest_memfd(vm: Vm) -> Outcome:
    outcome = _mappable_guest_memfd(vm)
    return vm.set_user_memory_region2(0, 0, 0, 1 << vm.page_shift, H) if isinstance(outcome, Accepted) else outcome


def _get_nr_mmu(vm: Vm) -> Outcome:
    _page(vm, npages=65536)
    return vm.get_nr_mmu_pages()


def _spaces(vm: Vm) -> int:
    return len(vm.state.spaces)


def _hva_end(vm: Vm) -> str:
    machine = vm.state.machine
    low, high = f"{machine.hva_end:#x}", f"{machine.hva_end_high:#x}"
    return low if low == high else f"between {low} and {high}"


PROBES = (
    Probe("address spaces", _spaces),
    Probe("user slots", lambda vm: vm.state.machine.user_slots),
    Probe("a slot of one host page", _page),
    Probe("slot id 509", _region(slot=509)),
    Probe("slot id 32764", _region(slot=32764)),
    Probe("a slot of address space 1 (SMM)", _region(slot=1 << 16)),
    Probe("a read-only slot", _region(flags=KVM_MEM_READONLY)),
    Probe("KVM_SET_USER_MEMORY_REGION2", _region(region2=True)),
    Probe("a slot of 4 KiB", _region(nbytes=4096)),
    Probe("a slot of 4 GiB", _region(nbytes=4 * _GIB, hva=0)),
    Probe("a slot of 4 GiB and a page", _region(nbytes=4 * _GIB + 65536, hva=H)),
    Probe("end of host addresses", _hva_end),
    Probe("a host address at 3 GiB", _region(hva=3 * _GIB)),
    Probe("a host address at 2^62", _region(hva=1 << 62)),
    Probe("a host address with a tag in its top byte", _region(hva=1 << 56 | H)),
    Probe("a host address not aligned to 1 MiB", _region(nbytes=1 << 20, hva=H + 65536)),
    Probe("changing a slot made with rubbish above 32 bits of its host address", _rewritten_upper_half),
    Probe("slot beyond the 36th address bit", _region(gpa=1 << 36)),
    Probe("slot beyond the 46th address bit", _region(gpa=1 << 46)),
    Probe("slot beyond the 52nd address bit", _region(gpa=1 << 52)),
    Probe("a slot that ends exactly at 2^40 (VM of 40 bits)", _at_ipa_limit, _ARM64),
    Probe("a move that the architecture refuses", _after_refused_move),
    Probe("5462 slots of 3 GiB less 64 KiB", _many_pages, _X86, gpa_bits=52),
    Probe("MMU budget of 1 GiB", _budget_of(1 << 18), _X86),
    Probe("MMU budget of 820 GiB", _budget_of(820 << 18), _X86, gpa_bits=52),
    Probe("MMU budget on a change of flags", _budget_after_flags, _X86),
    Probe("KVM_SET_NR_MMU_PAGES of 2^32", lambda vm: vm.set_nr_mmu_pages(1 << 32), _X86),
    Probe("KVM_GET_NR_MMU_PAGES with 256 MiB", _get_nr_mmu, _X86),
    Probe("KVM_CLEAR_DIRTY_LOG", _clear),
    Probe("dirty log with all pages initially set", _initially_set),
    Probe("a dirty ring", lambda vm: vm.enable_cap(_RING, 65536)),
    Probe("a dirty ring (acquire-release)", lambda vm: vm.enable_cap(_RING_ACQ_REL, 65536)),
    Probe("a guest_memfd slot", _guest_memfd),
    Probe("a guest_memfd slot of a mappable file", _mappable_guest_memfd),
    Probe("part of a guest_memfd bound twice", _guest_memfd_overlap),
    Probe("a guest_memfd slot set without the flag", _toggle_guest_memfd),
    Probe("KVM_SET_MEMORY_ATTRIBUTES of nothing", lambda vm: vm.set_memory_attributes(0, 1 << vm.page_shift, 0)),
    Probe("vCPU id 2000", lambda vm: vm.create_vcpu(2000)),
    Probe("vCPU id 2^32", lambda vm: vm.create_vcpu(1 << 32)),
)
