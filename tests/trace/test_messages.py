"""Error messages, QEMU's traces, other recorders, and what mailers do to them."""

# ruff: noqa: E501 (recorded lines are as long as they are)
from __future__ import annotations

import pytest

from memslots.trace import Event, Reading, parse_text
from memslots.trace.decode import errno_in

REGION = "KVM_SET_USER_MEMORY_REGION"


def one(text: str) -> Event:
    (event,) = parse_text(text)
    return event


QEMU = "kvm_set_user_memory_region: KVM_SET_USER_MEMORY_REGION failed, slot=4, start=0xc0000, size=0xbff40000: File exists"
QEMU_FIELDS = {"slot": 4, "guest_phys_addr": 0xC0000, "memory_size": 0xBFF40000}


@pytest.mark.parametrize(
    "text",
    [
        QEMU,
        "qemu-system-x86_64: " + QEMU,
        "2022-02-15T07:25:34.051320Z qemu-system-x86_64: " + QEMU,
        "2023-03-14 10:09:18.198+0000: 1972: error : " + QEMU,
        "> > " + QEMU,
        "\x1b[31m" + QEMU + "\x1b[0m",
        "<p><code>" + QEMU + "</code></p>",
        "`" + QEMU + "`",
        "| " + QEMU + " |",
        QEMU.replace("slot=4, ", "slot=4,   "),
        QEMU.replace(", size", ",\nsize"),
        QEMU.replace(", size", ",\n> size"),
        QEMU.replace("failed, ", "failed,\n    "),
        QEMU.replace("File exists", "File\nexists"),
        QEMU.replace("=", "=3D"),
        QEMU.replace("=", "=3D").replace("size", "si=\nze"),
        QEMU.replace("\n", "\r\n") + "\r\n",
        '{"component":"virt-launcher","level":"error","msg":"qemu-kvm: ' + QEMU + '","pos":"x:1"}',
        'compute {"msg":"qemu-kvm: ' + QEMU + '","pos":"x:1"}',
        '{"log":"' + QEMU + '\\n","stream":"stderr","time":"2021-07-01T00:00:00Z"}',
        '{"log":"{\\"message\\": \\"' + QEMU + '\\"}"}',
        "Message='internal error: qemu unexpectedly closed the monitor: x: warning: y\\n2022Z q: "
        + QEMU
        + "')",
        "\ufeff" + QEMU,
        "\x00\x01" + QEMU,
    ],
)
def test_qemus_message_in_any_wrapping(text: str) -> None:
    event = one(text)
    assert (event.call, event.fields, event.result) == (REGION, QEMU_FIELDS, -17)
    assert event.format == "message"


def test_the_process_is_taken_from_the_journal() -> None:
    event = one("May 01 10:01:37 host QEMU[1972]: " + QEMU)
    assert (event.pid, event.process) == (1972, "QEMU[1972]")


