"""Every rule is the first to refuse somewhere, and the order of the region rules is pinned.

A request with two faults is answered by the rule that stands first in
REGION_RULES: exchanging two checks, or two entries of the catalogue, fails here.
"""

from __future__ import annotations

import inspect
import os
import sys
from itertools import combinations, pairwise

import pytest

from memslots.errors import errno_name
from memslots.model.vm import Vm
from memslots.rules.catalogue import REGION_RULES, all_rules, find_rule
from memslots.state.guest_memfd import GuestMemfd
from memslots.state.process import PROT_READ, Mapping, Process
from memslots.uapi.region import Region

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from story import H, Teller

# -- each rule refuses first

X86 = "7.2/x86_64+amd+pa46+attributes-built"
GMEM = ["gmem g size 16P", "set2 slot 0 npages 4 hva H flags GMEM fd g"]
_MAPPABLE = ["gmem g size 16P flags 1", "set2 slot 0 npages 4 hva H flags GMEM fd g"]
FIRST = {
    # id: (kernel, commands, the last of which is refused by it; VM type if not 0)
    "foreign-process": (X86, ["child-set slot 0 npages 1 hva H"]),
    "vm-dead": (X86, ["kill", "set slot 0 npages 1 hva H"]),
    "ioctl-unknown": ("6.7/x86_64", ["set2 slot 0 npages 1 hva H"]),
    "argument-unreadable": (X86, ["set slot 0 npages 1 hva H readable 31"]),
    "flags-of-region2": (X86, ["set slot 0 npages 1 hva H flags GMEM"]),
    "slot-id-too-high": (X86, ["set slot 32764 npages 1 hva H"]),
    "flags-invalid": (X86, ["set2 slot 0 npages 1 hva H flags 8"]),
    "size-unaligned": (X86, ["set slot 0 size 4095 hva H"]),
    "size-exceeds-ulong": ("7.2/i386", ["set slot 0 size 2^32 hva 0"]),
    "gpa-unaligned": (X86, ["set slot 0 gpa 1 npages 1 hva H"]),
    "hva-unaligned": (X86, ["set slot 0 npages 1 hva H+1"]),
    "hva-tagged": ("7.2/arm64", ["set slot 0 npages 1 hva 0x0100000000000000+H"]),
    "hva-out-of-range": (X86, ["set slot 0 npages 1 hva 2^63"]),
    "gmem-offset-unaligned": (
        X86,
        [*GMEM, "set2 slot 1 gfn 9 npages 1 hva H flags GMEM fd g offset 1"],
    ),
    "gmem-offset-wraps": (
        X86,
        [*GMEM, "set2 slot 1 gfn 9 npages 2 hva H flags GMEM fd g offset 2^64-1P"],
    ),
    "address-space-unknown": (X86, ["set slot 0 as 2 npages 1 hva H"]),
    "gpa-wraps": (X86, ["set slot 0 gpa 2^64-1P npages 1 hva H"]),
    "slot-too-large": (X86, ["set slot 0 npages 2^31 hva H"]),
    "delete-missing": (X86, ["delete slot 0"]),
    "page-total-underflow": (X86, ["set slot 0 npages 2 hva H", "lose-count", "delete slot 0"]),
    "page-total-cap": ("7.2/ppc32", ["fill slots 0-8191 gfn 0 step 524288 npages 524288 hva 0"]),
    "guest-memfd-change": (X86, [*GMEM, GMEM[1]]),
    "userspace-addr-change": (X86, ["set slot 0 npages 1 hva H", "set slot 0 npages 1 hva H+1P"]),
    "size-change": (X86, ["set slot 0 npages 1 hva H", "set slot 0 npages 2 hva H"]),
    "readonly-change": (X86, ["set slot 0 npages 1 hva H", "set slot 0 npages 1 hva H flags RO"]),
    "guest-memfd-toggle": (X86, [*GMEM, "set2 slot 0 npages 4 hva H"]),
    "slot-overlap": (X86, ["set slot 0 npages 4 hva H", "set slot 1 gfn 3 npages 1 hva H"]),
    "gmem-fd-closed": (X86, ["set2 slot 0 npages 4 hva H flags GMEM fd 999"]),
    "gmem-fd-other-file": (X86, ["set2 slot 0 npages 4 hva H flags GMEM fd 1"]),
    "gmem-range": (X86, ["gmem g size 16P", "set2 slot 0 npages 17 hva H flags GMEM fd g"]),
    "gmem-range-bound": (X86, [*GMEM, "set2 slot 1 gfn 9 npages 1 hva H flags GMEM fd g"]),
    "page-track-move": (
        X86 + "+page-track",
        ["set slot 0 npages 1 hva H", "set slot 0 gfn 1 npages 1 hva H"],
    ),
    "gfn-above-max": (X86, ["set slot 0 gpa 2^46 npages 1 hva H"]),
    "alias-bit": (
        X86.replace("46", "52") + "+vm-types=0x3f",
        ["set slot 0 gpa 2^47 npages 1 hva H"],
        5,
    ),
    "metadata-allocation": ("5.17/x86_64-tdp", ["set slot 0 npages 2^28 hva H"]),
    "protected-vm-change": (
        "7.2/arm64",
        ["config protected 1", "set slot 0 npages 1 hva H flags LOG"],
    ),
    "ipa-limit": ("7.2/arm64", ["set slot 0 gpa 2^40 npages 1 hva H"]),
    "gmem-not-mappable": ("7.2/arm64", GMEM),
    "gmem-with-mte": ("7.2/arm64+mte", ["enable ARM_MTE 0", *_MAPPABLE]),
    "stage2-limit": ("7.2/riscv64+pa41", ["set slot 0 gpa 2^41-1P npages 1 hva H"]),
    "ucontrol-user-slot": ("6.12/s390x+ucontrol", ["set slot 0 size 1M hva H"], 1),
    "secure-vm": ("7.0/s390x", ["config secure 1", "set slot 0 size 1M hva H"]),
    "hva-segment-unaligned": ("7.0/s390x", ["set slot 0 size 1M hva H+4K"]),
    "size-segment-unaligned": ("7.0/s390x", ["set slot 0 size 4K hva H"]),
    "memory-limit": ("7.2/s390x+mem-limit=0x100000", ["set slot 0 gpa 1M size 1M hva H"]),
    "gpa-size-limit": ("7.2/loongarch64+pa48", ["set slot 0 gpa 2^48 npages 1 hva H"]),
    "rmap-exceeds-ram": ("7.2/ppc64+total-ram-pages=1", ["set slot 0 npages 2^15 hva H"]),
    "vma-not-writable": ("7.2/riscv64", ["map H 1P read", "set slot 0 npages 1 hva H"]),
    "vma-mte": ("7.2/arm64", ["config arm64_mte 1", "map H 1P", "set slot 0 npages 1 hva H"]),
    "vma-pfn-logging": ("7.2/arm64", ["map H 1P pfn", "set slot 0 npages 1 hva H flags LOG"]),
    "vma-pfn-cacheable": ("7.2/arm64", ["map H 1P pfn", "set slot 0 npages 1 hva H"]),
    # the other calls
    "vm-type-unsupported": (X86, ["create-vm type 9"]),
    "capability-not-enabled": (X86, ["enable MAX_VCPU_ID 99999"]),
    "mmu-pages-too-few": (X86, ["set-nr-mmu 63"]),
    "irqchip-exists": (X86, ["irqchip", "irqchip"]),
    "irqchip-too-late": (X86, ["vcpu 0", "irqchip"]),
    "irqchip-protected": (f"{X86}+vm-types=0x3f", ["irqchip"], 5),
    "irqchip-not-enabled": ("7.2/s390x", ["irqchip"]),
    "irqchip-unsupported": ("7.2/arm64-gicv2", ["irqchip"]),
    "vcpu-id-too-high": (X86, ["vcpu 99999"]),
    "tdx-vcpu-too-early": (f"{X86}+vm-types=0x3f-launched", ["vcpu 0"], 5),
    "vcpu-exists": (X86, ["vcpu 0", "vcpu 0"]),
    "tss-too-high": (X86, ["tss 0xffffd001"]),
    "identity-map-too-late": (X86, ["vcpu 0", "identity 0"]),
    "gmem-flags": (X86, ["gmem g size 1P flags 4"]),
    "gmem-size": (X86, ["gmem g size 1"]),
    "attributes-invalid": (X86, ["attributes gpa 0 size 0 value 0"]),
    "pre-fault-range": (X86, ["pre-fault gpa 0 size 0"]),
    "pre-fault-ucontrol": ("7.2/s390x+ucontrol", ["pre-fault gpa 0 size 1P"], 1),
    "pre-fault-too-early": (f"{X86}+vm-types=0x3f-launched", ["pre-fault gpa 0 size 1P"], 4),
    "pre-fault-no-slot": (X86, ["pre-fault gpa 0 size 1P"]),
    "pre-fault-no-budget": (f"{X86}-tdp", ["pre-fault gpa 0 size 1P"]),
    "pre-fault-unsupported": (
        f"{X86}-tdp",
        ["set slot 0 npages 1 hva H", "pre-fault gpa 0 size 1P"],
    ),
    "pre-fault-not-mapped": (X86, [*_MAPPABLE, "close g", "pre-fault gpa 0 size 1P"]),
    "ucontrol-dirty-log": ("7.2/s390x+ucontrol", ["get-dirty slot 0"], 1),
    "dirty-log-unsupported": ("7.2/ppc32", ["get-dirty slot 0"]),
    "dirty-ring-instead": (X86, ["enable ring 16384", "get-dirty slot 0"]),
    "dirty-slot-unknown": (X86, ["get-dirty slot 32764"]),
    "first-page-unaligned": (X86, ["clear-dirty slot 0 first 1 num 64"]),
    "slot-not-logging": (X86, ["get-dirty slot 0"]),
    "clear-range": (
        X86,
        ["set slot 0 npages 9 hva H flags LOG", "clear-dirty slot 0 first 0 num 64"],
    ),
    "bitmap-buffer": (X86, ["set slot 0 npages 9 hva H flags LOG", "get-dirty slot 0 buffer 7"]),
    "manual-protect-argument": (X86, ["enable manual-protect 2"]),
    "dirty-ring-size": (X86, ["enable ring 4095"]),
    "dirty-ring-too-large": (X86, ["enable ring 2^21"]),
    "dirty-ring-too-late": (X86, ["vcpu 0", "enable ring 16384"]),
    "ring-with-bitmap": (X86, ["enable ring-with-bitmap 0"]),
    "no-dirty-ring": (X86, ["reset-rings"]),
}
ASKS = {"alias-bit", "vma-pfn-cacheable"}
"""Rules that no profile can decide: they ask."""


