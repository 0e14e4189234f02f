"""Calls that are made to fail: the grammar, and what a program sees of it."""

from __future__ import annotations

import errno
import time

import pytest
from requires import requires
from test_emulate import on, program, steps_of  # noqa: F401 (fixtures)

from memslots.emulate.injection import Injection, expression
from memslots.emulate.other_kernel import MadeCall
from memslots.explain.analysis import Analysis
from memslots.uapi.calls import CALLS

NO_MEMORY = -errno.ENOMEM
REGION = "KVM_SET_USER_MEMORY_REGION"


def hits(text, count=12, call=REGION, **fields):
    """Which of so many equal calls an expression hits, from 1."""
    injection = Injection(text)
    return [
        n for n in range(1, count + 1) if injection.hits(MadeCall(CALLS[call], 1, 1, 3, fields))
    ]


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("3", [3]), ("10+", [10, 11, 12]), ("3+4", [3, 7, 11]), ("2..4", [2, 3, 4]),
        ("2..8+3", [2, 5, 8]), ("1+1", list(range(1, 13))),
    ],
)  # fmt: skip
def test_when_is_as_strace_has_it(when, expected):
    assert hits(f"{REGION}:error=ENOMEM:when={when}") == expected


@pytest.mark.parametrize(
    ("test", "is_hit"),
    [
        ("slot=5", True), ("slot=4-6", True), ("slot=6-", False), ("size=0x1000", True),
        ("size=0", False), ("gpa=0x8fff", True), ("gpa=0x9000-", False), ("gpa=0-0x7fff", False),
        ("flags=READONLY", True), ("flags=KVM_MEM_READONLY|LOG_DIRTY_PAGES", False),
        ("kind=create", False), ("slot=5:size=0x1000", True), ("slot=5:size=0", False),
    ],
)  # fmt: skip
def test_predicates(test, is_hit):
    fields = {"slot": 5, "flags": 2, "guest_phys_addr": 0x8000, "memory_size": 0x1000}
    found = hits(f"{REGION}:error=ENOMEM:{test}", 1, **fields)
    assert found == ([1] if is_hit else [])


def test_calls_by_pattern_and_list():
    assert hits("KVM_SET_USER*:error=12", 1, "KVM_SET_USER_MEMORY_REGION2") == [1]
    assert hits("KVM_CREATE_VM,KVM_CREATE_VCPU:error=EMFILE", 1, "KVM_CREATE_VCPU") == [1]
    assert hits("KVM_CREATE_VM:error=EMFILE", 1, "KVM_CREATE_VCPU") == []
    assert hits("KVM_CHECK_EXTENSION:retval=0:cap=KVM_CAP_USER_MEMORY2", 1, "KVM_CHECK_EXTENSION",
                cap=231) == [1]  # fmt: skip


def test_chance_has_a_seed():
    some = hits(f"{REGION}:error=ENOMEM:prob=0.5:seed=4", 100)
    assert 20 < len(some) < 80
    assert some == hits(f"{REGION}:error=ENOMEM:prob=0.5:seed=4", 100)
    assert some != hits(f"{REGION}:error=ENOMEM:prob=0.5:seed=5", 100)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("KVM_SET_USER_MEMORY_REGIO:error=ENOMEM", "there is KVM_SET_USER_MEMORY_REGION"),
        (f"{REGION}:error=ENOSUCH", "'ENOSUCH' is no errno"),
        (f"{REGION}:error=0", "from 1 to 4095"),
        (f"{REGION}:when=0:error=ENOMEM", "counts from 1"),
        (f"{REGION}:error=ENOMEM:kind=make", "create, delete, move, flags"),
        (f"{REGION}:error=ENOMEM:slots=3", "'slots=3' is none of error="),
        (f"{REGION}:error=ENOMEM:slot=x", "slot= takes a number"),
        (f"{REGION}:error=ENOMEM:prob=2", "from 0 to 1"),
        (f"{REGION}:error=ENOMEM:error=EINVAL", "error= is given twice"),
        (f"{REGION}:error=ENOMEM:retval=1", "not both"),
        (f"{REGION}:when=1", "say what happens"),
        (f"{REGION}:memory_fault=0,0", "is for KVM_RUN alone"),
        (f"{REGION}:delay_us=600000000", "a minute"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(text, said):
    with pytest.raises(ValueError, match="--inject") as caught:
        Injection(text)
    assert said in str(caught.value)


def test_an_expression_is_read_back():
    assert hits(expression(REGION, NO_MEMORY, 3)) == [3]
    assert Injection(expression("KVM_CHECK_EXTENSION", 0, 1)).result == 0


@requires("ptrace", "kvm", "gcc")
def test_a_program_sees_it_and_the_recording_says_so(on):  # noqa: F811
    seen, found = on(
        None, "vm 0", "region 0,0,0,0x1000", "region 1,0,0x1000,0x1000", "region 1,0,0x1000,0x1000",
        "region 1,0,0,0",
        inject=[f"{REGION}:error=ENOMEM:kind=create:when=2", f"{REGION}:error=EIO:slot=9"],
    )  # fmt: skip
    assert seen[1:] == [0, NO_MEMORY, 0, 0]
    assert found.answered == {"host": 4, "model": 0, "injected": 1}
    assert [injection.times for injection in found.injections] == [1, 0]
    assert found.kernel == ""
    analysis = Analysis(found.path).finish()
    assert [(each.step.number, each.step.event.answered_by) for each in analysis.explanations] == [
        (3, "injected")
    ]
    assert "injected" in analysis.explanations[0].summary
    assert not analysis.evidence.contradictions
    (vm,) = analysis.replay.vms
    assert (vm.vm.state.nr_slots, vm.uncertain_since) == (1, 0)


@requires("ptrace", "kvm", "gcc")
def test_capabilities_and_runs_fail_too(on):  # noqa: F811
    seen, found = on(
        "6.12/x86_64", "cap 10", "vm 0", "vcpu 0", "run",
        inject=["KVM_CHECK_EXTENSION:retval=7:cap=10", "KVM_RUN:memory_fault=0x5000,4096,8"],
    )  # fmt: skip
    assert (seen[0], seen[3]) == (7, -errno.EFAULT)
    assert found.answered["injected"] == 2
    last = [step.event for step in steps_of(found)[0] if step.event.call.startswith("KVM_")][-1]
    assert (last.call, last.answered_by) == ("KVM_RUN", "injected")


@requires("ptrace", "kvm", "gcc")
def test_a_delayed_call_is_made(on):  # noqa: F811
    start = time.monotonic()
    seen, found = on(None, "vm 0", "region 0,0,0,0x1000", inject=[f"{REGION}:delay_us=300000"])
    assert time.monotonic() - start >= 0.3
    assert seen[1] == 0
    assert found.answered["host"] == 2