@pytest.mark.parametrize(
    ("text", "call", "fields", "result"),
    [
        ("x: kvm_set_user_memory_region: KVM_SET_USER_MEMORY_REGION2 failed, slot=65536, start=0x0, size=0x80000000, "
         "flags=0x4, guest_memfd=15, guest_memfd_offset=0xa0000: Invalid argument", REGION + "2",
         {"slot": 65536, "guest_phys_addr": 0, "memory_size": 0x80000000, "flags": 4, "guest_memfd": 15,
          "guest_memfd_offset": 0xA0000}, -22),
        ("kvm_set_phys_mem: error registering slot: Invalid argument", REGION, {}, -22),
        ("kvm_set_phys_mem: error unregistering slot: Input/output error", REGION, {}, -5),
        ("kvm_set_phys_mem: error registering slot: Inappropriate ioctl for device", REGION, {}, -25),
        ("kvm_log_clear_one_slot: KVM_CLEAR_DIRTY_LOG failed, slot=3, start=0x40, size=0x80, errno=-2",
         "KVM_CLEAR_DIRTY_LOG", {"slot": 3, "first_page": 64, "num_pages": 128}, -2),
        ("  KVM_SET_USER_MEMORY_REGION failed, rc: -1 errno: 5 (Input/output error)", REGION, {}, -5),
        ("KVM_SET_USER_MEMORY_REGION IOCTL failed,\n  rc: -1 errno: 17\n  slot: 10 flags: 0x1\n"
         "  guest_phys_addr: 0x10000 size: 0x2000", REGION,
         {"slot": 10, "flags": 1, "guest_phys_addr": 0x10000, "memory_size": 0x2000}, -17),
        ("KVM: KVM_SET_USER_MEMORY_REGION: Invalid argument", REGION, {}, -22),
        ("Internal(Vm(SetUserMemoryRegion(Error(22))))", REGION, {}, -22),
        ("VmBoot(AllocateFirmwareMemory(CreateUserMemoryRegion(CreateUserMemory(Invalid argument (os error 22)))))",
         REGION, {}, -22),
        ("Cannot set the memory regions: SetUserMemoryRegion(Os { code: 17, kind: AlreadyExists, message: \"File exists\" })",
         REGION, {}, -17),
        ("UpdateRegion(MapMemory(Hypervisor(KvmError(Error(17)))))", "message", {}, -17),
        ("Hypervisor error: KVM error: File exists (os error 17)", "message", {}, -17),
        ("Internal(Vm(CreateGuestMemfd(Error(13))))", "KVM_CREATE_GUEST_MEMFD", {}, -13),
        ("kvm_userspace_memory_region { slot: 3, flags: 0, guest_phys_addr: 4096, memory_size: 8192, userspace_addr: 7 }",
         REGION, {"slot": 3, "flags": 0, "guest_phys_addr": 4096, "memory_size": 8192, "userspace_addr": 7}, None),
        ("kvm_userspace_memory_region {\n    slot: 3,\n    flags: 0,\n    guest_phys_addr: 4096,\n    memory_size: 8192,\n"
         "    userspace_addr: 7,\n}", REGION,
         {"slot": 3, "flags": 0, "guest_phys_addr": 4096, "memory_size": 8192, "userspace_addr": 7}, None),
        ("KVM: map slot=1 flags=2 dosaddr=0x20200000 size=0x00417000 unixaddr=0x7f5800000000", REGION,
         {"slot": 1, "flags": 2, "guest_phys_addr": 0x20200000, "memory_size": 0x417000, "userspace_addr": 0x7F5800000000}, 0),
        ("ch: 36.8ms: <vmm> INFO:x.rs:1190 -- Created userspace mapping: 40000000 -> 7f9664000000 80000000", REGION,
         {"guest_phys_addr": 0x40000000, "memory_size": 0x80000000, "userspace_addr": 0x7F9664000000}, 0),
        ("Guest memory host_addr=0x300000000 guest_addr=40000000 len=3ff00000", "message",
         {"guest_phys_addr": 0x40000000, "memory_size": 0x3FF00000, "userspace_addr": 0x300000000}, None),
        ("I0922 07:29:08.4  15 x:0] region: virtual [15c00000,400e800000)", "message",
         {"userspace_addr": 0x15C00000, "memory_size": 0x3FF8C00000}, None),
        ("fatal: Failed to setup KVM memory region", "message", {}, None),
        # what is no memory slot's fault
        ("Cannot register ioevent: EEXIST", "KVM_IOEVENTFD", {}, -17),
        ("q: kvm_mem_ioeventfd_add: error adding ioeventfd: No space left on device (28)", "KVM_IOEVENTFD", {}, -28),
        ("q: -device vfio-pci,host=0000:af:00.0: VFIO_MAP_DMA failed: Cannot allocate memory", "VFIO_IOMMU_MAP_DMA", {}, -12),
        ("Region pc.ram: vfio_dma_map(0x55c8, 0x100000000, 0x79c00000, 0x7fe0) = -17 (File exists)", "VFIO_IOMMU_MAP_DMA", {},
         -17),
        ("vfio_container_dma_map (0x56, 0xfffc0000, 0x40000, 0x7f) = -2 (No such file or directory)", "VFIO_IOMMU_MAP_DMA",
         {}, -2),
        ("ioctl(KVM_CREATE_VM) failed: 12 Cannot allocate memory", "KVM_CREATE_VM", {}, -12),
        ("ioctl(KVM_CREATE_VM) failed: 16", "KVM_CREATE_VM", {}, -16),
        ("KVM_SET_USER_MEMORY_REGION failed with error 17", REGION, {}, -17),
        ("KVM_SET_USER_MEMORY_REGION ioctl failed: -EINVAL", REGION, {}, -22),
        ("q: failed to initialize kvm: Cannot allocate memory", "KVM_CREATE_VM", {}, -12),
        ("Cannot create VMM: Error opening VM fd: VmFd(Os { code: 12, kind: Other, message: \"Out of memory\" })",
         "KVM_CREATE_VM", {}, -12),
        ("Could not access KVM kernel module: Permission denied", "open", {}, -13),
        ("q: failed to initialize kvm: Permission denied", "open", {}, -13),
        ("'Error creating the Kvm object: Error(2)', src/vmm/src/linux/vstate.rs:340:30", "open", {}, -2),
        ("error: kvm run failed Bad address", "KVM_RUN", {}, -14),
        ("ERROR: KVM: KVM_RUN failed: Cannot allocate memory", "KVM_RUN", {}, -12),
        ("VcpuRun(Error(14))", "KVM_RUN", {}, -14),
        ("vhost_set_mem_table failed: Argument list too long (7)", "VHOST_SET_MEM_TABLE", {}, -7),
        ("q: sev_ram_block_added: failed to register region (0x7f+0x8) error 'Cannot allocate memory'",
         "KVM_MEMORY_ENCRYPT_REG_REGION", {}, -12),
        ("qemu-kvm: hypervisor has no free memory slots left", "message", {}, None),
        ("ERROR: KVM: insufficient number of memory slots 40", "message", {}, None),
        ("q: cannot set up guest memory 'pc.ram': Cannot allocate memory", "message", {}, -12),
        ("q: unable to map backing store for guest RAM: Cannot allocate memory", "message", {}, -12),
        ("q: Address space limit 0xffffffffff < 0x20ffbfffffff phys-bits too low (40)", "message", {}, None),
    ],
)  # fmt: skip
def test_messages(text: str, call: str, fields: dict[str, int], result: int | None) -> None:
    event = one(text)
    assert (event.call, event.fields, event.result) == (call, fields, result)


