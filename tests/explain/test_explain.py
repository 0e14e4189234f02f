"""Explanations: public failures, remedies that pass, honest possibilities, findings."""

from __future__ import annotations

import glob
import json

import pytest
from strace_lines import MIB, region, vm

from memslots import Region, Vm
from memslots.errnos import EFAULT
from memslots.explain.analysis import Analysis
from memslots.explain.explain import CERTAIN, POSSIBLE
from memslots.explain.remedies import remedies
from memslots.rules.answer import Accepted, Refused
from memslots.views.explanation import explanation_lines
from memslots.views.report import analysis_json, markdown_lines, report_lines
from memslots.views.text import Paint

# expected.rule of a public failure -> rule of the catalogue, finding, or kind of answer
FAILURES = {
    "002": ("slot-overlap", "certain"),
    "005": ("slot-overlap", "certain"),
    "008": ("slot-too-large", "certain"),
    "010": ("gmem-range-bound", "certain"),
    "012": ("address-space-unknown", "certain"),
    "016": ("gfn-above-max", "certain"),
    "019": ("size-unaligned", "certain"),
    "028": ("ioctl-unknown", "certain"),
    "042": (None, "not a memslot problem"),
    "045": ("unbacked-window", "finding"),
    "046": ("host-alias", "finding"),
    "049": ("vm-dead", "undetermined"),
    "059": (None, "not a memslot problem"),
    "069": (None, "not a memslot problem"),
}
# the quoted lines hold no call and no error message at all
SILENT = {"021", "074"}


def failure(number):
    with open(f"examples/failures/{number}.json", encoding="utf-8") as text:
        return json.load(text)


def analysed(text, **options):
    return Analysis(text.encode(), **options).finish()


def test_every_public_failure_has_an_expectation():
    numbers = {path[-8:-5] for path in glob.glob("examples/failures/*.json")}
    assert numbers == set(FAILURES) | SILENT


@pytest.mark.parametrize("number", sorted(FAILURES))
def test_public_failure(number):
    rule, certainty = FAILURES[number]
    analysis = analysed("\n".join(failure(number)["log"]))
    if certainty == "finding":
        assert rule in {kind for _, kind in analysis.watch.findings}
        return
    explanation = analysis.explanations[0]
    assert explanation.certainty == certainty
    assert (explanation.rule.id if explanation.rule else None) == rule
    assert all(len(line) <= 130 for line in explanation_lines(explanation, Paint(False)))


@pytest.mark.parametrize("number", sorted(SILENT))
def test_public_failure_without_a_call(number):
    assert not analysed("\n".join(failure(number)["log"])).reading.calls


def test_the_other_party_of_a_bound_range():
    explanation = analysed("\n".join(failure("010")["log"])).explanations[0]
    assert explanation.other.id == 0
    assert explanation.other_step == 1


def test_hidden_apic_page_is_suspected():
    text = (
        "ioctl(13, KVM_SET_USER_MEMORY_REGION, {slot=1, flags=0, guest_phys_addr=0xf977e000, "
        "memory_size=109584384, "
        "userspace_addr=0x7fb89bf00000}) = -1 EEXIST (File exists)"
    )
    explanation = analysed(text).explanations[0]
    assert explanation.rule.id == "slot-overlap"
    assert "APIC access page" in explanation.possible[0].text


def test_hidden_apic_page_is_certain_where_the_host_is_stated():
    text = "\n".join(
        [
            "ioctl(3, KVM_CREATE_VM, 0) = 4",
            "ioctl(4, KVM_CREATE_IRQCHIP, 0) = 0",
            "ioctl(4, KVM_CREATE_VCPU, 0) = 5",
            "ioctl(4, KVM_SET_USER_MEMORY_REGION, {slot=2, flags=0, guest_phys_addr=0xc0000000, "
            "memory_size=1145044992, userspace_addr=0x7f0000000000}) = -1 EEXIST (File exists)",
        ]
    )
    from memslots import find

    explanation = analysed(text, profile=find("6.1/x86_64+intel+apicv")).explanations[0]
    assert explanation.certainty == "certain"
    assert explanation.other.owner == "APIC access page"
    assert explanation.passes[0].startswith("if the region ends at or below 0xfee00000")


def test_what_the_user_states_of_the_host_makes_it_certain():
    text = (
        "qemu-system-x86_64: kvm_set_user_memory_region: KVM_SET_USER_MEMORY_REGION failed, "
        "slot=1, start=0xf977e000, "
        "size=0x6882000: File exists"
    )
    explanation = analysed(text, host=("intel", "apicv", "irqchip")).explanations[0]
    assert explanation.certainty == "certain"
    assert explanation.other.owner == "APIC access page"
    assert analysed(text, host=("amd", "-apicv", "irqchip")).explanations[0].other is None


