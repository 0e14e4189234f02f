"""Vectors for the kernel of this host, played on it: the kernel is what they claim to be of."""

from __future__ import annotations

import json

import pytest
from requires import requires

from memslots.export.vectors import vectors
from memslots.trace.event import Event

pytestmark = requires("kvm")
VM_FD, VCPU_FD, NO_FILE = 1000, 1001, 0xFFFF_FFFF


def number(value):
    return int(value, 16) if isinstance(value, str) else value


def events_of(rows):
    """Rows as a recording would have them: `result` of what makes a file is its descriptor."""
    made = set()
    for row in rows:
        fields = {name: number(value) for name, value in row["fields"].items()}
        if row["call"] == "KVM_CREATE_GUEST_MEMFD":
            made.add(row["result"])
        elif fields.get("guest_memfd", NO_FILE) not in made and "guest_memfd" in fields:
            fields["guest_memfd"] = NO_FILE  # in vectors no file is open but those they make
        if row["call"] == "close":
            yield Event("close", {}, row["result"], fd=fields["fd"])
        elif row["call"] == "KVM_CREATE_VM":
            yield Event("KVM_CREATE_VM", fields, VM_FD, new_fd=VM_FD)
        elif row["call"] == "KVM_CREATE_VCPU" and row["result"] >= 0:
            yield Event("KVM_CREATE_VCPU", fields, VCPU_FD, fd=VM_FD, new_fd=VCPU_FD)
        elif row["call"] == "KVM_PRE_FAULT_MEMORY":
            yield Event(row["call"], fields, row["result"], fd=VCPU_FD)
        else:
            yield Event(row["call"], fields, row["result"], fd=VM_FD)


@pytest.mark.parametrize("seed", range(3))
def test_this_kernel_gives_the_results_of_its_vectors(seed):
    from memslots.live.device import Device
    from memslots.live.probe import probe
    from memslots.live.rerun import LivePlayer
    from memslots.verify.native import pool

    memory = pool()
    try:
        _, *lines = vectors(probe(), seed=seed, sequences=25, calls=40)
        asked = 0
        for line in lines:
            sequence = json.loads(line)
            with Device() as device, LivePlayer(device) as player:
                for row, event in zip(sequence["calls"], events_of(sequence["calls"])):
                    answered = player.play(event)
                    asked += answered.result is not None
                    assert not answered.differs, (sequence["id"], row, answered.result)
        assert asked > 700
    finally:
        memory.unmap()
