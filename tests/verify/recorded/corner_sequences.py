"""Hand-made sequences for corners that random ones rarely reach; the archive holds what kernels
answered.

    python tests/verify/recorded/corner_sequences.py > FOLDER/sequences-corners.jsonl

They speak the language of the asking program (`asker.c`).  The same sequences always come out, so
that answers recorded later belong to the same questions.
"""

from __future__ import annotations

import json
from itertools import permutations, product
from random import Random

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    Operation = list[object]
    Sequence = tuple[str, list[Operation]]

LOG, READONLY, GMEM = 1, 2, 4
U64 = 1 << 64
LAST_PAGE = f"{U64 - 1}+1-1P"
"""Guest address of the last page there is."""
_ORDERS = 40
"""Of the 720 orders of six calls, drawn once and for all."""
MTE, MANUAL_PROTECT, RING, RING_ACQ_REL, RING_BITMAP = 205, 168, 192, 223, 225
SPLIT_IRQCHIP, MAX_VCPU_ID = 121, 128


def region(
    slot: object, gpa: object, nbytes: object, hva: object = "map:0", flags: int = 0
) -> Operation:
    """One region call."""
    return ["set_region", slot, flags, gpa, nbytes, hva]


def gmem_region(
    slot: int, gpa: object, nbytes: object, file: object = "g0", offset: object = 0,
    hva: object = "map:0",
    flags: int = GMEM,
) -> Operation:  # fmt: skip
    """One region call with a guest_memfd."""
    return ["set_region2", slot, flags, gpa, nbytes, hva, file, offset]


def enable(capability: int, argument: int = 0, second: int = 0, flags: int = 0) -> Operation:
    """One KVM_ENABLE_CAP on the VM."""
    return ["enable_cap", capability, argument, second, flags]


def sequence(name: str, *operations: Operation, vm_type: int = 0) -> Sequence:
    """A sequence on a new VM."""
    return name, [["create_vm", vm_type], *operations]


def _orders(name: str, calls: dict[str, Operation], after: list[Operation]) -> Iterator[Sequence]:
    drawn = Random(name).sample(list(permutations(calls)), _ORDERS)
    for order in drawn:
        yield sequence(f"{name}-{''.join(order)}", *(calls[letter] for letter in order), *after)


# -- switches of a VM


def dirty_switch_orders() -> Iterator[Sequence]:
    """Manual protection, dirty rings and a logging slot, in any order."""
    calls = {
        "C": region(0, 0, "100P", flags=LOG), "M": enable(MANUAL_PROTECT, 3),
        "R": enable(RING, 65536),
        "Q": enable(RING_ACQ_REL, 4096), "V": ["vcpu", 0], "B": enable(RING_BITMAP),
    }  # fmt: skip
    yield from _orders("order", calls, [
        ["get_dirty", 0], ["clear_dirty", 0, 0, 64, 1], ["get_dirty", 0], ["reset_rings"],
        region(0, 0, 0),
        region(0, "7P", "65P", flags=LOG), ["get_dirty", 0], region(0, "7P", "65P"),
        region(0, "7P", "65P", flags=LOG), ["get_dirty", 0], ["clear_dirty", 0, 64, 1, 1],
        ["get_dirty", 0],
    ])  # fmt: skip


def ring_sizes() -> Iterator[Sequence]:
    """Every edge of the size of a dirty ring, for both capabilities."""
    sizes = (
        0, 1, 16, 1023, 1024, 2048, 4095, 4096, 4097, 8192, 12288, 16384, 65536, 1 << 20,
        (1 << 20) + 1, 1 << 21,
        1 << 31, 1 << 32, (1 << 32) + 4096, (1 << 63) + 65536, U64 - 1, (1 << 33) | (1 << 20),
        (1 << 40) | 8192,
    )  # fmt: skip
    for capability, nbytes in product((RING, RING_ACQ_REL), sizes):
        yield sequence(
            f"ring-{capability}-{nbytes:#x}", enable(capability, nbytes), ["reset_rings"],
            enable(RING + RING_ACQ_REL - capability, 65536, 7), enable(capability, 65536, flags=1),
            enable(RING_BITMAP, flags=1), enable(RING_BITMAP, 5), region(0, 0, "1P", flags=LOG),
            enable(RING_BITMAP), ["get_dirty", 0],
        )  # fmt: skip