@pytest.mark.parametrize(
    "text",
    [
        "As you can see KVM_SET_USER_MEMORY_REGION is called twice, see https://example.org/kvm",
        "struct kvm_userspace_memory_region {\n\t__u32 slot;\n\t__u32 flags;\n\t__u64 guest_phys_addr;\n};",
        "cloud-hypervisor: 154.505510ms: <vmm> ERROR: vfio-ioctls/src/vfio_device.rs:786 -- Could not get region #8 info",
        "vfio_listener_region_add_ram region_add [ram] 0xfebd1000 - 0xfebd1fff [0x7fa916d1c000]",
        "Connection refused (os error 111)",
        "Found PCI device vendor=8086 device=d57 in slot=0",
        "int kvm_set_user_memory_region(KVMSlot *slot)",
        "shutting down, reason=crashed",
    ],
)
def test_what_is_no_message(text: str) -> None:
    reading = Reading()
    assert parse_text(text, reading=reading) == []
    assert reading.skipped == {}


TRACE = "flags=0x2 gpa=0xc0000 size=0x20000 ua=0x7f0000000000"
TRACED = {
    "slot": 3,
    "flags": 2,
    "guest_phys_addr": 0xC0000,
    "memory_size": 0x20000,
    "userspace_addr": 0x7F0000000000,
}


