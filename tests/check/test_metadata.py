"""Kernel memory of slots: specification 9, and what a 6.18 kernel allocated."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from memslots.check.metadata import (
    BITMAP,
    DESCRIPTOR,
    LARGE_PAGES,
    RMAP,
    WRITE_TRACK,
    Conditions,
    arrays_of,
    attribute_bytes,
    descriptor_bytes,
    has_rmaps,
    has_write_track,
    head_bytes,
    large_pages,
    page_list_bytes,
)
from memslots.kernel.names import find
from memslots.state.memory_attributes import AttributeMap
from memslots.state.slot import Slot

RECORDED = json.loads((Path(__file__).parent / "vmalloc-6.18.json").read_text())
FUNCTIONS = {
    RMAP: "memslot_rmap_alloc",
    LARGE_PAGES: "kvm_arch_prepare_memory_region",
    WRITE_TRACK: "kvm_page_track_create_memslot",
    BITMAP: "kvm_set_memslot",
}


def _arrays(
    kernel: str, gfn: int, npages: int, flags: int = 0, **conditions: bool
) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for array in arrays_of(
        find(kernel), Slot(0, 0, gfn, npages, 0, flags), Conditions(**conditions)
    ):
        found.setdefault(array.kind, []).append(array.allocated)
    return found


@pytest.mark.parametrize("layout", RECORDED["layouts"], ids=lambda layout: layout["name"])
def test_what_a_real_kernel_allocated(layout: dict) -> None:
    profile = find(f"{RECORDED['kernel']}/x86_64-tdp")
    areas: Counter[str] = Counter()
    for number, flags, gfn, npages in layout["slots"]:
        for array in arrays_of(profile, Slot(0, number, gfn, npages, 0, flags), Conditions()):
            if array.kind != DESCRIPTOR:
                areas[f"{FUNCTIONS[array.kind]} {array.allocated}"] += 1
                pages = page_list_bytes(array.allocated)
                if pages > 4096:  # the list of its pages is an area too, of the same function
                    areas[f"{FUNCTIONS[array.kind]} {pages}"] += 1
    assert areas == layout["areas"]


def test_the_layouts_of_the_specification() -> None:
    kernel = "6.18/x86_64-tdp"
    assert _arrays(kernel, 0, 262144, 1) == {
        RMAP: [2097152, 4096, 4096], LARGE_PAGES: [4096, 4096], WRITE_TRACK: [524288],
        BITMAP: [65536],
        DESCRIPTOR: [512],
    }  # fmt: skip
    for gfn in (0, 77, 1 << 30):
        one = _arrays(kernel, gfn, 1)
        assert sum(map(sum, one.values())) - 512 == 24 << 10
        assert sum(map(sum, _arrays(kernel, gfn, 1, 1).values())) - 512 == 28 << 10
    assert round(32764 * (24 << 10) / (1 << 20)) == 768
    for gfn in (511, 262143):
        assert _arrays(kernel, gfn, 2) == _arrays(kernel, 0, 1)


def test_large_pages_are_those_touched() -> None:
    assert [large_pages(0, 512, level) for level in (1, 2, 3)] == [512, 1, 1]
    assert [large_pages(511, 2, level) for level in (1, 2, 3)] == [2, 2, 1]
    assert [large_pages(262143, 2, level) for level in (1, 2, 3)] == [2, 2, 2]


@pytest.mark.parametrize(
    ("kernel", "nested", "tracker", "rmaps", "track"),
    [
        ("4.19/x86_64", False, False, True, True),
        ("5.12/x86_64", False, False, True, True),
        ("5.14/x86_64", False, False, True, True),  # the TDP MMU is there, but off
        ("5.15/x86_64", False, False, False, True),
        ("5.15/x86_64", True, False, True, True),
        ("5.16/x86_64", False, False, False, False),
        ("6.1/x86_64", False, True, False, True),
        ("6.18/x86_64", False, False, False, False),
        ("6.18/x86_64", True, False, True, True),
        ("6.18/x86_64-tdp", False, False, True, True),
        ("6.18/x86_64+page-track", False, False, False, True),
        ("7.2/i386", False, False, True, False),  # no TDP MMU on 32 bits
    ],
)
def test_presence(kernel: str, nested: bool, tracker: bool, rmaps: bool, track: bool) -> None:
    profile, conditions = find(kernel), Conditions(shadow=nested, tracker=tracker)
    assert (has_rmaps(profile, conditions), has_write_track(profile, conditions)) == (rmaps, track)


def test_before_5_18_small_arrays_are_slab_objects() -> None:
    assert _arrays("5.10.209/x86_64", 0, 1, 1) == {
        RMAP: [8, 8, 8],
        LARGE_PAGES: [8, 8],
        WRITE_TRACK: [8],
        BITMAP: [16],
    }
    assert _arrays("5.17/x86_64+page-track", 0, 1024)[WRITE_TRACK] == [2048]
    assert _arrays("5.10/x86_64", 0, 1025)[RMAP][0] == 12288


def test_32_bit_hosts_have_shorter_reverse_maps_and_bitmaps() -> None:
    arrays = arrays_of(find("7.2/i386"), Slot(0, 0, 0, 33, 0, 1), Conditions())
    assert [(array.kind, array.requested) for array in arrays] == [
        (RMAP, 132), (RMAP, 4), (LARGE_PAGES, 4), (RMAP, 4), (LARGE_PAGES, 4), (BITMAP, 16),
    ]  # fmt: skip


def test_other_architectures() -> None:
    assert _arrays("6.12/arm64", 0, 262144, 1) == {BITMAP: [65536], DESCRIPTOR: [256]}
    assert _arrays("6.12/arm64+64k", 0, 100, 1)[BITMAP] == [65536]
    assert _arrays("6.12/ppc64", 0, 8193) == {RMAP: [131072], DESCRIPTOR: [256]}
    assert _arrays("6.12/ppc64-hv", 0, 8193) == {DESCRIPTOR: [256]}
    assert _arrays("5.10/s390x", 0, 8) == {}


def test_descriptors_and_heads() -> None:
    assert [descriptor_bytes(find(f"{release}/x86_64")) for release in ("5.16", "5.17", "6.7", "6.8", "6.18")] == [  # noqa: E501
        88, 264, 264, 280, 280,
    ]  # fmt: skip
    assert descriptor_bytes(find("6.18/x86_64-guest-memfd-built")) == 264
    assert descriptor_bytes(find("6.18/arm64")) == 232
    assert descriptor_bytes(find("6.18/i386")) is None
    assert head_bytes(find("4.19/x86_64"), 3) == 46096
    assert head_bytes(find("5.10/x86_64"), 3) == 1040 + 3 * 88
    assert head_bytes(find("5.16/x86_64"), 3) == 65552 + 3 * 88
    assert head_bytes(find("6.18/x86_64"), 3) == 2144
    assert head_bytes(find("6.18/arm64"), 3) is None


def test_attributes_cost_about_nine_bytes_a_page_where_dense() -> None:
    attributes = AttributeMap()
    assert attribute_bytes(attributes.ranges()) == 0
    attributes.set(0, 64, 8)
    assert attribute_bytes(attributes.ranges()) == 576
    attributes.set(70, 71, 8)
    assert attribute_bytes(attributes.ranges()) == 3 * 576
    attributes.set(0, 1 << 24, 8)
    assert attribute_bytes(attributes.ranges()) / (1 << 24) == pytest.approx(9.14, abs=0.01)
    sparse = AttributeMap()
    sparse.set(1 << 30, (1 << 30) + 1, 8)
    assert attribute_bytes(sparse.ranges()) == 6 * 576