def partial_clears() -> Iterator[Sequence]:
    """Clears that end inside a word of the bitmap, with pages that KVM wrote."""
    clears = (
        lambda n: (0, 0), lambda n: (0, 64), lambda n: (64, 64), lambda n: (64, n - 64),
        lambda n: (128, n - 128),
        lambda n: (n, 0), lambda n: (64, 1), lambda n: (0, n), lambda n: (32, 32),
        lambda n: (64, 0xFFFFFFFF),
        lambda n: (U64 - 64, 64), lambda n: (128, 128),
    )  # fmt: skip
    for npages, mode in product((1, 63, 64, 65, 127, 128, 129, 193), (0, 1, 3)):
        operations: list[Operation] = [
            ["mmap", 0, "200P", 3], ["vcpu", 0], enable(MANUAL_PROTECT, mode),
            region(1, "16P", f"{npages}P", flags=LOG),
        ]  # fmt: skip
        operations += [
            ["kvm_write", f"{16 + page}P"]
            for page in (0, 1, 62, 63, 64, 126, 128, 192)
            if page < npages
        ]
        for place in clears:
            first, count = place(npages)
            if count >= 0:
                operations += [
                    ["clear_mask", 1, first, count, m]
                    for m in (0x8000000000000001, 0x5555, U64 - 1)
                ]
                operations.append(["get_dirty", 1])
        operations += [["clear_dirty", 1, 0, npages, 1], ["get_dirty", 1], ["get_dirty", 1]]
        yield sequence(f"clear-{npages}-{mode}", *operations)


def initially_set() -> Iterator[Sequence]:
    """Bitmaps that begin full, over moves, toggles and changes of the mode."""
    for n in (1, 63, 64, 65, 130):
        on, off = region(1, "500P", f"{n}P", flags=LOG), region(1, "500P", f"{n}P")
        get: Operation = ["get_dirty", 1]
        yield sequence(
            f"initial-{n}", enable(MANUAL_PROTECT, 3), region(0, 0, f"{n}P", flags=LOG),
            ["get_dirty", 0],
            ["clear_dirty", 0, 0, min(64, n), 1], region(0, "200P", f"{n}P", flags=LOG),
            ["get_dirty", 0],
            region(0, "300P", f"{n}P"), region(0, "300P", f"{n}P", flags=LOG), ["get_dirty", 0],
            enable(MANUAL_PROTECT, 1), ["get_dirty", 0], region(0, 0, 0),
            region(0, 0, f"{n}P", flags=LOG),
            ["get_dirty", 0], enable(MANUAL_PROTECT, 0), on, get, enable(MANUAL_PROTECT, 3), get,
            off, on, get, get,
            enable(MANUAL_PROTECT, 0), get, get, enable(RING, 65536), get, off, on, get,
        )  # fmt: skip


def capability_values() -> Iterator[Sequence]:
    """Capabilities with arguments, before and after vCPUs."""
    values = {
        SPLIT_IRQCHIP: (0, 24, 256, 1024, 4096, 4097, U64 - 1),
        MAX_VCPU_ID: (0, 1, 4, 4096, 4097, 1 << 20),
        MANUAL_PROTECT: (0, 1, 2, 3, 4, 7, 1 << 32, (1 << 32) + 1), 166: (0, 1), RING: (0,),
        MTE: (0, 1),
        143: (0, 1, 2, 15, 16, U64 - 1), 116: (0, 1, 128, U64 - 1), 213: (0, 1, 128, U64 - 1),
        220: (0, 1),
    }  # fmt: skip
    for capability, arguments in values.items():
        for value in arguments:
            again = enable(capability, value)
            yield sequence(
                f"cap-{capability}-{value:#x}", again, enable(capability, value, 9),
                enable(capability, value, flags=1), ["vcpu", 0], ["vcpu", 3], ["vcpu", 4], again,
                region(0, 0, "70P", flags=LOG), ["get_dirty", 0],
            )  # fmt: skip


def every_capability() -> Iterator[Sequence]:
    """KVM_CHECK_EXTENSION of what is about memory; KVM_ENABLE_CAP of all, with nothing, a slot, a
    vCPU before.
    """
    asked = (2, 3, 4, 10, 21, 30, 37, 81, 118, 165, 168, 192, 205, 223, 225, *range(231, 237), 244)
    yield sequence("check", *(["check_ext", number] for number in asked))
    yield sequence("check-vm", *(["check_ext_vm", number] for number in asked))
    before: dict[str, list[Operation]] = {
        "new": [], "vcpu": [["vcpu", 0]], "slot": [region(0, 0, "1P")], "irqchip": [["irqchip"]],
    }  # fmt: skip
    for name, calls in before.items():
        for number in range(100, 260):
            yield sequence(
                f"enable-{name}-{number}", *calls, enable(number), enable(number), ["vcpu", 1]
            )