@pytest.mark.parametrize(
    ("text", "change", "result"),
    [
        (f"kvm_set_user_memory Slot#3 {TRACE} ret=0", {}, 0),
        (f"kvm_set_user_memory Slot#65539 {TRACE} ret=-17", {"slot": 0x10003}, -17),
        (f"kvm_set_user_memory AddrSpace#0 Slot#3 {TRACE} ret=0", {}, 0),
        (f"kvm_set_user_memory AddrSpace#1 Slot#3 {TRACE} ret=-22", {"slot": 0x10003}, -22),
        (f"kvm_set_user_memory AddrSpace#0 Slot#3 {TRACE} ret=0 restricted_fd=-1 restricted_offset=0x0", {}, 0),
        (f"kvm_set_user_memory AddrSpace#0 Slot#3 {TRACE} guest_memfd=-1 guest_memfd_offset=0x0 ret=0", {}, 0),
        ("kvm_set_user_memory 12.345 pid=7 as_id=0x0 slot=0x3 flags=0x2 guest_phys_addr=0xc0000 memory_size=0x20000 "
         "userspace_addr=0x7f0000000000 ret=0xffffffea", {}, -22),
        (f"kvm_set_user_memory Slot#3 {TRACE}\nret=-17", {}, -17),
        (f"kvm_set_user_memory Slot#3 {TRACE}", {}, None),
    ],
)  # fmt: skip
def test_trace_events_of_all_generations(
    text: str, change: dict[str, int], result: int | None
) -> None:
    event = one(text)
    assert (event.call, event.fields, event.result, event.format) == (
        REGION,
        TRACED | change,
        result,
        "qemu-trace",
    )


def test_a_slot_of_a_guest_memfd_is_made_by_the_second_call() -> None:
    event = one(
        f"kvm_set_user_memory AddrSpace#0 Slot#3 {TRACE} guest_memfd=15 guest_memfd_offset=0x1000 ret=0"
    )
    assert event.call == REGION + "2"
    assert event.fields == TRACED | {"guest_memfd": 15, "guest_memfd_offset": 0x1000}


def test_thread_and_time_of_a_trace_line() -> None:
    event = one(f"31675@1795363786.121528:kvm_set_user_memory Slot#3 {TRACE} ret=0")
    assert (event.pid, event.time_ns) == (31675, 1795363786121528000)


def test_a_region_call_traced_twice_is_one_event_and_an_untraced_delete_another() -> None:
    pointer = "kvm_vm_ioctl type 0x4020ae46, arg 0x7ffc"
    events = parse_text(
        f"{pointer}\n{pointer}\nkvm_set_user_memory Slot#3 {TRACE} ret=0\n{pointer}\n"
    )
    assert [(event.call, event.fields, event.line) for event in events] == [
        (REGION, {}, 1), (REGION, TRACED, 3), (REGION, {}, 4),
    ]  # fmt: skip


def test_other_trace_events() -> None:
    events = parse_text(
        "kvm_ioctl type 0xae01, arg (nil)\nkvm_ioctl type 0xae03, arg 0xa\nkvm_vm_ioctl type 0xae60, arg (nil)\n"
        "kvm_vm_ioctl type 0xae41, arg (nil)\nkvm_init_vcpu index: 0 id: 0\nkvm_run_exit cpu_index 0, reason 2\n"
        "kvm_convert_memory start 0x1000 size 0x2000 shared_to_private\n"
        "kvm_clear_dirty_log slot#3 start 0x40 size 0x80\n"
    )
    assert [(event.call.removeprefix("KVM_"), event.fields) for event in events] == [
        ("CREATE_VM", {"type": 0}), ("CHECK_EXTENSION", {"cap": 10}), ("CREATE_IRQCHIP", {}),
        ("CREATE_VCPU", {"vcpu_id": 0}), ("RUN", {"cpu_index": 0}),
        ("SET_MEMORY_ATTRIBUTES", {"address": 0x1000, "size": 0x2000, "attributes": 8, "flags": 0}),
        ("CLEAR_DIRTY_LOG", {"slot": 3, "first_page": 64, "num_pages": 128}),
    ]  # fmt: skip
    assert one("kvm_init_vcpu index: 1 id: 1").fields == {"vcpu_id": 1}


