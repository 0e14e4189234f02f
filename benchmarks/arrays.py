"""memslots.arrays beside what people write with numpy: translation, dirty bitmaps, and
KVM_GET_DIRTY_LOG itself.

    PYTHONPATH=src python benchmarks/arrays.py [REPEATS]

Pinned, interleaved, medians, processor time of the thread (user and kernel) so that other work on
the machine counts little; every result is compared with the peer's.  A guest of 64 GiB, 12 % of
it holes, 8 million random gfns; a bitmap of 2 MiB.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

from memslots.arrays import NO_HVA, SLOT, Translator, bitmap_of, count, dirty_pages
from memslots.errors import DeviceUnavailableError

GUEST_PAGES = 1 << 24
ADDRESSES = 8_000_000
HVA = 0x7F00_0000_0000
Ways = dict[str, Callable[[], np.ndarray]]


def slots(count: int, granule: int) -> np.ndarray:
    """`count` slots at random multiples of `granule` pages, with a hole of about an eighth behind
    each.
    """
    rng = np.random.default_rng(1)
    places = np.sort(rng.choice(GUEST_PAGES // granule - 1, count, replace=False) + 1) * granule
    room = np.diff(np.append(places, GUEST_PAGES))
    table = np.zeros(count, SLOT)
    table["id"] = np.arange(count)
    table["base_gfn"] = places
    table["npages"] = np.maximum(room - room // 8 // granule * granule, granule)
    table["userspace_addr"] = HVA + rng.permutation(count) * (GUEST_PAGES << 12)
    return table


def _searched(
    base: np.ndarray, npages: np.ndarray, hvas: np.ndarray, gfns: np.ndarray
) -> np.ndarray:
    i = np.maximum(np.searchsorted(base, gfns, side="right") - 1, 0)
    offset = gfns - base[i]  # wraps below the first slot
    return np.where(offset < npages[i], hvas[i] + (offset << np.uint64(12)), NO_HVA)


def searchsorted(table: np.ndarray, gfns: np.ndarray) -> np.ndarray:
    """What people write: the slot before each gfn, and whether it reaches so far."""
    return _searched(table["base_gfn"].copy(), table["npages"], table["userspace_addr"], gfns)


def searchsorted_alone(table: np.ndarray, gfns: np.ndarray) -> np.ndarray:
    """No address yet: only which slot begins before."""
    return np.searchsorted(table["base_gfn"].copy(), gfns, side="right")


def median_seconds(ways: Ways, repeats: int, *, checked: tuple[str, ...]) -> dict[str, float]:
    spent: dict[str, list[float]] = {name: [] for name in ways}
    results = {name: ways[name]() for name in checked}
    first = results[checked[0]]
    for name, result in results.items():
        assert np.array_equal(result, first), f"{name} differs from {checked[0]}"
    del results, first
    for _ in range(repeats):
        for name, way in ways.items():
            start = time.thread_time()
            result = way()
            spent[name].append(time.thread_time() - start)
            del result
    return {name: statistics.median(times) for name, times in spent.items()}


def translation(what: str, table: np.ndarray, repeats: int) -> None:
    gfns = np.random.default_rng(2).integers(0, GUEST_PAGES, ADDRESSES, dtype=np.uint64)
    out, ready = np.empty_like(gfns), Translator(table, page_shift=12)
    seconds = median_seconds(
        {
            "memslots": lambda: ready.gfn_to_hva(gfns, out),
            "np.searchsorted + where": lambda: searchsorted(table, gfns),
            "np.searchsorted alone": lambda: searchsorted_alone(table, gfns),
        },
        repeats,
        checked=("memslots", "np.searchsorted + where"),
    )
    ours = seconds.pop("memslots")
    rates = ", ".join(f"{times / ours:5.1f} x {name}" for name, times in seconds.items())
    print(f"{what}: {ADDRESSES / ours / 1e6:4.0f} M/s ({ready.method(1)}); {rates}")


def small_batches(what: str, table: np.ndarray, repeats: int) -> None:
    """Batches too small for anything to be built for one of them, by a translator that is there."""
    gfns = np.random.default_rng(3).integers(0, GUEST_PAGES, 10_000, dtype=np.uint64)
    ready = Translator(table, page_shift=12)
    report(
        f"{what}, batches of 10,000",
        ready,
        gfns,
        lambda: ready.gfn_to_hva(gfns),
        table,
        repeats * 33,
    )


def tiny_batches(what: str, table: np.ndarray, repeats: int) -> None:
    """Ten addresses a call, as a device model asks for them: what each call costs beside them."""
    rng = np.random.default_rng(6)
    batches = [rng.integers(0, GUEST_PAGES, 10, dtype=np.uint64) for _ in range(2000)]
    ready = Translator(table, page_shift=12)
    base, npages, hvas = (table[name].copy() for name in ("base_gfn", "npages", "userspace_addr"))

    def peer() -> np.ndarray:
        return np.concatenate([_searched(base, npages, hvas, gfns) for gfns in batches])

    name = "np.searchsorted + where, its arrays made before"
    ways: Ways = {
        "memslots": lambda: np.concatenate([ready.gfn_to_hva(gfns) for gfns in batches]),
        name: peer,
    }
    seconds = median_seconds(ways, repeats * 5, checked=("memslots", name))
    ours = seconds["memslots"]
    print(
        f"{what}, batches of 10: {ours / len(batches) * 1e6:.1f} us each; "
        f"{seconds[name] / ours:5.1f} x {name}"
    )


def first_batch(what: str, table: np.ndarray, repeats: int) -> None:
    """A new translator for one batch: whatever is built, is built for it alone."""
    gfns = np.random.default_rng(3).integers(0, GUEST_PAGES, 1 << 20, dtype=np.uint64)
    made = Translator(table, page_shift=12)
    made.gfn_to_hva(gfns)
    report(
        f"{what}, one batch of a million, translator built for it",
        made,
        gfns,
        lambda: Translator(table, page_shift=12).gfn_to_hva(gfns),
        table,
        repeats * 3,
    )


def report(
    what: str,
    made: Translator,
    gfns: np.ndarray,
    way: Callable[[], np.ndarray],
    table: np.ndarray,
    repeats: int,
) -> None:
    peer = "np.searchsorted + where"
    ways: Ways = {"memslots": way, peer: lambda: searchsorted(table, gfns)}
    seconds = median_seconds(ways, repeats, checked=("memslots", peer))
    ours = seconds["memslots"]
    print(
        f"{what}: {gfns.size / ours / 1e6:4.0f} M/s ({made.method(1)}); "
        f"{seconds[peer] / ours:5.1f} x {peer}"
    )


def bitmap(what: str, octets: np.ndarray, repeats: int) -> None:
    reused = np.zeros(GUEST_PAGES, np.int64)
    unpack = "unpackbits + flatnonzero"
    seconds = median_seconds(
        {
            "memslots": lambda: dirty_pages(octets),
            "memslots, out=": lambda: dirty_pages(octets, out=reused),
            unpack: lambda: np.flatnonzero(np.unpackbits(octets, bitorder="little")),
            "the same with .view(bool)": lambda: np.flatnonzero(
                np.unpackbits(octets, bitorder="little").view(bool)
            ),
        },
        repeats * 3,
        checked=("memslots", unpack, "memslots, out="),
    )
    ours = seconds["memslots"]
    others = ", ".join(
        f"{name} {times * 1e3:.1f} ms ({times / ours:.1f} x)" for name, times in seconds.items()
    )
    print(f"bitmap of 64 GiB, {what}: {others.replace(' (1.0 x)', '', 1)}")


def bitmaps(repeats: int) -> None:
    rng = np.random.default_rng(4)
    for density in (0.001, 0.01, 0.05, 0.1, 0.5):
        octets = np.packbits(rng.random(GUEST_PAGES) < density, bitorder="little")
        bitmap(f"{density:5.1%} dirty at random", octets, repeats)
    runs = np.repeat(rng.random(GUEST_PAGES // 512) < 0.1, 512)
    bitmap("10 % dirty in runs of 512", np.packbits(runs, bitorder="little"), repeats)


def live(repeats: int) -> None:
    """KVM_GET_DIRTY_LOG of 64 GiB after KVM itself wrote to random pages, beside the conversion of
    what it gave.
    """
    from memslots.live import LiveVm

    rng = np.random.default_rng(5)
    with LiveVm() as vm:
        memory = vm.allocate(GUEST_PAGES << 12, "sparse")
        vm.set_user_memory_region(0, 1, 0, memory.nbytes, memory.address).unwrap()
        vm.create_vcpu(0).unwrap()
        reused = np.zeros(GUEST_PAGES, np.int64)
        for density in (0.001, 0.01):
            spent: dict[str, list[float]] = {"KVM_GET_DIRTY_LOG": [], "dirty_pages": []}
            for _ in range(repeats):
                dirty = np.unique(rng.integers(0, GUEST_PAGES, int(GUEST_PAGES * density)))
                for gpa in (dirty << 12).tolist():
                    vm.mark_dirty(gpa)
                start = time.thread_time()
                log = vm.get_dirty_log(0).data
                middle = time.thread_time()
                pages = dirty_pages(log, out=reused)
                spent["dirty_pages"].append(time.thread_time() - middle)
                spent["KVM_GET_DIRTY_LOG"].append(middle - start)
                assert np.array_equal(pages, dirty)
                assert count(log) == dirty.size
                assert bitmap_of(pages, GUEST_PAGES).tobytes() == log.to_bytes()
            kvm, ours = (statistics.median(times) * 1e3 for times in spent.values())
            shown = (
                f"dirty_pages {ours:.1f} ms, KVM_GET_DIRTY_LOG {kvm:.1f} ms ({kvm / ours:.1f} x)"
            )
            print(f"live, {density:.1%} dirty: {shown}")


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    for nslots, granule in ((448, 512 * 8), (28_672, 512)):
        translation(
            f"{nslots:6} slots on {granule * 4 // 1024} MiB", slots(nslots, granule), repeats
        )
    for nslots in (500, 32_000):
        table = slots(nslots, 1)
        translation(f"{nslots:6} slots on 4 KiB", table, repeats)
        first_batch(f"{nslots:6} slots on 4 KiB", table, repeats)
        small_batches(f"{nslots:6} slots on 4 KiB", table, repeats)
    for nslots, granule in ((8, 512 * 512), (448, 4096), (500, 1), (32_000, 1)):
        tiny_batches(f"{nslots:6} slots", slots(nslots, granule), repeats)
    bitmaps(repeats)
    try:
        live(repeats)
    except DeviceUnavailableError as error:
        print(f"live: {error}")


if __name__ == "__main__":
    main()
