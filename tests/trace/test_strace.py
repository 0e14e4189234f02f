"""Lines of strace, one property of the shape at a time."""

# ruff: noqa: E501 (recorded lines are as long as they are)
from __future__ import annotations

import pytest

from memslots.trace import Event, Reading, parse_text

PLAIN = (
    "ioctl(8, KVM_SET_USER_MEMORY_REGION, {slot=1, flags=0, guest_phys_addr=0x1000, "
    "memory_size=8192, userspace_addr=0x7f0000001000}) = 0"
)
FIELDS = {
    "slot": 1,
    "flags": 0,
    "guest_phys_addr": 0x1000,
    "memory_size": 8192,
    "userspace_addr": 0x7F0000001000,
}


def one(text: str) -> Event:
    (event,) = parse_text(text)
    return event


@pytest.mark.parametrize(
    ("prefix", "pid", "time_ns"),
    [
        ("", None, None),
        ("[pid  7449] ", 7449, None),
        ("[pid 7449] ", 7449, None),
        ("29941 ", 29941, None),
        ("6787  ", 6787, None),
        ("4194304 ", 4194304, None),
        ("16:08:17 ", None, 58097 * 10**9),
        ("30123 16:08:20.761168 ", 30123, 58100761168000),
        ("1795363703.754211 ", None, 1795363703754211000),
        ("30291 1795363703.754211 ", 30291, 1795363703754211000),
        ("[pid 12] 1795363703.754211 ", 12, 1795363703754211000),
        ("1795363703 ", None, 1795363703 * 10**9),
        ("30808 [  16] ", 30808, None),
        ("[pid 1] 16:08:17 [  16] ", 1, 58097 * 10**9),
        ("12<qemu-kvm> 16:08:17 ", 12, 58097 * 10**9),
        ("16:08:17 (+     0.000060) ", None, 58097 * 10**9),
        ("> ", None, None),
        ("> > [pid 9] ", 9, None),
        ("    ", None, None),
        ("`", None, None),
        ("- so I ran strace and saw ", None, None),
        ("see 3 times: ", None, None),
    ],
)
def test_what_stands_before_the_call(prefix: str, pid: int | None, time_ns: int | None) -> None:
    event = one(prefix + PLAIN)
    assert (event.fields, event.result, event.fd) == (FIELDS, 0, 8)
    assert (event.pid, event.time_ns) == (pid, time_ns)
    assert event.text.endswith(PLAIN)


@pytest.mark.parametrize(
    ("tail", "result"),
    [
        ("= 0", 0),
        ("      = 0 <0.000138>", 0),
        ("= -1 EEXIST (File exists)", -17),
        ("= -1 EEXIST (File exists) <0.000138>", -17),
        ("= -1 EINVAL", -22),
        ("= -1 EINVAL (Invalid argument) (INJECTED)", -22),
        ("= -1 ENOTSUPP (Unknown error 524)", -524),
        ("= -1 (errno 22)", -22),
        ("= -EEXIST", -17),
        ("= -17", -17),
        ("= 0xffffffffffffffef", -17),
        ("= ?", None),
        ("= ? ERESTARTSYS (To be restarted if SA_RESTART is set)", -512),
        ("-> EEXIST", -17),
        ("", None),
    ],
)
def test_results(tail: str, result: int | None) -> None:
    event = one(PLAIN.removesuffix("= 0") + tail)
    assert event.fields == FIELDS
    assert event.result == result


@pytest.mark.parametrize(
    ("flags", "number"),
    [
        ("0", 0),
        ("0x2", 2),
        ("KVM_MEM_LOG_DIRTY_PAGES", 1),
        ("KVM_MEM_READONLY", 2),
        ("KVM_MEM_LOG_DIRTY_PAGES|KVM_MEM_READONLY", 3),
        ("KVM_MEM_READONLY|0x8", 10),
        ("0x8 /* KVM_MEM_??? */", 8),
        ("KVM_MEM_GUEST_MEMFD", 4),
        ("1<<2", 4),
        ("KVM_MEM_FROM_THE_FUTURE", None),
        ("...", None),
    ],
)
def test_flags(flags: str, number: int | None) -> None:
    event = one(PLAIN.replace("flags=0", f"flags={flags}"))
    assert event.get("flags") == number
    assert event.get("slot") == 1


@pytest.mark.parametrize(
    "request_text",
    [
        "KVM_SET_USER_MEMORY_REGION",
        "0x4020ae46",
        "0x4020ae46 /* KVM_SET_USER_MEMORY_REGION */",
        "0x8020ae46",  # powerpc
        "1075883590",
        "_IOC(_IOC_WRITE, 0xae, 0x46, 0x20)",
        "_IOC(_IOC_WRITE, 0xAE, 0x46, 0x20)",
    ],
)
def test_the_request_however_it_is_written(request_text: str) -> None:
    event = one(PLAIN.replace("KVM_SET_USER_MEMORY_REGION", request_text))
    assert (event.call, event.fields) == ("KVM_SET_USER_MEMORY_REGION", FIELDS)


