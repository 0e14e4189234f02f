"""One path for each job: the recorded answers go through `Replay`, and nothing but `model/`
decides calls by name.
"""

from __future__ import annotations

import ast

import pytest
from test_layers import MODULES

from memslots.explain.explain import explain
from memslots.export.oracle import Oracle
from memslots.export.vectors import check, vectors
from memslots.kernel.names import find
from memslots.model.vm import Vm
from memslots.replay.replay import Replay
from memslots.rules.decide import DECISIONS
from memslots.trace.event import Event
from memslots.uapi.calls import CALLS, REGION_CALLS, VCPU, VM
from memslots.verify.recorded.player import Player
from memslots.views.explanation import explanation_json

METHODS = {CALLS[name].method for name in (*REGION_CALLS, *DECISIONS)} - {"create_vm"}
USERS_OF_METHODS = {
    "live.guest_demo": "a program for people to read",
    "live.probe": "each question is a call or two of its own",
    "live.vcpu": "a vCPU is made by its VM",
    "compare.questions": "each question is a call or two of its own",
    "replay.replay": "the switches that --host irqchip states for a VM whose creation nobody saw",
    "explain.hypotheses": "a host with KVM's own slots, made for a question",
    "export.python": "writes them as text",
    "model.vm": "the methods themselves",
    "live.live_vm": "the methods themselves",
    "live.regions": "the methods themselves",
}
"""Modules that call a typed method of a VM: none of them with the fields of a recorded or drawn
call.
"""


@pytest.mark.parametrize("name", sorted(set(MODULES) - set(USERS_OF_METHODS)))
def test_no_second_dispatcher(name):
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in METHODS
        ):
            if node.func.attr == "check_extension" and name.startswith(("rules.", "live.")):
                continue  # the decision of that name, and the device's own call
            receiver = ast.unparse(node.func.value)
            assert "vm" not in receiver.lower(), (
                f"line {node.lineno}: {receiver}.{node.func.attr}: use call()"
            )


def test_the_recorded_answers_go_through_replay(monkeypatch):
    taken = []
    take = Replay.take
    monkeypatch.setattr(
        Replay,
        "take",
        lambda self, number, event: taken.append(event.call) or take(self, number, event),
    )
    player = Player(find("7.2/x86_64+amd+pa46"))
    for operation in (
        ["create_vm", 0],
        ["set_region", 0, 1, 0, "8P", "map:0"],
        ["get_dirty", 0],
        ["vcpu", 0],
    ):
        player.play(operation)
    assert taken == [
        "KVM_CREATE_VM",
        "KVM_SET_USER_MEMORY_REGION",
        "KVM_GET_DIRTY_LOG",
        "KVM_CREATE_VCPU",
    ]


# -- what the doors disagreed on

KERNEL = "6.1/x86_64+amd-apicv+pa46"
CASES = {
    "a second vCPU 0": (
        [("KVM_CREATE_VCPU", {"vcpu_id": 0}), ("KVM_CREATE_VCPU", {"vcpu_id": 0})],
        "vcpu-exists",
    ),
    "vCPU 1 before vCPU 0": (
        [("KVM_CREATE_VCPU", {"vcpu_id": 1}), ("KVM_CREATE_VCPU", {"vcpu_id": 0})],
        None,
    ),
    "enabling a capability with another argument": (
        [("KVM_ENABLE_CAP", {"cap": 116, "flags": 0, "arg0": 0, "arg1": 5, "arg2": 0, "arg3": 0})],
        "not modelled",
    ),
    "pre-fault of nothing": (
        [("KVM_PRE_FAULT_MEMORY", {"gpa": 0, "size": 0, "flags": 0})],
        "pre-fault-range",
    ),
}


def _said(answer):
    return (
        "not modelled"
        if answer.reason.startswith("not modelled")
        else getattr(getattr(answer, "rule", None), "id", None)
    )


@pytest.mark.parametrize("case", CASES)
def test_all_doors_agree(case):
    calls, expected = CASES[case]
    vm, oracle = Vm(KERNEL), Oracle(KERNEL)
    replay = iter(
        Replay(
            [Event("KVM_CREATE_VM", {"type": 0}, None, new_fd=4)]
            + [_event(*call) for call in calls],
            find(KERNEL),
        )
    )
    next(replay)
    for name, fields in calls:
        answers = [
            vm.call(name, fields, on=VCPU if CALLS[name].on == VCPU else VM),
            oracle.call(name, fields),
            next(replay).answer,
        ]
    assert [_said(answer) for answer in answers] == [expected] * 3


def _event(name, fields):
    return Event(name, fields, None, fd=9 if CALLS[name].on == VCPU else 4)


def test_attributes_without_attributes_are_incomplete_at_every_door():
    fields = {"address": 0, "size": 4096}
    with pytest.raises(ValueError, match="lacks attributes"):
        Vm("7.2/x86_64").call("KVM_SET_MEMORY_ATTRIBUTES", fields)
    with pytest.raises(ValueError, match="lacks attributes"):
        Oracle("7.2/x86_64").call("KVM_SET_MEMORY_ATTRIBUTES", fields)
    (step,) = Replay([Event("KVM_SET_MEMORY_ATTRIBUTES", fields, -22, fd=4)], find("7.2/x86_64"))
    assert (step.answer, step.verdict) == (None, "incomplete")


def test_enabling_a_capability_on_a_vcpu_is_no_call_of_a_vm():
    events = [
        Event("KVM_CREATE_VM", {"type": 0}, 4, new_fd=4),
        Event("KVM_CREATE_VCPU", {"vcpu_id": 0}, 5, fd=4, new_fd=5),
        Event("KVM_ENABLE_CAP", {"cap": 190, "flags": 0, "arg0": 1}, 0, fd=5),
    ]
    replay = Replay(events, find(KERNEL))
    steps = list(replay)
    assert len(replay.vms) == 1
    assert (steps[2].verdict, steps[2].vm_name) == ("other", "VM 1")


def test_two_processes_with_a_vm_on_the_same_number():
    region = {
        "slot": 0,
        "flags": 0,
        "guest_phys_addr": 0,
        "memory_size": 4096,
        "userspace_addr": 1 << 20,
    }
    events = [
        Event("clone", {"flags": 0}, 200, pid=100),
        Event("KVM_CREATE_VM", {"type": 0}, 4, pid=100, new_fd=4),
        Event("KVM_CREATE_VM", {"type": 0}, 4, pid=200, new_fd=4),
        Event("KVM_SET_USER_MEMORY_REGION", region, 0, pid=100, fd=4),
        Event("KVM_SET_USER_MEMORY_REGION", region, 0, pid=200, fd=4),
    ]
    steps = list(Replay(events, find(KERNEL)))
    assert [step.verdict for step in steps[3:]] == ["accepted", "accepted"]
    assert [step.vm_name for step in steps[3:]] == ["VM 1", "VM 2"]


def test_vectors_are_what_the_recorded_answers_path_says():
    assert list(check(vectors("6.1/x86_64+pa46+amd", seed=1, sequences=100))) == []


def test_an_explanation_reaches_the_same_rule():
    events = [
        Event("KVM_CREATE_VM", {"type": 0}, 4, new_fd=4),
        *(_event("KVM_CREATE_VCPU", {"vcpu_id": 0}) for _ in "ab"),
    ]
    *_, step = Replay(events, find(KERNEL))
    assert explanation_json(explain(step))["rule"] == "vcpu-exists"
