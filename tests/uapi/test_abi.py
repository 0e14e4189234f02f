"""The user-space interface beside the sizes and numbers of the uapi header, and the arithmetic of C."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memslots.uapi import abi
from memslots.units import (
    U32_MAX,
    U64_MAX,
    add_ulong,
    format_bytes,
    format_range,
    mul_ulong,
    round_up,
    to_int32,
    truncate,
    wraps_ulong,
)


@pytest.mark.parametrize(
    ("name", "nbytes"),
    [
        ("KVM_USERSPACE_MEMORY_REGION", 32),
        ("KVM_USERSPACE_MEMORY_REGION2", 160),
        ("KVM_DIRTY_LOG", 16),
        ("KVM_CLEAR_DIRTY_LOG", 24),
        ("KVM_MEMORY_ATTRIBUTES", 32),
        ("KVM_CREATE_GUEST_MEMFD", 64),
        ("KVM_PRE_FAULT_MEMORY", 64),
        ("KVM_ENABLE_CAP", 104),
        ("KVM_DIRTY_GFN", 16),
    ],
)
def test_struct_sizes(name, nbytes):
    assert struct.calcsize(getattr(abi, name)) == nbytes


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("KVM_SET_USER_MEMORY_REGION", "KVM_USERSPACE_MEMORY_REGION"),
        ("KVM_SET_USER_MEMORY_REGION2", "KVM_USERSPACE_MEMORY_REGION2"),
        ("KVM_GET_DIRTY_LOG", "KVM_DIRTY_LOG"),
        ("KVM_CLEAR_DIRTY_LOG", "KVM_CLEAR_DIRTY_LOG"),
        ("KVM_SET_MEMORY_ATTRIBUTES", "KVM_MEMORY_ATTRIBUTES"),
        ("KVM_CREATE_GUEST_MEMFD", "KVM_CREATE_GUEST_MEMFD"),
        ("KVM_PRE_FAULT_MEMORY", "KVM_PRE_FAULT_MEMORY"),
        ("KVM_ENABLE_CAP", "KVM_ENABLE_CAP"),
    ],
)
def test_ioctls_carry_the_size_of_their_structure(name, layout):
    assert abi.IOCTLS[name][2] == struct.calcsize(getattr(abi, layout))
    assert abi.ioctl_number(name) >> 16 & 0x3FFF == struct.calcsize(getattr(abi, layout))


def test_offsets_of_the_region():
    words = struct.unpack("<8I", struct.pack("<IIQQQ", 1, 2, 3 << 32, 4 << 32, 5 << 32))
    assert words == (1, 2, 0, 3, 0, 4, 0, 5)
    region2 = struct.pack("<" + abi.KVM_USERSPACE_MEMORY_REGION2[1:], 1, 2, 3, 4, 5, 6, 7, 8)
    assert struct.unpack_from("<QII", region2, 32) == (6, 7, 8)


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
    assert abi.ioctl_number(name) == number


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
    assert abi.ioctl_number(name, powerpc_or_mips=True) == number


def test_names_and_numbers_of_capabilities():
    assert abi.CAP_NAMES[118] == "KVM_CAP_MULTI_ADDRESS_SPACE"
    assert len(abi.CAP_NAMES) == len(abi.CAPS)


def test_flags_as_strace_writes_them():
    assert abi.flag_text(0) == "0"
    assert abi.flag_text(3) == "KVM_MEM_LOG_DIRTY_PAGES|KVM_MEM_READONLY"
    assert abi.flag_text(0x14) == "KVM_MEM_GUEST_MEMFD|0x10"
    assert abi.flag_text(0x10000) == "0x10000"


# -- arithmetic


@given(st.integers(0, U64_MAX), st.integers(0, U64_MAX), st.sampled_from([4, 5, 6, 32, 64]))
def test_wrapping_arithmetic(a, b, bits):
    a, b = truncate(a, bits), truncate(b, bits)
    assert a == a % (1 << bits)
    assert add_ulong(a, b, bits) == (a + b) % (1 << bits)
    assert mul_ulong(a, b, bits) == (a * b) % (1 << bits)
    assert wraps_ulong(a, b, bits) == (add_ulong(a, b, bits) < a)


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
    assert format_range(0xFEE00, 0xFEE01) == "[0xfee00, 0xfee01)"
