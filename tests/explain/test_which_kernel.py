"""What a recording says of the kernel that it was made on."""

from __future__ import annotations

import os
import re

import pytest

from memslots.explain.analysis import Analysis
from memslots.record.calls import RECORDED
from memslots.record.file import RecordingFile
from memslots.views.evidence import evidence_texts

BY_NAME = {call.name: call for call in RECORDED}
SMM = 118  # KVM_CAP_MULTI_ADDRESS_SPACE


def recorded(path, release, machine, address_spaces, page_bytes=4096):
    with RecordingFile(str(path), ["vmm"], "by hand") as file:
        file.add(BY_NAME["KVM_CREATE_VM"], 7, 1, 4, 3, (0,))
        file.add(BY_NAME["KVM_CHECK_EXTENSION"], 7, 2, address_spaces, 4, (SMM,))
        file.end(0)
    uname = os.uname()
    text = path.read_bytes().replace(f'"{uname.release}"'.encode(), f'"{release}"'.encode(), 1)
    text = re.sub(rb'"page_bytes": \d+', b'"page_bytes": %d' % page_bytes, text, count=1)
    text = re.sub(rb'"host": \[[^]]*\]', b'"host": []', text, count=1)  # those of this host
    path.write_bytes(
        re.sub(rb'"machine": "[^"]*"', f'"machine": "{machine}"'.encode(), text, count=1)
    )
    analysis = Analysis(str(path)).finish()
    return analysis.profile.name, evidence_texts(analysis.evidence)


@pytest.mark.parametrize(
    ("release", "machine", "spaces", "chosen"),
    [
        ("6.8.3-generic", "x86_64", 2, "6.8.3/x86_64"),
        ("6.1.0-50-amd64", "x86_64", 2, "6.1/x86_64"),
        ("6.8.3", "x86_64", 0, "6.8.3/x86_64-smm"),
        ("6.12.1", "aarch64", 0, "6.12.1/arm64"),
    ],
)
def test_the_kernel_that_the_recording_names(tmp_path, release, machine, spaces, chosen):
    name, lines = recorded(tmp_path / "r", release, machine, spaces)
    assert name == chosen
    assert f"{release}, says the recording" in lines
    assert f"the recording says {machine}" in lines[0]


@pytest.mark.parametrize(
    ("machine", "page_bytes", "chosen"),
    [
        ("aarch64", 16384, "6.12.1/arm64+16k"),
        ("ppc64le", 65536, "6.12.1/ppc64"),
        ("ppc64le", 4096, "6.12.1/ppc64+4k"),
        ("x86_64", 8192, "7.3/x86_64"),
    ],
)
def test_the_page_size_that_the_recording_names(tmp_path, machine, page_bytes, chosen):
    spaces = 2 if machine == "x86_64" else 0
    assert recorded(tmp_path / "r", "6.12.1", machine, spaces, page_bytes)[0] == chosen


@pytest.mark.parametrize(("release", "machine"), [("99.1.2", "x86_64"), ("6.8.3", "vax"), ("", "")])
def test_a_kernel_that_nobody_knows(tmp_path, release, machine):
    name, lines = recorded(tmp_path / "r", release, machine, 2)
    assert name == "7.3/x86_64"
    assert not any("says the recording" in line for line in lines)


def test_a_kernel_that_answers_otherwise(tmp_path):
    _, lines = recorded(tmp_path / "r", "6.8.3", "x86_64", 5)
    assert "6.8.3, says the recording, but 1 of its calls are answered otherwise there" in lines


@pytest.mark.parametrize(
    ("vm_type", "smm", "first", "build"),
    [
        (1, 2, "6.8", "+vm-types=0x3"),  # software-protected
        (4, 2, "6.11", "+vm-types=0x11"),  # SNP
        (1, 0, "6.8", "+vm-types=0x3-smm"),
    ],
)
def test_a_type_of_vm_that_was_made_is_one_that_the_host_offers(vm_type, smm, first, build):
    text = (
        f"ioctl(3, KVM_CHECK_EXTENSION, KVM_CAP_MULTI_ADDRESS_SPACE) = {smm}\n"
        f"ioctl(3, KVM_CREATE_VM, {vm_type:#x}) = 4\n"
    )
    analysis = Analysis(text.encode()).finish()
    assert not analysis.explanations
    assert f"consistent with {first} to 7.3 built as {build}" in "\n".join(
        evidence_texts(analysis.evidence)
    )


def test_a_type_that_no_kernel_has_stays_a_surprise():
    analysis = Analysis(b"ioctl(3, KVM_CREATE_VM, 0x1f) = 4\n").finish()
    assert analysis.explanations


def test_a_refusal_whose_arguments_lack_rules_no_kernel_out():
    """QEMU names neither flags nor host address: what it did not print may be what was wrong."""
    line = (
        "qemu-system-x86_64: kvm_set_user_memory_region: KVM_SET_USER_MEMORY_REGION failed, "
        "slot=7, start=0x100000000, size=0x380000000: Invalid argument"
    )
    evidence = Analysis(line.encode()).finish().evidence
    assert not evidence.contradictions
    assert evidence.consistent
    assert not evidence.ruled_out
    beyond = line.replace("start=0x100000000", f"start={1 << 50:#x}")
    assert "5.17/x86_64" in Analysis(beyond.encode()).finish().evidence.ruled_out
