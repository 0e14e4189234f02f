"""Each call of `CALLS` is known everywhere, or a reason stands here why it is not."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from memslots.export.strace import strace_line
from memslots.record.calls import RECORDED, REQUESTS, call_of
from memslots.record.file import RecordingFile
from memslots.rules.decide import DECISIONS
from memslots.trace import read
from memslots.trace.decode import request_name
from memslots.trace.event import Event
from memslots.trace.jsonl import event_from_json, event_to_json
from memslots.uapi.calls import BESIDE_MEMORY, CALLS, MAKERS, REGION_CALLS
from memslots.verify.draw import Generator
from memslots.verify.recorded.operations import OPERATIONS

FREQUENT = "running vCPUs make it all the time: not recorded"
NO_MEMORY = "says nothing about memory: answered by the host, not by the model"
OLD = "the call before KVM_SET_USER_MEMORY_REGION: no kernel of the model has it"
BESIDE = dict.fromkeys(sorted(BESIDE_MEMORY), "about no memory: recorded, and not modelled")
REASONS = {
    "recorded": {"KVM_RUN": FREQUENT, "KVM_SET_MSRS": FREQUENT},
    "decided": {
        **BESIDE,
        "KVM_RUN": NO_MEMORY, "KVM_SET_MSRS": NO_MEMORY, "KVM_GET_API_VERSION": NO_MEMORY,
        "KVM_GET_VCPU_MMAP_SIZE": NO_MEMORY, "KVM_SET_MEMORY_REGION": OLD,
    },
    "operation": {
        **BESIDE,
        "KVM_RUN": NO_MEMORY, "KVM_SET_MSRS": "kvm_write, which has its vCPU",
        "KVM_GET_API_VERSION": "raw",
        "KVM_GET_VCPU_MMAP_SIZE": NO_MEMORY, "KVM_SET_MEMORY_REGION": "raw",
        "KVM_CREATE_VM": "create_vm, once a VM",
    },
    "drawn": {
        **BESIDE,
        "KVM_RUN": NO_MEMORY, "KVM_GET_API_VERSION": NO_MEMORY, "KVM_GET_VCPU_MMAP_SIZE": NO_MEMORY,
        "KVM_SET_MEMORY_REGION": OLD, "KVM_CREATE_VM": "once a VM",
    },
    "story": {
        **BESIDE,
        "KVM_RUN": NO_MEMORY, "KVM_SET_MSRS": NO_MEMORY, "KVM_GET_API_VERSION": NO_MEMORY,
        "KVM_GET_VCPU_MMAP_SIZE": NO_MEMORY, "KVM_SET_MEMORY_REGION": OLD,
    },
}  # fmt: skip
"""Where a call is not known, and why."""
STORY_WORDS = {
    "KVM_SET_USER_MEMORY_REGION": "set ", "KVM_SET_USER_MEMORY_REGION2": "set2 ", "KVM_CREATE_VM": "create_vm "  # noqa: E501
        ""
        ""
        ""
        ""
        ""
        "",
    "KVM_CHECK_EXTENSION": "capability ", "KVM_ENABLE_CAP": "enable ", "KVM_CREATE_VCPU": "vcpu ",
    "KVM_GET_DIRTY_LOG": "get_dirty ", "KVM_CLEAR_DIRTY_LOG": "clear_dirty ",
    "KVM_RESET_DIRTY_RINGS": "reset_rings",
    "KVM_SET_NR_MMU_PAGES": "set_nr_mmu ", "KVM_GET_NR_MMU_PAGES": "get_nr_mmu",
    "KVM_SET_TSS_ADDR": "tss ",
    "KVM_SET_IDENTITY_MAP_ADDR": "identity ", "KVM_CREATE_IRQCHIP": "irqchip",
    "KVM_CREATE_GUEST_MEMFD": "gmem ",
    "KVM_SET_MEMORY_ATTRIBUTES": "attributes ", "KVM_PRE_FAULT_MEMORY": "pre_fault ",
}  # fmt: skip
STORIES = [
    line for path in (Path(__file__).parents[1] / "stories").glob("*.txt") for line in path.open()
]


def expected(where):
    return pytest.mark.parametrize("name", [name for name in CALLS if name not in REASONS[where]])


def event_of(name):
    """The call with another number in each field, as wide as it is."""
    call = CALLS[name]
    fields = {field.name: (1 << field.bits) - 1 - at for at, field in enumerate(call.fields)}
    if "flags" in fields and name in REGION_CALLS:
        fields["flags"] = 7  # with the flag for which the fields behind it are read
    if "cap" in fields:
        fields["cap"] = 168
    result = 9 if name in MAKERS else 0
    return Event(name, fields, result, fd=5, new_fd=9 if name in MAKERS else None)


@expected("recorded")
def test_strace_text_and_back(name, tmp_path):
    event = event_of(name)
    path = tmp_path / "x.strace"
    path.write_text(strace_line(event) + "\n")
    (found,) = read(str(path))
    assert (found.call, dict(found.fields), found.result, found.new_fd) == (
        name, dict(event.fields), event.result, event.new_fd,
    )  # fmt: skip


@expected("recorded")
def test_recorder_bytes_and_back(name, tmp_path):
    event, call = event_of(name), CALLS[name]
    path = str(tmp_path / "x.rec")
    values = tuple(event.fields[field] for field in call.names)
    if call.has_structure:
        values = call.struct.unpack_from(call.pack(event.fields))
    with RecordingFile(path, ["x"], "test") as file:
        file.add(call_of(call.request()), 7, 1, event.result, 5, values)
        file.end(0)
    (found,) = read(path)
    assert (found.call, dict(found.fields), found.result) == (
        name,
        dict(event.fields),
        event.result,
    )


@pytest.mark.parametrize("name", CALLS)
def test_jsonl_and_back(name):
    event = event_of(name)
    found = event_from_json(event_to_json(event))
    assert (found.call, dict(found.fields), found.result) == (
        name,
        dict(event.fields),
        event.result,
    )
    assert json.loads(event_to_json(event))["call"] == name


@pytest.mark.parametrize("name", CALLS)
def test_number_and_back(name):
    call = CALLS[name]
    for powerpc_or_mips in (False, True):
        assert request_name(call.request(powerpc_or_mips=powerpc_or_mips)) == name
    if call.has_structure and not call.pointer_at:
        fields = {field.name: at + 1 for at, field in enumerate(call.fields)}
        assert call.unpack(bytes(call.pack(fields))) == fields
        with pytest.raises(struct.error):
            call.pack(
                {field.name: 1 << field.bits for field in call.fields[:1]}
                or {"x": call.struct.pack("?")}
            )


def test_what_is_recorded():
    assert {call.name for call in RECORDED} == set(CALLS) - set(REASONS["recorded"])
    assert len(REQUESTS) == len(RECORDED)


def test_what_is_decided():
    assert set(DECISIONS) | set(REGION_CALLS) == set(CALLS) - set(REASONS["decided"])


def test_what_the_asking_program_makes():
    assert {call for call, _ in OPERATIONS.values()} == set(CALLS) - set(REASONS["operation"])


def test_what_is_drawn():
    drawn = {
        word
        for word in Path(Generator.next.__code__.co_filename).read_text().split('"')
        if word in CALLS
    }
    assert drawn == set(CALLS) - set(REASONS["drawn"])


@expected("story")
def test_a_story_tells_it(name):
    assert any(line.replace("-", "_").startswith(STORY_WORDS[name]) for line in STORIES)