CASES = [
    ("slot-overlap", "6.1/x86_64+pa46", Region(1, 0, 0x8000, 0x20000, 0x7F0000000000)),
    ("size-unaligned", "6.1/x86_64+pa46", Region(1, 0, 0x100000, 4097, 0x7F0000000000)),
    ("gpa-unaligned", "6.1/x86_64+pa46", Region(1, 0, 0x100800, 4096, 0x7F0000000000)),
    ("hva-unaligned", "6.1/x86_64+pa46", Region(1, 0, 0x100000, 4096, 0x7F0000000010)),
    ("slot-id-too-high", "5.10/x86_64", Region(600, 0, 0x100000, 4096, 0x7F0000000000)),
    ("flags-invalid", "6.1/s390x", Region(1, 2, 0x100000, 0x100000, 0x7F0000000000)),
    (
        "address-space-unknown",
        "6.12/x86_64-smm+pa46",
        Region(0x10001, 0, 0x100000, 4096, 0x7F0000000000),
    ),
    ("slot-too-large", "6.12/x86_64+pa46", Region(1, 0, 1 << 32, 9 << 40, 0x100000000000)),
    ("gfn-above-max", "6.12/x86_64+pa39", Region(1, 0, (1 << 39) - 4096, 8192, 0x7F0000000000)),
    ("ipa-limit", "6.12/arm64", Region(1, 0, (1 << 40) - 4096, 8192, 0x7F0000000000)),
    ("size-change", "6.1/x86_64", Region(0, 0, 0, 0x20000, 0x7F0000000000)),
    ("userspace-addr-change", "6.1/x86_64", Region(0, 0, 0, 0x10000, 0x7F0000010000)),
    ("readonly-change", "6.1/x86_64", Region(0, 2, 0, 0x10000, 0x7F0000000000)),
]


@pytest.mark.parametrize(("rule", "kernel", "request_"), CASES, ids=[case[0] for case in CASES])
def test_remedies_are_accepted(rule, kernel, request_):
    vm = Vm(kernel)
    size = 0x100000 if "s390" in kernel else 0x10000
    assert vm.set_user_memory_region(0, 0, 0, size, 0x7F0000000000).accepted
    refused = vm.what_if(request_)
    assert isinstance(refused, Refused)
    assert refused.rule.id == rule
    found = remedies(vm, request_, refused)
    assert found, "no change that passes"
    assert vm.total_pages == size >> vm.page_shift  # nothing was tried on the VM itself


def test_remedy_of_an_overlap_is_the_smallest_change():
    vm = Vm("6.1/x86_64")
    vm.set_user_memory_region(0, 0, 0x4000, 0x4000, 0x7F0000000000).unwrap()
    request = Region(1, 0, 0x2000, 0x3000, 0x7F0000100000)
    texts = remedies(vm, request, vm.what_if(request))
    assert texts[0] == "if the region ends at or below 0x4000 (memory_size 0x2000)"
    assert isinstance(vm.what_if(request.replace(memory_size=0x2000)), Accepted)


def test_kernels_on_which_the_answer_differs():
    text = (
        "ioctl(3, KVM_CREATE_VM, 0) = 4\nioctl(4, KVM_SET_USER_MEMORY_REGION, {slot=600, flags=0, "
        "guest_phys_addr=0, "
        "memory_size=4096, userspace_addr=0x7f0000000000}) = -1 EINVAL (Invalid argument)"
    )
    analysis = analysed(text)
    assert str(analysis.profile.version) == "5.11"
    kernels = analysis.explanations[0].kernels
    assert kernels == "4.19 to 5.11: EINVAL slot-id-too-high; 5.12 to 7.3: accepted"


def test_evidence_rules_kernels_out():
    analysis = Analysis("examples/recordings/qemu72-q35-lifecycle.strace").finish()
    assert analysis.profile.name == "7.3/x86_64-smm"
    assert {str(profile.version) for profile in analysis.evidence.consistent} >= {
        "6.2",
        "6.18",
        "7.2",
    }
    assert not any(
        str(profile.version) in ("5.10", "6.1") for profile in analysis.evidence.consistent
    )


def test_nothing_wrong_says_so_with_totals():
    analysis = Analysis("examples/recordings/qemu72-q35-lifecycle.strace").finish()
    text = "\n".join(report_lines(analysis, Paint(False)))
    assert "84 memory-region calls, none refused, none surprising" in text
    assert "slots 10 of 32764; 102432 pages (400.12 MiB); MMU budget 2048 pages" in text
    assert not analysis.has_findings


