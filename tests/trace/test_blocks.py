"""Warnings of kernels, failed selftests, signs that a VM runs, perf script, machines described in a paste."""

# ruff: noqa: E501 (recorded lines are as long as they are)
from __future__ import annotations

import pytest

from memslots.trace import Event, Reading, parse_text

REGION = "KVM_SET_USER_MEMORY_REGION"

WARNING = """\
[  417.311020][ T8021] ------------[ cut here ]------------
[  417.312000][ T8021] WARNING: CPU: 1 PID: 8021 at mm/util.c:597 kvmalloc_node+0x111/0x120
[  417.313000][ T8021] Modules linked in:
[  417.314000][ T8021] CPU: 1 PID: 8021 Comm: syz-executor.3 Not tainted 5.15.0-rc5-syzkaller #0
[  417.315000][ T8021] RIP: 0010:kvmalloc_node+0x111/0x120
[  417.316000][ T8021] RSP: 0018:ffffc90003fb7b28 EFLAGS: 00010293
[  417.317000][ T8021] RDX: ffff8880236e0000 RSI: ffffffff81a2f3c4 RDI: 0000000000000003
[  417.318000][ T8021] Call Trace:
[  417.318000][ T8021]  kvm_arch_prepare_memory_region+0x48d/0x610
[  417.320000][ T8021]  __kvm_set_memory_region+0xe60/0x1440
[  417.321000][ T8021]  kvm_vm_ioctl+0x51f/0x23d0
[  417.322000][ T8021]  __x64_sys_ioctl+0x193/0x200
[  417.324000][ T8021]  entry_SYSCALL_64_after_hwframe+0x44/0xae
[  417.325000][ T8021] RIP: 0033:0x7f6c1a7a9a39
[  417.326000][ T8021] RSP: 002b:00007f6c17d1f188 EFLAGS: 00000246 ORIG_RAX: 0000000000000010
[  417.327000][ T8021] RAX: ffffffffffffffda RBX: 00007f6c1a8acf60 RCX: 00007f6c1a7a9a39
[  417.328000][ T8021] RDX: 0000000020000080 RSI: 000000004020ae46 RDI: 0000000000000004
[  417.329000][ T8021]  </TASK>
"""


def read(text: str) -> tuple[list[Event], Reading]:
    reading = Reading()
    return parse_text(text, reading=reading), reading


@pytest.mark.parametrize(
    "dress",
    [
        lambda text: text,
        lambda text: "".join(f"> {line}\n" for line in text.splitlines()),
        lambda text: text.replace(" at mm", " at\nmm"),
        lambda text: text.replace("[ T8021]", "").replace("\n", "\r\n"),
        lambda text: "\n".join(
            line.partition("] ")[2].partition("] ")[2] or line for line in text.splitlines()
        ),
    ],
)
def test_the_registers_of_a_warning_tell_the_call(dress: object) -> None:
    (event,), reading = read(dress(WARNING))  # type: ignore[operator]
    assert (event.call, event.fields, event.result, event.fd) == (REGION, {}, None, 4)
    assert (event.pid, event.process, event.format) == (
        8021,
        "syz-executor.3[8021]",
        "kernel-warning",
    )
    assert (reading.release, reading.machine) == ("5.15.0-rc5-syzkaller", "x86_64")
    (note,) = reading.notes
    assert "kvmalloc_node" in note
    assert "mm/util.c:597" in note
    assert "0x4020ae46" in note


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (("ORIG_RAX: 0000000000000010", "ORIG_RAX: 0000000000000001"), "another system call"),
        (("000000004020ae46", "000000004030ae7b"), "a call that is not about memory"),
        (("000000004020ae46", "0000000000005401"), "another device's request"),
        (("RSI: 000000004020ae46 ", ""), "no register"),
        (("RIP: 0033:0x7f6c1a7a9a39", ""), "no frame of the program"),
    ],
)
def test_what_the_registers_do_not_tell_is_not_guessed(changed: tuple[str, str], why: str) -> None:
    (event,), _ = read(WARNING.replace(*changed))
    assert (event.call, event.result) == ("message", None), why


def test_warnings_of_others_are_none_of_ours() -> None:
    text = WARNING.replace("kvm", "ext4").replace("__ext4_set_memory", "x")
    assert read(text)[0] == []
    assert (
        read("WARNING: CPU: 1 PID: 1 at fs/inode.c:1 iput+0x1/0x2\nBUG: soft lockup\n" * 50)[0]
        == []
    )


def test_two_warnings_stay_two() -> None:
    events, _ = read(WARNING + WARNING.replace("8021", "9022"))
    assert [event.pid for event in events] == [8021, 9022]


