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