def test_findings_on_a_real_boot():
    analysis = Analysis("examples/recordings/qemu72-q35-lifecycle.strace").finish()
    found = {kind: finding for (_, kind), finding in analysis.watch.findings.items()}
    assert (
        found["unbacked-window"].count == 3
    )  # the others were made by the thread of the only vCPU
    assert found["host-alias"].count == 5
    ignored = Analysis(
        "examples/recordings/qemu72-q35-lifecycle.strace", ignored=frozenset({"host-alias"})
    ).finish()
    assert ("VM 1", "host-alias") not in ignored.watch.findings


def test_json_and_markdown_of_a_refusal():
    analysis = Analysis("examples/refused-overlap.strace").finish()
    data = json.loads(json.dumps(analysis_json(analysis)))
    assert data["schema"] == "memslots.explain/1"
    assert [each["rule"] for each in data["explanations"]] == ["slot-overlap", "size-change"]
    assert data["explanations"][0]["other"]["slot"] == 0
    markdown = "\n".join(markdown_lines(analysis))
    assert "- *rule*: slot-overlap" in markdown


def test_text_around_and_between_the_lines():
    text = (
        "Hi all,\n\nI get this on my laptop:\n\n> qemu-system-x86_64: kvm_set_user_memory_region: "
        "KVM_SET_USER_MEMORY_REGION failed, slot=1, start=0x80000000, size=0x88c400: Invalid "
        "argument\n\nAny idea?\n"
    )
    analysis = analysed(text)
    assert [each.rule.id for each in analysis.explanations] == ["size-unaligned"]


@pytest.mark.parametrize(
    ("text", "rule", "certainty"),
    [
        (
            "qemu-system-aarch64: kvm_set_user_memory_region: KVM_SET_USER_MEMORY_REGION failed, "
            "slot=1, "
            "start=0x8000000000, size=0x8000000000: Bad address",
            "ipa-limit",
            "certain",
        ),
        (
            "qemu-system-x86_64: kvm_set_phys_mem: error registering slot: File exists",
            "slot-overlap",
            "certain",
        ),
        (
            "Cannot set the memory regions: SetUserMemoryRegion(Error(22))",
            "size-unaligned",
            "undetermined",
        ),
        (
            "ioctl(11, KVM_SET_USER_MEMORY_REGION, {slot=3, flags=0, guest_phys_addr=0x100000000, "
            "memory_size=2199023255552, userspace_addr=0x7e0000000000}) = -1 ENOMEM (Cannot "
            "allocate memory)",
            "allocation-failed",
            "certain",
        ),
        (
            "qemu-system-x86_64: kvm_init_vcpu: kvm_get_vcpu failed (0): File exists",
            "slot-overlap",
            "undetermined",
        ),
        (
            "kvm_mem_ioeventfd_add: error adding ioeventfd: No space left on device (28)",
            None,
            "not a memslot problem",
        ),
    ],
)
def test_shapes_of_other_failures(text, rule, certainty):
    explanation = analysed(text).explanations[0]
    assert (explanation.rule.id if explanation.rule else None) == rule
    assert explanation.certainty == certainty


def region_line(slot, gpa, nbytes, flags="0"):
    return (
        "ioctl(4, KVM_SET_USER_MEMORY_REGION, "
        f"{{slot={slot}, flags={flags}, guest_phys_addr={gpa:#x}, "
        f"memory_size={nbytes}, userspace_addr=0x7e0000000000}}) = 0"
    )


def test_findings_about_totals():
    from memslots import find

    create = "ioctl(3, KVM_CREATE_VM, 0) = 4"
    text = "\n".join([create, region_line(0, 0, 1 << 40, "KVM_MEM_LOG_DIRTY_PAGES")])
    assert ("VM 1", "bitmaps-large") in analysed(text).watch.findings
    lines = [create, *(region_line(slot, slot << 32, (1 << 31)) for slot in range(7500))]
    found = analysed("\n".join(lines), profile=find("6.1/ppc32")).watch.findings
    assert found["VM 1", "total-near-cap"].severity == "warning"


def test_churn_is_noticed():
    lines = ["ioctl(3, KVM_CREATE_VM, 0) = 4", region_line(0, 0, 1 << 16)]
    lines += [
        region_line(0, 0, 1 << 16, "KVM_MEM_LOG_DIRTY_PAGES" if i % 2 else "0")
        for i in range(1, 120)
    ]
    assert ("VM 1", "slot-churn") in analysed("\n".join(lines)).watch.findings