@pytest.mark.parametrize(
    ("line", "call", "fields", "result", "new_fd"),
    [
        ("ioctl(3, KVM_CREATE_VM, 0) = 8", "KVM_CREATE_VM", {"type": 0}, 8, 8),
        ("ioctl(3</dev/kvm<char 10:232>>, KVM_CREATE_VM, 0) = 8<anon_inode:kvm-vm>", "KVM_CREATE_VM", {"type": 0}, 8, 8),
        ("ioctl(0x3, 0xae01, 0)  = 0x8", "KVM_CREATE_VM", {"type": 0}, 8, 8),
        ("ioctl(3, KVM_CREATE_VM, 0x28) = 8", "KVM_CREATE_VM", {"type": 40}, 8, 8),
        ("ioctl(3, KVM_CREATE_VM, 0) = -1 ENOMEM (Cannot allocate memory)", "KVM_CREATE_VM", {"type": 0}, -12, None),
        ("ioctl(8, KVM_CREATE_VCPU, 2) = 11<anon_inode:kvm-vcpu:2>", "KVM_CREATE_VCPU", {"vcpu_id": 2}, 11, 11),
        ("ioctl(3, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS) = 32764", "KVM_CHECK_EXTENSION", {"cap": 10}, 32764, None),
        ("ioctl(3, 0xae03 /* KVM_CHECK_EXTENSION */, 0xa /* KVM_CAP_NR_MEMSLOTS */) = 509", "KVM_CHECK_EXTENSION",
         {"cap": 10}, 509, None),
        ("ioctl(3, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE) = 1", "KVM_CHECK_EXTENSION", {}, 1, None),
        ("ioctl(8, KVM_CREATE_IRQCHIP, 0) = 0", "KVM_CREATE_IRQCHIP", {}, 0, None),
        ("ioctl(8, KVM_SET_TSS_ADDR, 0xfffbd000) = 0", "KVM_SET_TSS_ADDR", {"addr": 0xFFFBD000}, 0, None),
        ("ioctl(8, KVM_SET_IDENTITY_MAP_ADDR, 0x7fff0000) = 0", "KVM_SET_IDENTITY_MAP_ADDR", {}, 0, None),
        ("ioctl(8, KVM_SET_IDENTITY_MAP_ADDR, [0xfffbc000]) = 0", "KVM_SET_IDENTITY_MAP_ADDR", {"addr": 0xFFFBC000}, 0,
         None),
        ("ioctl(8, KVM_SET_NR_MMU_PAGES, 0x40) = 0", "KVM_SET_NR_MMU_PAGES", {"nr_pages": 64}, 0, None),
        ("ioctl(8, KVM_ENABLE_CAP, 0x7fff07d19f70) = 0", "KVM_ENABLE_CAP", {}, 0, None),
        ("ioctl(8, KVM_ENABLE_CAP, {cap=KVM_CAP_SPLIT_IRQCHIP, flags=0, args=[24, 0x0]}) = 0", "KVM_ENABLE_CAP",
         {"cap": 121, "flags": 0, "arg0": 24, "arg1": 0}, 0, None),
        ("ioctl(8, KVM_GET_DIRTY_LOG, {slot=3, dirty_bitmap=0x7f}) = -1 ENOENT (No such file or directory)",
         "KVM_GET_DIRTY_LOG", {"slot": 3}, -2, None),
        ("ioctl(8, KVM_CLEAR_DIRTY_LOG, {slot=65537, num_pages=64, first_page=128}) = 0", "KVM_CLEAR_DIRTY_LOG",
         {"slot": 65537, "num_pages": 64, "first_page": 128}, 0, None),
        ("ioctl(8, _IOC(_IOC_READ|_IOC_WRITE, 0xae, 0xd4, 0x40), 0x7ffc) = 12", "KVM_CREATE_GUEST_MEMFD", {}, 12, 12),
        ("ioctl(8, KVM_SET_MEMORY_ATTRIBUTES, {address=0x1000, size=0x2000, attributes=0x8, flags=0}) = 0",
         "KVM_SET_MEMORY_ATTRIBUTES", {"address": 4096, "size": 8192, "attributes": 8, "flags": 0}, 0, None),
        ("ioctl(8, _IOC(_IOC_WRITE, 0xae, 0x49, 0xa0), 0x7ffc) = -1 EINVAL (Invalid argument)",
         "KVM_SET_USER_MEMORY_REGION2", {}, -22, None),
        ("ioctl(8, KVM_SET_USER_MEMORY_REGION2, {slot=2, flags=KVM_MEM_GUEST_MEMFD, guest_phys_addr=0, "
         "memory_size=4096, userspace_addr=0x7f00, guest_memfd_offset=0x1000, guest_memfd=15}) = 0",
         "KVM_SET_USER_MEMORY_REGION2", {"slot": 2, "flags": 4, "guest_phys_addr": 0, "memory_size": 4096,
         "userspace_addr": 0x7F00, "guest_memfd_offset": 4096, "guest_memfd": 15}, 0, None),
        ("ioctl(8, KVM_RUN, 0) = -1 EFAULT (Bad address)", "KVM_RUN", {}, -14, None),
        ("ioctl(8, KVM_IOEVENTFD, 0x7ffc) = -1 EEXIST (File exists)", "KVM_IOEVENTFD", {}, -17, None),
        ("ioctl(8, KVM_IOEVENTFD, 0x7ffc) = 0", "KVM_IOEVENTFD", {}, 0, None),
        ("ioctl(8, KVM_SET_BOOT_CPU_ID, 2) = 0", "KVM_SET_BOOT_CPU_ID", {"vcpu_id": 2}, 0, None),
        ("ioctl(8, _IOC(_IOC_WRITE, 0xae, 0x77, 0x40), 0x7ffc) = -1 ENOENT (No such file or directory)",
         "KVM_CREATE_PIT2", {}, -2, None),
        ("ioctl(9, VFIO_IOMMU_MAP_DMA, 0x7ffc) = -1 EINVAL (Invalid argument)", "VFIO_IOMMU_MAP_DMA", {}, -22, None),
        ("ioctl(9, VHOST_SET_MEM_TABLE, 0x7ffc) = -1 E2BIG (Argument list too long)", "VHOST_SET_MEM_TABLE", {}, -7, None),
        ("munmap(0x7f0000000000, 4096) = 0", "munmap", {"addr": 0x7F0000000000, "length": 4096}, 0, None),
        ("mprotect(0x7f0000000000, 4096, PROT_READ|PROT_WRITE) = 0", "mprotect",
         {"addr": 0x7F0000000000, "length": 4096, "prot": 3}, 0, None),
        ("mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f0000000000", "mmap",
         {"addr": 0, "length": 4096, "prot": 0, "flags": 0x22, "offset": 0}, 0x7F0000000000, None),
        ("mmap(NULL, 99, PROT_READ, MAP_SHARED, 5</a (deleted)>, 0) = -1 ENODEV (No such device)", "mmap",
         {"addr": 0, "length": 99, "prot": 1, "flags": 1, "offset": 0}, -19, None),
        ("mremap(0x1000, 4096, 8192, MREMAP_MAYMOVE) = 0x9000", "mremap",
         {"addr": 4096, "length": 4096, "new_length": 8192}, 0x9000, None),
        ("clone(child_stack=NULL, flags=CLONE_VM|CLONE_THREAD|SIGCHLD, x=1) = 77", "clone", {"flags": 0x10100}, 77, None),
        ("vfork() = 78", "vfork", {}, 78, None),
    ],
)  # fmt: skip
def test_calls(
    line: str, call: str, fields: dict[str, int], result: int, new_fd: int | None
) -> None:
    event = one(line)
    assert (event.call, event.fields, event.result, event.new_fd) == (call, fields, result, new_fd)


