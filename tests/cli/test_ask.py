"""`memslots ask`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module

import pytest
from epilog import ROOT, call

from memslots.export.oracle import ASKED_CALLS, Oracle, serve
from memslots.rules.decide import DECISIONS
from memslots.uapi.calls import BESIDE_MEMORY, CALLS, REGION_CALLS
from memslots.uapi.region import Region

EXAMPLES = [
    line.strip()
    for line in import_module("memslots.cli.ask").EPILOG.splitlines()
    if line.startswith("  echo")
]
OUTPUTS = ["0", '"rule": "size-unaligned"', "-22"]


def _ask(data: bytes, *options: str) -> tuple[int, list[object]]:
    command = [sys.executable, "-m", "memslots", "ask", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        command, input=data, capture_output=True, env=environment, timeout=60, check=False
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(("line", "output"), list(zip(EXAMPLES, OUTPUTS)))
def test_examples_of_the_help(line: str, output: str) -> None:
    sent, command = line.removeprefix("echo ").split(" | ")
    code, answers = _ask(sent.strip("'").encode() + b"\n", *command.split()[2:])
    assert code == 0
    assert output in json.dumps(answers)
    assert len(EXAMPLES) == len(OUTPUTS)


def test_one_answer_a_line_whatever_the_line() -> None:
    lines = [
        b"[0, 0, 0, 4096, 65536]",
        b"",
        b"[0,0,0,4096,65536]",
        b'["0", 0, 0, 4096, 65536]',
        b"[1, 0, 0, 4096, 65536]",
        b"[1, 0, 4096]",
        b"nonsense",
        b'{"call": "KVM_CREATE_VCPU", "fields": {"vcpu_id": 0}}',
        b'{"call": "KVM_CREATE_VCPU"}',
        b'{"call": "KVM_NOTHING"}',
        b'{"call": "KVM_SET_USER_MEMORY_REGION", "fields": {"slot": "0x1", "flags": 0, "guest_phys_addr": "0x2000",'  # noqa: E501
        b' "memory_size": 4096, "userspace_addr": 65536}}',
        b"[1],[2",
        b"3]",
        b"[-1, 0, 0, 4096, 65536]",
        b"[0, 0, 0, 4096, 1e5]",
        b'{"call": "KVM_CREATE_VM"}',
        b"[1, 0, 0, 4096, 65536] ",
        b"\xff\xfe",
        b"[" * 100_000,
        b"[0, 0, 0, 0, 0, 0, 0]",
    ]
    code, answers = _ask(b"\n".join(lines))
    results = ["error" if isinstance(each, dict) else each for each in answers]
    assert results == [
        0, 0, "error", -17, "error", "error", 0, "error", "error", 0, "error", "error", "error",
        "error",
        0, 0, "error", "error", -25,
    ]  # fmt: skip
    assert code == 2


def test_a_lock_step_conversation_gets_each_answer_at_once() -> None:
    to_oracle, from_oracle = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(to_oracle[1])
        serve(Oracle("6.1/x86_64"), to_oracle[0], from_oracle[1])
        os._exit(0)
    os.close(to_oracle[0])
    for half in (b"[0, 0, 0, 40", b"96, 65536]\n"):
        os.write(to_oracle[1], half)
    assert os.read(from_oracle[0], 100) == b"0\n"
    os.write(to_oracle[1], b"[1, 0, 0, 4096, 65536]\n")
    assert os.read(from_oracle[0], 100) == b"-17\n"
    os.write(to_oracle[1], b"[2, 0, 0, 0, 65536]")
    os.close(to_oracle[1])
    assert os.read(from_oracle[0], 100) == b"-22\n"
    assert os.waitpid(child, 0)[1] == 0


def test_detail() -> None:
    oracle = Oracle("6.1/x86_64", detail=True)
    assert json.loads(oracle.answer("[0, 0, 0, 4096, 65536]")) == {
        "result": 0,
        "pages": 1,
        "mmu_budget": 64,
    }
    refused = json.loads(oracle.answer("[1, 0, 0, 4096, 65536]"))
    assert (refused["result"], refused["errno"], refused["rule"]) == (-17, "EEXIST", "slot-overlap")
    depends = json.loads(oracle.answer(f"[1, 0, {1 << 40}, 4096, 65536]"))
    assert (depends["result"], depends["rule"]) == (None, "gfn-above-max")
    assert "physical address bits" in depends["question"]
    assert "mmu_budget" not in json.loads(
        Oracle("6.1/arm64", detail=True).answer("[0, 0, 0, 4096, 65536]")
    )


def test_fast_and_slow_ways_agree() -> None:
    lines = [
        json.dumps([slot % 5, slot % 3, slot * 4096 % 40960, slot % 4 * 4096, 65536])
        for slot in range(300)
    ]
    fast, slow = Oracle("6.1/x86_64"), Oracle("6.1/x86_64")
    assert fast.answers(lines).split() == [slow.answer(line) for line in lines]
    assert len(set(fast.answers(lines).split())) > 1


def test_every_configuring_call_can_be_asked() -> None:
    decided = set(DECISIONS) | set(REGION_CALLS)
    assert set(ASKED_CALLS) - {"close"} == decided | BESIDE_MEMORY
    numbers = {
        "addr": 0xFFFB_D000,
        "slot": 0,
        "num_pages": 64,
        "first_page": 0,
        "nr_pages": 64,
        "size": 4096,
        "fd": 9,
    }
    for name in DECISIONS:
        needed = CALLS[name].needs
        oracle = Oracle("7.2/x86_64")
        oracle.call(name, {field: numbers.get(field, 0) for field in needed})
        if needed:
            with pytest.raises(ValueError, match=f"{name} lacks {needed[0]}"):
                oracle.call(name, {})


def test_guest_memfd_through_calls() -> None:
    oracle = Oracle("7.2/x86_64")
    made = oracle.call("KVM_CREATE_GUEST_MEMFD", {"size": 1 << 20, "flags": 0})
    fields = {"slot": 0, "flags": 4, "guest_phys_addr": 0, "memory_size": 4096, "userspace_addr": 0}
    fields.update(guest_memfd=made.result, guest_memfd_offset=0)
    assert oracle.call("KVM_SET_USER_MEMORY_REGION2", fields).result == 0
    assert oracle.vm.what_if(Region(*fields.values(), True)).result == -22
    assert oracle.call("close", {"fd": made.result}).result == 0
    assert oracle.call("close", {"fd": made.result}).result == -9


def test_a_vm_of_a_type_that_is_refused_changes_nothing() -> None:
    oracle = Oracle("6.1/x86_64")
    assert oracle.answer("[0, 0, 0, 4096, 65536]") == "0"
    assert oracle.answer('{"call": "KVM_CREATE_VM", "fields": {"type": 1}}') == "-22"
    assert oracle.vm.total_pages == 1


def test_errors() -> None:
    code, out, err = call("memslots ask --kernel nonsense")
    assert (code, out) == (2, "")
    assert "not a kernel name" in err


def test_what_is_about_no_memory_is_not_modelled() -> None:
    oracle = Oracle("6.1/x86_64", detail=True)
    line = json.dumps({"call": "KVM_SET_BOOT_CPU_ID", "fields": {"vcpu_id": 1}})
    assert "KVM_SET_BOOT_CPU_ID" in json.loads(oracle.answer(line))["not_modelled"]
    assert Oracle("6.1/x86_64").answer(line) == "null"


def test_true_is_no_number_and_a_line_that_is_too_long_is_one_error() -> None:
    answers = Oracle("6.1/x86_64").answers(
        ["[true, false, 0, 4096, 65536]", "[0, 0, 0, 4096, 65536]"]
    )
    first, second = map(json.loads, answers.splitlines())
    assert "no number" in first["error"]
    assert second == 0
