"""Releases as ordered values, backports, and kernels by name."""

from __future__ import annotations

from errno import EINVAL

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memslots.errors import UnknownKernelError, UnobservedError
from memslots.kernel.arch import ARCHES, find_arch
from memslots.kernel.evidence import ALWAYS, Bound, Commit
from memslots.kernel.fact import Fact
from memslots.kernel.history import BRANCHES, FACTS
from memslots.kernel.limits import LIMITS
from memslots.kernel.machine import Machine
from memslots.kernel.names import find
from memslots.kernel.profile import OPTIONS
from memslots.kernel.version import MERGE_WINDOW, NEWEST, Version
from memslots.model.vm import Vm
from memslots.rules.answer import Undetermined
from memslots.rules.unobserved import rule_about
from memslots.state.process import PROT_READ, Mapping

releases = st.builds(
    Version, st.integers(2, 7), st.integers(0, 20), st.one_of(st.integers(0, 300), st.just(NEWEST))
)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("6.1", (6, 1, NEWEST)),
        ("v6.1.7", (6, 1, 7)),
        ("6.18.44-fc-v657", (6, 18, 44)),
        ("5.10.0-32-amd64", (5, 10, 0)),
        ("4.19.0", (4, 19, 0)),
        ("6.12.107+deb13-amd64", (6, 12, 107)),
        ("7.3-rc7", (7, 3, MERGE_WINDOW + 7)),
        ("7.3~rc7-1~exp1", (7, 3, MERGE_WINDOW + 7)),
        ("7.3.0-rc7", (7, 3, MERGE_WINDOW + 7)),
        ("6.1.7-rc1", (6, 1, 7)),
    ],
)
def test_releases_as_uname_says_them(text, key):
    version = Version.parse(text)
    assert (version.major, version.minor, version.patch) == key


@pytest.mark.parametrize("text", ["", "6", "six", "v", ".1", "6.", "6.x", "-6.1", "99999.1"])
def test_what_is_no_release(text):
    with pytest.raises(UnknownKernelError, match="not a kernel release"):
        Version.parse(text)


@given(releases, releases)
def test_order(a, b):
    assert (a < b) == ((a.major, a.minor, a.patch) < (b.major, b.minor, b.patch))
    assert (a <= b) == (a < b or a == b)
    assert (a == b) == (hash(a) == hash(b) and str(a) == str(b))
    assert Version.parse(str(a)) == a


def test_a_release_without_patch_level_is_the_newest_of_its_branch():
    assert Version.parse("5.10.99999") < Version.parse("5.10") < Version.parse("5.11.0")
    assert str(Version.parse("5.10")) == "5.10"
    assert Version.parse("5.10") != "5.10"


def test_candidates_come_before_their_release():
    texts = ("7.2", "7.3-rc1", "7.3-rc7", "7.3.0", "7.3.1", "7.3")
    order = [Version.parse(text) for text in texts]
    assert order == sorted(order)
    assert [str(version) for version in order[1:3]] == ["7.3-rc1", "7.3-rc7"]
    assert order[2].branch == (7, 3)


def test_a_candidate_has_what_its_branch_brings():
    branch, point = Commit("", "", "7.3"), Commit("", "", "7.3.0")
    assert branch.reached(Version.parse("7.3-rc1"))
    assert not branch.reached(Version.parse("7.2"))
    assert not point.reached(Version.parse("7.3-rc7"))
    assert point.reached(Version.parse("7.3"))


def test_dates_backports_and_ends():
    fact = Fact("f", "", Commit("", "", "5.15", "5.10.223"), ended=Commit("", "", "6.4", "6.1.50"))
    holds = {
        "5.4": False, "5.10.0": False, "5.10.222": False, "5.10.223": True, "5.10": True,
        "5.11": False,
        "5.14": False, "5.15.0": True, "5.15": True, "6.1.0": True, "6.1.49": True, "6.1.50": False,
        "6.1": False,
        "6.2": True, "6.3": True, "6.4.0": False, "6.4": False, "7.2": False,
    }  # fmt: skip
    assert {text: fact.holds(Version.parse(text), "x86_64") for text in holds} == holds


def test_between_two_releases_nobody_knows():
    fact = Fact("f", "", Bound("6.14", "6.17"), ended=Bound("7.0", "7.1"))
    holds = {
        "6.13": False,
        "6.14.0": False,
        "6.14.99": False,
        "6.14": False,
        "6.15": None,
        "6.15.3": None,
        "6.16": None,
        "6.17.0": True,
        "6.17": True,
        "7.0": True,
        "7.1.0": False,
        "7.1": False,
    }
    assert {text: fact.holds(Version.parse(text), "x86_64") for text in holds} == holds
    assert [str(bound) for bound in fact.unsure] == ["not in 6.14, in 6.17"], (
        "consecutive releases leave no doubt"
    )


