"""Small machines, enumerated: words of 4 to 6 bits, few pages, every sequence of calls.

A reference written from the specification alone (a dict of slots, linear scans)
is asked the same, step by step.  Two ways through the calls: all sequences up to
a length, and all states that any sequence of whatever length can reach.
"""

from __future__ import annotations

from errno import EEXIST, EFAULT, EINVAL
from itertools import product

import pytest

from memslots.kernel.machine import Machine
from memslots.kernel.names import find
from memslots.model.vm import Vm
from memslots.rules.answer import Accepted, Refused, Unmodelled
from memslots.state.mmu_pages import permille_budget, ratio_budget
from memslots.state.mmu_pages_designs import CappedTotal, Constant, Walk, WideTotal
from memslots.state.page_total import total_would_wrap
from memslots.state.vm_state import VmState

LOG, READONLY, INVALID = 1, 2, 1 << 16
UNMODELLED = "unmodelled"


class Kind:
    """A small machine: what is small about it, and how its kernel behaves."""

    def __init__(
        self,
        kernel,
        bits,
        *,
        shift=1,
        ids=2,
        spaces=1,
        gfn_end=None,
        hook="",
        caps=True,
        **behaviour,
    ):
        self.kernel = kernel
        self.bits = bits
        self.shift = shift
        self.ids = ids
        self.spaces = spaces
        self.gfn_end = gfn_end
        """First gfn that no slot may reach, where the hook looks at that."""
        self.hook = hook
        """`x86` looks at creations and moves, `arm` at changes of flags too."""
        self.caps = caps
        self.truncates_size = behaviour.get("truncates_size", False)
        self.compares_truncated = behaviour.get("compares_truncated", False)
        self.zero_size_deletes = behaviour.get("zero_size_deletes", True)
        """Is it the size that says delete, or the truncated number of pages?"""
        self.restores = behaviour.get("restores", True)
        """Is a slot put back when the hook refuses to move it?"""
        self.step = behaviour.get("step", 1)
        self.flags = behaviour.get("flags", LOG | READONLY)
        self.word = (1 << bits) - 1
        self.hva_end = behaviour.get("hva_end", self.word)

    @property
    def id(self):
        return f"{self.kernel}-{self.bits}bit"

    def vm(self, quick=True):
        """The model of it."""
        profile = find(self.kernel)
        machine = Machine(profile)
        machine.long_bits, machine.ulong_max = self.bits, self.word
        machine.page_shift, machine.page_mask = self.shift, (1 << self.shift) - 1
        machine.user_slots, machine.spaces = self.ids, self.spaces
        machine.hva_end = machine.hva_end_high = self.hva_end
        machine.generation_step = self.step
        if self.gfn_end is not None:
            machine.gfn_end = machine.gfn_end_high = self.gfn_end
        vm = Vm(profile, state=VmState(machine))
        if not quick or self.hook == "arm":
            vm._plain.slots = 0
        return vm


class Reference:
    """The specification's section 2, for these machines, with nothing but a dict."""

    def __init__(self, kind):
        self.kind = kind
        self.slots = {}
        """(space, id): (gfn, pages, host address, flags)"""
        self.generations = list(range(kind.spaces))

    def copy(self):
        twin = Reference(self.kind)
        twin.slots, twin.generations = dict(self.slots), list(self.generations)
        return twin

    @property
    def total(self):
        return sum(pages for _, pages, _, _ in self.slots.values())

    def call(self, slot, flags, gpa, size, hva):
        """0 or an errno; None: nobody knows."""
        kind, page = self.kind, 1 << self.kind.shift
        space, number = slot >> 16, slot & 0xFFFF
        pages, hva_word = size // page, hva & kind.word
        if number >= kind.ids or flags & ~kind.flags or space >= kind.spaces:
            return EINVAL
        if size % page or gpa % page or hva % page or gpa + size >= 1 << 64:
            return EINVAL
        if size > kind.word:
            if not kind.truncates_size:
                return EINVAL
            pages &= kind.word
        if hva_word + (size & kind.word) > kind.hva_end:
            return EINVAL
        gfn = gpa // page
        old = self.slots.get((space, number))
        if size == 0 or (pages == 0 and not kind.zero_size_deletes):
            if old is None:
                return EINVAL
            self._swap(space, 2)
            del self.slots[space, number]
            return 0
        if old is None:
            if pages == 0:
                return None
            if kind.caps and self.total + pages > kind.word:
                return EINVAL
            swaps = 1
        else:
            given = hva_word if kind.compares_truncated else hva
            if given != old[2] or pages != old[1] or (flags ^ old[3]) & READONLY:
                return EINVAL
            if gfn == old[0] and flags == old[3]:
                return 0
            swaps = 1 if gfn == old[0] else 2
        if old is None or gfn != old[0]:
            for (other_space, other), (start, length, _, _) in self.slots.items():
                apart = gfn + pages <= start or start + length <= gfn
                if other_space == space and other != number and not apart:
                    return EEXIST
        moves = old is not None and gfn != old[0]
        if (
            kind.gfn_end is not None
            and gfn + pages > kind.gfn_end
            and (kind.hook == "arm" or old is None or moves)
        ):
            if moves:
                self._swap(space, 2 if kind.restores else 1)
                if not kind.restores:
                    self.slots[space, number] = (*old[:3], old[3] | INVALID)
            return EFAULT if kind.hook == "arm" else EINVAL
        self._swap(space, swaps)
        self.slots[space, number] = (gfn, pages, hva_word, flags)
        return 0

    def _swap(self, space, times):
        self.generations[space] += times * self.kind.step