@pytest.mark.parametrize(
    "line",
    [
        "ioctl(15, KVM_RUN, 0) = 0",
        "ioctl(15, KVM_RUN, 0) = -1 EINTR (Interrupted system call)",
        "ioctl(0, TCGETS, {c_iflag=ICRNL}) = 0",
        "ioctl(9, DRM_IOCTL_MODE_RMFB, 0x1) = -1 EINVAL (Invalid argument)",
        "close(33) = 0",
        'write(2, "KVM_SET_USER_MEMORY_REGION failed, slot=1, start=0x0, size=0x1: File exists\\n", 80) = 80',
        'read(3, "ioctl(8, KVM_CREATE_VM, 0) = 8", 30) = 30',
        "if (ioctl(vmfd, KVM_SET_USER_MEMORY_REGION, &region) < 0)",
        "ret = ioctl(kvm, KVM_CREATE_VM, 0);",
        "--- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=3995} ---",
        "strace: Process 7449 attached",
        "+++ exited with 124 +++",
    ],
)
def test_what_is_no_call_of_interest(line: str) -> None:
    reading = Reading()
    assert parse_text(line, reading=reading) == []
    assert reading.skipped == {}


def test_runs_are_counted_and_not_told() -> None:
    reading = Reading()
    assert (
        parse_text("ioctl(15, KVM_RUN, 0)     = 0\n" * 100 + PLAIN, reading=reading)[0].fields
        == FIELDS
    )
    assert reading.runs == 100


