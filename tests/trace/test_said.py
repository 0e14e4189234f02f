"""Numbers that messages give by name, in the forms of many programs."""

from __future__ import annotations

import json

import pytest

from memslots.cli.main import main
from memslots.trace import Reading, read
from memslots.trace.said import ANYWHERE, IN_A_MESSAGE, said
from memslots.trace.strace import widths_of

REGION = "KVM_SET_USER_MEMORY_REGION"
WIDTHS = widths_of(REGION)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("slot=3, gpa=0x1000", {"slot": 3, "guest_phys_addr": 0x1000}),
        ("slot 3 gpa 0x1000", {"slot": 3, "guest_phys_addr": 0x1000}),
        ("Slot: 3, GPA: 0x1000.", {"slot": 3, "guest_phys_addr": 0x1000}),
        ("{ slot: 3, guest_addr: GuestAddress(4096) }", {"slot": 3, "guest_phys_addr": 4096}),
        ("the memory size is 4 MiB", {"memory_size": 4 << 20}),
        ("size of 4096 bytes", {"memory_size": 4096}),
        ("guest physical address: 0x1000", {"guest_phys_addr": 0x1000}),
        ("at guest address 0x1000, host address 0x7f0000000000",
         {"guest_phys_addr": 0x1000, "userspace_addr": 0x7F00_0000_0000}),
        ("size 16 pages", {}),
        ("size 4.5 of it", {}),
        ("at most 32 slots 5 of them", {}),
        ("resize=4096 timeslot=3", {}),
        ("guest_memfd=-1", {"guest_memfd": 0xFFFF_FFFF}),
    ],
)  # fmt: skip
def test_numbers_by_name(text, fields):
    assert dict(said(text, WIDTHS, ANYWHERE)) == fields


def test_a_number_that_does_not_fit_is_counted():
    reading = Reading()
    assert dict(said("slot=0x100000000 start 0x1000", WIDTHS, IN_A_MESSAGE, reading)) == {
        "guest_phys_addr": 0x1000
    }
    assert reading.skipped == {"slot that is no number of 32 bits": 1}


@pytest.mark.parametrize(
    "text",
    [
        "KVM_SET_USER_MEMORY_REGION failed: slot 7, gpa 0xfee00000, size 4 KiB: File exists",
        "mapping: slot 7, guest_phys_addr 0xfee00000, memory_size 4096: File exists (os error 17)",
        "SetUserMemory { slot: 7, guest_addr: GuestAddress(4276092928), size: 4096, e: Error(17) }",
        "add memory region: guest physical address 0xfee00000 size 0x1000 slot: 7: File exists",
    ],
)
def test_a_region_call_in_prose(text, tmp_path, capsys):
    path = tmp_path / "text"
    path.write_text(text)
    assert main(["explain", "--to", "json", str(path)]) == 1
    (found,) = json.loads(capsys.readouterr().out)["explanations"]
    assert (found["call"], found["observed"], found["rule"]) == (REGION, -17, "slot-overlap")
    assert found["fields"] == {"slot": 7, "guest_phys_addr": 0xFEE0_0000, "memory_size": 4096}


def test_a_number_behind_a_name_is_no_errno():
    (event,) = read(b"KVM_SET_USER_MEMORY_REGION failed for slot: 5: Invalid argument")
    assert event.result == -22


def test_a_note_holds_nothing_that_a_terminal_obeys():
    reading = Reading()
    reading.note("a machine\x9b31m")
    reading.note("a machine?31m")
    assert reading.notes == ["a machine?31m"]
