"""Any calls in any order, on kernels of all architectures: what must hold holds after each.

The shadow is a plain dict, kept from the arguments of accepted calls alone; every
look-up of the model is compared with a scan of it.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from memslots.errors import errno_name
from memslots.model.vm import Vm
from memslots.rules.answer import Accepted, Refused, Undetermined, Unmodelled
from memslots.rules.attempt import RegionAttempt
from memslots.rules.fast_path import PlainLimits, accept_plain
from memslots.rules.region.set_memory_region import decide
from memslots.state.process import PROT_READ, PROT_WRITE, Mapping, Process
from memslots.uapi.region import Region

LOG, READONLY, GMEM, INVALID = 1, 2, 4, 1 << 16
H = 0x4000_0000

KERNELS = [
    ("4.19/x86_64", 0),
    ("5.4/x86_64+amd", 0),
    ("5.10/x86_64", 0),
    ("5.16/x86_64-tdp", 0),
    ("6.1/x86_64+intel+apicv-unrestricted-guest-pml", 0),
    ("6.8/x86_64+vm-types=3+attributes-built", 1),
    ("6.12.0/x86_64+pa39-pml", 0),
    ("6.18.2/x86_64+pvm-tdp-smm", 0),
    ("7.2/x86_64+amd+pa46+attributes-built", 0),
    ("5.4/i386", 0),
    ("5.10.7/i386", 0),
    ("7.2/i386+amd+pa36", 0),
    ("5.4/arm64", 0),
    ("6.1/arm64+16k", 36),
    ("7.2/arm64+64k", 0),
    ("5.16/riscv64+pa41", 0),
    ("7.2/riscv64", 0),
    ("4.19/ppc64", 0),
    ("6.12/ppc64+total-ram-pages=2", 0),
    ("7.2/ppc32", 0),
    ("5.4/s390x+mem-limit=0x4000000", 0),
    ("7.2/s390x", 0),
    ("5.10/mips", 0),
    ("6.12/loongarch64", 0),
]

gfns = st.one_of(
    st.integers(0, 48), st.sampled_from([256, 512, 1 << 20, 1 << 28, (1 << 34) - 1, 1 << 40])
)
sizes = st.one_of(st.integers(1, 20), st.sampled_from([64, 65, 256, 512]))
flag_words = st.sampled_from([0, 0, 0, LOG, LOG, READONLY, READONLY | LOG, GMEM, 8, INVALID])
ids = st.sampled_from([0, 1, 2, 3, 4, 5, 7, 31, 508, 32766])
spaces = st.sampled_from([0, 0, 0, 1, 2])
changes = st.sampled_from(
    ["same", "log", "move", "move", "move log", "hva", "move hva", "size", "readonly", "delete"]
)
region_calls = st.builds(
    lambda slot, space, *rest: (space << 16 | slot, *rest),
    ids,
    st.sampled_from([0] * 6 + [1, 1, 2]),
    flag_words,
    gfns,
    sizes,
    st.integers(0, 3),
    st.sampled_from([False, False, False, True]),
    st.sampled_from([0] * 12 + [1, 8]),
    st.integers(0, 3),
    st.integers(0, 20),
)


def snapshot(state, *, generations=True):
    """Everything of a VM that a call could have changed."""
    config = {name: getattr(state.config, name) for name in state.config.__slots__}
    bitmaps = dirty_pages(state)
    bindings = {
        id(file): [(b.start, b.end) for b in group]
        for file, group in state._bindings.items()
        if group
    }
    return (
        [[describe(slot) for slot in slots] for slots in state.spaces],
        state.total_pages,
        (state.budget.n_requested, state.budget.goal, state.budget.n_used) if generations else None,
        list(state.generations) if generations else None,
        state.attributes.ranges(),
        config,
        bitmaps,
        bindings,
        state.dead,
    )


def dirty_pages(state):
    """Dirty pages of each slot by (space, id); None for one that has no bitmap."""
    bitmaps = {
        (slot.as_id, slot.id): state.bitmap(slot.slot_word)
        for slots in state.spaces
        for slot in slots
    }
    return {
        key: None if bitmap is None else list(bitmap.pages()) for key, bitmap in bitmaps.items()
    }


def describe(slot):
    return (slot.as_id, slot.id, slot.base_gfn, slot.npages, slot.userspace_addr, slot.flags)


class AnyCalls(RuleBasedStateMachine):
    @initialize(kernel=st.sampled_from(KERNELS), known=st.booleans())
    def make(self, kernel, known):
        name, vm_type = kernel
        self.vm = Vm(name, vm_type, process=Process(mappings_known=known))
        self.shadow = {}
        self.dirty = {}
        """(space, id): pages of a bitmap; no entry: no bitmap."""
        self.shift = self.vm.page_shift
        self.files = []
        self.other = None
        """An old fork, and what it looked like."""

    # -- region calls

    @rule(calls=st.lists(region_calls, min_size=1, max_size=8))
    def set_regions(self, calls):
        for slot, flags, gfn, npages, host_page, region2, odd, file, offset in calls:
            fd = self.files[file] if file < len(self.files) else 99
            hva = H + (host_page << 20)
            size = (npages << self.shift) + odd
            self.submit(
                Region(slot, flags, gfn << self.shift, size, hva, fd, offset << self.shift, region2)
            )

    @rule(
        calls=st.lists(st.tuples(st.integers(0, 7), gfns), min_size=1, max_size=6),
        npages=st.sampled_from([1, 4, 256]),
    )
    def set_plain(self, calls, npages):
        """Most calls of real programs: nothing special about them."""
        for slot, gfn in calls:
            self.submit(Region(slot, 0, gfn << self.shift, npages << self.shift, H))

    @rule(
        slot=ids, space=spaces, flags=st.sampled_from([0, 0, 0, LOG, GMEM]), region2=st.booleans()
    )
    def delete(self, slot, space, flags, region2):
        self.submit(Region(space << 16 | slot, flags, 0, 0, 0, region2=region2))

    @rule(changes=st.lists(st.tuples(st.integers(0, 9), changes, gfns), min_size=1, max_size=6))
    def change_some(self, changes):
        """Requests about slots that exist."""
        for which, change, new_gfn in changes:
            if not self.shadow:
                return
            space, number = sorted(self.shadow)[which % len(self.shadow)]
            gfn, npages, hva, flags = self.shadow[space, number]
            flags &= ~INVALID
            gfn = new_gfn if "move" in change else gfn
            flags ^= (LOG if "log" in change else 0) | (READONLY if "readonly" in change else 0)
            hva += 1 << self.shift if "hva" in change else 0
            npages = 0 if "delete" in change else npages + ("size" in change)
            self.submit(
                Region(
                    space << 16 | number,
                    flags,
                    gfn << self.shift,
                    npages << self.shift,
                    hva,
                    region2=bool(flags & GMEM),
                )
            )

    def submit(self, request):
        vm, state = self.vm, self.vm.state
        before = snapshot(state)
        if vm.profile.arch.name in ("x86_64", "i386", "ppc32", "mips"):
            plain = accept_plain(request, state, PlainLimits(state.machine))
            if plain is not None:
                slow = decide(RegionAttempt(request, state, vm.process))
                assert isinstance(slow, Accepted), request
                quick, change = plain.change, slow.change
                assert (quick is None) == (change is None)
                if change is not None:
                    assert (quick.kind, quick.old) == (change.kind, change.old)
                    assert (quick.new and describe(quick.new)) == (
                        change.new and describe(change.new)
                    )
        guess = vm.what_if(request)
        assert snapshot(state) == before, "what_if changed something"
        outcome = vm.submit(request)
        assert guess.result == outcome.result
        key = request.slot >> 16, request.slot & 0xFFFF
        if isinstance(outcome, Accepted):
            npages = request.memory_size >> self.shift
            if npages:
                hva = request.userspace_addr & state.machine.ulong_max
                self.shadow[key] = (
                    request.guest_phys_addr >> self.shift,
                    npages,
                    hva,
                    request.flags,
                )
                if not request.flags & LOG:
                    self.dirty.pop(key, None)
                elif key not in self.dirty and (
                    not state.config.ring_bytes or state.config.ring_with_bitmap
                ):
                    self.dirty[key] = (
                        set(range(npages)) if state.config.manual_protect == 3 else set()
                    )
            else:
                del self.shadow[key]
                self.dirty.pop(key, None)
            if outcome.change is None:
                assert snapshot(state) == before
            return
        if isinstance(outcome, Refused):
            assert outcome.errno > 0
            assert outcome.reason.startswith(errno_name(outcome.errno) + " " + outcome.rule.id)
        after = snapshot(state)
        begun = outcome.traces if isinstance(outcome, Refused) else None
        if begun is None or begun.old is None:
            assert after == before, "a refused call changed something"
        elif vm.profile.has("failed-change-restored"):
            assert after[:3] == before[:3]
            assert after[4:] == before[4:]
        elif begun.old.npages and after != before:
            gfn, npages, hva, flags = self.shadow[key]
            self.shadow[key] = (gfn, npages, hva, flags | INVALID)
            assert after[1:3] == before[1:3]
        assert isinstance(outcome, (Refused, Undetermined, Unmodelled))

    # -- the other calls

    @rule(npages=st.sampled_from([1, 16, 0]), flags=st.integers(0, 4))
    def create_file(self, npages, flags):
        outcome = self.vm.create_guest_memfd(npages << self.shift, flags)
        if isinstance(outcome, Accepted):
            self.files.append(outcome.value)

    @rule(number=st.integers(0, 3))
    def close_file(self, number):
        if number < len(self.files):
            assert self.vm.close_guest_memfd(self.files.pop(number))

    @rule(offset=st.integers(0, 600), which=st.integers(0, 9), count=st.integers(1, 3))
    def guest_writes(self, offset, which, count):
        if not self.shadow:
            return
        key = sorted(self.shadow)[which % len(self.shadow)]
        for gfn in range(self.shadow[key][0] + offset, self.shadow[key][0] + offset + count):
            self.vm.mark_dirty(gfn << self.shift, key[0])
            for (space, number), (base, npages, _, _) in self.shadow.items():
                if (
                    space == key[0]
                    and base <= gfn < base + npages
                    and (space, number) in self.dirty
                ):
                    self.dirty[space, number].add(gfn - base)

    @rule(slot=ids, space=spaces, buffer_bytes=st.sampled_from([None, None, None, 0]))
    def get_dirty(self, slot, space, buffer_bytes):
        key, config = (space, slot), self.vm.state.config
        outcome = self.vm.get_dirty_log(space << 16 | slot, buffer_bytes)
        copied = isinstance(outcome, Accepted)
        if copied:
            assert set(outcome.data.pages()) == self.dirty[key]
        late = self.vm.profile.arch.name in ("ppc64", "s390x")
        if (
            copied or (outcome.rule.id == "bitmap-buffer" and not late)
        ) and not config.manual_protect:
            self.dirty[key] = set()

    @rule(
        slot=ids,
        first=st.sampled_from([0, 0, 64, 1]),
        num=st.sampled_from([0, 1, 20, 64, None]),
        mask=st.sampled_from([None, 5, 1 << 63]),
    )
    def clear_dirty(self, slot, first, num, mask):
        if num is None:
            num = max(self.shadow.get((0, slot), (0, 0))[1] - first, 0)
        outcome = self.vm.clear_dirty_log(slot, first, num, mask)
        if isinstance(outcome, Accepted):
            named = {
                page
                for page in range(first, first + num)
                if mask is None or mask >> (page - first) & 1
            }
            self.dirty[0, slot] -= named

    @rule(
        capability=st.sampled_from([168, 192, 223, 225, 128, 121, 116]),
        argument=st.sampled_from([0, 1, 3, 4096, 65536]),
    )
    def enable(self, capability, argument):
        self.vm.enable_cap(capability, argument)

    @rule(npages=st.sampled_from([0, 63, 64, 1000, 1 << 32]))
    def set_nr_mmu_pages(self, npages):
        self.vm.set_nr_mmu_pages(npages)

    @rule(number=st.integers(0, 2))
    def create_vcpu(self, number):
        if self.vm.profile.arch.name in ("x86_64", "i386", "arm64", "riscv64"):
            self.keep_internal(self.vm.create_vcpu(number))

    @rule(gpa=st.sampled_from([0xFFFBD000, 0xFFFBD001, 0x4000, 1 << 32]))
    def set_tss(self, gpa):
        self.keep_internal(self.vm.set_tss_addr(gpa))

    @rule(gpa=st.sampled_from([0, 0x8000, 0xFFFBC000]))
    def set_identity(self, gpa):
        self.vm.set_identity_map_addr(gpa)

    @rule()
    def irqchip(self):
        self.vm.create_irqchip()

    def keep_internal(self, _outcome):
        """KVM's own slots are slots: take them into the shadow."""
        for slots in self.vm.state.spaces:
            for slot in slots:
                if slot.owner:
                    self.shadow[slot.as_id, slot.id] = (
                        slot.base_gfn,
                        slot.npages,
                        slot.userspace_addr,
                        slot.flags,
                    )

    @rule(gfn=st.integers(0, 60), npages=st.integers(0, 20), value=st.sampled_from([0, 8]))
    def set_attributes(self, gfn, npages, value):
        self.vm.set_memory_attributes(gfn << self.shift, npages << self.shift, value)

    @rule(
        page=st.integers(0, 400),
        npages=st.integers(1, 64),
        prot=st.sampled_from([PROT_READ, PROT_READ | PROT_WRITE]),
    )
    def map_host(self, page, npages, prot):
        start = H + (page << self.shift)
        self.vm.process.mmap(Mapping(start, start + (npages << self.shift), prot))

    @rule(page=st.integers(0, 400), npages=st.integers(1, 64))
    def unmap_host(self, page, npages):
        start = H + (page << self.shift)
        self.vm.process.munmap(start, start + (npages << self.shift))

    # -- forks

    @rule()
    def fork(self):
        """Go on with either side; the other must stay as it is."""
        self.other = self.vm.fork()
        self.other_looks, self.other_dirty = (
            snapshot(self.other.state),
            {k: set(v) for k, v in self.dirty.items()},
        )
        assert self.other_looks == snapshot(self.vm.state)

    @rule()
    def swap_with_fork(self):
        if self.other is not None:
            looks, other = snapshot(self.vm.state), self.vm
            assert snapshot(self.other.state) == self.other_looks
            self.vm, self.other, self.other_looks = self.other, other, looks
            self.dirty, self.other_dirty = self.other_dirty, self.dirty
            self.shadow = {
                (slot.as_id, slot.id): (slot.base_gfn, slot.npages, slot.userspace_addr, slot.flags)
                for slots in self.vm.state.spaces
                for slot in slots
            }
            self.files = [fd for fd, file in self.vm.process.fds.items() if file is not None]

    @rule(gfn=st.integers(100, 140), npages=sizes, log=st.booleans())
    def delete_undoes_create(self, gfn, npages, log):
        twin = self.vm.fork()
        free = next(number for number in range(30) if (0, number) not in self.shadow)
        if free >= twin.state.machine.user_slots:
            return
        before = snapshot(twin.state, generations=False)
        made = twin.set_user_memory_region(
            free, int(log), gfn << self.shift, npages << self.shift, H
        )
        if isinstance(made, Accepted):
            assert twin.total_pages == self.vm.total_pages + npages
            gone = twin.set_user_memory_region(free, 0, 0, 0, H)
            if isinstance(gone, Accepted):
                assert snapshot(twin.state, generations=False) == before
        twin.check()

    # -- what holds after each step

    @invariant()
    def holds(self):
        vm = self.vm
        vm.check()
        model = {
            (slot.as_id, slot.id): describe(slot)[2:] for slots in vm.state.spaces for slot in slots
        }
        assert model == self.shadow
        assert dirty_pages(vm.state) == {
            key: sorted(self.dirty[key]) if key in self.dirty else None for key in model
        }
        assert vm.total_pages == sum(npages for _, npages, _, _ in self.shadow.values())
        if self.other is not None:
            assert snapshot(self.other.state) == self.other_looks
            self.other.check()

    @invariant()
    def lookups(self):
        vm, shift = self.vm, self.shift
        for space in range(len(vm.state.spaces)):
            here = {number: slot for (at, number), slot in self.shadow.items() if at == space}
            in_order = sorted(here, key=lambda number: here[number][0])
            assert [slot.id for slot in vm.slots(space)] == in_order
            for number in (0, 1, 5, 508):
                slot = vm.slot(space << 16 | number)
                assert (slot is not None) == (number in here)
            for gfn in range(0, 70, 3):
                found = [
                    number
                    for number, (base, npages, _, _) in here.items()
                    if base <= gfn < base + npages
                ]
                slot = vm.slot_at(gfn << shift, space)
                assert ([slot.id] if slot else []) == found
                if found:
                    base, _, hva, flags = here[found[0]]
                    wanted = None if flags & INVALID else hva + ((gfn - base) << shift) + 7
                    assert vm.gpa_to_hva((gfn << shift) + 7, space) == wanted
                    writable = None if flags & READONLY else wanted
                    assert vm.gpa_to_hva((gfn << shift) + 7, space, write=True) == writable
            for low, high in ((0, 1), (3, 30), (20, 21), (0, 1 << 41)):
                wanted = [
                    n for n in in_order if here[n][0] < high and low < here[n][0] + here[n][1]
                ]
                assert [slot.id for slot in vm.state.spaces[space].in_range(low, high)] == wanted
            for low, high in (
                (H, H + 1),
                (H + (5 << shift), H + (30 << shift)),
                (0, H),
                (0, 1 << 62),
            ):
                wanted = [
                    n
                    for n, (_, npages, hva, _) in here.items()
                    if hva < high and low < hva + (npages << shift)
                ]
                found = vm.slots_at_hva(low, high, space)
                assert sorted(slot.id for slot in found) == sorted(wanted)
                assert [slot.userspace_addr for slot in found] == sorted(
                    slot.userspace_addr for slot in found
                )


TestAnyCalls = AnyCalls.TestCase
TestAnyCalls.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
