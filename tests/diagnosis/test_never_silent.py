"""Never silent, never bare: over everything there is, each failure is explained, each answer says
what to do, and exit 0 means that nothing failed.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from diagnosis.corpus import cases

from memslots.cli.main import main
from memslots.cli.run import FINDINGS, FINE, USAGE
from memslots.errors import TraceError
from memslots.explain.analysis import Analysis
from memslots.explain.other_causes import is_probe
from memslots.replay.step import ECHO
from memslots.trace.event import MESSAGE, TEXT
from memslots.views.explanation import paragraphs

ROOT = Path(__file__).parents[2]
FILES = sorted(
    path
    for folder in ("examples/recordings", "examples/failures", "tests/corpus")
    for path in (ROOT / folder).rglob("*")
    if path.is_file() and path.suffix != ".json"
)
LOGS = sorted((ROOT / "examples/failures").glob("*.json"))
ADVICE = {"do", "run", "send", "passes"}
"""Labels of paragraphs that say what to do."""


def sources():
    for path in FILES:
        yield pytest.param(path, id=path.name)
    for path in LOGS:
        log = "\n".join(json.loads(path.read_text(encoding="utf-8"))["log"])
        yield pytest.param(log.encode(), id=path.name)
    for case in cases():
        yield pytest.param(case.paste.encode("utf-8", "surrogateescape"), id=case.id)


def unexplained(analysis):
    """Failures that nothing was said about: (line, call)."""
    found = []
    for step, _ in analysis.run():
        excused = step.verdict == ECHO or step.below_slot or is_probe(step)
        if step.event.is_failure and not excused:
            found.append(step)
    # a message may be told by the call that its words name, which comes after all that was read
    return [(s.event.line, s.event.call) for s in found if not was_said(s, analysis)]


def was_said(step, analysis):
    """A refused call has an explanation of its kind; a text may tell the same again."""
    if analysis.left_out:
        return True
    said = [each.explanation.step for each in analysis.alike]
    if step.event.is_told or step.event.format in (MESSAGE, TEXT):
        return bool(said)
    return any(
        (each.event.call, each.observed) == (step.event.call, step.observed) for each in said
    )


@pytest.mark.parametrize("source", list(sources()))
def test_every_failure_is_explained_and_every_answer_says_what_to_do(source):
    try:
        analysis = Analysis(source)
    except TraceError:
        return  # no recording at all: exit 2, and why; the tests of the fuzzer look at these
    assert unexplained(analysis) == []
    for explanation in analysis.explanations:
        labels = {label for label, _ in paragraphs(explanation)}
        assert labels & ADVICE, explanation.summary


def explained(tmp_path, capsys, text):
    path = tmp_path / "paste.txt"
    path.write_text(text, encoding="utf-8")
    code = main(["explain", str(path)])
    said = capsys.readouterr()
    return code, said.out + said.err


ASSERTION = """\
==== Test Assertion Failure ====
  x86/some_test.c:178: first != second
  pid=7565 tid=7565 errno=0 - Success
     1\t0x000000000040252f: main at some_test.c:178
  the two differ
"""
WARNING = """\
WARNING: CPU: 1 PID: 915 Comm: vmm at arch/x86/kvm/x86.c:3156 kvm_some+0x12/0x20
RIP: 0010:kvm_some+0x12/0x20
Call Trace:
 kvm_vm_ioctl+0x1/0x2
---[ end trace 0000000000000000 ]---
"""
DURING = """\
WARNING: CPU: 1 PID: 915 Comm: vmm at virt/kvm/kvm_main.c:3156 kvm_some+0x12/0x20
RIP: 0010:kvm_some+0x12/0x20
Call Trace:
 kvm_vm_ioctl+0x1/0x2
RIP: 0033:0x7f0000001234
RAX: ffffffffffffffda RBX: 0 ORIG_RAX: 0000000000000010
RDX: 00007ffc00000000 RSI: 000000004020ae46 RDI: 0000000000000004
---[ end trace 0000000000000000 ]---
"""


@pytest.mark.parametrize(
    "text", [ASSERTION, WARNING, DURING], ids=["assertion", "warning", "during"]
)
def test_what_is_no_call_and_failed_is_explained(tmp_path, capsys, text):
    code, said = explained(tmp_path, capsys, text)
    assert code == FINDINGS
    assert "decides" in said
    assert "run" in said


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "an empty input"),
        ("hello\n", "names nothing of KVM"),
        ("mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, 3, 0) = 0x7f0000000000\n", "other calls"),
        ('openat(AT_FDCWD, "/etc/x", O_RDONLY) = -1 ENOENT (No such file or directory)\n', "other"),
        ("Guest memory host_addr=0x7f0000000000 guest_addr=0x0 len=0x1000\n", "guests"),
        ("WARNING: CPU: 1 PID: 9 at kernel/sched/core.c:3156 some+0x12/0x20\n", "nothing of KVM"),
    ],
)
def test_what_holds_nothing_to_judge_is_said_with_commands(tmp_path, capsys, text, what):
    code, said = explained(tmp_path, capsys, text)
    assert code == USAGE
    assert what in said
    assert "memslots record" in said


MACHINE = "qemu-system-x86_64 -accel kvm -m 4G -machine q35\n"


def test_a_machine_is_asked_of_kernels_unless_something_failed(tmp_path, capsys):
    code, said = explained(tmp_path, capsys, MACHINE)
    assert code == FINE
    assert "approximate" in said
    assert "accepted on all" in said
    code, said = explained(tmp_path, capsys, MACHINE + "it does not start: some error of ours\n")
    assert code == USAGE
    assert "memslots check" in said


def test_nothing_failed_is_exit_0(tmp_path, capsys):
    line = "ioctl(3, KVM_CREATE_VM, 0) = 4\n"
    assert explained(tmp_path, capsys, line)[0] == FINE


@pytest.mark.parametrize("call", ["KVM_CREATE_GUEST_MEMFD", "KVM_SET_MEMORY_ATTRIBUTES",
                                  "KVM_CLEAR_DIRTY_LOG", "KVM_CREATE_VCPU"])  # fmt: skip
def test_a_call_without_arguments_is_not_given_rules_of_another(call):
    analysis = Analysis(f"{call} failed: Invalid argument\n".encode()).finish()
    possible = [each.rule for each in analysis.explanations[0].possible if each.rule is not None]
    assert possible or analysis.explanations[0].cause is not None
    assert all(call in rule.calls or "ioctl" in rule.calls for rule in possible)
