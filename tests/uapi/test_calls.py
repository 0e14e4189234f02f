"""The user-space interface beside the sizes and numbers of the uapi header, and the arithmetic of
C.
"""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memslots.uapi.calls import CALLS
from memslots.uapi.capabilities import CAP_NAMES, CAPS
from memslots.uapi.flags import flag_text
from memslots.units import (
    U32_MAX,
    U64_MAX,
    format_bytes,
    mul_ulong,
    round_up,
    to_int32,
    truncate,
    wraps_ulong,
)

SIZES = {
    "KVM_SET_MEMORY_REGION": 24,
    "KVM_SET_USER_MEMORY_REGION": 32,
    "KVM_SET_USER_MEMORY_REGION2": 160,
    "KVM_GET_DIRTY_LOG": 16,
    "KVM_CLEAR_DIRTY_LOG": 24,
    "KVM_SET_IDENTITY_MAP_ADDR": 8,
    "KVM_SET_MEMORY_ATTRIBUTES": 32,
    "KVM_CREATE_GUEST_MEMFD": 64,
    "KVM_PRE_FAULT_MEMORY": 64,
    "KVM_ENABLE_CAP": 104,
    "KVM_SET_MSRS": 8,
    "KVM_IRQFD": 32,
    "KVM_CREATE_PIT2": 64,
    "KVM_IOEVENTFD": 64,
}


def test_sizes_of_structures():
    assert {
        name: call.argument_bytes for name, call in CALLS.items() if call.has_structure
    } == SIZES


@pytest.mark.parametrize("name", SIZES)
def test_requests_carry_the_size_of_the_structure(name):
    assert CALLS[name].request(powerpc_or_mips=False) >> 16 & 0x3FFF == SIZES[name]


def test_offsets_of_the_region():
    names = CALLS["KVM_SET_USER_MEMORY_REGION2"].names
    packed = CALLS["KVM_SET_USER_MEMORY_REGION2"].pack(
        {name: at + 1 for at, name in enumerate(names)}
    )
    assert struct.unpack_from("=IIQQQQI", packed) == (1, 2, 3, 4, 5, 6, 7)
    assert CALLS["KVM_SET_USER_MEMORY_REGION2"].unpack(bytes(packed)) == {
        name: at + 1 for at, name in enumerate(names)
    }


def test_a_pointer_to_a_buffer_lies_behind_the_fields():
    assert struct.unpack("=IIQ", CALLS["KVM_GET_DIRTY_LOG"].pack({"slot": 5}, 7)) == (5, 0, 7)
    fields = {"slot": 1, "num_pages": 2, "first_page": 3}
    assert struct.unpack("=IIQQ", CALLS["KVM_CLEAR_DIRTY_LOG"].pack(fields, 4)) == (1, 2, 3, 4)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("KVM_CREATE_VM", 0xAE01),
        ("KVM_CHECK_EXTENSION", 0xAE03),
        ("KVM_CREATE_VCPU", 0xAE41),
        ("KVM_GET_DIRTY_LOG", 0x4010AE42),
        ("KVM_SET_NR_MMU_PAGES", 0xAE44),
        ("KVM_GET_NR_MMU_PAGES", 0xAE45),
        ("KVM_SET_USER_MEMORY_REGION", 0x4020AE46),
        ("KVM_SET_TSS_ADDR", 0xAE47),
        ("KVM_SET_IDENTITY_MAP_ADDR", 0x4008AE48),
        ("KVM_SET_USER_MEMORY_REGION2", 0x40A0AE49),
        ("KVM_ENABLE_CAP", 0x4068AEA3),
        ("KVM_CLEAR_DIRTY_LOG", 0xC018AEC0),
        ("KVM_RESET_DIRTY_RINGS", 0xAEC7),
        ("KVM_SET_MEMORY_ATTRIBUTES", 0x4020AED2),
        ("KVM_CREATE_GUEST_MEMFD", 0xC040AED4),
        ("KVM_PRE_FAULT_MEMORY", 0xC040AED5),
    ],
)
def test_ioctl_numbers(name, number):
    assert CALLS[name].request(powerpc_or_mips=False) == number


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("KVM_SET_NR_MMU_PAGES", 0x2000AE44),
        ("KVM_SET_USER_MEMORY_REGION", 0x8020AE46),
        ("KVM_SET_USER_MEMORY_REGION2", 0x80A0AE49),
        ("KVM_CLEAR_DIRTY_LOG", 0xC018AEC0),
    ],
)
def test_ioctl_numbers_of_powerpc_and_mips(name, number):
    assert CALLS[name].request(powerpc_or_mips=True) == number


def test_names_and_numbers_of_capabilities():
    assert CAP_NAMES[118] == "KVM_CAP_MULTI_ADDRESS_SPACE"
    assert len(CAP_NAMES) == len(CAPS)


def test_flags_as_strace_writes_them():
    assert flag_text(0) == "0"
    assert flag_text(3) == "KVM_MEM_LOG_DIRTY_PAGES|KVM_MEM_READONLY"
    assert flag_text(0x14) == "KVM_MEM_GUEST_MEMFD|0x10"
    assert flag_text(0x10000) == "0x10000"


# -- arithmetic


@given(st.integers(0, U64_MAX), st.integers(0, U64_MAX), st.sampled_from([4, 5, 6, 32, 64]))
def test_wrapping_arithmetic(a, b, bits):
    a, b = truncate(a, bits), truncate(b, bits)
    assert a == a % (1 << bits)
    assert mul_ulong(a, b, bits) == (a * b) % (1 << bits)
    assert wraps_ulong(a, b, bits) == ((a + b) % (1 << bits) < a)


@given(st.integers(0, U64_MAX))
def test_int32_is_what_c_makes_of_it(value):
    assert to_int32(value) == struct.unpack("<i", struct.pack("<I", value & U32_MAX))[0]


@given(st.integers(0, 1 << 70), st.integers(1, 1 << 40))
def test_round_up(value, multiple):
    rounded = round_up(value, multiple)
    assert rounded % multiple == 0
    assert value <= rounded < value + multiple


def test_numbers_for_people():
    assert [format_bytes(n) for n in (0, 1023, 1024, 4096, 1 << 30, 1148846080, 1 << 62)] == [
        "0 B", "1023 B", "1 KiB", "4 KiB", "1 GiB", "1.07 GiB", "4096 PiB",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (0x7FF0B000, "1.999 GiB"), (0xBFF40000, "2.999 GiB"), ((1 << 20) + 4096, "1.004 MiB"),
        ((16 << 40) - 4096, "16 TiB - 4 KiB"), (1023 * 1024 + 1023, "1023.999 KiB"),
        ((1 << 64) - 1, "16384 PiB - 1 B"), ((1 << 40) + (5 << 20), "1 TiB + 5 MiB"),
    ],
)  # fmt: skip
def test_what_looks_whole_is_exact(nbytes, text):
    assert format_bytes(nbytes) == text