# -- slots


def second_space() -> Iterator[Sequence]:
    """Slots of the second address space beside the first, with all flags."""
    for flags, other in product((0, LOG, READONLY, READONLY | LOG), repeat=2):
        smm = 0x10003
        yield sequence(
            f"smm-{flags}{other}", region(3, "8P", "8P", flags=flags),
            region(smm, "8P", "8P", flags=other),
            region(0x10004, "15P", "1P"), region(4, "16P", "4P"), ["get_nr_mmu"], ["get_dirty", 3],
            ["get_dirty", smm], ["get_dirty", 0x20003], ["clear_dirty", smm, 0, 8, 1],
            ["clear_dirty", 0x20003, 0, 8, 1], region(smm, "20P", "8P", flags=other ^ LOG),
            region(smm, "20P", "8P", flags=other), region(0x10004, "20P", 0),
            region(smm, "16P", "8P", "map:1", other), region(smm, "16P", "8P", flags=other),
            region(3, "16P", "8P", flags=flags), region(0x1FFFF, 0, "1P"), ["check_ext_vm", 118],
            region("MAXS-1+0x10000", 0, "1P"), region("MAXS+0x10000", "1P", "1P"),
            region(0x20000, 0, "1P"),
            region(0x20000, 0, 0), region(smm, 0, 0, flags=READONLY), region(smm, 0, 0),
            ["get_dirty", smm],
            ["get_nr_mmu"],
        )  # fmt: skip


def slot_ids() -> Iterator[Sequence]:
    """Ids at the last slot, with sizes and flags."""
    places = list(enumerate((-2, -1, 0, 1, 2, 3)))
    yield sequence(
        "ids",
        *(region(f"MAXS{d:+d}", f"{2 * n}P", s, flags=f) for n, d in places for s in ("1P",
        0) for f in (0, LOG, 8)),
        *(["get_dirty", f"MAXS{d:+d}"] for d in (-1, 0, 1)),
        *(["clear_dirty", f"MAXS{d:+d}", 0, 1, 1] for d in (-1, 0, 1)),
        region(0xFFFF, 0, "1P"), region(0xFFFFFFFF, 0, "1P"), ["get_dirty", 0xFFFFFFFF],
        ["check_ext_vm", 10],
    )  # fmt: skip


def overlaps() -> Iterator[Sequence]:
    """Every overlap of short spans, by creating and by moving."""
    spans = [(start, end) for start in range(6) for end in range(start + 1, 7)]
    for start, end in spans[::3]:
        operations = [region(0, f"{start}P", f"{end - start}P")]
        for low, high in spans:
            npages = f"{high - low}P"
            operations += [region(1, f"{low}P", npages), region(1, 0, 0), region(2, "100P", npages)]
            operations += [region(2, f"{low}P", npages), region(2, 0, 0)]
        yield sequence(f"overlap-{start}-{end}", *operations)


def flag_pairs() -> Iterator[Sequence]:
    """Every pair of flags, with and without a move and another host address."""
    get: Operation = ["get_dirty", 0]
    for old, new, moved, hva in product(range(4), range(4), (0, 1), ("map:0", "map:1")):
        back = region(0, "4P", "66P", flags=old)
        yield sequence(
            f"flags-{old}{new}{moved}{hva}", back, get,
            region(0, "80P" if moved else "4P", "66P", hva, new), get,
            back, get, region(0, "4P", "66P", flags=new ^ LOG), get,
            region(0, "999P", 0, flags=new), get,
        )  # fmt: skip


