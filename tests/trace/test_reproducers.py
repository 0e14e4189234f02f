"""Programs of syzkaller, in its own language and in C."""

# ruff: noqa: E501 (programs are as wide as they are)
from __future__ import annotations

import pytest

from memslots.trace import Event, Reading, parse_text

REGION = "KVM_SET_USER_MEMORY_REGION"

SYZLANG = """\
r0 = openat$kvm(0xffffffffffffff9c, &(0x7f0000002080), 0x0, 0x0)
r1 = ioctl$KVM_CREATE_VM(r0, 0xae01, 0x0)
r2 = dup(r1)
r3 = ioctl$KVM_CREATE_VCPU(r2, 0xae41, 0x2)
ioctl$KVM_SET_USER_MEMORY_REGION(r2, 0x4020ae46, &(0x7f0000000000)={0x1ff, 0x3, 0x3000, 0x1000, &(0x7f0000fec000/0x1000)=nil}) (async)
r4 = ioctl$KVM_CREATE_GUEST_MEMFD(r1, 0xc040aed4, &(0x7f0000000040)={0x10000})
ioctl$KVM_SET_USER_MEMORY_REGION2(r1, AUTO, &AUTO={0x1, 0x4, 0x10000, 0x2000, &(0x7f0000010000/0x2000)=nil, 0x1000, r4})
ioctl$KVM_CAP_DIRTY_LOG_RING(r1, 0x4068aea3, &(0x7f0000000100)={0xc0, 0x0, 0x1000})
ioctl$KVM_SET_IDENTITY_MAP_ADDR(r1, 0x4008ae48, &(0x7f0000000100)=0x2000)
ioctl$KVM_SET_TSS_ADDR(r1, 0xae47, 0xd000)
ioctl$KVM_RUN(r3, 0xae80, 0x0) (rerun: 32)
"""
SYZLANG_CALLS = [
    ("KVM_CREATE_VM", {"type": 0}, None, 1),
    ("KVM_CREATE_VCPU", {"vcpu_id": 2}, 1, 3),
    (REGION, {"slot": 0x1FF, "flags": 3, "guest_phys_addr": 0x3000, "memory_size": 0x1000, "userspace_addr": 0x7F0000FEC000}, 1, None),
    ("KVM_CREATE_GUEST_MEMFD", {"size": 0x10000, "flags": 0}, 1, 4),
    (REGION + "2", {"slot": 1, "flags": 4, "guest_phys_addr": 0x10000, "memory_size": 0x2000, "userspace_addr": 0x7F0000010000,
                    "guest_memfd_offset": 0x1000, "guest_memfd": 4}, 1, None),
    ("KVM_ENABLE_CAP", {"cap": 0xC0, "flags": 0, "arg0": 0x1000, "arg1": 0, "arg2": 0, "arg3": 0}, 1, None),
    ("KVM_SET_IDENTITY_MAP_ADDR", {"addr": 0x2000}, 1, None),
    ("KVM_SET_TSS_ADDR", {"addr": 0xD000}, 1, None),
]  # fmt: skip

C = """\
uint64_t r[4] = {0xffffffffffffffff, 0xffffffffffffffff, 0xffffffffffffffff, 0xffffffffffffffff};
     NONFAILING(memcpy((void*)0x20000280, "/dev/kvm\\000", 9));
     res = syscall(__NR_openat, /*fd=*/0xffffffffffffff9cul, /*file=*/0x20000280ul, /*flags=*/0ul, /*mode=*/0ul);
     if (res != -1) r[0] = res;
     res = syscall(__NR_ioctl, /*fd=*/r[0], /*cmd=*/0xae01, /*type=*/0ul);
     if (res != -1) r[1] = res;
     res = syscall(__NR_dup, /*oldfd=*/r[1]);
     if (res != -1) r[2] = res;
     res = syscall(__NR_ioctl, /*fd=*/r[2], /*cmd=*/0xae41, /*id=*/2ul);
     if (res != -1) r[3] = res;
     NONFAILING(*(uint32_t*)0x20000180 = 1);
     NONFAILING(*(uint32_t*)0x20000184 = 2);
     NONFAILING(*(uint64_t*)0x20000188 = 0x3000);
     NONFAILING(*(uint64_t*)0x20000190 = 0x2000);
     NONFAILING(*(uint64_t*)0x20000198 = 0x20fec000);
     syscall(__NR_ioctl, /*fd=*/r[1], /*cmd=*/0x4020ae46, /*arg=*/0x20000180ul);
     syscall(__NR_ioctl, /*fd=*/r[3], /*cmd=*/0xae80, /*arg=*/0ul);
"""
C_CALLS = [
    ("KVM_CREATE_VM", {"type": 0}, None, 1),
    ("KVM_CREATE_VCPU", {"vcpu_id": 2}, 1, 3),
    (REGION, {"slot": 1, "flags": 2, "guest_phys_addr": 0x3000, "memory_size": 0x2000, "userspace_addr": 0x20FEC000}, 1, None),
]  # fmt: skip


def shown(events: list[Event]) -> list[tuple[object, ...]]:
    assert all(event.result is None for event in events)
    return [
        (
            event.call,
            event.fields,
            None if event.call == "KVM_CREATE_VM" else event.fd,
            event.new_fd,
        )
        for event in events
    ]


