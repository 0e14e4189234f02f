"""Generated fleets: the same for the same seed, and nothing in them surprises their kernel."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import templates

from memslots.fleet.generate import generate
from memslots.trace import read
from memslots.trace.event import Reading


def digests(folder: Path):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_same_seed_gives_the_same(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        generate(str(tmp_path / name), seed=seed, recordings=30, plants={"vcpu-id": 2})
    assert digests(tmp_path / "a") == digests(tmp_path / "b") != digests(tmp_path / "c")


def test_the_runs_are_those_of_the_examples():
    assert templates.PLACE.read_text() == templates.text(), "run python tests/fleet/templates.py"


def test_forms_say_the_same(tmp_path):
    generate(str(tmp_path), seed=3, recordings=60)
    formats = set()
    for path in tmp_path.rglob("*.*"):
        if path.name.startswith("."):
            continue
        reading = Reading()
        events = list(read(path, reading=reading))
        assert events
        assert not reading.skipped, path
        formats |= set(reading.formats)
    assert {"recording", "strace", "qemu-trace"} <= formats


def test_wrong_plants(tmp_path):
    with pytest.raises(ValueError, match="beyond-address-bits"):
        generate(str(tmp_path), plants={"tulip": 1})
    with pytest.raises(ValueError, match="plants"):
        generate(str(tmp_path), recordings=1, plants={"vcpu-id": 2})