def truncations() -> Iterator[Sequence]:
    """Sizes and host addresses that lose bits somewhere."""
    nbytes = (
        1 << 32, (1 << 32) - 4096, (1 << 32) + 4096, 1 << 43, (1 << 43) - 4096, 1 << 44,
        (1 << 44) + 4096, 1 << 45,
        1 << 63, U64 - 4096, "0x7fffffffP", "0x80000000P", "0x100000000P",
    )  # fmt: skip
    hvas = (0, "map:0", (1 << 32) + 0x20000000, (1 << 63) + 0x20000000, (0xFF << 56) + 0x20000000)
    for number, (size, hva) in enumerate(product(nbytes, hvas)):
        same = region(0, 0, "1P", hva)
        yield sequence(
            f"truncated-{number}", same, same, region(0, "9P", "1P", hva), region(0, 0, "1P"),
            region(0, 0, "1P", hva, LOG), region(0, 0, size, hva), region(0, 0, 0, hva),
            region(0, 0, 0),
            region(1, "4P", size, hva), region(1, "4P", 0, 0),
        )  # fmt: skip


def address_bits() -> Iterator[Sequence]:
    """Slots that end at, one page behind and one page before each power of two, on VMs of several
    types.
    """
    for vm_type in (0, 32, 33, 36, 39, 40, 41, 44, 48, 52):
        operations: list[Operation] = [["check_ext", 165]]
        for bits in (31, 32, 33, 35, 36, 37, 39, 40, 41, 44, 46, 47, 48, 51, 52, 53, 57, 59, 63):
            end = 1 << bits
            operations += [
                region(1, f"{end}-1P", "1P"),
                region(1, 0, 0),
                region(1, f"{end}-1P", "2P"),
            ]
            operations += [
                region(1, 0, 0),
                region(1, end, "1P"),
                region(1, 0, 0),
                region(1, f"{end}-2P", "1P"),
            ]
            operations += [region(1, f"{end}-1P", "1P"), region(1, f"{end}", "1P"), region(1, 0, 0)]
        yield sequence(f"bits-{vm_type}", *operations, vm_type=vm_type)


# -- guest_memfd and attributes


def guest_memfd_offsets() -> Iterator[Sequence]:
    """Offsets up to the end of 64 bits, in files with each flag."""
    half = 1 << 63
    offsets = (
        0, "1P", "8P", "15P", "16P", 1, "1P-1", 1 << 31, 1 << 32, 1 << 62, f"{half}-2P",
        f"{half}-1P", half,
        f"{half}+1P", LAST_PAGE, f"{U64 - 1}+1-2P", f"{U64 - 1}+1-16P",
    )  # fmt: skip
    for flags in (0, 1, 2, 3, 4, 8, half):
        operations: list[Operation] = [["create_gmem", "16P", flags, 0]]
        for offset, nbytes in product(offsets, ("1P", "2P", "16P", "17P")):
            operations += [gmem_region(1, "0x100P", nbytes, offset=offset), region(1, 0, 0, 0)]
        yield sequence(f"gmem-offset-{flags:#x}", *operations)


def guest_memfd_sizes() -> Iterator[Sequence]:
    """Files of edge sizes, bound at their edges, punched and allocated."""
    half = 1 << 63
    sizes = (
        0,
        1,
        "1P",
        "1P+1",
        f"{half}-1P",
        half,
        U64 - 1,
        1 << 32,
        1 << 62,
        "0x7fffffffP",
        "0x80000000P",
    )
    for nbytes in sizes:
        yield sequence(
            f"gmem-size-{nbytes}", ["create_gmem", nbytes, 0, 0], ["create_gmem", nbytes, 3, 5],
            gmem_region(0, 0, "1P"), gmem_region(1, "4P", "1P", "g1"),
            gmem_region(2, "8P", "4P", offset=1 << 62),
            gmem_region(3, "16P", "1P", offset=f"{half}-2P"),
            gmem_region(4, "20P", "1P", offset=f"{half}-1P"),
            gmem_region(5, "24P", "2P", offset=f"{half}-2P"), ["punch_gmem", 0, 0, "1P"],
            ["alloc_gmem", 0, 0, 0],
            ["punch_gmem", 0, f"{half}-1P", "1P"], ["punch_gmem", 0, f"{half}-2P", "1P"],
            ["punch_gmem", 0, 1, "1P"],
            ["alloc_gmem", 0, f"{half}-1P", "1P"], ["punch_gmem", 0, half, "1P"],
            ["punch_gmem", 0, 1, f"{half}-1"],
        )  # fmt: skip