KINDS = [
    # design (d): the total is capped
    Kind("7.2/i386", 4, gfn_end=9, hook="x86"),
    Kind("6.1/i386", 5, gfn_end=20, hook="x86", ids=3),
    Kind("6.1/ppc32", 6, shift=2, flags=LOG),
    Kind("7.2/i386", 5, ids=1, spaces=2, step=2, gfn_end=20, hook="x86"),
    # design (a): nothing is capped, the sum wraps
    Kind("5.10.7/i386", 4, caps=False, truncates_size=True, compares_truncated=True),
    Kind("5.16/i386", 5, caps=False, compares_truncated=True),
    Kind("5.4/i386", 4, caps=False, truncates_size=True, zero_size_deletes=False),
    # a hook that refuses late, before and after slots were put back
    Kind("5.4/arm64", 6, caps=False, gfn_end=9, hook="arm", restores=False),
    Kind("5.10/arm64", 6, caps=False, gfn_end=9, hook="arm", compares_truncated=True),
    Kind("6.12/arm64", 6, caps=True, gfn_end=9, hook="arm"),
]


def calls_of(kind, *, rich):
    """Every call worth making on the machine, as arguments of the region call."""
    page, word = 1 << kind.shift, kind.word
    largest = word >> kind.shift
    pages = sorted({0, 1, largest, largest - 1}) if rich else [0, largest - 1, 2]
    places = [0, 1, largest, 2 * largest] if rich else [0, largest]
    slots = [space << 16 | number for space in range(kind.spaces) for number in range(kind.ids)]
    found = [
        (slot, flags, gfn * page, count * page, 0)
        for slot, flags, gfn, count in product(slots, (0, LOG), places, pages)
        if count or (not flags and gfn == 0)
    ]
    odd = [
        (0, 0, 0, word + 1, 0),  # does not fit the word: nothing of it is left
        (0, 0, 0, word + 1 + page, 0),  # one page is left
        (0, 0, 0, page, word + 1),  # the host address does not fit
        (0, READONLY, 0, page, 0),
        (1, 0, 0, page, page),  # another host address
        (kind.ids, 0, 0, page, 0),
        (kind.spaces << 16, 0, 0, page, 0),
        (0, 0, 0, page - 1, 0),
        (0, 0, (1 << 64) - page, page, 0),
        (0, 0, 0, page, kind.hva_end + 1 & ~(page - 1)),
    ]
    return found + (odd if rich else odd[1:3])


def answer(outcome):
    if isinstance(outcome, Unmodelled):
        return None
    assert isinstance(outcome, (Accepted, Refused)), outcome
    return outcome.errno


def compare(vm, reference, call):
    """The model and the reference agree about everything that one can see."""
    given, wanted = answer(vm.set_user_memory_region(*call)), reference.call(*call)
    state = vm.state
    assert given == wanted, (call, reference.slots)
    seen = {
        (slot.as_id, slot.id): (slot.base_gfn, slot.npages, slot.userspace_addr, slot.flags)
        for as_id in range(reference.kind.spaces)
        for slot in vm.slots(as_id)
    }
    assert seen == reference.slots, call
    total = reference.total
    assert state.total_pages == total
    assert state.generations == reference.generations, call
    # what this kernel holds of the total: the sum, or the sum as it wrapped
    word = reference.kind.word
    assert state.design.total(total) == (total if reference.kind.caps else total & word)
    if reference.kind.caps:
        assert total <= word