def test_a_branch_whose_point_release_is_not_known():
    fact = Fact("f", "", Commit("", "", "6.11", Bound("6.1.0", "6.1.192"), Bound("6.6.15")))
    holds = {
        "6.0": False,
        "6.1.0": False,
        "6.1.1": None,
        "6.1.191": None,
        "6.1.192": True,
        "6.1": True,
        "6.2": False,
        "6.6.15": False,
        "6.6.16": None,
        "6.6": None,
        "6.7": False,
        "6.10": False,
        "6.11.0": True,
    }
    assert {text: fact.holds(Version.parse(text), "x86_64") for text in holds} == holds


def test_an_end_that_nobody_saw():
    fact = Fact("f", "", ALWAYS, ended=Bound("5.4", "5.10"))
    holds = {"4.19": True, "5.4": True, "5.5": None, "5.9.3": None, "5.10.0": False}
    assert {text: fact.holds(Version.parse(text), "x86_64") for text in holds} == holds


def test_a_fact_is_for_its_architectures():
    fact = Fact("f", "", Commit("", "", "5.0"), arches=frozenset({"arm64"}))
    assert fact.holds(Version.parse("6.1"), "arm64")
    assert fact.holds(Version.parse("6.1"), "x86_64") is False


@given(releases, st.sampled_from(sorted(ARCHES)))
def test_without_stable_exceptions_facts_are_intervals(version, arch):
    for fact in FACTS:
        if not fact.backports and not fact.ended_in and not fact.unsure and arch in fact.arches:
            key = (version.major, version.minor)
            began = fact.began is ALWAYS or key >= fact.since.branch
            ended = fact.until is not None and key >= fact.until.branch
            if fact.since.patch in (0, NEWEST):
                assert fact.holds(version, arch) == (began and not ended), fact


# -- a release of which nobody knows


def test_what_nobody_knows_is_undetermined():
    profile = find("6.9/loongarch64")
    assert profile.knows("dirty-log-initially-set") is None
    with pytest.raises(
        UnobservedError, match=r"not in 6\.8, in 6\.11.*State it as \+dirty-log-initially-set"
    ) as raised:
        profile.has("dirty-log-initially-set")
    assert raised.value.fact == "dirty-log-initially-set"
    assert profile.has("region2")
    assert profile.knows("region2")
    assert profile.knows("bad-vm-eio")
    assert not profile.has("arm64-mte-vma")


@pytest.mark.parametrize(
    ("edit", "value"), [("+dirty-log-initially-set", 3), ("-dirty-log-initially-set", 1)]
)
def test_what_nobody_knows_can_be_stated(edit, value):
    assert Vm(f"6.9/loongarch64{edit}").check_extension(168).value == value


def test_calls_that_need_it_are_undetermined_and_others_are_not():
    vm = Vm("6.9/loongarch64")
    asked = vm.check_extension(168)
    assert isinstance(asked, Undetermined)
    assert asked.rule.id == "manual-protect-argument"
    assert vm.set_user_memory_region(0, 0, 0, 1 << 24, 1 << 24).accepted
    old = Vm("4.19/arm64")
    assert old.set_user_memory_region(0, 0, 0, 4096, 4096).accepted
    tagged = old.set_user_memory_region(1, 0, 1 << 20, 4096, 0x0100_0000_0000_1000)
    assert isinstance(tagged, Undetermined)
    assert tagged.rule.id == "hva-tagged"
    assert "not in 4.19.37" in tagged.question
    assert len(list(old.slots())) == 1


def test_only_the_calls_that_need_it():
    """What the doubt cannot change is answered."""
    vm = Vm("6.18/x86_64")
    fd = vm.create_guest_memfd(1 << 20).value
    assert vm.set_user_memory_region2(0, 4, 0, 4096, 0, fd, 0).accepted
    assert vm.set_user_memory_region2(1, 4, 1 << 30, 4096, 0, fd, 1 << 20).errno == EINVAL
    far = vm.set_user_memory_region2(1, 4, 1 << 30, 4096, 0, fd, (1 << 63) - 4096)
    assert isinstance(far, Undetermined)
    assert far.rule.id == "gmem-range"
    assert Vm("5.7/arm64").set_user_memory_region(0, 0, 0, 4096, 4096).accepted
    unwritable = Vm("5.7/arm64")
    unwritable.process.mmap(Mapping(0, 1 << 20, PROT_READ))
    assert isinstance(unwritable.set_user_memory_region(0, 0, 0, 4096, 4096), Undetermined)
    assert unwritable.set_user_memory_region(0, 2, 0, 4096, 4096).accepted