def guest_memfd_lives() -> Iterator[Sequence]:
    """Binding, changing, deleting and binding again; wrong descriptors; another VM's file."""
    for flags in (0, 1, 3):
        yield sequence(
            f"gmem-life-{flags}", ["create_gmem", "16P", flags, 0], gmem_region(0, 0, "4P"),
            gmem_region(0, 0, "4P"),
            gmem_region(0, 0, "4P", flags=0), region(0, 0, "4P"), region(0, "64P", "4P"),
            region(0, 0, "4P", flags=LOG), region(0, 0, "4P", flags=READONLY),
            gmem_region(1, "8P", "4P", offset="4P", flags=GMEM | LOG),
            gmem_region(1, "8P", "4P", offset="4P", flags=GMEM | READONLY),
            region(1, "8P", "4P", flags=GMEM),
            gmem_region(1, "2P", "4P", 9999), gmem_region(1, "2P", "4P", offset=1),
            gmem_region(1, "8P", "4P", offset="3P"), gmem_region(1, "8P", "4P", offset="4P"),
            gmem_region(0x10001, "8P", "4P", offset="6P"),
            gmem_region(0x10002, "8P", "4P", offset="8P"),
            gmem_region(2, "16P", "4P", 0), gmem_region(2, "16P", "4P", 0x7FFFFFFF),
            gmem_region(2, "16P", "4P", 0xFFFFFFFF), gmem_region(2, "16P", "4P", "vmfd"),
            ["get_dirty", 0],
            ["close_gmem", 0], gmem_region(3, "20P", "2P", offset="14P"), region(0, 0, "4P"),
            gmem_region(0, 0, "4P"), ["create_gmem", "8P", flags, 0], gmem_region(0, 0, "4P", "g1"),
            region(0, 0, 0),
            gmem_region(0, 0, "4P", "g1"), gmem_region(0, 0, 0, 77, "1P"),
            gmem_region(0, 0, 0, 77, 1),
            gmem_region(0, 0, 0, 77, "1P"), gmem_region(1, 0, 0, 0, flags=0), ["create_vm", 0],
            gmem_region(0, 0, "4P", "g1"), ["close_vm", 0], gmem_region(0, 0, "4P", "g1"),
        )  # fmt: skip


def attributes() -> Iterator[Sequence]:
    """Memory attributes over edge ranges."""
    ranges = (
        (0, "1P"), (0, 0), (1, "1P"), (0, 1), (LAST_PAGE, "1P"), (f"{U64 - 1}+1-2P", "1P"),
        (1 << 63, 1 << 63),
        ("4P", "0x1000P"),
    )  # fmt: skip
    for value in (0, 1, 8, 7, 9, 1 << 63):
        calls: list[Operation] = [
            ["set_attr", gpa, n, value, flags] for (gpa, n), flags in product(ranges, (0, 1))
        ]
        yield sequence(f"attributes-{value}", *calls, ["check_ext", 233], ["check_ext_vm", 233])


# -- VMs, vCPUs, x86


def vm_types() -> Iterator[Sequence]:
    """Types of VMs, the protected ones of arm64 (bit 31) among them."""
    pkvm = 1 << 31
    plain = (
        0,
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        31,
        32,
        39,
        40,
        41,
        48,
        52,
        53,
        255,
        256,
        1 << 30,
        1 << 32,
        (1 << 32) + 1,
        U64 - 1,
    )
    for vm_type in (
        *plain,
        pkvm,
        pkvm | 1,
        pkvm | 32,
        pkvm | 40,
        pkvm | 52,
        pkvm | 255,
        pkvm | 256,
        pkvm | (1 << 32),
    ):
        checks = [
            ["check_ext_vm", number]
            for number in (10, 118, 81, 165, 168, 192, 223, 225, 234, 235, 244)
        ]
        yield sequence(
            f"type-{vm_type:#x}", *checks, region(0, 0, "4P"), region(0, 0, "4P", flags=LOG),
            region(1, "8P", "4P", flags=READONLY), region(1, "8P", "4P", flags=LOG),
            region(1, "8P", "4P"),
            region(1, "16P", "4P"), region(1, 0, 0), ["get_dirty", 0],
            region(2, "0x10000000P", "1P"),
            region(3, "0x20000000P", "1P"), region(4, 1 << 44, "1P"), region(9, 1 << 52, "1P"),
            ["vcpu", 0],
            region(0, 0, 0), region(5, "40P", "1P"), region(5, "50P", "1P"),
            ["create_gmem", "16P", 1, 0],
            gmem_region(6, "64P", "4P"), enable(MANUAL_PROTECT, 3), enable(RING_ACQ_REL, 65536),
            enable(RING_BITMAP),
            region(7, "80P", "4P", flags=LOG), ["get_dirty", 7], ["clear_dirty", 7, 0, 4, 1],
            ["irqchip"],
            vm_type=vm_type,
        )  # fmt: skip