def test_an_arm64_warning_tells_the_machine() -> None:
    text = (
        "WARNING: CPU: 3 PID: 77 at arch/arm64/kvm/mmu.c:1001 unmap_stage2_range+0x1/0x2\n"
        "CPU: 3 PID: 77 Comm: qemu-system-aar Tainted: G        W          6.8.0-31-generic #31-Ubuntu\n"
        "pc : unmap_stage2_range+0x1/0x2\nCall trace:\n kvm_arch_flush_shadow_memslot+0x3c/0x60\n el0_svc+0x17c/0x238\n"
    )
    (event,), reading = read(text)
    assert event.call == "message"
    assert (reading.release, reading.machine) == ("6.8.0-31-generic", "aarch64")


ASSERTION = """\
Random seed: 0x6b8b4567
==== Test Assertion Failure ====
   {place}: {expression}
   pid=7565 tid=7565 errno={errno} - whatever
      1\t0x000000000040252f: {function} at {place}
      2\t (inlined by) test_with_type at guest_memfd_test.c:231
      3\t0x00000000004020c7: main at guest_memfd_test.c:306
   {message}
"""


@pytest.mark.parametrize(
    ("function", "expression", "errno", "message", "call", "result"),
    [
        ("test_create_guest_memfd_multiple", "fd1 != -1", 22, "memfd creation should succeed", "KVM_CREATE_GUEST_MEMFD", -22),
        ("vm_create_guest_memfd", "fd >= 0", 95, "", "KVM_CREATE_GUEST_MEMFD", -95),
        ("vm_userspace_mem_region_add", "ret == 0", 17, "", REGION, -17),
        ("__vm_create", "vm->fd >= 0", 12, "creating the VM failed", "KVM_CREATE_VM", -12),
        ("vm_vcpu_add", "!ret", 17, "", "KVM_CREATE_VCPU", -17),
        ("kvm_get_mempolicy", "!r", 22, "get_mempolicy failed, rc: -1 errno: 22 (Invalid argument)", "message", -22),
        ("guest_code_check", "val == 3", 4, "unexpected value 7", "message", None),
        ("test_guest_memfd", "fd == -1 && errno == EINVAL", 17, "should fail with EINVAL", "message", None),
        ("main", "ret == 0", 0, "", "message", None),
    ],
)  # fmt: skip
def test_a_failed_assertion(
    function: str, expression: str, errno: int, message: str, call: str, result: int | None
) -> None:
    place = "guest_memfd_test.c:178"
    text = ASSERTION.format(
        place=place, expression=expression, errno=errno, function=function, message=message
    )
    for shown in (
        text,
        text.replace("\n", "\r\n"),
        "".join(f"> {line}\n" for line in text.split("\n")),
    ):
        (event,), reading = read(shown)
        assert (event.call, event.fields, event.result, event.pid) == (call, {}, result, 7565)
        assert event.format == "selftest"
        assert any(place in note for note in reading.notes)


def test_a_message_that_names_the_call_is_read_once() -> None:
    text = ASSERTION.format(
        place="lib/kvm_util.c:952", expression="ret == 0", errno=17, function="vm_userspace_mem_region_add",
        message=f"{REGION} IOCTL failed,\n  rc: -1 errno: 17\n  slot: 1 flags: 0x0\n  guest_phys_addr: 0xc0000000 size: 0x40000000",
    )  # fmt: skip
    (event,), _ = read(text)
    assert event.result == -17
    assert event.fields == {
        "slot": 1,
        "flags": 0,
        "guest_phys_addr": 0xC0000000,
        "memory_size": 0x40000000,
    }


def test_qemus_lines_show_that_a_vcpu_runs() -> None:
    text = (
        "5@1578573121.242431:kvm_run_exit cpu_index 0, reason 19\n"
        "> 5@1578573121.242454:kvm_vcpu_ioctl cpu_index 0, type 0x2000ae80,\n> arg (nil)\n"
        "kvm_vcpu_ioctl cpu_index 1, type 0xae80, arg (nil)\nkvm_vcpu_ioctl cpu_index 2, type 0x4020aeae, arg 0x7f\n"
        "5@1578573121.253111:kvm_run_exit cpu_index 1, reason 2\n"
    )
    events, reading = read(text)
    assert [(event.call, event.fields, event.result) for event in events] == [
        ("KVM_RUN", {"cpu_index": 0}, 0), ("KVM_RUN", {"cpu_index": 1}, None),
    ]  # fmt: skip
    assert reading.runs == 2