@pytest.mark.parametrize("kind", KINDS, ids=[kind.id for kind in KINDS])
@pytest.mark.parametrize("quick", [True, False], ids=["quick", "decide"])
def test_all_sequences(kind, quick):
    """Every sequence of three calls, and of four where there are few."""
    calls = calls_of(kind, rich=False)
    length = 4 if len(calls) <= 14 else 3
    sequences = 0

    def go_on(vm, reference, left):
        nonlocal sequences
        for call in calls:
            next_vm, next_reference = vm.fork(), reference.copy()
            compare(next_vm, next_reference, call)
            next_vm.check()
            if left > 1:
                go_on(next_vm, next_reference, left - 1)
            else:
                sequences += 1

    go_on(kind.vm(quick), Reference(kind), length)
    assert sequences == len(calls) ** length


@pytest.mark.parametrize("kind", KINDS, ids=[kind.id for kind in KINDS])
def test_all_reachable_states(kind):
    """Every call in every state that calls can lead to, whatever their number."""
    calls = calls_of(kind, rich=True)
    start = (kind.vm(), Reference(kind))
    seen = {frozenset()}
    front = [start]
    steps = 0
    while front:
        vm, reference = front.pop()
        for call in calls:
            next_vm, next_reference = vm.fork(), reference.copy()
            compare(next_vm, next_reference, call)
            steps += 1
            key = frozenset(next_reference.slots.items())
            if key not in seen:
                next_vm.check()
                seen.add(key)
                front.append((next_vm, next_reference))
        # what the forks did has left no trace
        assert frozenset(reference.slots.items()) == frozenset(
            ((slot.as_id, slot.id), (slot.base_gfn, slot.npages, slot.userspace_addr, slot.flags))
            for as_id in range(kind.spaces)
            for slot in vm.slots(as_id)
        )
    assert steps == len(seen) * len(calls)
    assert len(seen) > 20


def test_the_reference_can_disagree():
    """A reference without the cap is caught at the first slot that exceeds it."""
    kind = Kind("6.1/ppc32", 4, ids=3, flags=LOG)
    vm, reference = kind.vm(), Reference(Kind("6.1/ppc32", 4, ids=3, flags=LOG, caps=False))
    for number in range(2):
        compare(vm, reference, (number, 0, number * 14, 14, 0))
    with pytest.raises(AssertionError):
        compare(vm, reference, (2, 0, 28, 14, 0))


# -- the designs themselves, over every total of a word


@pytest.mark.parametrize("bits", [4, 5, 6])
def test_cap_over_every_total_and_size(bits):
    word = (1 << bits) - 1
    capped = CappedTotal(bits)
    for total, npages in product(range(word + 1), range(word + 1)):
        wraps = (total + npages) % (word + 1) < total
        assert total_would_wrap(total, npages, bits) == wraps == capped.refuses(total, npages)
        assert not any(
            design(bits).refuses(total, npages) for design in (Walk, Constant, WideTotal)
        )


@pytest.mark.parametrize("bits", [4, 5, 6])
def test_first_wrap_of_the_sum_in_design_a(bits):
    walk = Walk(bits)
    totals = [walk.total(total) for total in range(3 << bits)]
    first = next(total for total, held in enumerate(totals) if held != total)
    assert first == 1 << bits
    assert totals == [total % (1 << bits) for total in range(3 << bits)]
    assert [CappedTotal(bits).total(total) for total in range(1 << bits)] == list(range(1 << bits))


@pytest.mark.parametrize("bits", [16, 17, 18])
def test_first_wrap_of_the_budget_in_design_a(bits):
    """Multiply first, divide second: the product wraps long before the sum does."""
    word = 1 << bits
    first = None
    for total in range(word):
        wanted = max(total * 20 % word // 1000, 64)
        assert permille_budget(total, bits) == wanted
        if first is None and total * 20 >= word:
            first = total
            assert permille_budget(total, bits) == 64
            assert permille_budget(total - 1, bits) == max((total - 1) // 50, 64)
        assert ratio_budget(total) == max(total // 50, 64)
        assert Constant(bits).budget(total) == 64
    assert first == -(-word // 20)