def _lose_count(teller):
    """Let the page total be wrong, as only a bug of the kernel could."""
    teller.vm.state.total_pages = 1


@pytest.mark.parametrize("rule_id", [rule.id for rule in all_rules()])
def test_rule_is_the_first_to_refuse(rule_id):
    assert rule_id in FIRST, f"{rule_id}: add a request that it is the first to refuse"
    kernel, commands, *vm_type = FIRST[rule_id]
    teller = Teller(kernel, *(vm_type or [0]))
    for command in commands:
        if command == "lose-count":
            _lose_count(teller)
            answer = teller.say(teller.vm.set_user_memory_region(0, 0, 0, 0, 0))
            break
        answer = teller.tell(command)
    word = "undetermined" if rule_id in ASKS else errno_name(find_rule(rule_id).errno)
    assert answer.endswith(f"{word} {rule_id}"), answer


def test_no_request_is_for_a_rule_that_is_gone():
    assert set(FIRST) == {rule.id for rule in all_rules()}


# -- the order of the region rules


class Fault:
    """What makes one rule refuse a request that is otherwise fine."""

    def __init__(self, rule, *, before=None, after=None, by_other=False, **fields):
        self.rule = rule
        self.before = before
        """Done to the VM first."""
        self.after = after
        """Done to the VM when the request is known."""
        self.by_other = by_other
        self.fields = fields
        """Region fields to set; a function of the old value to change one."""