@pytest.mark.parametrize(
    ("gpa", "owner"),
    [(0xFEE00000, "APIC access page"), (0xFFFBD000, "TSS"), (0xFEFFC000, "identity map page")],
)
def test_slots_of_kvm_are_in_the_way_on_other_kernels_too(gpa, owner):
    from memslots import find

    # their ids differ (509 user slots, or 32764), and the answer does not
    host = "6.1/x86_64+intel+flexpriority+tdp-unrestricted-guest"
    lines = [
        "ioctl(3, KVM_CREATE_VM, 0) = 4",
        "ioctl(4, KVM_CREATE_IRQCHIP) = 0",
        "ioctl(4, KVM_SET_IDENTITY_MAP_ADDR, [0xfeffc000]) = 0",
        "ioctl(4, KVM_SET_TSS_ADDR, 0xfffbd000) = 0",
        "ioctl(4, KVM_CREATE_VCPU, 0) = 5",
        f"ioctl(4, KVM_SET_USER_MEMORY_REGION, {{slot=0, flags=0, guest_phys_addr={gpa:#x}, "
        "memory_size=4096, userspace_addr=0x7f0000001000}) = -1 EEXIST (File exists)",
    ]
    analysis = Analysis("\n".join(lines).encode(), find(host)).finish()
    (explanation,) = analysis.explanations
    assert explanation.other.owner == owner
    text = "\n".join(explanation_lines(explanation, Paint(False)))
    assert "the same on all of 4.19 to" in text


@pytest.mark.parametrize(
    ("cap", "rules"),
    [
        ("KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2", {"manual-protect-argument"}),
        ("KVM_CAP_X86_BUS_LOCK_EXIT", set()),  # programs find out with it what there is
        ("0xfe", set()),
    ],
)
def test_a_refused_capability_is_not_explained_by_rules_of_slots(cap, rules):
    lines = (
        "ioctl(3, KVM_CREATE_VM, 0) = 4\n"
        f"ioctl(4, KVM_ENABLE_CAP, {{cap={cap}, flags=0, args=[0x99999, 0, 0, 0]}}) = -1 EINVAL "
        "(Invalid argument)\n"
    )
    analysis = Analysis(lines.encode()).finish()
    named = {each.rule.id for each in analysis.explanations if each.rule}
    named |= {p.rule.id for each in analysis.explanations for p in each.possible if p.rule}
    assert named == rules


@pytest.mark.parametrize(
    "words",
    [
        "Vm error: Cannot set the memory regions: Invalid argument (os error 22)",
        "failed to register guest memory slot: EINVAL",
        "error adding the memory region: -EINVAL",
    ],
)
def test_a_region_call_in_other_words_is_told_once_and_as_one(words):
    analysis = Analysis(f"[main] Start microvm error: {words}\n".encode()).finish()
    (explanation,) = analysis.explanations
    assert explanation.step.event.call == "KVM_SET_USER_MEMORY_REGION"
    assert explanation.step.observed == -22
    assert explanation.advice


def test_a_signal_to_a_vcpu_is_no_failure_in_the_life_of_a_vm():
    run = "30820 ioctl(11, KVM_RUN, 0) = -1 EINTR (Interrupted system call)"
    alone = analysed(run)
    assert alone.explanations[0].cause.id == "run-interrupted"
    life = analysed("\n".join([vm(), region(0, 0, MIB), run, run]))
    assert not life.explanations
    dies = analysed("\n".join([vm(), region(0, 0, MIB), run, run.replace("EINTR", "EFAULT")]))
    assert dies.explanations[0].errno == EFAULT


@pytest.mark.parametrize(
    ("text", "rule", "certainty"),
    [
        ("KVM_SET_USER_MEMORY_REGION2: flags=65536: Invalid argument", "flags-invalid", CERTAIN),
        ("KVM_SET_USER_MEMORY_REGION: rc -22, size 21474880 bytes", "size-unaligned", CERTAIN),
        ("KVM_SET_USER_MEMORY_REGION: Invalid argument, size=3KiB", "size-unaligned", CERTAIN),
        ("KVM_SET_USER_MEMORY_REGION: EINVAL (errno 22)\nqueue len 2", "size-unaligned", POSSIBLE),
        ("CreateUserMemoryRegion(Invalid argument (os error 22)) slot: 32770", "slot-id-too-high",
         CERTAIN),
        ("KVM_SET_USER_MEMORY_REGION: Invalid argument\nblock size 512", "size-unaligned",
         POSSIBLE),
    ],
)  # fmt: skip
def test_the_numbers_that_a_message_gives_decide(text, rule, certainty):
    analysis = Analysis(text.encode())
    analysis.finish()
    (explanation,) = analysis.explanations
    assert explanation.certainty == certainty
    assert explanation.rule.id == rule