def test_a_limit_between_two_kinds_is_a_pair_of_bounds():
    top = (1 << 47) - 4096
    both = Vm(f"6.6/x86_64+task-size={top:#x}")
    assert both.set_user_memory_region(0, 0, 0, 4096, top - 8192).accepted
    assert isinstance(both.set_user_memory_region(1, 0, 1 << 20, 4096, 1 << 62), Undetermined)
    assert both.set_user_memory_region(1, 0, 1 << 20, 4096, 1 << 63).errno == EINVAL
    assert (
        Vm(f"6.6.15/x86_64+task-size={top:#x}")
        .set_user_memory_region(1, 0, 1 << 20, 4096, 1 << 62)
        .accepted
    )


def test_every_fact_that_may_be_unknown_belongs_to_a_rule():
    for fact in FACTS:
        if fact.unsure and fact.name not in IN_BOUNDS:
            assert rule_about(fact.name)


IN_BOUNDS = {"hva-limit-exclusive", "hva-sign-bit-only", "loongarch-gpa-full-width"}
"""Facts whose doubt is a pair of numbers in `Machine`, not an exception."""


# -- limits of the specification's section 12.1


@pytest.mark.parametrize(
    ("arch", "numbers"),
    [
        ("x86_64", {"4.19": 509, "5.4": 509, "5.11": 509, "5.12": 32764, "7.2": 32764}),
        ("arm64", {"4.19": 512, "5.11": 512, "5.12": 32767, "7.2": 32767}),
        ("ppc64", {"4.19": 512, "5.12": 32767}),
        ("s390x", {"4.19": 32, "5.11": 32, "5.12": 32767, "6.13": 32767, "6.14": 32766}),
        ("mips", {"4.19": 8, "5.4": 8, "5.7": 8, "5.10": 16, "5.12": 32767}),
        ("riscv64", {"5.16": 32767, "7.2": 32767}),
        ("loongarch64", {"6.7": 32767, "7.2": 32767}),
    ],
)
def test_user_slots(arch, numbers):
    assert {
        release: find(f"{release}/{arch}").limit("user-slots") for release in numbers
    } == numbers


def test_internal_slots():
    assert find("6.1/x86_64").limit("internal-slots") == 3
    assert find("6.13/s390x").limit("internal-slots") == 0
    assert find("6.14/s390x").limit("internal-slots") == 1
    assert {limit.name for limit in LIMITS} >= {"user-slots", "internal-slots"}


def test_a_limit_that_nobody_knows():
    with pytest.raises(UnknownKernelError, match=r"no max-vcpus known for 6\.1/mips"):
        find("6.1/mips").limit("max-vcpus")


# -- names


@pytest.mark.parametrize(
    ("name", "arch", "options"),
    [
        ("6.1/x86_64", "x86_64", {}),
        ("6.1", "x86_64", {}),
        ("v6.1.7/amd64", "x86_64", {}),
        ("5.10/i386", "i386", {}),
        ("5.10/i686", "i386", {}),
        ("6.12/arm64+16k", "arm64", {"page-shift": 14}),
        ("6.12/aarch64+64k", "arm64", {"page-shift": 16}),
        ("6.1/ppc64le+4k", "ppc64", {"page-shift": 12}),
        ("7.2/x86_64+pa46-smm", "x86_64", {"gpa-bits": 46, "smm": False}),
        ("7.2/x86-64+intel+ept", "x86_64", {"vendor": "intel", "tdp": True}),
        ("7.2/x86_64+npt+amd", "x86_64", {"vendor": "amd", "tdp": True}),
        ("7.2/x86_64-tdp", "x86_64", {"tdp": False}),
        ("7.2/x86_64+task-size=0x7ffffffff000", "x86_64", {"task-size": 0x7FFFFFFFF000}),
        (
            "7.2/x86_64+vm-types=3+attributes-built",
            "x86_64",
            {"vm-types": 3, "attributes-built": True},
        ),
        ("7.3-rc7", "x86_64", {}),
        ("7.3~rc7/ppc64el", "ppc64", {}),
        ("7.3-rc7/arm64+pa36-mte", "arm64", {"gpa-bits": 36, "mte": False}),
        ("7.3.0-rc7/x86_64-smm", "x86_64", {"smm": False}),
        ("  6.1/x86_64  ", "x86_64", {}),
    ],
)
def test_names(name, arch, options):
    profile = find(name)
    assert profile.arch.name == arch
    assert {key: profile.option(key) for key in options} == options
    assert set(profile.options) == set(options)