def plus(number):
    return lambda value: value + number


def with_flag(bit):
    return lambda value: value | bit


P = 4096
BIG = 1 << 64


def blocker(vm, request):
    """A slot at the end of where the request goes, or at its start if that is out of reach."""
    gfn = min(request.guest_phys_addr // P, (1 << 34) - 2)
    assert vm.set_user_memory_region(900, 0, gfn * P, P, H).accepted, "the blocker does not fit"


def bound(vm, request):
    file = vm.process.fds[request.guest_memfd]
    vm.process.fds[77] = file
    region = Region(901, 4, 5000 * P, P, H, 77, request.guest_memfd_offset & ~(P - 1), True)
    assert vm.submit(region).accepted, "the other binding does not fit"


def secure(vm):
    vm.state.config.secure = True


def ucontrol(vm):
    vm.state.config.ucontrol = True


def protected(vm):
    vm.state.config.protected = True


def mte(vm):
    vm.state.config.arm64_mte = True


def read_only_memory(vm):
    vm.process.mmap(Mapping(H, H + (1 << 24), PROT_READ))


def device_memory(vm):
    old = vm.process.at(H)
    vm.process.mmap(Mapping(H, H + (1 << 24), old.prot if old else 3, is_pfn=True))


def files(vm):
    vm.process.fds[1] = None
    vm.process.fds[50] = GuestMemfd(16 * P, 0, vm.state.uid)


def total_almost_full(vm):
    assert vm.state.total_pages == 0
    for slot in range(8192):
        npages = 524288 if slot < 8191 else 524284
        assert vm.set_user_memory_region(
            slot + 1000, 0, (slot << 19) + (1 << 33) << 12, npages * P, 0
        ).accepted


def existing(vm):
    assert vm.set_user_memory_region(5, 0, 100 * P, 4 * P, H).accepted


def existing_gmem(vm):
    files(vm)
    assert vm.submit(Region(5, 4, 100 * P, 4 * P, H, 50, 0, True)).accepted


ARGUMENT_FAULTS = [
    Fault("foreign-process", by_other=True),
    Fault("vm-dead", before=lambda vm: vm.state.kill()),
    Fault("argument-unreadable", readable_bytes=0),
    Fault("slot-id-too-high", slot=with_flag(40000)),
    Fault("size-unaligned", memory_size=plus(1)),
    Fault("gpa-unaligned", guest_phys_addr=plus(1)),
    Fault("hva-unaligned", userspace_addr=plus(8)),
    Fault("hva-out-of-range", userspace_addr=plus(1 << 63)),
    Fault("address-space-unknown", slot=with_flag(9 << 16)),
    Fault("gpa-wraps", guest_phys_addr=BIG - 2 * P),
    Fault("slot-too-large", memory_size=P << 31),
    Fault("slot-overlap", after=blocker),
    Fault("gfn-above-max", guest_phys_addr=(1 << 46) - 2 * P),
]
BASES = {
    # name: (kernel, preparation, request, faults)
    "creation": (X86, None, Region(5, 0, 100 * P, 4 * P, H), [
        *ARGUMENT_FAULTS,
        Fault("flags-of-region2", flags=with_flag(8)),
        Fault("delete-missing", memory_size=0),
    ]),
    "long call": (X86, files, Region(5, 4, 100 * P, 4 * P, H, 50, 0, True), [
        *ARGUMENT_FAULTS,
        Fault("flags-invalid", flags=with_flag(8)),
        Fault("gmem-offset-unaligned", guest_memfd_offset=plus(1)),
        Fault("gmem-offset-wraps", guest_memfd_offset=BIG - P),
        Fault("gmem-fd-closed", guest_memfd=999),
        Fault("gmem-fd-other-file", guest_memfd=1),
        Fault("gmem-range", guest_memfd_offset=14 * P),
        Fault("gmem-range-bound", after=bound),
    ]),
    "unknown call": ("6.7/x86_64", None, Region(5, 0, 100 * P, 4 * P, H, 0, 0, True), [
        Fault("ioctl-unknown"),
        *ARGUMENT_FAULTS[:4],
    ]),
    "tracked move": (X86 + "+page-track", existing, Region(5, 0, 150 * P, 4 * P, H, 0, 0, True), [
        Fault("size-change", memory_size=plus(P)),
        Fault("slot-overlap", after=blocker),
        Fault("page-track-move"),
        Fault("gfn-above-max", guest_phys_addr=plus((1 << 46) - 152 * P)),
    ]),
    "move": (X86, existing, Region(5, 0, 150 * P, 4 * P, H, 0, 0, True), [
        Fault("userspace-addr-change", userspace_addr=plus(P)),
        Fault("slot-overlap", after=blocker),
        Fault("gfn-above-max", guest_phys_addr=plus((1 << 46) - 152 * P)),
    ]),
    "change": (X86, existing, Region(5, 0, 100 * P, 4 * P, H, 0, 0, True), [
        *ARGUMENT_FAULTS[:9],
        Fault("guest-memfd-change", flags=with_flag(4)),
        Fault("userspace-addr-change", userspace_addr=plus(P)),
        Fault("size-change", memory_size=plus(P)),
        Fault("readonly-change", flags=with_flag(2)),
        Fault("slot-overlap", guest_phys_addr=plus(50 * P), after=blocker),
    ]),
    "lost guest_memfd": (X86, existing_gmem, Region(5, 0, 100 * P, 4 * P, H, 0, 0, True), [
        Fault("userspace-addr-change", userspace_addr=plus(P)),
        Fault("size-change", memory_size=plus(P)),
        Fault("readonly-change", flags=with_flag(2)),
        Fault("guest-memfd-toggle"),
        Fault("slot-overlap", guest_phys_addr=plus(50 * P), after=blocker),
    ]),
    "32 bits": ("7.2/i386+amd+pa46", None, Region(5, 0, 100 * P, 4 * P, H), [
        Fault("size-unaligned", memory_size=plus(1)),
        Fault("size-exceeds-ulong", memory_size=plus(1 << 32)),
        Fault("gpa-unaligned", guest_phys_addr=plus(1)),
        Fault("slot-overlap", after=blocker),
    ]),
    "full": ("7.2/ppc32", total_almost_full, Region(5, 0, 100 * P, 4 * P, H), [
        Fault("address-space-unknown", slot=with_flag(9 << 16)),
        Fault("gpa-wraps", guest_phys_addr=BIG - 2 * P),
        Fault("page-total-cap"),
        Fault("slot-overlap", guest_phys_addr=(1 << 33) * P),
    ]),
    "tagged": ("7.2/arm64", None, Region(5, 0, 100 * P, 4 * P, H), [
        Fault("hva-unaligned", userspace_addr=plus(8)),
        Fault("hva-tagged", userspace_addr=plus(1 << 56)),
        Fault("hva-out-of-range", userspace_addr=plus(1 << 54)),
        Fault("address-space-unknown", slot=with_flag(9 << 16)),
    ]),
    "arm64": ("7.2/arm64", files, Region(5, 4, 100 * P, 4 * P, H, 50, 0, True), [
        Fault("gmem-fd-closed", guest_memfd=999),
        Fault("ipa-limit", guest_phys_addr=1 << 40),
        Fault("gmem-not-mappable"),
        Fault("gmem-with-mte", before=mte),
    ]),
    "arm64 mappings": ("7.2/arm64", None, Region(5, 1, 100 * P, 4 * P, H), [
        Fault("slot-overlap", after=blocker),
        Fault("protected-vm-change", before=protected),
        Fault("ipa-limit", guest_phys_addr=(1 << 40) - 2 * P),
        Fault("vma-mte", before=lambda vm: (mte(vm), vm.process.at(H) or read_only_memory(vm))),
        Fault("vma-pfn-logging", before=device_memory),
    ]),
    "riscv": ("7.2/riscv64+pa41", None, Region(5, 1, 100 * P, 4 * P, H), [
        Fault("stage2-limit", guest_phys_addr=1 << 41),
        Fault("vma-not-writable", before=read_only_memory),
        Fault("vma-pfn-logging", before=device_memory),
    ]),
    "old arm64": ("5.4/arm64", None, Region(5, 1, 100 * P, 4 * P, H), [
        Fault("ipa-limit", guest_phys_addr=1 << 40),
        Fault("vma-not-writable", before=read_only_memory),
        Fault("vma-pfn-logging", before=device_memory),
    ]),
    "s390": ("6.12/s390x+mem-limit=0x40000000", None, Region(5, 0, 1 << 20, 1 << 20, H), [
        Fault("ucontrol-user-slot", before=ucontrol),
        Fault("secure-vm", before=secure),
        Fault("hva-segment-unaligned", userspace_addr=plus(P)),
        Fault("size-segment-unaligned", memory_size=plus(P)),
        Fault("memory-limit", guest_phys_addr=1 << 30),
    ]),
    "metadata": ("5.17/x86_64-tdp", None, Region(5, 0, 100 * P, P << 28, H), [
        Fault("slot-overlap", after=blocker),
        Fault("metadata-allocation"),
    ]),
}  # fmt: skip
ORDER = {rule.id: at for at, rule in enumerate(REGION_RULES)}
EXCLUSIVE = {
    # the second fault cannot be added to the first: it would not be there
    ("size-unaligned", "delete-missing"),
    ("gpa-wraps", "delete-missing"),
    ("gpa-wraps", "slot-overlap"),
    ("gmem-range", "gmem-range-bound"),
    ("gmem-offset-wraps", "gmem-range-bound"),
    ("gmem-fd-closed", "gmem-range-bound"),
    ("gmem-fd-other-file", "gmem-range-bound"),
    ("guest-memfd-change", "readonly-change"),
    ("vm-dead", "slot-overlap"),
    ("vm-dead", "gmem-range-bound"),
}
PAIRS = [
    (base, first, second)
    for base, (_, _, _, faults) in BASES.items()
    for first, second in combinations(sorted(faults, key=lambda fault: ORDER[fault.rule]), 2)
    if (first.rule, second.rule) not in EXCLUSIVE
    and not any(
        not callable(first.fields[name]) and not callable(second.fields[name])
        for name in first.fields.keys() & second.fields.keys()
    )
]  # fmt: skip


FIELDS = tuple(inspect.signature(Region).parameters)


def outcome_of(base, *faults):
    """What the request answers with these faults."""
    kernel, prepare, request, _ = BASES[base]
    vm = Vm(kernel, process=Process(mappings_known=False))
    if prepare is not None:
        prepare(vm)
    fields = {name: getattr(request, name) for name in FIELDS}
    # fixed values first, then what is added to them
    for changes_old in (False, True):
        for fault in faults:
            for name, value in fault.fields.items():
                if callable(value) == changes_old:
                    fields[name] = value(fields[name]) if callable(value) else value
    request = Region(**fields)
    for fault in faults:
        if fault.after is not None:
            fault.after(vm, request)
    for fault in faults:
        if fault.before is not None:
            fault.before(vm)
    return vm.submit(request, by_other_process=any(fault.by_other for fault in faults))


@pytest.mark.parametrize("base", BASES)
def test_each_fault_alone(base):
    kernel, _, _, faults = BASES[base]
    for fault in faults:
        outcome = outcome_of(base, fault)
        assert getattr(outcome, "rule", None) is not None, (kernel, fault.rule, outcome)
        assert outcome.rule.id == min([fault.rule, *own_faults(base)], key=ORDER.get), (
            fault.rule,
            outcome,
        )


def own_faults(base):
    """The rules that the base's request violates by itself."""
    return [
        fault.rule
        for fault in BASES[base][3]
        if not (fault.fields or fault.before or fault.after or fault.by_other)
    ]


@pytest.mark.parametrize(
    ("base", "first", "second"), PAIRS, ids=[f"{b}:{f.rule}+{s.rule}" for b, f, s in PAIRS]
)
def test_of_two_faults_the_earlier_is_reported(base, first, second):
    outcome = outcome_of(base, first, second)
    assert getattr(outcome, "rule", None) is not None, outcome
    assert outcome.rule.id == min(first.rule, second.rule, *own_faults(base), key=ORDER.get), (
        outcome
    )


NEVER_TOGETHER = {
    # neighbours of REGION_RULES that no request can violate both, and why
    ("slot-too-large", "delete-missing"): "one has a size, the other has none",
    ("delete-missing", "page-total-underflow"): "one needs that there is no slot",
    ("page-total-underflow", "page-total-cap"): "deletion and creation",
    ("page-total-cap", "guest-memfd-change"): "creation and change",
    ("gmem-fd-closed", "gmem-fd-other-file"): "one descriptor",
    ("gmem-range", "gmem-range-bound"): "what is beyond the file is not bound",
    ("gmem-range-bound", "page-track-move"): "creation and move",
    ("alias-bit", "metadata-allocation"): "6.14 and later, 5.15 to 5.17",
    ("metadata-allocation", "protected-vm-change"): "two architectures",
    ("gmem-with-mte", "stage2-limit"): "two architectures",
    ("stage2-limit", "ucontrol-user-slot"): "two architectures",
    ("memory-limit", "gpa-size-limit"): "two architectures",
    ("gpa-size-limit", "rmap-exceeds-ram"): "two architectures",
    ("rmap-exceeds-ram", "vma-not-writable"): "two architectures",
    ("vma-not-writable", "vma-mte"): "arm64 up to 5.6, arm64 since 5.14",
    ("gfn-above-max", "alias-bit"): "no profile decides the second: it asks",
    ("vma-pfn-logging", "vma-pfn-cacheable"): "the second asks, of mappings that do not log",
}
PINNED = {
    (first.rule, second.rule)
    for base, first, second in PAIRS
    if all(ORDER[own] >= ORDER[first.rule] for own in own_faults(base))
}


@pytest.mark.parametrize(
    ("first", "second"),
    [(a.id, b.id) for a, b in pairwise(REGION_RULES)],
    ids=[f"{a.id}|{b.id}" for a, b in pairwise(REGION_RULES)],
)
def test_neighbours_are_pinned_or_cannot_meet(first, second):
    """Exchanging two neighbours of the catalogue must fail a pair above, or make no difference."""
    assert (first, second) in PINNED or NEVER_TOGETHER.get((first, second)), (
        "add a request that violates both"
    )