def irqchips() -> Iterator[Sequence]:
    """KVM_CREATE_IRQCHIP twice, after a vCPU, and in any order with what x86 has besides."""
    yield sequence(
        "irqchip-twice",
        ["irqchip"],
        ["irqchip"],
        ["vcpu", 0],
        ["irqchip"],
        ["vcpu", 0],
        ["vcpu", 1],
    )
    yield sequence("irqchip-late", ["vcpu", 0], ["irqchip"], ["irqchip"], ["vcpu", 1])
    calls: dict[str, Operation] = {
        "I": ["irqchip"], "T": ["set_tss", 0xFFFBD000], "D": ["set_ident", 0xFFFBC000],
        "V": ["vcpu", 0],
        "S": enable(SPLIT_IRQCHIP, 24), "U": region(1, 0xFEE00000, "1P"),
    }  # fmt: skip
    yield from _orders("chip", calls, [
        ["irqchip"], ["set_tss", 0xFFFFD000], ["set_tss", 0xFFFFD001], ["set_ident", 1],
        ["vcpu", 1],
        region(2, 0xFEE00000, "1P"), region(3, 0xFFFBC000, "4P"), ["vcpu", 0], ["vcpu", "MAXS"],
    ])  # fmt: skip


def memory_tagging() -> Iterator[Sequence]:
    """KVM_CAP_ARM_MTE beside slots of all kinds, and slots over a mapped guest_memfd."""
    slots = [
        region(0, 0, "4P"), region(1, "8P", "4P", "map:1"), region(2, "16P", "4P", "map:2"),
        region(3, "32P", "4P", "map:3"), region(4, "40P", "4P", "map:3", READONLY),
        region(0, 0, "4P", flags=LOG),
        region(0, "64P", "4P"), region(0, 0, 0),
    ]  # fmt: skip
    maps: list[Operation] = [
        ["mmap", 0, "16P", 3, 0],
        ["mmap", 1, "16P", 3, 1],
        ["mmap", 2, "2P", 1, 1],
    ]
    on = enable(MTE)
    files: list[Operation] = [
        ["create_gmem", "16P", 1, 0], gmem_region(5, "100P", "4P"), ["create_gmem", "16P", 0, 0],
        gmem_region(6, "110P", "4P", "g1"), ["create_gmem", "16P", 3, 0],
        gmem_region(7, "120P", "4P", "g2"),
    ]  # fmt: skip
    check: Operation = ["check_ext_vm", MTE]
    yield sequence("mte-first", *maps, check, on, on, check, *slots, *files, ["vcpu", 0], on)
    yield sequence(
        "mte-after-slot", *maps, *slots[:4], *files, on, *slots, region(5, 0, 0), *files[1:2]
    )
    yield sequence("mte-after-vcpu", *maps, ["vcpu", 0], on, *slots, *files)
    yield sequence(
        "mte-arguments", enable(MTE, 5), enable(MTE, 0, 5), enable(MTE, flags=1), enable(MTE, 0)
    )
    yield sequence("mte-never", *maps, *slots, *files)
    mapped: list[Operation] = [
        ["create_gmem", "16P", 3, 0], ["mmap_gmem", 0, 0, "8P", 0], region(0, 0, "4P"),
        region(1, "8P", "16P"),
        region(2, "40P", "4P", flags=LOG), region(0, "64P", "4P"),
        region(3, "80P", "8P", "map:0+8P"),
        region(4, "90P", "8P", "map:0+7P"), gmem_region(5, "100P", "8P"), ["close_gmem", 0],
        region(6, "120P", "4P"),
        ["create_gmem", "16P", 0, 0], ["mmap_gmem", 0, 1, "8P", 0], ["mmap_gmem", 0, 2, "8P", 0],
        ["mmap_gmem", 0, 1, 0, 0], region(7, "130P", "4P"), ["munmap", "map:0", "8P"],
        region(8, "140P", "4P"),
    ]  # fmt: skip
    yield sequence("mapped-gmem", *mapped)
    yield sequence("mapped-gmem-mte", on, *mapped)
    yield sequence("mapped-gmem-late-mte", *mapped[:3], on, *mapped[2:])