def test_a_sign_far_down_in_a_trace_is_seen() -> None:
    text = "7@1578573121.000001:kvm_irqchip_commit_routes \n" * 2000 + (
        "7@1578573121.242431:kvm_run_exit cpu_index 3, reason 2\n" * 3000
    )
    events, reading = read(text)
    assert [event.fields for event in events] == [{"cpu_index": 3}]
    assert reading.runs >= 3000


def test_perf_script() -> None:
    text = (
        " qemu-system-x86 31719/31720 [003] 12345.678901: syscalls:sys_enter_ioctl: fd: 0x00000009, cmd: 0x4020ae46, arg: 0x7ffc00000000\n"
        " qemu-system-x86 31719/31720 [003] 12345.678951:  syscalls:sys_exit_ioctl: 0xffffffffffffffea\n"
        " CPU 0/KVM 31721 [002] 12345.679901:     kvm:kvm_entry: vcpu 0, rip 0xfff0\n"
        " CPU 0/KVM 31721 [002] 12345.679902:     kvm:kvm_entry: vcpu 0, rip 0xfff0\n"
        "[001]   770.850316:             kvm:kvm_userspace_exit: reason KVM_EXIT_SHUTDOWN (8)\n"
        "flint 123 [008] 1.000000: raw_syscalls:sys_enter: NR 16 (8, ae01, 0, 0, 0, 0)\n"
        "flint 123 [008] 1.000100: raw_syscalls:sys_exit: NR 16 = 12\n"
    )
    events, reading = read(text)
    assert [(event.call, event.result, event.pid, event.fd) for event in events] == [
        (REGION, -22, 31720, 9), ("KVM_RUN", None, 31721, None), ("KVM_RUN", None, None, None),
        ("KVM_CREATE_VM", 12, 123, 8),
    ]  # fmt: skip
    assert events[0].time_ns == 12345678901000
    assert reading.formats == {"perf-script": 4}
    assert reading.runs == 1


def test_what_a_paste_says_of_the_machine_is_noted() -> None:
    text = "I start it so:\n\n$QEMU_BIN -enable-kvm \\\n   -m 8G,slots=5,maxmem=10G \\\n   -machine q35\n\nand it fails\n"
    _, reading = read(text)
    (note,) = reading.notes
    assert "q35, 8 GiB of RAM, maxmem 10 GiB" in note
    text = "<domain type='kvm'><memory unit='GiB'>4</memory>\n<os><type arch='aarch64' machine='virt-6.2'>hvm</type></os></domain>"
    _, reading = read(text)
    (note,) = reading.notes
    assert "virt (aarch64), 4 GiB" in note


def test_an_error_beside_a_command_line_is_read() -> None:
    events, _ = read(
        f"qemu-system-x86_64 -m 8G -enable-kvm says: {REGION} failed, slot=4, start=0x0, size=0x1000: File exists\n"
    )
    assert [event.result for event in events] == [-17]


@pytest.mark.parametrize(
    "line",
    [
        "BUG: x\n",
        "WARNING: CPU: 1 PID: 1 at kvm.c:1 kvm_x+0x1/0x2\n",
        "<domain type='kvm'>\n",
        "==== Test Assertion Failure ====\nkvm_a.c:1: ret\n",
        "qemu-system-x86_64 -m 1 \\\n",
        "ioctl$KVM_CREATE_VM(r0,\n",
        "syscall(__NR_ioctl, r[1], 0xae01,\n",
        "*(uint64_t*)0x20000000 = 1\n",
    ],
)
def test_a_line_that_begins_a_block_on_every_line(
    line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work grows with the lines: how many lines are looked at ahead is counted."""
    from memslots.trace.lines import Lines

    peek = Lines.peek
    seen = 0

    def counted(self: Lines, count: int) -> list[bytes]:
        nonlocal seen
        found = peek(self, count)
        seen += len(found)
        return found

    monkeypatch.setattr(Lines, "peek", counted)
    read(line * 1000)
    assert seen <= 30 * line.count("\n") * 1000


def test_names_of_machines_hold_nothing_that_a_terminal_obeys() -> None:
    from memslots.trace.command_line import machine_of_command_line
    from memslots.trace.libvirt_domain import machine_of_domain

    domain = "<domain type='kvm'><name>a\x85b</name><memory unit='GiB'>4</memory></domain>"
    assert machine_of_domain(domain).name == "a?b"
    line = "qemu-system-x86_64 -accel kvm -m 4G -name 'guest=a\x1b[31mb'"
    assert machine_of_command_line(line).name == "a?[31mb"