def test_facts_are_added_and_taken_away_by_name():
    assert find("5.14/x86_64+guest-memfd").has("guest-memfd")
    assert not find("6.12/x86_64-guest-memfd").has("guest-memfd")
    assert find("6.12/x86_64-region2-hva-tag-check+pa40").number("gpa-bits") == 40
    assert find("6.12/x86_64+region2").facts["region2"] == "stated"
    assert "dated, 6.12" in find("6.12/x86_64").facts["region2"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "not a kernel name"),
        ("linux", "not a kernel name"),
        ("6/x86_64", "not a kernel name"),
        ("6.1/", "not a kernel name"),
        ("6.1/vax", "unknown architecture 'vax'; known: x86_64"),
        ("6.1/x86_64+xyzzy", "no such fact or option: .*xyzzy"),
        ("6.1/x86_64+region", "no such fact or option"),
        ("6.1/x86_64+", "no such fact or option"),
        ("6.1/x86_64+16k", "x86_64 has no page size of 16 KiB"),
        ("6.1/x86_64+page-shift=13", "no page size of 8 KiB"),
        ("6.1/x86_64+gpa-bits=many", "gpa-bits takes a number"),
        ("4.18/x86_64", r"KVM facts for x86_64 begin with 4\.19"),
        ("3.10/x86_64", r"KVM facts for x86_64 begin with 4\.19"),
        ("5.15/riscv64", r"KVM facts for riscv64 begin with 5\.16"),
        ("6.6/loongarch64", r"KVM facts for loongarch64 begin with 6\.7"),
    ],
)
def test_wrong_names_say_what_is_wrong(name, says):
    with pytest.raises(UnknownKernelError, match=says):
        find(name)
    assert issubclass(UnknownKernelError, ValueError)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("no-such-thing", True, "neither a fact nor an option"),
        ("gpa-bits", "46", "option gpa-bits takes int, not '46'"),
        ("gpa-bits", -1, "takes int, not -1"),
        ("gpa-bits", True, "takes int, not True"),
        ("vendor", 5, "option vendor takes str, not 5"),
        ("smm", "yes", "option smm takes bool, not 'yes'"),
    ],
)
def test_wrong_edits_say_what_is_wrong(key, value, says):
    with pytest.raises(UnknownKernelError, match=says):
        find("6.1/x86_64").edited({key: value})


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("6.1/x86_64", None), ("6.1/x86_64-flexpriority-apicv", False), ("6.1/x86_64-apicv", None),
        ("6.1/x86_64+intel", True), ("6.1/x86_64+intel-apicv", True),
        ("6.1/x86_64+intel-flexpriority", False),
        ("6.1/x86_64+amd", None), ("6.1/x86_64+amd+apicv", True), ("6.1/x86_64+amd-apicv", False),
        ("6.1/x86_64+pvm+apicv", False),
    ],
)  # fmt: skip
def test_the_apic_access_page(name, page):
    assert find(name).apic_access_page is page


def test_an_option_is_off_without_the_one_that_it_needs():
    assert find("6.1/x86_64+intel").option("unrestricted-guest") is True
    assert find("6.1/x86_64+intel-tdp").option("unrestricted-guest") is False
    assert find("6.1/x86_64+intel-tdp+unrestricted-guest").option("unrestricted-guest") is False


def test_an_option_can_be_forgotten():
    assert find("6.1/x86_64+pa46").edited({"gpa-bits": None}).option("gpa-bits") is None


@pytest.mark.parametrize("name", sorted(ARCHES))
def test_every_architecture_makes_machines(name):
    arch = find_arch(name.upper())
    assert arch.name == name
    assert arch.long_bits in (32, 64)
    for shift in arch.page_shifts:
        machine = Machine(find(f"7.2/{name}").edited({"page-shift": shift}))
        assert machine.page_mask + 1 == 1 << shift
        assert machine.user_slots > 100
        assert machine.gfn_end <= machine.gfn_end_high
        assert machine.hva_end <= machine.hva_end_high


def test_every_option_has_a_summary_and_a_default_of_its_kind():
    for option in OPTIONS.values():
        assert option.summary
        assert option.default is None or isinstance(option.default, option.kind)


def test_branches_differ():
    """A branch worth asking about has facts or users of its own; none is there twice."""
    assert len({str(branch) for branch in BRANCHES}) == len(BRANCHES)


@pytest.mark.parametrize(
    ("name", "vm_type", "spaces", "step"),
    [
        ("6.1/x86_64", 0, 2, 2),
        ("6.1/x86_64-smm", 0, 2, 2),
        ("6.2/x86_64-smm", 0, 1, 1),
        ("6.8/x86_64+vm-types=3", 1, 1, 1),
        ("6.10/x86_64+vm-types=0x1f", 2, 2, 2),
        ("6.11/x86_64+vm-types=0x1f", 4, 1, 1),
        ("7.2/i386", 0, 2, 2),
        ("4.19/x86_64", 0, 2, 4),
        ("4.19/arm64", 0, 1, 2),
        ("7.2/arm64", 0, 1, 1),
    ],
)
def test_address_spaces_and_generation_steps(name, vm_type, spaces, step):
    machine = Machine(find(name), vm_type)
    assert (machine.spaces, machine.generation_step) == (spaces, step)
