"""Arrays of addresses against the model's own look-ups, by every method, over the whole of
uint64.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memslots import Slot, Vm
from memslots.arrays import NO_HVA, NO_SLOT, Translator, lookup, slot_table, translator
from memslots.arrays.lookup import TABLE_ENTRIES, best_granule_shift, mixed_granules
from memslots.arrays.translator import METHODS
from memslots.uapi.flags import KVM_MEM_READONLY, KVM_MEMSLOT_INVALID

HVA = 0x7F00_0000_0000
TOP = 1 << 52


def slots_of(layout, shift=12):
    """Slots from (gap, npages, flags) in rising order, each at a host address of its own."""
    slots, gfn = [], 0
    for number, (gap, npages, flags) in enumerate(layout):
        gfn += gap
        slots.append(
            Slot(0, number * 7 % 509, gfn, npages, HVA + ((number * 5 % 64) << (shift + 34)), flags)
        )
        gfn += npages
    return slots


def expected(slots, gpa, shift, write=False):
    for slot in slots:
        if slot.base_gfn <= gpa >> shift < slot.end_gfn:
            backed = not slot.is_invalid and not (write and slot.flags & KVM_MEM_READONLY)
            return slot.userspace_addr + gpa - (
                slot.base_gfn << shift
            ) if backed else NO_HVA, slot.id
    return NO_HVA, NO_SLOT


def interesting_gfns(slots):
    edges = {edge for slot in slots for edge in (slot.base_gfn, slot.end_gfn)}
    near = {
        edge + step
        for edge in edges | {0, TOP, 1 << 53, 1 << 63, 1 << 64}
        for step in (-2, -1, 0, 1)
    }
    return sorted(gfn for gfn in near if 0 <= gfn < 1 << 64)


def check(slots, shift=12, methods=(None, "search", "granules", "pages"), write=False):
    """Also with tables so small that granules have edges inside."""
    _check(slots, shift, methods, write)
    entries = lookup.TABLE_ENTRIES, lookup.ENTRIES_AN_EDGE
    try:
        lookup.TABLE_ENTRIES, lookup.ENTRIES_AN_EDGE = 8, 1
        _check(slots, shift, [method for method in methods if method != "pages"], write)
    finally:
        lookup.TABLE_ENTRIES, lookup.ENTRIES_AN_EDGE = entries


def _check(slots, shift, methods, write):
    made = Translator(slots, page_shift=shift, write=write)
    gfns = interesting_gfns(slots)
    as_gfns = [
        expected(slots, gfn << shift, shift, write) if gfn < 1 << 64 - shift else (NO_HVA, NO_SLOT)
        for gfn in gfns
    ]
    gpas = sorted(
        {gfn << shift for gfn in gfns if gfn < 1 << 64 - shift}
        | {0xFFF, 2**53 + 1, 2**63 + 1, 2**64 - 1}
    )
    gpas += [gpa + 1 for gpa in gpas if gpa + 1 < 1 << 64]
    as_gpas = [expected(slots, gpa, shift, write) for gpa in gpas]
    for method in methods:
        assert made.gfn_to_hva(gfns, method=method).tolist() == [hva for hva, _ in as_gfns], method
        assert made.gfn_to_slot(gfns, method=method).tolist() == [slot for _, slot in as_gfns], (
            method
        )
        assert made.gpa_to_hva(gpas, method=method).tolist() == [hva for hva, _ in as_gpas], method
        assert made.gpa_to_slot(gpas, method=method).tolist() == [slot for _, slot in as_gpas], (
            method
        )


sizes = st.one_of(st.integers(1, 5), st.sampled_from([64, 512, 1 << 15]))
layouts = st.lists(
    st.tuples(
        st.one_of(st.just(0), sizes), sizes,
        st.sampled_from([0, 0, 1, KVM_MEM_READONLY, KVM_MEMSLOT_INVALID])
    ),
    max_size=12,
)  # fmt: skip


@settings(max_examples=150)
@given(layouts, st.sampled_from([12, 14, 16]), st.booleans())
def test_any_layout(layout, shift, write):
    check(slots_of(layout, shift), shift, write=write)


@settings(max_examples=60)
@given(layouts, st.sampled_from([12, 16]))
def test_at_the_top_of_the_64_bit_space(layout, shift):
    slots = slots_of(layout, shift)
    up = (1 << 64 - shift) - (slots[-1].end_gfn if slots else 0)
    moved = [Slot(0, s.id, s.base_gfn + up, s.npages, s.userspace_addr, s.flags) for s in slots]
    check(moved, shift)


def test_no_slot_one_slot_and_one_page_at_each_end():
    check([])
    check([Slot(0, 3, 0, 1, HVA, 0)])
    check([Slot(0, 3, 1, 1, HVA, 0)])
    check([Slot(0, 3, TOP - 1, 1, HVA, 0)])
    check([Slot(0, 3, 5, 1 << 20, 0, 0)])
    ends = [Slot(0, 0, 0, 1, HVA, 0), Slot(0, 1, TOP - 1, 1, HVA + 4096, 0)]
    check(ends, methods=(None, "search"))
    assert Translator(ends, page_shift=12).method(1 << 30) == "search", (
        "a table would have 2**52 entries"
    )
    with pytest.raises(ValueError, match="a table of pages would have"):
        Translator(ends, page_shift=12).gfn_to_hva([0], method="pages")


def test_beside_the_model():
    vm = Vm("6.1/x86_64+intel")
    vm.set_tss_addr(0xFEFFD000).unwrap()
    rng = np.random.default_rng(5)
    for slot in range(200):
        gfn, npages = int(rng.integers(0, 1 << 16)), int(rng.integers(1, 400))
        vm.set_user_memory_region(slot, slot % 3 and 2, gfn << 12, npages << 12, HVA + (slot << 24))
        vm.set_user_memory_region(1 << 16 | slot, 0, gfn << 14, npages << 12, HVA + (slot << 24))
    for as_id in (0, 1):
        gpas = rng.integers(0, 1 << 30, 3000, dtype=np.uint64)
        for write in (False, True):
            made = Translator(vm, as_id, write=write)
            hvas = [vm.gpa_to_hva(int(gpa), as_id, write=write) for gpa in gpas]
            for method in METHODS:
                found = made.gpa_to_hva(gpas, method=method).tolist()
                assert found == [NO_HVA if hva is None else hva for hva in hvas]
        found = [vm.slot_at(int(gpa), as_id) for gpa in gpas]
        assert made.gpa_to_slot(gpas).tolist() == [
            NO_SLOT if slot is None else slot.id for slot in found
        ]
    assert len(slot_table(vm)) == sum(1 for as_id in (0, 1) for _ in vm.slots(as_id))


def test_blocks_large_batches_and_many_slots():
    """More than a block, and more slots than 16 bits number edges of."""
    slots = slots_of([(1, 3, 0)] * 40_000)
    wide = slots_of([(1, 1 << 14, 0)] * 100)
    rng = np.random.default_rng(3)
    for these, size in ((slots, 70_001), (wide, 200_003)):
        made = Translator(these, page_shift=12)
        gfns = rng.integers(0, these[-1].end_gfn + 9, size, dtype=np.uint64)
        results = [made.gfn_to_hva(gfns, method=method) for method in METHODS]
        assert (results[0] == results[1]).all()
        assert (results[0] == results[2]).all()
        some = rng.integers(0, size, 50)
        if these is wide:
            assert results[0][some].tolist() == [
                expected(these, int(gfns[i]) << 12, 12)[0] for i in some
            ]


def test_the_way_depends_on_edges_and_on_how_much_is_asked():
    coarse = Translator(slots_of([(512, 512, 0)] * 99), page_shift=12)
    assert coarse.method(12) == "granules"
    assert coarse.method(11) == "search"
    some = Translator(slots_of([(1, 1 << 18, 0)] * 100), page_shift=12)
    assert some.method(TABLE_ENTRIES // 32) == "search"
    assert some.method(TABLE_ENTRIES // 16) == "granules"
    some.gfn_to_hva(np.zeros(TABLE_ENTRIES // 16, np.uint64), method="search")
    assert some.method(1) == "granules", "it counts all calls together"
    # a slot far away makes granules so large that nearly all have an edge inside
    far = slots_of([(5, 9, 0)] * 2000 + [(1 << 26, 8, 0)])
    assert Translator(far, page_shift=12).method(translator.LARGE_BATCH - 1) == "search"
    assert Translator(far, page_shift=12).method(translator.LARGE_BATCH) == "pages"
    check(far[-9:])
    further = slots_of([(5, 9, 0)] * 2000 + [(1 << 40, 8, 0)])
    assert Translator(further, page_shift=12).method(1 << 40) == "search"
    check(further[-9:], methods=(None, "search", "granules"))


def test_granules():
    def edges(*gfns):
        return np.array(gfns, np.uint64)

    assert best_granule_shift(edges(0)) == 0
    assert best_granule_shift(edges(0, 1 << 51)) == 51
    assert best_granule_shift(edges(512, 1024, 1536 + 64)) == 6
    assert best_granule_shift(edges(1, TABLE_ENTRIES - 1)) == 0
    assert best_granule_shift(edges(1, TABLE_ENTRIES * 8 + 1)) == 4
    assert mixed_granules(edges(16, 17, 19, 33, 48), 4).tolist() == [1, 2]
    assert mixed_granules(edges(16, 48), 4).tolist() == []


class TestIntegers:
    made = Translator(
        [Slot(0, 1, TOP - 4, 4, HVA, 0), Slot(0, 2, 16, 16, HVA + (1 << 30), 0)], page_shift=12
    )

    @pytest.mark.parametrize(
        "dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">u8", "<u8", ">i8", ">i4"]
    )  # fmt: skip
    def test_every_integer_type(self, dtype):
        gfns = np.array([0, 16, 31, 32], dtype)
        for method in (None, "search"):
            assert self.made.gfn_to_slot(gfns, method=method).tolist() == [NO_SLOT, 2, 2, NO_SLOT]
            assert self.made.gfn_to_hva(gfns, method=method)[1] == HVA + (1 << 30)
        assert gfns.tolist() == [0, 16, 31, 32], "the input is left alone"

    def test_the_float64_traps(self):
        """Lists that numpy makes float64 of, and neighbours that float64 cannot tell apart."""
        assert np.array([1, 2**63]).dtype == np.float64
        top = (TOP - 4) << 12
        assert self.made.gpa_to_slot([1, top - 1, top, 2**64 - 1]).tolist() == [
            NO_SLOT,
            NO_SLOT,
            1,
            1,
        ]
        last = np.array([2**63 - 1], np.int64)
        assert self.made.gpa_to_slot(last).tolist() == [NO_SLOT]
        for method in METHODS[:1]:
            assert self.made.gpa_to_hva([2**64 - 1], method=method).tolist() == [HVA + 4 * 4096 - 1]

    @pytest.mark.parametrize(
        "values",
        [
            np.array([1.0]),
            [1.0],
            [True],
            True,
            np.array([True]),
            np.array([1], object),
            "12",
            ["12"],
            b"12",
            [None],
            np.float64(3),
            np.array([1j]),
        ],
    )
    def test_what_is_no_integer(self, values):
        with pytest.raises(TypeError, match="must be integers"):
            self.made.gfn_to_hva(values)

    @pytest.mark.parametrize(
        "values", [[-1], [1 << 64], np.array([5, -7]), np.array([-1], np.int8), -1, 1 << 64]
    )
    def test_what_is_out_of_range(self, values):
        with pytest.raises(ValueError, match="gfns must"):
            self.made.gfn_to_slot(values)

    def test_shapes(self):
        grid = np.arange(24).reshape(2, 3, 4)
        assert self.made.gfn_to_hva(grid).shape == (2, 3, 4)
        assert self.made.gfn_to_slot(grid.T).tolist() == [
            [[NO_SLOT if gfn < 16 else 2 for gfn in row] for row in plane]
            for plane in grid.T.tolist()
        ]
        assert self.made.gfn_to_slot(grid.reshape(-1)[::-3]).tolist()[:3] == [2, 2, 2]
        assert (
            self.made.gfn_to_hva([]).shape
            == self.made.gfn_to_hva(np.empty(0, np.uint64)).shape
            == (0,)
        )
        assert self.made.gfn_to_slot(17) == self.made.gfn_to_slot(np.uint8(17)) == 2
        assert self.made.gfn_to_slot(range(15, 18)).tolist() == [NO_SLOT, 2, 2]
        assert self.made.gfn_to_hva((16,)).dtype == np.uint64
        assert self.made.gfn_to_slot((16,)).dtype == np.int32
        assert self.made.gfn_to_slot(memoryview(np.array([16, 3], np.uint64))).tolist() == [
            2,
            NO_SLOT,
        ]


class TestOut:
    slots = slots_of([(3, 5, 0), (2, 9, 0), (0, 1, 1)])
    made = Translator(slots, page_shift=12)

    def test_it_is_what_comes_back(self):
        gfns = np.arange(30, dtype=np.uint64)
        out, ids = np.empty(30, np.uint64), np.empty(30, np.int32)
        assert self.made.gfn_to_hva(gfns, out) is out
        assert self.made.gfn_to_slot(gfns, out=ids) is ids
        assert (out == self.made.gfn_to_hva(gfns)).all()
        assert (ids == self.made.gfn_to_slot(gfns)).all()

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("call", ["gfn_to_hva", "gpa_to_hva"])
    def test_it_may_be_the_input_or_overlap_it(self, method, call):
        rng = np.random.default_rng(1)
        store = rng.integers(0, 40 << (12 if call == "gpa_to_hva" else 0), 200_000, dtype=np.uint64)
        translate = getattr(self.made, call)
        for source, target in (
            (slice(None), slice(None)),
            (slice(0, -3), slice(3, None)),
            (slice(3, None), slice(-3)),
        ):
            work = store.copy()
            want = translate(work[source].copy(), method=method)
            assert (translate(work[source], work[target], method=method) == want).all()
        work = store.copy()
        want = translate(work[::-1].copy())
        assert (translate(work[::-1], work) == want).all()
        signed = store.astype(np.int64)
        want = translate(signed.copy())
        assert (translate(signed, signed.view(np.uint64)) == want).all()

    def test_what_it_may_not_be(self):
        gfns = np.arange(4, dtype=np.uint64)
        for bad in (np.empty(4, np.int64), np.empty(4), np.empty(4, ">u8"), [0] * 4):
            with pytest.raises(TypeError, match="out must be an array of uint64"):
                self.made.gfn_to_hva(gfns, bad)
        with pytest.raises(TypeError, match="out must be an array of int32"):
            self.made.gfn_to_slot(gfns, np.empty(4, np.int64))
        for bad in (np.empty(5, np.uint64), np.empty((2, 2), np.uint64)):
            with pytest.raises(ValueError, match="out must have the shape"):
                self.made.gfn_to_hva(gfns, bad)
        fixed = np.empty(4, np.uint64)
        fixed.flags.writeable = False
        for bad in (np.empty(8, np.uint64)[::2], fixed):
            with pytest.raises(ValueError, match="contiguous and writable"):
                self.made.gfn_to_hva(gfns, bad)


class TestSlots:
    def test_region_calls_slots_and_tables_are_the_same(self):
        vm = Vm("6.12/arm64+16k")
        calls = [(2, 0, 1 << 30, 1 << 14, HVA), (1, 1, 0, 3 << 14, HVA + (1 << 20))]
        for call in calls:
            vm.set_user_memory_region(*call).unwrap()
        table = slot_table(vm)
        assert table["id"].tolist() == [1, 2]
        assert table["base_gfn"].tolist() == [0, 1 << 16]
        assert table["npages"].tolist() == [3, 1]
        assert table["flags"].tolist() == [1, 0]
        assert table["userspace_addr"].tolist() == [HVA + (1 << 20), HVA]
        for other in (slot_table(calls, page_shift=14), slot_table(vm.slots()), slot_table(table)):
            assert (other == table).all()
        assert Translator(vm).page_shift == 14
        for slots in (calls, list(vm.slots()), table, iter(calls)):
            assert Translator(slots, page_shift=14).gpa_to_hva([0x4000]).tolist() == [
                HVA + (1 << 20) + 0x4000
            ]

    def test_address_spaces(self):
        slots = [Slot(1, 5, 0, 4, HVA, 0), Slot(0, 5, 2, 4, HVA + 4096, 0)]
        assert slot_table(slots)["as_id"].tolist() == [0, 1]
        assert slot_table(slots, 1)["base_gfn"].tolist() == [0]
        assert Translator(slots, page_shift=12).gfn_to_slot(range(3)).tolist() == [
            NO_SLOT,
            NO_SLOT,
            5,
        ]
        assert Translator(slots, 1, page_shift=12).gfn_to_slot(range(5)).tolist() == [
            5,
            5,
            5,
            5,
            NO_SLOT,
        ]
        assert len(Translator(slots, 7, page_shift=12).table) == 0

    @pytest.mark.parametrize(
        ("slots", "message"),
        [
            (
                [Slot(0, 0, 0, 4, HVA, 0), Slot(0, 1, 3, 4, HVA, 0)],
                r"slots overlap: 0:0 gfns \[0x0, 0x4\).*and 0:1",
            ),
            ([Slot(0, 0, TOP - 1, 2, HVA, 0)], "no whole pages of a 64-bit space: slot 0:0"),
            ([Slot(0, 0, 1 << 60, 2, HVA, 0)], "no whole pages"),
            ([Slot(0, 0, 0, 1 << 52, HVA, 0)], "no whole pages"),
            ([Slot(0, 0, 0, 1 << 63, 0, 0)], "no whole pages"),
            ([Slot(0, 0, 0, 1, HVA + 1, 0)], "no whole pages"),
            ([Slot(0, 0, 0, 1, (1 << 64) - 4096, 0)], "no whole pages"),
            ([Slot(0, 0, 0, 0, HVA, 0)], "no slot"),
            ([Slot(0, 1 << 16, 0, 1, HVA, 0)], "no slot"),
            ([Slot(0, 1, -1, 1, HVA, 0)], "no slot"),
            ([(0, 0, 1, 4096, HVA)], "must be whole pages"),
        ],
    )
    def test_what_is_no_set_of_slots(self, slots, message):
        with pytest.raises(ValueError, match=message):
            Translator(slots, page_shift=12)

    def test_what_is_no_slot(self):
        with pytest.raises(TypeError, match="page_shift is needed"):
            Translator([])
        with pytest.raises(TypeError, match="page_shift is needed"):
            slot_table([(0, 0, 0, 4096, 0)])
        with pytest.raises(TypeError, match="not 7"):
            slot_table([7])
        with pytest.raises(TypeError, match="dtype SLOT"):
            slot_table(np.zeros(3))
        for shift in (0, 64, 12.0):
            with pytest.raises(ValueError, match="page_shift must be"):
                Translator([], page_shift=shift)
        with pytest.raises(ValueError, match="page_shift is 12 on this VM"):
            Translator(Vm("6.1/x86_64"), page_shift=14)
        with pytest.raises(ValueError, match="method is one of search, granules, pages"):
            Translator([], page_shift=12).gfn_to_hva([], method="numba")
        assert (
            repr(Translator([], page_shift=12))
            == "<Translator of 0 slots, address space 0, page shift 12>"
        )