def test_close_is_told_for_the_fds_of_kvm_only() -> None:
    events = parse_text(
        "ioctl(3, KVM_CREATE_VM, 0) = 8\nclose(7) = 0\nclose(8) = 0\nclose(8) = 0\nclose(9<anon_inode:kvm-vm>) = 0"
    )
    assert [(event.call, event.fd) for event in events] == [
        ("KVM_CREATE_VM", 3),
        ("close", 8),
        ("close", 9),
    ]


def test_unfinished_calls_are_joined_by_thread() -> None:
    head, tail = PLAIN.removesuffix(") = 0"), ") = -1 EEXIST (File exists) <0.000005>"
    text = f"""10 {head} <unfinished ...>
11 ioctl(9, KVM_RUN, 0 <unfinished ...>
12 ioctl(3, KVM_CREATE_VM <unfinished ...>
11 <... ioctl resumed>) = 0
13 <... ioctl resumed>) = 5
12 <... ioctl resumed>, 0) = 14
10 <... futex resumed>) = 0
10 <... ioctl resumed>{tail}
14 {head} <unfinished ...>
"""
    events = parse_text(text)
    assert [(event.call, event.pid, event.result, event.line) for event in events] == [
        ("KVM_CREATE_VM", 12, 14, 3),
        ("KVM_SET_USER_MEMORY_REGION", 10, -17, 1),
        ("KVM_SET_USER_MEMORY_REGION", 14, None, 9),
    ]
    assert events[1].fields == FIELDS


def test_relative_times_add_up_over_all_lines() -> None:
    lines = [
        "     0.000000 " + PLAIN,
        "     0.000100 futex(0x7f, FUTEX_WAKE, 1) = 0",
        "     0.000030 " + PLAIN,
    ]
    assert [event.time_ns for event in parse_text("\n".join(lines))] == [0, 130_000]


def test_midnight_does_not_turn_time_back() -> None:
    events = parse_text(f"23:59:59.5 {PLAIN}\n00:00:00.5 {PLAIN}")
    assert events[1].time_ns is not None
    assert events[0].time_ns is not None
    assert events[1].time_ns - events[0].time_ns == 10**9


@pytest.mark.parametrize(
    ("text", "fields", "result"),
    [
        ("ioctl(KVM_SET_USER_MEMORY_REGION, {slot=1, guest_phys_addr=0x80000000, memory_size=8963072, ...}) = -1 EINVAL",
         {"slot": 1, "guest_phys_addr": 0x80000000, "memory_size": 8963072}, -22),
        ("ioctl(8, KVM_SET_USER_MEMORY_REGION, {slot=1, flags=0, guest_phys_addr=0x1000,", {"slot": 1, "flags": 0,
         "guest_phys_addr": 4096}, None),
        ("ioctl(8, KVM_SET_USER_MEMORY_REGION, {slot=1, guest_phys_addr=0x7f…, memory_size=…}) = 0", {"slot": 1}, 0),
        ("ioctl(8, KVM_SET_USER_MEMORY_REGION, 0x7ffc970f3400) = -1 EFAULT (Bad address)", {}, -14),
        ("ioctl(8, KVM_SET_USER_MEMORY_REGION, {slot: 1, memory_size: 0x2000}) = 0", {"slot": 1, "memory_size": 8192}, 0),
    ],
)  # fmt: skip
def test_edited_by_hand(text: str, fields: dict[str, int], result: int | None) -> None:
    event = one(text)
    assert (event.fields, event.result) == (fields, result)


@pytest.mark.parametrize(
    ("field", "value"),
    [("memory_size", "99999999999999999999999"), ("slot", "4294967296"), ("guest_phys_addr", "-4096"),
     ("guest_phys_addr", "0xzz"), ("userspace_addr", "0x1ffffffffffffffff")],
)  # fmt: skip
def test_numbers_that_cannot_be_are_counted_and_left_out(field: str, value: str) -> None:
    reading = Reading()
    (event,) = parse_text(
        f"ioctl(8, KVM_SET_USER_MEMORY_REGION, {{flags=0, {field}={value}}}) = 0", reading=reading
    )
    assert event.fields == {"flags": 0}
    assert sum(reading.skipped.values()) == 1
    assert field in next(iter(reading.skipped))


def test_several_calls_on_one_line() -> None:
    events = parse_text(f"{PLAIN} {PLAIN.replace('slot=1', 'slot=2')}")
    assert [(event.get("slot"), event.result) for event in events] == [(1, 0), (2, 0)]