def wrapped(text: str, columns: int) -> str:
    """As a mailer wraps it: at spaces."""
    lines = []
    for line in text.split("\n"):
        while len(line) > columns and " " in line[1:columns]:
            at = line.rindex(" ", 1, columns)
            lines.append(line[:at])
            line = line[at + 1 :]
        lines.append(line)
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "calls", "name"), [(SYZLANG, SYZLANG_CALLS, "syzlang"), (C, C_CALLS, "c-reproducer")]
)
@pytest.mark.parametrize(
    "dress",
    [
        lambda text: text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "".join(f"> {line}\n" for line in text.split("\n")),
        lambda text: text.replace("=", "=3D"),
        lambda text: wrapped(text, 72),
        lambda text: wrapped(text, 80),
        lambda text: "Hello,\nthis is my reproducer:\n" + text + "\nRegards\n",
    ],
)
def test_a_program(text: str, calls: list[object], name: str, dress: object) -> None:
    reading = Reading()
    events = parse_text(dress(text), reading=reading)  # type: ignore[operator]
    assert shown(events) == calls
    assert (reading.formats, reading.skipped) == ({name: len(calls)}, {})
    assert reading.runs == 1
    assert any("not known" in note for note in reading.notes)


def test_descriptors_that_the_program_does_not_have() -> None:
    reading = Reading()
    text = (
        "r4 = ioctl$KVM_CREATE_VM(0xffffffffffffffff, 0xae01, 0x0)\n"
        "ioctl$KVM_SET_USER_MEMORY_REGION(r4, 0x4020ae46, &(0x7f0000000400)={0x0, 0x0, 0x0, 0x2000, &(0x7f0000001000/0x2000)=nil})\n"
        "\tsyscall(__NR_ioctl, -1, 0x4020ae46ul, 0x20000080ul);\n"
    )
    assert parse_text(text, reading=reading) == []
    assert reading.skipped == {"call on a descriptor that the program does not have": 3}


def test_what_the_text_does_not_say_is_absent() -> None:
    text = (
        "ioctl$KVM_SET_USER_MEMORY_REGION(r1, AUTO, &AUTO={0x0, 0x0, AUTO, AUTO, &(0x7f0000010000/0x1000)=nil})\n"
        'ioctl$KVM_SET_USER_MEMORY_REGION(r1, 0x4020ae46, &(0x7f0000000080)=ANY=[@ANYBLOB="00"])\n'
        "ioctl$KVM_SET_USER_MEMORY_REGION(r1, 0x4020ae46, 0x0)\n"
        "syscall(__NR_ioctl, r[1], 0x4020ae46ul, 0x20000600ul);\n"
    )
    fields = [event.fields for event in parse_text(text)]
    assert fields == [{"slot": 0, "flags": 0, "userspace_addr": 0x7F0000010000}, {}, {}, {}]


def test_stores_of_parts_and_fills() -> None:
    text = (
        "memset((void*)0x200000c0, 0, 32);\n*(uint32_t*)0x200000c0 = 1;\n*(uint32_t*)0x200000c8 = -1;\n"
        "*(uint16_t*)0x200000d0 = 0x2000;\nsyscall(__NR_ioctl, r[1], 0x4020ae46, 0x200000c0ul);\n"
        'memcpy((void*)0x200000d8, "\\x00", 8);\nsyscall(__NR_ioctl, r[1], 0x4020ae46, 0x200000c0ul);\n'
    )
    first, second = parse_text(text)
    assert first.fields == {
        "slot": 1,
        "flags": 0,
        "guest_phys_addr": 0xFFFFFFFF,
        "memory_size": 0x2000,
        "userspace_addr": 0,
    }
    assert "userspace_addr" not in second.fields


def test_a_pseudo_call_that_makes_slots_is_told() -> None:
    reading = Reading()
    parse_text(
        "syz_kvm_setup_cpu$x86(r1, r2, &(0x7f0000fe8000/0x18000)=nil, 0x0, 0x0, 0x0, 0x0, 0x0)\n",
        reading=reading,
    )
    assert any("slots of its own" in note for note in reading.notes)


@pytest.mark.parametrize(
    "text",
    [
        "ioctl$KVM_SET_USER_MEMORY_REGION(r1, 0x4020ae46, &(0x7f00)=" + "{" * 20000,
        "ioctl$KVM_SET_USER_MEMORY_REGION(" + "0x0, " * 5000 + ")",
        "ioctl$KVM_SET_USER_MEMORY_REGION(r1, 0x4020ae46, &(0x7f0000000000)={" + "9" * 5000 + "})",
        "ioctl$KVM_CREATE_VCPU(r99999999999, 0xae41, 0x" + "f" * 400 + ")",
        "ioctl$KVM_CREATE_VM(r0, 0xae01, '" + "\\" * 999,
        "syscall(__NR_ioctl, r[99999999999], 0x4020ae46ul, 0x" + "f" * 99 + ");",
        "memset((void*)0x20000000, 0, 9999999999);\nsyscall(__NR_ioctl, r[1], 0x4020ae46, 0x20000000ul);",
        "".join(f"*(uint64_t*){0x20000000 + 8 * n:#x} = {n};\n" for n in range(20000)),
        "*(uint64_t*)0xffffffffffffffff = 1;\nsyscall(__NR_ioctl, r[1], 0x4020ae46, 0xfffffffffffffff0ul);",
    ],
)  # fmt: skip
def test_hostile_programs(text: str) -> None:
    for event in parse_text(text + "\n" + SYZLANG)[:-8]:
        assert event.call.startswith("KVM_")
    assert len(parse_text(text + "\n\n" + SYZLANG)) >= 8
