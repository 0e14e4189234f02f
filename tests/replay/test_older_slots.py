"""Recordings that begin when the VM is already there: what works tells of slots that nobody saw
made.
"""

from __future__ import annotations

import pytest
from strace_lines import MIB, RAM, region, vm

from memslots.explain.analysis import Analysis

DELETE = region(3, 0xFD000000, 0)
GET_LOG = "ioctl(4, KVM_GET_DIRTY_LOG, {slot=3, dirty_bitmap=0x7f0000000000}) = 0"
CLEAR_LOG = (
    "ioctl(4, KVM_CLEAR_DIRTY_LOG, {slot=3, num_pages=64, first_page=0, "
    "dirty_bitmap=0x7f0000000000}) = 0"
)


def finished(*lines):
    return Analysis("\n".join(lines).encode()).finish()


@pytest.mark.parametrize("line", [DELETE, GET_LOG, CLEAR_LOG])
def test_a_slot_older_than_the_recording_is_no_surprise(line):
    analysis = finished(line)
    assert not analysis.has_findings
    assert set(analysis.evidence.ruled_out) <= {"4.19/x86_64"}  # had no KVM_CLEAR_DIRTY_LOG
    assert [tracked.uncertain_since for tracked in analysis.replay.vms] == [0]


@pytest.mark.parametrize("line", [DELETE, GET_LOG, CLEAR_LOG])
def test_it_is_one_where_the_beginning_was_recorded(line):
    analysis = finished(vm(), line)
    assert [each.is_surprise for each in analysis.alike] == [True]


def test_it_is_one_where_the_slot_itself_was_recorded():
    analysis = finished(region(3, 0, MIB, RAM), GET_LOG)
    assert [each.is_surprise for each in analysis.alike] == [True]
