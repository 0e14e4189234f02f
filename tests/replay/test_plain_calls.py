"""Replay's quick way gives the slow one's steps; kernels that answer alike replay alike."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from memslots.explain.analysis import Analysis
from memslots.explain.which_kernel import weigh
from memslots.kernel.arch import ARCHES
from memslots.kernel.asked import AlikeKernels, AskedProfile
from memslots.kernel.names import find
from memslots.kernel.profile import of_branches
from memslots.replay.replay import Replay
from memslots.replay.tracked_vm import TrackedVm
from memslots.trace import read
from memslots.trace.event import Event
from memslots.views.report import analysis_json

ROOT = Path(__file__).parents[2]
RECORDINGS = sorted(
    path for path in (ROOT / "examples").rglob("*") if path.suffix in (".strace", ".txt", ".log")
)
REGION = "KVM_SET_USER_MEMORY_REGION"
NAMES = ("slot", "flags", "guest_phys_addr", "memory_size", "userspace_addr")
PAGE, HVA = 1 << 16, 0x7F00_0000_0000
KERNELS = [profile for arch in ARCHES.values() for profile in of_branches(arch)]


def drawn(seed, count):
    """A recording of every kind of region call, plain and odd, answered truly or not."""
    draw = random.Random(seed)
    yield Event("KVM_CREATE_VM", {"type": 0}, 10, fd=9, new_fd=10)
    known = {}
    for _ in range(count):
        slot = draw.choice((0, 1, 2, 3, 508, 509, 40_000, 1 << 16, 1 << 16))
        gpa, nbytes = draw.randrange(12) * PAGE, draw.choice((1, 1, 2, 64)) * PAGE
        call = (slot, draw.choice((0, 0, 1, 2, 4)), gpa, nbytes, HVA + draw.randrange(4) * PAGE)
        if slot in known and draw.random() < 0.7:
            old = known[slot]
            call = draw.choice(
                (
                    old,
                    (*old[:3], 0, old[4]),
                    (old[0], old[1] ^ 1, *old[2:]),
                    (*old[:2], gpa, *old[3:]),
                )
            )
        odd = draw.choice((0, 0, 0, 0, 0, 1, 1 << 36, 1 << 47, 1 << 63))
        call = (*call[:2], call[2] | odd, *call[3:])
        known[slot] = call
        fields = dict(zip(NAMES, call))
        if draw.random() < 0.05:
            del fields[draw.choice(NAMES)]
        if draw.random() < 0.05:
            fields["guest_memfd"] = 3
        result = draw.choice((0, 0, 0, 0, None, -17, -22))
        other = draw.choice(("KVM_GET_DIRTY_LOG", "munmap", "KVM_CREATE_VCPU"))
        if draw.random() < 0.1:
            yield Event(other, {"slot": slot, "addr": HVA, "length": PAGE, "vcpu_id": 0}, 0, fd=10)
        fd = draw.choice((10, 10, 10, 11))
        form = draw.choice(("strace", "strace", "message"))
        yield Event(REGION, fields, result, fd=fd, pid=1, format=form)


def picture(step):
    """All of a step by value."""

    def plain(value):
        slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
        if slots and type(value).__module__.startswith("memslots") and "Rule" not in repr(value):
            return type(value).__name__, [plain(getattr(value, name, None)) for name in slots]
        return repr(value)

    return [
        plain(getattr(step, name)) if name != "before" else step.before is None
        for name in step.__slots__
        if name not in ("event", "sets")
    ] + [step.sets.swaps, step.sets.counts]


def both_ways(events, profile, monkeypatch):
    quick = [picture(step) for step in Replay(events, profile)]
    with monkeypatch.context() as patch:
        patch.setattr(TrackedVm, "take_plain", lambda *_: None)
        slow = [picture(step) for step in Replay(events, profile)]
    return quick, slow


@pytest.mark.parametrize("profile", KERNELS, ids=lambda profile: profile.name)
def test_quick_and_slow_agree_on_drawn_calls(profile, monkeypatch):
    for seed in range(3):
        quick, slow = both_ways(list(drawn(seed, 60)), profile, monkeypatch)
        assert quick == slow


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.name)
def test_quick_and_slow_agree_on_recordings(path, monkeypatch):
    events = list(read(str(path)))
    for kernel in ("4.19/x86_64", "7.2/x86_64", "6.12/arm64", "5.10/i386"):
        quick, slow = both_ways(events, find(kernel), monkeypatch)
        assert quick == slow


def test_the_quick_way_is_taken():
    replay = Replay((), find("6.18/x86_64"))
    events = list(read(str(ROOT / "examples/recordings/qemu72-q35-lifecycle.strace")))
    taken = [replay.advance(number, event) for number, event in enumerate(events, 1)]
    assert sum(taken) == sum(event.call == REGION for event in events) == 84


@pytest.mark.parametrize("path", RECORDINGS[::3], ids=lambda path: path.name)
def test_findings_do_not_depend_on_the_way(path, monkeypatch):
    quick = analysis_json(Analysis(str(path)).finish())
    monkeypatch.setattr(TrackedVm, "take_plain", lambda *_: None)
    assert analysis_json(Analysis(str(path)).finish()) == quick


@pytest.mark.parametrize("arch", ["x86_64", "i386", "arm64", "s390x"])
def test_kernels_that_answer_alike_replay_alike(arch):
    kernels = of_branches(ARCHES[arch])
    for seed in range(4):
        events = list(drawn(seed, 40))

        def verdicts(profile, events=events):
            return [
                (step.verdict, step.answer and step.answer.reason)
                for step in Replay(events, profile, only_answers=True)
            ]

        alike, done = AlikeKernels(verdicts, kernels), []
        for kernel in kernels:
            if alike.find(kernel) not in done:
                done.append(alike.find(kernel))
            assert alike.find(kernel) == verdicts(kernel), kernel.name


@pytest.mark.parametrize("kernel", ["5.15/x86_64", "5.17/x86_64-tdp", "6.1/x86_64", "5.17/i386"])
def test_arrays_of_metadata_that_are_just_too_large(kernel, monkeypatch):
    events = [Event("KVM_CREATE_VM", {"type": 0}, 10, fd=9, new_fd=10)]
    for shift in (40, 41, 42):
        for pages in (-2, -1, 0, 1):
            for gpa in (0, 1 << 20):
                call = (1, 0, gpa, (1 << shift) + pages * 4096, HVA)
                events.append(Event(REGION, dict(zip(NAMES, call)), None, fd=10, pid=1))
                events.append(Event(REGION, dict(zip(NAMES, (*call[:3], 0, HVA))), None, fd=10))
    quick, slow = both_ways(events, find(kernel), monkeypatch)
    assert quick == slow


def test_a_limit_that_nothing_reaches_does_not_tell_kernels_apart():
    old, new = find("5.10/x86_64"), find("6.1/x86_64")
    asked = AskedProfile(new, [old, new])
    events = [
        Event("KVM_CREATE_VM", {"type": 0}, 10, fd=9, new_fd=10),
        Event(REGION, dict(zip(NAMES, (3, 0, 1, PAGE, HVA))), -22, fd=10),
    ]
    list(Replay(events, asked, only_answers=True))
    assert asked.asked["least", 0, "user_slots"] == 4
    assert ("machine", 0, "user_slots") not in asked.asked
    events[1] = Event(REGION, dict(zip(NAMES, (32764, 0, 0, PAGE, HVA))), -22, fd=10)
    list(Replay(events, asked, only_answers=True))
    assert asked.asked["machine", 0, "user_slots"] == new.limit("user-slots")


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.name)
def test_evidence_is_that_of_each_kernel_by_itself(path, monkeypatch):
    events = list(read(str(path)))
    shared = weigh(events)
    monkeypatch.setattr(AlikeKernels, "find", lambda self, profile: self._work(profile))
    alone = weigh(events)
    for name in ("ruled_out", "contradictions", "build"):
        assert getattr(shared, name) == getattr(alone, name)
    assert [each.name for each in shared.consistent] == [each.name for each in alone.consistent]
    assert shared.chosen.name == alone.chosen.name