def test_bpf() -> None:
    event = one(
        "1751910277856 CPU 0/KVM 540/542 fd=8 slot=65536 flags=0x1 gpa=0x0 size=0x1000 hva=0x7f00 ret=-17"
    )
    assert (event.fd, event.pid, event.process, event.time_ns, event.result) == (
        8,
        542,
        "process 540",
        1751910277856,
        -17,
    )
    assert event.fields == {
        "slot": 65536,
        "flags": 1,
        "guest_phys_addr": 0,
        "memory_size": 4096,
        "userspace_addr": 0x7F00,
    }


def test_perf_and_ftrace() -> None:
    events = parse_text("""
     0.113 ( 0.326 ms): timeout/31719 ioctl(fd: 4, cmd: KVM_CREATE_VM)                            = 9
    19.921 ( 0.119 ms): qemu-system-x8/31719 ioctl(fd: 9, cmd: KVM_SET_USER_MEMORY_REGION, arg: 0x7ffca4746a20) = -1 EEXIST (File exists)
  qemu-31719 [001] ...1.  1234.567890: sys_enter_ioctl: fd: 0x0000000e, cmd: 0x4020ae46, arg: 0x7ffca4746a20
  qemu-31719 [001] ...1.  1234.567999: sys_exit_ioctl: 0xffffffffffffffef
 CPU 0/KVM-777 [000] 99.000001: raw_syscalls:sys_enter: NR 16 (3, ae01, 0, 0, 0, 0)
 CPU 0/KVM-777 [000] 99.000002: raw_syscalls:sys_exit: NR 16 = 14
""")
    assert [(e.call, e.fields, e.result, e.fd, e.pid, e.time_ns, e.new_fd) for e in events] == [
        ("KVM_CREATE_VM", {"type": 0}, 9, 4, 31719, 113000, 9),
        (REGION, {}, -17, 9, 31719, 19921000, None),
        (REGION, {}, -17, 14, 31719, 1234567890000, None),
        ("KVM_CREATE_VM", {"type": 0}, 14, 3, 777, 99000001000, 14),
    ]


def test_a_paste_with_prose_and_several_formats() -> None:
    text = f"""Hi all,

I get a failure with QEMU 8.2 on 6.1. This is what strace says:

```
[pid 7] ioctl(8, KVM_SET_USER_MEMORY_REGION, {{slot=1, flags=0, guest_phys_addr=0x1000,
memory_size=8192, userspace_addr=0x7f0000001000}}) = 0
```

and the log, with `-trace kvm_set_user_memory`:

> kvm_set_user_memory AddrSpace#0 Slot#3 {TRACE} ret=-17
> qemu-system-x86_64: {QEMU}

Rust people see "Internal(Vm(SetUserMemoryRegion(Error(22))))" instead.

Thanks, A.
"""
    reading = Reading()
    events = parse_text(text, reading=reading)
    assert [(event.format, event.result) for event in events] == [
        ("strace", 0), ("qemu-trace", -17), ("message", -17), ("message", -22),
    ]  # fmt: skip
    assert reading.formats == {"strace": 1, "qemu-trace": 1, "message": 2}
    assert events[0].fields["memory_size"] == 8192


@pytest.mark.parametrize(
    "damage", ["quoted-printable", "html", "html twice", "quoted", "wrapped", "narrow"]
)
def test_a_damaged_strace_line(damage: str) -> None:
    line = ("[pid  7] ioctl(8<anon_inode:kvm-vm>, KVM_SET_USER_MEMORY_REGION, {slot=1, flags=KVM_MEM_READONLY|0x8, "
            "guest_phys_addr=0x1000, memory_size=8192, userspace_addr=0x7f0000001000}) = -1 EEXIST (File exists)")  # fmt: skip
    if damage == "quoted-printable":
        encoded = line.replace("=", "=3D")
        line = "=\n".join(encoded[i : i + 75] for i in range(0, len(encoded), 75))
    elif damage.startswith("html"):
        line = "<p>" + line.replace("<", "&lt;").replace(">", "&gt;") + "<br/>bye</p>"
        line = line.replace("&", "&amp;") if damage.endswith("twice") else line
        line = line.replace("<p>", '<p class="a">')
    elif damage == "quoted":
        line = "\n".join("> > " + part for part in line.replace(", ", ",\n").split("\n"))
    elif damage == "wrapped":
        line = line.replace(", ", ",\n  ").replace("= -1", "=\n-1")
    else:
        line = "\n".join(line[i : i + 40] for i in range(0, len(line), 40))
    event = one(line)
    assert event.fields == {
        "slot": 1, "flags": 10, "guest_phys_addr": 0x1000, "memory_size": 8192, "userspace_addr": 0x7F0000001000,
    }  # fmt: skip
    assert (event.result, event.fd, event.pid) == (-17, 8, 7)