def pre_faults() -> Iterator[Sequence]:
    """KVM_PRE_FAULT_MEMORY where memory is mapped, read-only, or not there."""
    places = (
        ("16P", "1P", 0), ("16P", "1P", 1), ("16P", 0, 0), (1, "1P", 0), ("16P", 1, 0),
        (0, "1P", 0),
        ("31P", "1P", 0), ("32P", "1P", 0), (LAST_PAGE, "1P", 0), (1 << 52, "1P", 0),
        ("16P", "16P", 0),
        ("16P", "20P", 0), ("30P", "4P", 0), ("20P", "8P", 0),
    )  # fmt: skip
    for kind, protection in (
        ("none", None),
        ("writable", 3),
        ("readonly", 1),
        ("short", 3),
        ("closed", 0),
    ):
        maps: list[Operation] = []
        if protection is not None:
            maps = [["mmap", 0, "8P" if kind == "short" else "64P", protection]]
        operations = [*maps, ["prefault", "16P", "1P", 0], ["vcpu", 0]]
        for flags in (0, LOG, READONLY):
            operations.append(region(0, "16P", "16P", flags=flags))
            operations += [["prefault", *place] for place in places]
            operations.append(region(0, 0, 0))
        operations += [
            region(0, "16P", "16P", "map:3"),
            ["prefault", "16P", "1P", 0],
            region(1, "32P", "8P"),
        ]
        operations += [["prefault", "32P", "1P", 0], ["prefault", "31P", "2P", 0], ["vcpu", 1]]
        yield sequence(f"prefault-{kind}", *operations, ["prefault", "32P", "4P", 0])
    for flags, is_mapped in product((0, 1, 3), (False, True)):
        maps = [["mmap", 0, "8P", 3]] if is_mapped else []
        yield sequence(
            f"prefault-gmem-{flags}-{is_mapped:d}", *maps, ["vcpu", 0],
            ["create_gmem", "32P", flags, 0],
            gmem_region(0, "16P", "16P", offset="8P"), ["prefault", "16P", "1P", 0],
            ["prefault", "20P", "16P", 0],
            ["prefault", "31P", "1P", 0], ["punch_gmem", 0, 0, "32P"],
            ["prefault", "16P", "16P", 0],
            ["close_gmem", 0], ["prefault", "16P", "1P", 0], region(0, 0, 0),
            ["prefault", "16P", "1P", 0],
        )  # fmt: skip


def mmu_budgets() -> Iterator[Sequence]:
    """The budget of the shadow MMU at its edges."""
    get: Operation = ["get_nr_mmu"]
    goals = (
        0, 1, 63, 64, 65, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 32) + 63,
        (1 << 32) + 64, 1 << 63,
        U64 - 1,
    )  # fmt: skip
    for goal in goals:
        ask: Operation = ["set_nr_mmu", goal]
        yield sequence(
            f"goal-{goal:#x}", get, ask, get, region(0, 0, "5000P"), get, region(0, "8P", "5000P"),
            get,
            ["set_nr_mmu", 100], get, region(0, 0, 0), get, ask, get,
        )  # fmt: skip
    for n in (1, 3199, 3200, 3249, 3250, 3251, 6499, 6500, 262144):
        yield sequence(
            f"budget-{n}", get, region(0, 0, f"{n}P"), get, region(0x10000, 0, f"{n}P"), get,
            region(0, "1P", f"{n}P"), get, region(0, "1P", f"{n}P", flags=LOG), get,
            region(0, 0, 0), get,
            region(0x10000, 0, 0), get,
        )  # fmt: skip


ALL = (
    dirty_switch_orders, ring_sizes, partial_clears, initially_set, capability_values,
    every_capability,
    second_space, slot_ids, overlaps, flag_pairs, truncations, address_bits, guest_memfd_offsets,
    guest_memfd_sizes,
    guest_memfd_lives, attributes, vm_types, irqchips, memory_tagging, pre_faults, mmu_budgets,
)  # fmt: skip


def all_sequences() -> Iterator[Sequence]:
    """Every sequence, in the order of the file."""
    for theme in ALL:
        yield from theme()


def lines() -> Iterator[str]:
    """The file, line by line."""
    for name, operations in all_sequences():
        yield json.dumps({"id": name, "ops": operations}, separators=(",", ":")) + "\n"


if __name__ == "__main__":
    import sys

    sys.stdout.writelines(lines())
