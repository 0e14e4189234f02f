"""`memslots emulate`: programs meet another kernel, and are told nothing that is not so."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest
from requires import requires

from memslots.emulate import run
from memslots.emulate.differences import profile_like_here
from memslots.emulate.words import HOST_LACKS_SPACE, HOST_REFUSED
from memslots.explain.analysis import Analysis
from memslots.kernel.vendors import release_of
from memslots.replay.step import DIFFERS
from memslots.trace import Reading, read
from memslots.uapi.capabilities import CAPS

pytestmark = requires("ptrace", "kvm", "gcc")
HERE = os.path.dirname(__file__)
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
INVALID, EXISTS, NO_CALL = -errno.EINVAL, -errno.EEXIST, -errno.ENOTTY


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The program that makes the calls of its arguments."""
    path = str(tmp_path_factory.mktemp("emulate") / "calls")
    subprocess.run(
        ["gcc", "-O1", os.path.join(HERE, "programs", "calls.c"), "-o", path], check=True
    )
    return path


@pytest.fixture
def on(program, tmp_path):
    """Run calls on a kernel: what the program saw, and what came of it."""

    def emulated(kernel, *calls, **options):
        out = tmp_path / "out"
        with open(out, "wb") as file:
            found = run(
                [program, *calls], kernel=kernel, path=str(tmp_path / "r"), stdout=file.fileno(),
                **options,
            )  # fmt: skip
        seen = [int(line.split()[1]) for line in out.read_text().splitlines()]
        return seen, found

    return emulated


def steps_of(found):
    """The recording, replayed as on the kernel that it names: nothing may surprise."""
    analysis = Analysis(found.path)
    return [step for step, _ in analysis.run() if step.event.call.startswith("KVM_")], analysis


def test_what_the_kernel_refuses_never_reaches_the_host(on):
    seen, found = on(
        "5.10/x86_64", "vm 0", "region 0,0,0,0x100000", "region 508,0,0x200000,0x1000",
        "region 509,0,0x300000,0x1000", "region 1,0,0x80000,0x1000", "region 0,4,0,0x100000",
    )  # fmt: skip
    assert seen[0] >= 0
    assert seen[1:] == [0, 0, INVALID, EXISTS, INVALID]
    assert found.answered == {"host": 3, "model": 3, "injected": 0}
    assert found.exit_code == 0
    assert found.remarks == []
    steps, analysis = steps_of(found)
    assert [step.event.answered_by for step in steps] == ["host"] * 3 + ["model"] * 3
    assert not any(step.verdict == DIFFERS for step in steps)
    assert analysis.reading.kernel == found.kernel == analysis.profile.name
    rules = {each.rule.id for each in analysis.explanations}
    assert {"slot-id-too-high", "slot-overlap"} <= rules


@pytest.mark.parametrize(
    ("kernel", "slots"), [("4.19", 509), ("5.10", 509), ("6.1", 32764), ("6.12", 32764)]
)
def test_capabilities_are_those_of_the_kernel(on, kernel, slots):
    names = "KVM_CAP_NR_MEMSLOTS", "KVM_CAP_USER_MEMORY2", "KVM_CAP_X86_TRIPLE_FAULT_EVENT"
    words = [f"cap {CAPS[name]}" for name in names]
    seen, found = on(f"{kernel}/x86_64", *words)
    new = kernel == "6.12"
    assert seen[:2] == [slots, int(new)]
    assert seen[2] == int(kernel in ("6.1", "6.12"))
    assert found.answered["model"] == (2 if seen[2] else 3)


@pytest.mark.parametrize(("kernel", "offered"), [("5.10", [0, 0]), ("6.1", [1, 1])])
def test_encryption_contexts_are_offered_by_hosts_that_do_not_take_them(on, kernel, offered):
    """KVM's sev_migrate_tests asks for one; arch/x86/kvm/x86.c says 1 whatever the vendor."""
    names = "KVM_CAP_VM_COPY_ENC_CONTEXT_FROM", "KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM"
    words = [f"cap {CAPS[name]}" for name in names]
    seen, found = on(f"{kernel}/x86_64", *words, host=["intel"])
    assert seen == offered
    assert found.answered["model"] == 2


def test_calls_that_the_kernel_lacks_and_the_host_has(on):
    seen, _ = on("6.1/x86_64", "vm 0", "region2 0,0,0,0x1000", "region 0,0,0,0x1000")
    assert seen[1:] == [NO_CALL, 0]
    seen, _ = on("6.12/x86_64", "vm 0", "region2 0,0,0,0x1000")
    assert seen[1:] == [0]


