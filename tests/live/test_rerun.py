"""Recorded calls on the kernel under us."""

from __future__ import annotations

from requires import requires

from memslots.trace import parse_text

pytestmark = requires("kvm")


def test_processes_with_their_vms_on_one_descriptor_number_are_kept_apart():
    from memslots.live.rerun import run

    region = "ioctl(9, KVM_SET_USER_MEMORY_REGION, {{slot={slot}, flags=0, guest_phys_addr={gpa:#x}, memory_size=8192, userspace_addr=0x7f0000000000}}) = {result}"  # noqa: E501
    lines = [f"{pid} ioctl(3, KVM_CREATE_VM, 0) = 9" for pid in (100, 200)]
    for pid, gpa in ((100, 0), (200, 0), (100, 0x10000), (200, 0x20000)):
        lines.append(f"{pid} " + region.format(slot=0, gpa=gpa, result=0))
    lines.append("100 " + region.format(slot=1, gpa=0x20000, result=0))
    lines.append("200 " + region.format(slot=1, gpa=0x20000, result="-1 EEXIST (File exists)"))
    events = list(parse_text("\n".join(lines)))
    for event in events:
        event.process = f"qemu[{event.pid}]"  # as recorders say it
    answered = list(run(events))
    assert [each.result is not None for each in answered] == [True] * len(events)
    assert not any(each.differs for each in answered)


def test_the_budget_is_that_of_the_run_and_counts_dirty_rings():
    from memslots.live.rerun import run

    lines = []
    for number in range(4):
        fd = 10 + number
        lines += [
            f"ioctl(3, KVM_CREATE_VM, 0) = {fd}",
            f"ioctl({fd}, KVM_SET_USER_MEMORY_REGION, {{slot=0, flags=0, guest_phys_addr=0, "
            "memory_size=4294967296, userspace_addr=0x7f0000000000}) = 0",
        ]
    lines += [f"ioctl(10, KVM_CREATE_VCPU, {number}) = {20 + number}" for number in range(200)]
    answered = list(run(parse_text("\n".join(lines)), budget_bytes=30 << 20))
    made = [each.event.call for each in answered if each.result is not None]
    assert made.count("KVM_SET_USER_MEMORY_REGION") == 2  # 11 MiB each
    assert made.count("KVM_CREATE_VCPU") < 200
    assert all("budget" in each.note for each in answered if each.result is None)


def test_a_slot_that_goes_gives_its_share_back():
    from memslots.live.rerun import run

    region = (
        "ioctl({fd}, KVM_SET_USER_MEMORY_REGION, {{slot=0, flags=0, guest_phys_addr=0, "
        "memory_size={size}, userspace_addr=0x7f0000000000}}) = 0"
    )
    lines = ["ioctl(3, KVM_CREATE_VM, 0) = 10", "ioctl(3, KVM_CREATE_VM, 0) = 11"]
    sizes = [(10, 4 << 30), (11, 4 << 30), (10, 0), (11, 4 << 30)]
    lines += [region.format(fd=fd, size=size) for fd, size in sizes]
    answered = list(run(parse_text("\n".join(lines)), budget_bytes=14 << 20))
    assert [each.result for each in answered[2:]] == [0, None, 0, 0]
