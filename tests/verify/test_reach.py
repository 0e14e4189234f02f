"""Every place in `rules/` that refuses is reached by recorded answers or by drawn calls, or says
why it cannot be.
"""

from __future__ import annotations

import os
import sys
from random import Random

import pytest

from memslots.kernel.names import find
from memslots.verify.booted import Planned
from memslots.verify.draw import Generator
from memslots.verify.recorded import compare

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import reach  # noqa: E402  (beside this file)

ARCHIVE = os.path.join(HERE, "recorded", "answers.tar.xz")
RECORDED = (
    "debian-sid-x86_64.corners", "debian-5.10-arm64-pa36.corners", "debian-sid-arm64-mte.corners",
    "debian-experimental-arm64-protected.corners", "debian-experimental-ppc64el.corners",
    "host-6.18-x86_64.corners", "debian-sid-riscv64", "debian-sid-x86_64", "built-sid-ppc32.totals",
)  # fmt: skip
"""Answers of real kernels that are enough; the tests of the archive replay all of them."""
_KNOWN = "+attributes-built+task-size=0x7ffffffff000"
"""What a kernel that is asked says of itself; without it a VM is soon undetermined."""
DRAWN = (
    f"7.3/x86_64+amd+pa46+vm-types=31{_KNOWN}",
    f"6.18/x86_64+intel+pa46-unrestricted-guest+apicv+pml{_KNOWN}",
    f"6.18/x86_64+pvm-tdp-smm{_KNOWN}", "6.1/x86_64+amd+pa40+task-size=0x7ffffffff000",
    "5.10/i386+amd",
    "7.2/arm64-gicv2-mte+pa40+task-size=0x10000000000000",
    "7.2/arm64+gicv2+mte+pa48+task-size=0x10000000000000",
    "7.2/riscv64+pa41+task-size=0x800000000000", "7.2/ppc64", "7.2/ppc32+task-size=0xc0000000",
)  # fmt: skip
VMS, CALLS = 60, 80
NOT_RUN_HERE = "no KVM of this architecture runs under emulation"
NO_SUCH_HOST = "a host with SEV-SNP or TDX would be needed"
OUT_OF_REACH = {
    "create_vcpu.py TDX_VCPU_TOO_EARLY": NO_SUCH_HOST,
    "create_vcpu.py VCPU_EXISTS": f"the place for TDX guests: {NO_SUCH_HOST}",
    "create_vm.py VM_TYPE_UNSUPPORTED": f"the place for mips: {NOT_RUN_HERE}",
    "dirty_log.py UCONTROL_DIRTY_LOG": NOT_RUN_HERE,
    "irqchip.py IRQCHIP_NOT_ENABLED": NOT_RUN_HERE,
    "irqchip.py IRQCHIP_PROTECTED": NO_SUCH_HOST,
    "pre_fault.py PREFAULT_TOO_EARLY": NO_SUCH_HOST,
    "pre_fault.py PREFAULT_UCONTROL": NOT_RUN_HERE,
    "ioctl.py FOREIGN_PROCESS": "a sequence is one process",
    "ioctl.py VM_DEAD": "a bug of KVM must kill the VM first",
    "region/arguments.py ARGUMENT_UNREADABLE": "the asking program hands over arguments that it "
    "can read",
    "region/same_id.py SIZE_CHANGE": "32-bit kernels that truncate sizes, up to 5.10.83: only the "
    "last 5.10 was asked",
    "region/same_id.py PAGE_TOTAL_UNDERFLOW": "the kernel would have to lose count",
    "region/arch/loongarch.py LOONGARCH_GPA_LIMIT": NOT_RUN_HERE,
    "region/arch/powerpc.py POWERPC_RMAP_TOO_LARGE": "a slot larger than the memory of the machine",
    "region/arch/s390.py UCONTROL_USER_SLOT": NOT_RUN_HERE,
    "region/arch/s390.py SECURE_VM": NOT_RUN_HERE,
    "region/arch/s390.py MEMORY_LIMIT": NOT_RUN_HERE,
    "region/arch/s390.py HVA_SEGMENT_UNALIGNED": NOT_RUN_HERE,
    "region/arch/s390.py SIZE_SEGMENT_UNALIGNED": NOT_RUN_HERE,
    "region/arch/vma.py VMA_PFN_LOGGING": "memory of a real device must be mapped",
    "region/arch/x86.py PAGE_TRACK_MOVE": "a graphics card must be passed through",
    "region/arch/x86.py METADATA_ALLOCATION": "5.15 to 5.17: no such kernel is packaged",
}
"""File and rule: why no sequence reaches some place where it refuses."""


def draw(name):
    """Calls that `verify` would draw for a kernel, put to the model."""
    profile = find(name)
    for number in range(VMS):
        plan = Planned(profile, 1 << 34, set())
        plan.draw(Generator(Random(f"{name}:{number}"), plan.vm), CALLS)


def replay(folder, label):
    """Recorded answers, put to the model."""
    kind = label.rpartition(".")[2]
    sequences = compare.load_sequences(folder, kind if kind in compare.KINDS else "")
    compare.replay_file(os.path.join(folder, f"{label}.jsonl"), sequences)


def keys(sites):
    return {f"{os.path.relpath(site.path, reach.FOLDER)} {site.rule}" for site in sites}


@pytest.fixture(scope="module")
def reached():
    """The lines that refused: while answers were replayed, and while calls were drawn."""
    patch = pytest.MonkeyPatch()
    with reach.noted(patch) as by_answers, compare.open_answers(ARCHIVE) as folder:
        for label in RECORDED:
            replay(folder, label)
    with reach.noted(patch) as by_draws:
        for name in DRAWN:
            draw(name)
    return by_answers, by_draws


def test_every_refusal_is_reached_or_says_why_not(reached):
    by_answers, by_draws = reached
    assert keys(reach.unreached(by_answers | by_draws)) == set(OUT_OF_REACH)


def test_drawn_calls_alone_reach_most(reached):
    """What hand-made sequences reach, random ones do too, but for what needs mappings, totals or
    kinds of VMs.
    """
    places = len(reach.sites())
    assert places > 80
    missed = [site for site in reach.unreached(reached[1]) if not keys([site]) & set(OUT_OF_REACH)]
    assert len(missed) <= places // 4


def test_it_can_fail():
    assert len(reach.unreached(set())) == len(reach.sites())
