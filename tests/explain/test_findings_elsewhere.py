"""Accepted here, refused elsewhere: which releases, which calls, within which budget."""

from __future__ import annotations

from strace_lines import GIB, RAM, region, vm

from memslots import find
from memslots.explain import portability
from memslots.explain.analysis import Analysis
from memslots.views.findings import elsewhere_text


def elsewhere(*lines, **options):
    return Analysis("\n".join(lines).encode(), **options).finish().elsewhere


def test_a_slot_id_that_older_releases_refuse():
    (found,) = elsewhere(vm(), region(600, 0, GIB), profile=find("6.1/x86_64"))
    assert found.rule.id == "slot-id-too-high"
    assert (found.releases[0], found.releases[-1]) == ("4.19", "5.11")
    assert found.steps == [2]
    assert "refused by 4.19 to 5.11: EINVAL slot-id-too-high" in elsewhere_text(found)


GUEST_MEMFD = [
    vm(),
    "ioctl(4, KVM_CREATE_GUEST_MEMFD, {size=16384, flags=0x1}) = 5",
    "ioctl(4, KVM_SET_USER_MEMORY_REGION2, {slot=0, flags=0x4, guest_phys_addr=0, "
    "memory_size=16384, "
    f"userspace_addr={RAM:#x}, guest_memfd=5, guest_memfd_offset=0x7ffffffffffff000}}) = 0",
]


def test_an_offset_that_only_newer_releases_refuse():
    """It was accepted through an overflow."""
    (found,) = elsewhere(*GUEST_MEMFD, profile=find("6.18/x86_64"))
    assert found.rule.id == "gmem-range"
    assert found.releases[-1] == "7.3"
    assert found.steps == [3]


def test_refused_calls_before_it_do_not_use_up_the_budget():
    refused = "ioctl(4, KVM_CREATE_GUEST_MEMFD, {size=1, flags=0}) = -1 EINVAL (Invalid argument)"
    lines = [GUEST_MEMFD[0], *[refused] * 1000, *GUEST_MEMFD[1:]]
    (found,) = elsewhere(*lines, profile=find("6.18/x86_64"))
    assert found.steps == [1003]


def test_what_the_recordings_own_kernel_refuses_is_a_surprise_instead():
    analysis = Analysis("\n".join(GUEST_MEMFD).encode(), find("7.2/x86_64")).finish()
    assert analysis.alike[0].is_surprise
    assert not analysis.elsewhere


def test_calls_that_a_release_lacks_are_said_on_request_only():
    """Flags are for 6.18; there were no guest_memfd slots of any kind before 6.8."""
    lines = GUEST_MEMFD[:2] + [GUEST_MEMFD[2].replace("0x7ffffffffffff000", "0")]
    assert not elsewhere(*lines, profile=find("6.18/x86_64"))
    rules = {
        found.rule.id
        for found in elsewhere(*lines, profile=find("6.18/x86_64"), every_release=True)
    }
    assert {"ioctl-unknown", "flags-invalid"} <= rules


def test_the_budget_bounds_the_answers(monkeypatch):
    answers = 0
    advance = portability.Replay.advance

    def counted(replay, number, event):
        nonlocal answers
        answers += 1
        return advance(replay, number, event)

    monkeypatch.setattr(portability.Replay, "advance", counted)
    lines = [vm(), *(region(slot, slot << 20, 4096, RAM + (slot << 20)) for slot in range(1700))]
    analysis = Analysis(
        "\n".join(lines).encode(), find("6.1/x86_64"), ignored=frozenset({"refused-elsewhere"})
    )
    analysis.finish()
    alone, answers = answers, 0
    Analysis("\n".join(lines).encode(), find("6.1/x86_64")).finish()
    assert alone < answers <= alone + portability.MOST_ANSWERS
    answers = 0
    found = elsewhere(
        *lines, region(2600, 1 << 45, 4096), profile=find("6.1/x86_64"), every_release=True
    )
    assert answers > portability.MOST_ANSWERS
    assert found


def test_healthy_layouts_are_accepted_everywhere():
    assert not Analysis("examples/recordings/qemu72-q35-lifecycle.strace").finish().elsewhere
    assert not Analysis("examples/recordings/gvisor-kvm.strace").finish().elsewhere