@pytest.mark.parametrize(
    ("said", "errno"),
    [
        ("Argument invalide", 22),
        ("Das Argument ist ungültig", 22),
        ("无效的参数", 22),
        ("Le fichier existe", 17),
        ("ファイルが存在します", 17),
        ("Nicht genügend Hauptspeicher verfügbar", 12),
    ],
)
def test_a_message_of_qemu_in_any_language_of_the_c_library(said, errno):
    line = (
        "qemu-kvm: kvm_set_user_memory_region: KVM_SET_USER_MEMORY_REGION failed, slot=33, "
        f"start=0x4000000000, size=0x40000000: {said}"
    )
    (event,) = parse_text(line)
    assert event.result == -errno
    assert event.fields == {
        "slot": 33, "guest_phys_addr": 0x4000000000, "memory_size": 0x40000000,
    }  # fmt: skip


def test_of_a_command_line_only_the_lines_that_go_on_are_looked_at() -> None:
    from memslots.trace.command_line import CommandLine

    asked: list[int] = []

    def ahead(most: int) -> list[str]:
        asked.append(most)
        return ["-smp 2 \\", "-object x", *["and other lines"] * 400][:most]

    reading = Reading()
    CommandLine(reading, ahead).parse("qemu-system-x86_64 -m 8G \\", 1, final=True)
    assert sum(asked) <= 8
    assert "8 GiB" in reading.notes[0]


@pytest.mark.parametrize(
    ("line", "size", "result"),
    [
        ("add failed: slot=7 gpa=0x1c0000000 size=64MiB hva=0x7f12c8000000: invalid argument",
         64 << 20, -22),
        ("map: slot=3 gpa=0x1000 size=0x2000 hva=0x7f12c8000000 -> EEXIST", 0x2000, -17),
        ("1 vmm 9/9 fd=5 slot=0 gpa=0x0 size=0x1000 hva=0x7f0000000000 ret=-17", 0x1000, -17),
        ("1 vmm 9/9 fd=5 slot=0 gpa=0x0 size=0x1000 hva=0x7f0000000000", 0x1000, None),
    ],
)  # fmt: skip
def test_arguments_of_a_log_with_an_error_are_a_refusal(line, size, result):
    (event,) = parse_text(line)
    assert (event.fields["memory_size"], event.result) == (size, result)


@pytest.mark.parametrize(
    "text",
    ["failed: -22", "failed with -22", "failed (-22)", "returned -22", "error -22", "ret=-22",
     "rc -22", "err = -22", "status -22", "os error 22", "errno 22", "errno: -22", "(22) = -22"],
)  # fmt: skip
def test_an_errno_as_a_number(text):
    assert errno_in(text) == 22


@pytest.mark.parametrize("text", ["failed: -1", "returned -1", "ret=-1", "failed 22 times", "= 22"])
def test_a_number_that_is_no_errno(text):
    assert errno_in(text) is None


@pytest.mark.parametrize(
    ("text", "call"),
    [("VFIO_MAP_DMA failed: 22", "VFIO_IOMMU_MAP_DMA"),
     ("KVM_CREATE_VCPU failed with error 22", "KVM_CREATE_VCPU"),
     ("KVM_SET_USER_MEMORY_REGION failed with error code (22)", REGION)],
)  # fmt: skip
def test_a_bare_number_behind_what_failed_is_its_errno(text, call):
    assert (one(text).call, one(text).result) == (call, -22)


def test_minus_one_behind_what_failed_is_no_errno():
    assert not parse_text("KVM_CREATE_VM failed: -1")
