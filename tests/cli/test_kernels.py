"""`memslots kernels`, `memslots kernel`, and distributions' names."""

from __future__ import annotations

import json

import pytest
from epilog import call, examples

from memslots.errors import UnknownKernelError
from memslots.kernel.distributions import BUILDS, BUILT_FROM
from memslots.kernel.history import BRANCHES
from memslots.kernel.names import find


@pytest.mark.parametrize("line", [*examples("kernels"), *examples("kernel")])
def test_examples_of_the_help(line: str) -> None:
    code, out, err = call(line)
    assert (code, err) == (0, "")
    assert out


def test_the_list_says_what_each_release_changed() -> None:
    _, out, _ = call("memslots kernels")
    assert all(f"\n  {version}" in out for version in BRANCHES)
    assert "5.17  +page-total-cap +budget-from-total" in out
    found = json.loads(call("memslots kernels --json")[1])
    assert found["schema"] == "memslots.kernels/1"
    arm64 = found["architectures"]["arm64"]
    assert {
        "release": "5.17",
        "begins": ["page-total-cap"],
        "ends": ["hva-compared-truncated"],
    } in arm64
    counts = found["evidence"]
    assert counts["facts"] > counts["commit"] > counts["subject"] > 0
    assert min(counts.values()) > 0


def test_a_kernel_page_names_the_source_of_everything() -> None:
    _, out, _ = call("memslots kernel 6.1/i386+pa40")
    assert "release 6.1, i386, 32 bits, host pages of 4 KiB" in out
    assert "page-total-cap: A slot that would wrap" in out
    assert 'commit afa319a54a8c ("KVM: Require total number of memslot pages' in out
    assert "gpa-bits: 40 (stated)" in out
    assert "vendor: not known (not stated)" in out
    assert "MMU budget: design (d)" in out
    assert "5462 slots of 3 GiB less 64 KiB" in out


def test_a_kernel_page_says_what_nobody_knows() -> None:
    _, out, _ = call("memslots kernel 6.9/loongarch64")
    assert "dirty-log-initially-set: not known: does 6.9 have" in out
    found = json.loads(call("memslots kernel 6.9/loongarch64 --json")[1])
    assert set(found["not_known"]) == {"dirty-log-initially-set"}
    assert json.loads(call("memslots kernel 7.2/x86_64 --json")[1])["not_known"] == {}


def test_kernel_json() -> None:
    found = json.loads(call("memslots kernel debian-12/i386 --json")[1])
    assert (found["schema"], found["release"], found["long_bits"]) == (
        "memslots.kernel/1",
        "6.1.192",
        32,
    )
    assert found["options"]["smm"]["provenance"].startswith("asked: linux 6.1.176-1")
    assert "page-total-cap" in found["facts"]
    assert found["answers"]["KVM_GET_NR_MMU_PAGES with 256 MiB"] == "1310"


@pytest.mark.parametrize("name", sorted(BUILDS))
def test_asked_distributions_are_profiles(name: str) -> None:
    for arch in BUILDS[name].arches:
        profile = find(f"{name}/{arch}")
        assert str(profile.version) == BUILDS[name].release
        assert find(f"{name}/{arch}+gpa-bits=46").number("gpa-bits") == 46


@pytest.mark.parametrize("name", sorted(BUILT_FROM))
def test_others_say_that_they_were_not_asked(name: str) -> None:
    with pytest.raises(UnknownKernelError, match="nobody has asked this kernel") as caught:
        find(name)
    hint = str(caught.value).split("`")[1].split("+")[0]
    assert find(hint)


def test_names_of_distributions() -> None:
    assert find("debian-bookworm/arm64").name == "debian-12/arm64"
    assert find("debian-13-smm").option("smm") is False
    with pytest.raises(UnknownKernelError, match=r"built from 5\.14"):
        find("rocky-9")
    with pytest.raises(UnknownKernelError, match=r"not asked on s390x.*6\.1\.192/s390x"):
        find("debian-12/s390x")
    with pytest.raises(UnknownKernelError, match="not a kernel name"):
        find("debian-99")


def test_unknown_names_are_usage_errors() -> None:
    for words in (
        "kernel nonsense",
        "kernel 6.1/vax",
        "kernel 6.1/x86_64+nope",
        "kernels --arch vax",
        "kernel",
    ):
        code, out, err = call(f"memslots {words}")
        assert (code, out) == (2, ""), words
        assert words == "kernel" or err.startswith(f"memslots {words.split()[0]}: ")