def test_the_budget_is_the_kernels(on):
    """KVM_GET_NR_MMU_PAGES is gone since 6.4, here too perhaps: the model knows."""
    words = "vm 0", "region 0,0,0,0x4000000", "getmmu", "setmmu 4096", "getmmu", "setmmu 63"
    seen, _ = on("6.1/x86_64", *words)
    assert seen[1:] == [0, 16384 // 50, 0, 4096, INVALID]
    seen, _ = on("6.12/x86_64", *words)
    assert seen[1:] == [0, NO_CALL, 0, NO_CALL, INVALID]


@pytest.mark.parametrize(
    ("host", "expected"),
    [("intel,flexpriority", EXISTS), ("amd,apicv,-early-pit", EXISTS), ("amd,-apicv", 0)],
)
def test_pages_of_kvm_are_in_the_way(on, host, expected):
    seen, found = on(
        "6.1/x86_64", "vm 0", "irqchip", "vcpu 0", "region 0,0,0xfee00000,0x1000",
        host=host.split(","),
    )  # fmt: skip
    assert seen[1] == 0
    assert seen[3] == expected
    assert found.answered["model"] == (1 if expected else 0)


def test_older_intel_hosts_have_a_tss_and_an_identity_map(on):
    seen, _ = on(
        "5.10/x86_64+intel-unrestricted-guest", "vm 0", "tss 0xfffbd000", "vcpu 0",
        "region 0,0,0xfffbe000,0x1000", "region 0,0,0xfffbc000,0x1000",
    )  # fmt: skip
    assert seen[3:] == [EXISTS, EXISTS]


def test_one_number_is_changed(on):
    words = "cap 10", "vm 0", "region 31,0,0,0x1000", "region 32,0,0x1000,0x1000"
    seen, found = on("6.1/x86_64", *words, slots=32)
    assert [seen[0], *seen[2:]] == [32, 0, INVALID]
    assert "+user-slots=32" in found.kernel


def test_pages_of_16_kib(on):
    words = "vm 0", "region 0,0,0,0x1000", "region 0,0,0,0x4000"
    seen, found = on("6.12/arm64+16k", *words)
    assert seen[1:] == [INVALID, 0]
    assert {each.kind for each in found.differences} >= {"other-arch", "other-pages"}


def test_a_space_that_the_host_lacks_is_kept_by_the_model(on):
    seen, found = on(
        "6.1/x86_64+smm", "vm 0", "vmcap 118", "region 0x10000,1,0,0x1000",
        "region 0x10001,0,0,0x1000", "log 0x10000",
    )  # fmt: skip
    assert seen[1:] == [2, 0, EXISTS, 0]
    kinds = [remark.kind for remark in found.remarks]
    lacks = any(each.kind == "fewer-spaces" for each in found.differences)
    assert kinds == ([HOST_LACKS_SPACE] * 2 if lacks else [])


def test_what_only_the_host_refuses_is_said(on):
    """Before 6.2 nobody looked how far guest addresses reach."""
    seen, found = on("5.10/x86_64", "vm 0", f"region 0,0,{1 << 57},0x1000")
    if seen[1] == 0:
        pytest.skip("this host takes guest addresses of 58 bits")
    (remark,) = found.remarks
    assert (remark.kind, remark.step, remark.result) == (HOST_REFUSED, 2, seen[1])
    (step,) = [step for step in steps_of(found)[0] if step.observed == seen[1]]
    assert (step.event.answered_by, step.number) == ("host", 2)


def test_descriptors_are_followed_through_dup_and_fork(on):
    seen, found = on(
        "6.1/x86_64", "vm 0", "region 0,0,0,0x1000", "dup", "region 1,0,0,0x1000",
        "foreign", "region 1,0,0x1000,0x1000", "foreign", "vm 0", "region 1,0,0x1000,0x1000",
    )  # fmt: skip
    assert seen[1] == 0
    assert seen[3:5] == [EXISTS, -errno.EIO]
    assert seen[-1] == 0
    assert found.remarks == []


def test_an_argument_that_cannot_be_read(on):
    seen, found = on("6.1/x86_64", "vm 0", "unreadable", "region 0,0,0,0x1000")
    assert seen[1:] == [-errno.EFAULT, 0]
    assert found.answered["host"] == 3


def test_a_kernel_on_this_machine_is_otherwise_as_here():
    here = profile_like_here("6.1/x86_64")
    assert profile_like_here("6.1/x86_64", host=["intel"]).option("tdp") is True
    assert here.option("vendor") == profile_like_here(here.name).option("vendor")
    running = profile_like_here("host", slots=32)  # a name that means the same elsewhere
    assert running.name.startswith(f"{release_of(*os.uname()[2:4])}/x86_64+user-slots=32")
    assert running.limit("user-slots") == 32


def test_it_costs_the_program_no_step_at_other_calls(on):
    """Its recording has the calls alone, and ends as a recording does."""
    _, found = on("6.1/x86_64", "vm 0", "region 0,0,0,0x1000")
    reading = Reading()
    called = [event.call for event in read(found.path, reading=reading)]
    assert called == ["KVM_CREATE_VM", "KVM_SET_USER_MEMORY_REGION", "exit"]
    assert not reading.skipped
    assert len(reading.notes) == 1
