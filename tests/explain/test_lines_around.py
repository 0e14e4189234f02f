"""A message of several lines: what was tried stands above or below the call that failed."""

from __future__ import annotations

import json

import pytest

from memslots.cli.main import main

TRIED = "region: Region { slot: 3, guest_start: GuestAddress(0x1000), len: 0x1800 }"
FAILED = "cause: KVM_SET_USER_MEMORY_REGION: Invalid argument (os error 22)"
OTHER = "KVM_SET_USER_MEMORY_REGION failed for slot=7: File exists"


@pytest.fixture
def fields_of(tmp_path, capsys):
    def found(*lines):
        path = tmp_path / "text"
        path.write_text("\n".join(lines))
        assert main(["explain", "--to", "json", str(path)]) == 1
        told = json.loads(capsys.readouterr().out)["explanations"]
        return {each["observed"]: each["fields"] for each in told}

    return found


@pytest.mark.parametrize(
    "lines",
    [
        ("ERROR no guest memory", TRIED, FAILED),
        (FAILED, "  while mapping", TRIED),
        ("ERROR", TRIED, "caused by:", "  0: no memory", FAILED),
    ],
)
def test_numbers_of_the_lines_around(fields_of, lines):
    assert fields_of(*lines)[-22] == {"slot": 3, "guest_phys_addr": 0x1000, "memory_size": 0x1800}


@pytest.mark.parametrize(
    "lines",
    [
        (OTHER, TRIED, FAILED),
        (FAILED, TRIED, OTHER),
        (TRIED, "-", "-", "-", FAILED),
    ],
)
def test_whose_they_are_is_not_guessed(fields_of, lines):
    assert fields_of(*lines)[-22] == {}
