"""What slots are kept in, beside the plainest thing that could do the same."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memslots.errors import InvariantBrokenError
from memslots.state.dirty_bitmap import DirtyBitmap, bitmap_bytes
from memslots.state.hva_index import HvaIndex
from memslots.state.memory_attributes import AttributeMap
from memslots.state.process import PROT_READ, PROT_WRITE, Mapping, Process
from memslots.state.slot import Slot, SpecialSlot
from memslots.state.slot_set import CHUNK, SlotSet

# -- dirty bitmaps

pages = st.integers(0, 199)
bitmap_steps = st.lists(
    st.one_of(
        st.tuples(st.just("mark"), pages),
        st.tuples(
            st.just("clear"),
            st.integers(0, 3),
            st.integers(0, 200),
            st.one_of(st.none(), st.integers(0, 1 << 200)),
        ),
        st.tuples(st.just("clear_all")),
        st.tuples(st.just("copy")),
    ),
    max_size=12,
)


@given(st.integers(1, 200), st.booleans(), bitmap_steps)
def test_dirty_bitmap_is_a_list_of_bytes(npages, initially_set, steps):
    bitmap = DirtyBitmap(npages, initially_set=initially_set)
    plain = bytearray([initially_set] * npages)
    kept = []
    for step, *values in steps:
        if step == "mark" and values[0] < npages:
            bitmap.mark(values[0])
            plain[values[0]] = 1
        elif step == "clear":
            first, mask = min(values[0] * 64, npages // 64 * 64), values[2]
            # what the kernel lets through: whole words, or up to the end
            num = min(values[1] // 64 * 64, npages - first)
            num = npages - first if num % 64 else num
            bitmap.clear(first, num, mask)
            for page in range(first, first + num):
                if mask is None or mask >> (page - first) & 1:
                    plain[page] = 0
        elif step == "clear_all":
            bitmap.clear_all()
            plain = bytearray(npages)
        elif step == "copy":
            kept.append((bitmap, bytes(plain)))
            bitmap = bitmap.copy()
        same(bitmap, plain)
    for old, looked in kept:
        same(old, looked)


def same(bitmap, plain):
    dirty = [page for page, bit in enumerate(plain) if bit]
    assert list(bitmap.pages()) == dirty
    assert bitmap.count() == len(dirty)
    number = sum(1 << page for page in dirty)
    for long_bits in (32, 64):
        data = bitmap.to_bytes(long_bits)
        assert len(data) == bitmap_bytes(len(plain), long_bits)
        assert int.from_bytes(data, "little") == number
    assert [bitmap.word(i) for i in range(-(-len(plain) // 64))] == [
        number >> (64 * i) & (1 << 64) - 1 for i in range(-(-len(plain) // 64))
    ]


@pytest.mark.parametrize(
    ("npages", "narrow", "wide"),
    [(1, 4, 8), (32, 4, 8), (33, 8, 8), (64, 8, 8), (65, 12, 16), (100, 16, 16)],
)
def test_bitmaps_are_whole_unsigned_longs(npages, narrow, wide):
    assert (bitmap_bytes(npages, 32), bitmap_bytes(npages, 64)) == (narrow, wide)


def test_a_bitmap_of_eight_tebibytes_costs_no_memory():
    bitmap = DirtyBitmap((1 << 31) - 1, initially_set=True)
    assert bitmap.count() == (1 << 31) - 1
    bitmap.clear(0, 64)
    assert bitmap.count() == (1 << 31) - 65
    assert next(bitmap.pages()) == 64


# -- memory attributes


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(1, 20), st.sampled_from([0, 8, 1])), max_size=15
    )
)
def test_attributes_are_a_dict(changes):
    attributes, plain = AttributeMap(), {}
    for start, length, value in changes:
        before, looked = attributes.copy(), dict(plain)
        attributes.set(start, start + length, value)
        plain.update(dict.fromkeys(range(start, start + length), value))
        assert [attributes.at(gfn) for gfn in range(70)] == [plain.get(gfn, 0) for gfn in range(70)]
        assert [before.at(gfn) for gfn in range(70)] == [looked.get(gfn, 0) for gfn in range(70)]
        ranges = attributes.ranges()
        assert ranges == sorted(ranges)
        assert all(low < high and number for low, high, number in ranges)
        assert all(one[1] <= two[0] for one, two in itertools.pairwise(ranges))


# -- the process's mappings

host_steps = st.lists(
    st.tuples(
        st.sampled_from(["mmap", "mmap", "munmap", "mprotect"]),
        st.integers(0, 30),
        st.integers(1, 12),
        st.integers(0, 3),
    ),
    max_size=15,
)


@given(host_steps)
def test_host_mappings_are_a_dict_of_pages(steps):
    host, plain = Process(mappings_known=True), {}
    for step, start, length, prot in steps:
        end = start + length
        old = host.copy()
        looked = dict(plain)
        if step == "mmap":
            host.mmap(Mapping(start, end, prot, is_shared=bool(prot & 1)))
            plain.update({page: (prot, bool(prot & 1)) for page in range(start, end)})
        elif step == "munmap":
            host.munmap(start, end)
            for page in range(start, end):
                plain.pop(page, None)
        else:
            whole = host.mprotect(start, end, prot)
            assert whole == all(page in plain for page in range(start, end))
            for page in range(start, end):
                if page not in plain:
                    break
                plain[page] = (prot, plain[page][1])
        assert seen(host) == plain
        assert seen(old) == looked
        starts = [(mapping.start, mapping.end) for mapping in host.mappings]
        assert all(one[1] <= two[0] for one, two in itertools.pairwise(starts))
        assert all(low < high for low, high in starts)
        walked = [
            page
            for mapping in host.walk(5, 20)
            for page in range(mapping.start, mapping.end)
            if 5 <= page < 20
        ]
        assert walked == [page for page in range(5, 20) if page in plain]


def seen(host):
    found = {}
    for page in range(60):
        mapping = host.at(page)
        if mapping is not None:
            found[page] = (mapping.prot, mapping.is_shared)
    return found


def test_a_part_of_a_mapping_keeps_what_it_is():
    part = Mapping(
        0, 9, PROT_READ | PROT_WRITE, is_shared=True, is_pfn=True, mte_allowed=True
    ).part(3, 5, PROT_READ)
    assert (part.start, part.end, part.prot) == (3, 5, PROT_READ)
    assert part.is_shared
    assert part.is_pfn
    assert part.mte_allowed


# -- slots by id, gfn and host address

slot_steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "add", "drop", "flags", "copy"]),
        st.integers(0, 40),
        st.integers(0, 120),
    ),
    max_size=40,
)


@given(slot_steps, st.booleans())
def test_slot_set_is_a_dict(steps, with_hva):
    slots, plain, kept = SlotSet(), {}, []
    if with_hva:
        slots.by_hva(0, 1, 0)
    for step, number, gfn in steps:
        if step == "add" and number not in plain:
            new = Slot(0, number, gfn, number % 5 + 1, gfn * 3 % 50, 0)
            if all(new.end_gfn <= old.base_gfn or old.end_gfn <= gfn for old in plain.values()):
                slots.insert(new)
                plain[number] = new
        elif step == "drop" and number in plain:
            slots.remove(plain.pop(number))
        elif step == "flags" and number in plain:
            old = plain[number]
            plain[number] = Slot(
                0, number, old.base_gfn, old.npages, old.userspace_addr, old.flags ^ 1
            )
            slots.replace(plain[number])
        elif step == "copy":
            kept.append((slots, dict(plain)))
            slots = slots.copy()
        slots.check()
    for one, looked in [*kept, (slots, plain)]:
        agrees(one, looked)


def agrees(slots, plain):
    slots.check()
    in_order = sorted(plain.values(), key=lambda slot: slot.base_gfn)
    assert list(slots) == in_order
    assert slots.count == len(plain)
    assert [slots.by_id(number) for number in range(60)] == [
        plain.get(number) for number in range(60)
    ]
    for gfn in range(0, 130, 2):
        assert slots.at(gfn) is next(
            (slot for slot in in_order if slot.base_gfn <= gfn < slot.end_gfn), None
        )
    for start, end in ((0, 1), (0, 200), (7, 30), (30, 31), (60, 120), (50, 50)):
        meets = [
            slot
            for slot in in_order
            if slot.base_gfn < end and start < slot.end_gfn and start < end
        ]
        assert list(slots.in_range(start, end)) == meets
        for but in (-1, 0, 3, 17):
            others = [slot for slot in meets if slot.id != but]
            assert slots.overlaps(start, end, but) == others
            if start < end:
                assert slots.meeting(start, end, but) is (others[0] if others else None)
        by_hva = sorted(
            (
                slot
                for slot in plain.values()
                if slot.userspace_addr < end and start < slot.userspace_addr + slot.npages
            ),
            key=lambda slot: (slot.userspace_addr, slot.id),
        )
        assert slots.by_hva(start, end, 0) == (by_hva if start < end else [])


@pytest.mark.parametrize("order", ["rising", "falling", "mixed"])
def test_many_slots_split_and_join_chunks(order):
    count = 9 * CHUNK
    numbers = list(range(count))
    if order == "falling":
        numbers.reverse()
    elif order == "mixed":
        numbers = [number * 7919 % count for number in numbers]
    slots = SlotSet()
    made = {number: Slot(0, number, number * 3, 2, number << 12, 0) for number in numbers}
    for number in numbers:
        slots.insert(made[number])
    slots.check()
    twin = slots.copy()
    assert [slot.id for slot in slots] == sorted(numbers)
    for number in numbers[::2]:
        slots.remove(made[number])
    slots.check()
    twin.check()
    assert twin.count == count
    assert slots.count == count - len(numbers[::2])
    left = sorted(set(numbers) - set(numbers[::2]))
    assert [slot.id for slot in slots] == left
    assert slots.at(left[5] * 3 + 1).id == left[5]
    for number in left:
        slots.remove(made[number])
    slots.check()
    assert list(slots) == []
    assert slots.at(0) is None
    assert slots.meeting(0, 1 << 60) is None
    slots.insert(made[0])
    slots.check()


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(1, 40)), min_size=1, max_size=60),
    st.integers(0, 4),
)
def test_hva_index_is_a_scan(ranges, page_shift):
    made = [
        Slot(0, number, number * 50, n, hva << page_shift, 0)
        for number, (hva, n) in enumerate(ranges)
    ]
    index = HvaIndex(made[: len(made) // 2], page_shift)
    for slot in made[len(made) // 2 :]:
        index.add(slot)
    gone = made[::3]
    for slot in gone:
        index.remove(slot)
    left = [slot for slot in made if slot not in gone]
    index.check(left)
    for start, end in ((0, 1), (0, 1 << 20), (37, 91), (150, 150), (299, 340)):
        low, high = start << page_shift, end << page_shift
        wanted = [
            slot for slot in left
            if slot.userspace_addr < high
            and low < slot.userspace_addr + (slot.npages << page_shift)
            and low < high
        ]  # fmt: skip
        assert index.meeting(low, high) == sorted(
            wanted, key=lambda slot: (slot.userspace_addr, slot.id)
        )
    if left:
        with pytest.raises(InvariantBrokenError, match="host-address index"):
            index.check(left[1:])


def test_a_slot_says_what_it_is():
    slot = SpecialSlot(1, 32765, 0xFEE00, 1, 0x7F0000000000, 1, owner="APIC access page")
    assert (slot.slot_word, slot.end_gfn, slot.is_invalid) == (1 << 16 | 32765, 0xFEE01, False)
    assert repr(slot) == (
        "<Slot 1:32765 (APIC access page) gfns [0xfee00, 0xfee01) hva 0x7f0000000000 "
        "flags KVM_MEM_LOG_DIRTY_PAGES>"
    )
    assert Slot(0, 0, 0, 1, 0, 1 << 16).is_invalid
