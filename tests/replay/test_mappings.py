"""Memory that disappears from below a slot."""

# ruff: noqa: E501 (texts and recorded lines are as long as they are)
from __future__ import annotations

import pytest

from memslots.explain.analysis import Analysis

MADE = """\
100 ioctl(3, KVM_CREATE_VM, 0) = 4
100 mmap(NULL, 16777216, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f0000000000
100 ioctl(4, KVM_SET_USER_MEMORY_REGION, {slot=3, flags=0, guest_phys_addr=0x1000, memory_size=8388608, \
userspace_addr=0x7f0000000000}) = 0
"""
USED = "100 ioctl(4, KVM_CREATE_VCPU, 0) = 9\n"
DELETED = """\
100 ioctl(4, KVM_SET_USER_MEMORY_REGION, {slot=3, flags=0, guest_phys_addr=0x1000, memory_size=0, \
userspace_addr=0x7f0000000000}) = 0
"""


def severity(text):
    """Of the finding; None if there is none."""
    analysis = Analysis(text.encode()).finish()
    finding = analysis.watch.findings.get(("VM 1", "backing-unmapped"))
    return finding and finding.severity


@pytest.mark.parametrize(
    "call",
    [
        "munmap(0x7f0000000000, 16777216) = 0",
        "munmap(0x7f00007ff000, 4096) = 0",
        "mprotect(0x7f0000000000, 4096, PROT_NONE) = 0",
        "mremap(0x7f0000000000, 16777216, 33554432, MREMAP_MAYMOVE) = 0x7e0000000000",
        "mremap(0x7f0000000000, 16777216, 4096, 0) = 0x7f0000000000",
    ],
)
def test_memory_taken_away(call):
    assert severity(f"{MADE}101 {call}\n{USED}") == "warning"
    # nothing but the end of the VM follows
    assert severity(f"{MADE}101 {call}\n") == "note"
    assert severity(f"{MADE}101 {call}\n{DELETED}{USED}") == "note"
    assert severity(f"{MADE}{DELETED}101 {call}\n{USED}") is None


@pytest.mark.parametrize(
    "call",
    [
        "munmap(0x7f0000000000, 16777216) = -1 EINVAL (Invalid argument)",
        "munmap(0x7f0000800000, 4096) = 0",
        "munmap(0x7effffff0000, 65536) = 0",
        "mprotect(0x7f0000000000, 4096, PROT_READ) = 0",
        "mremap(0x7f0000000000, 8388608, 16777216, 0) = 0x7f0000000000",
        "munmap(0x7f0000000000, 18446744073709551615) = 0",
    ],
)
def test_memory_left_alone(call):
    assert severity(f"{MADE}101 {call}\n{USED}") is None


def test_memory_put_back():
    taken = "101 munmap(0x7f0000000000, 16777216) = 0\n"
    back = "101 mmap(0x7f0000000000, 16777216, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_FIXED, -1, 0) = 0x7f0000000000\n"
    assert severity(MADE + taken + back + USED) == "note"


def test_the_memory_of_a_child_is_its_own():
    child = "100 fork() = 200\n200 munmap(0x7f0000000000, 16777216) = 0\n"
    assert severity(MADE + child + USED) is None
    thread_of_the_child = (
        "100 clone(child_stack=NULL, flags=CLONE_CHILD_SETTID|SIGCHLD) = 200\n"
        "200 clone(child_stack=0x1, flags=CLONE_VM|CLONE_THREAD) = 201\n"
        "201 munmap(0x7f0000000000, 16777216) = 0\n"
    )
    assert severity(MADE + thread_of_the_child + USED) is None
    thread = "100 clone(child_stack=0x1, flags=CLONE_VM|CLONE_THREAD) = 201\n201 munmap(0x7f0000000000, 4096) = 0\n"
    assert severity(MADE + thread + USED) == "warning"
