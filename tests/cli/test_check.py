"""`memslots check`, and the survey behind it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from epilog import ROOT, call, examples

from memslots.check.survey import assert_accepted, named_kernels, survey
from memslots.errors import UnknownKernelError
from memslots.kernel.history import BRANCHES
from memslots.views.matrix import row_text
from memslots.views.spans import kernel_spans

LAYOUTS = ROOT / "examples" / "layouts"
CODES = {
    "pc.toml": 0,
    "pc.toml --kernel 6.1/x86_64 --kernel 6.18/x86_64-smm": 1,
    "pc-hotplug.toml --kernel all+pa46": 1,
    "arm64-virt.toml": 1,
    "json": 0,
    "github": 1,
    "sarif": 1,
}


@pytest.mark.parametrize("line", examples("check"))
def test_examples_of_the_help(line: str, tmp_path: Path) -> None:
    code, out, err = call(line.replace(" -o ", f" -o {tmp_path}/"))
    expected = next(code for end, code in CODES.items() if line.endswith(end))
    assert (code, err) == (expected, "")
    assert out or any(tmp_path.iterdir())


def test_a_large_pc_on_all_kernels() -> None:
    found = survey(LAYOUTS / "pc-hotplug.toml", ["all+pa46"])
    assert len(found.columns) == len(BRANCHES)
    assert [(problem.rule.id, row_text(problem.calls[0])) for problem in found.problems] == [
        ("manual-protect-argument", "manual dirty log"),
        ("slot-id-too-high", "slot 509  memory device 6"),
    ]
    assert found.problems[1].kernels[-1] == "5.11/x86_64+pa46"
    assert (found.exit_code, len(found.groups())) == (1, 3)


def test_the_matrix_as_text() -> None:
    _, out, _ = call("memslots check examples/layouts/arm64-virt.toml")
    assert (
        out
        == """\
arm64 virt, 40 bits of IPA: 8 calls on 6 kernels

  A  5.4.105/arm64, 5.11.6/arm64
  B  5.12/arm64, 6.12/arm64
  C  6.12/arm64+16k, 6.12/arm64+64k

  step  call                          A   B   C
     4  slot 2  notification page     .   .   R1
     6  slot 4  memory up to the end  R2  .   .
  the other 6 calls are accepted on all
  .  accepted   R  refused   ?  depends on the host   -  follows from a refusal above

R1  EINVAL size-unaligned: memory_size is not a multiple of the host page size.
    numbers  memory_size 0x1000 (4 KiB)
    numbers  page_bytes 0x4000 (16 KiB)
    at       step 4 slot 2  notification page
    on       6.12/arm64+16k, 6.12/arm64+64k
    passes   with memory_size 0x10000 (rounded up; the backing must be as long) (on all of them)

R2  EFAULT ipa-limit: The slot ends beyond the VM's intermediate physical address size.
    numbers  limit_gfn 0xfffffff
    at       step 6 slot 4  memory up to the end
    on       5.4.105/arm64, 5.11.6/arm64
    passes   if the region ends at or below 0xffffff0000 (memory_size 0x3fffff0000) (on all of them)
    passes   if the region lies below 0xffffff0000, e.g. at 0xbfffff0000 (on all of them)
"""
    )


def test_what_depends_on_the_host_is_exit_code_3_and_says_what_to_state() -> None:
    code, out, _ = call("memslots check examples/layouts/pc-hotplug.toml --kernel 7.2/x86_64")
    assert code == 3
    assert "State them as +paN" in out
    code, out, _ = call("memslots check examples/layouts/pc-hotplug.toml --kernel 7.2/x86_64+pa46")
    assert code == 0
    code, out, _ = call("memslots check examples/layouts/pc-hotplug.toml --kernel 7.2/x86_64+pa44")
    assert code == 1
    assert "slot 520  GPU memory" in out


def test_what_only_follows_from_a_refusal_is_no_problem_of_its_own() -> None:
    found = survey(LAYOUTS / "pc-guest-memfd.json")
    assert [(problem.rule.id, problem.kernels) for problem in found.problems] == [
        ("ioctl-unknown", ["6.1/x86_64"]),
        ("flags-invalid", ["6.12/x86_64"]),
    ]
    assert found.columns["6.1/x86_64"][2].mark == "follows"


def test_json() -> None:
    code, out, _ = call("memslots check examples/layouts/arm64-virt.toml --json")
    found = json.loads(out)
    assert (code, found["schema"], found["exit_code"]) == (1, "memslots.check/1", 1)
    assert found["kernels"]["5.11.6/arm64"][5] == {
        "verdict": "refused",
        "rule": "ipa-limit",
        "errno": "EFAULT",
    }
    assert found["problems"][0]["passes"] == [
        {
            "change": "with memory_size 0x10000 (rounded up; the backing must be as long)",
            "not_enough_on": [],
        }
    ]
    assert found["calls"][3]["line"] == 21


def test_junit() -> None:
    code, out, _ = call("memslots check examples/layouts/arm64-virt.toml --format junit")
    suites = ElementTree.fromstring(out).findall("testsuite")
    assert code == 1
    assert [(suite.get("name"), suite.get("tests"), suite.get("failures")) for suite in suites] == [
        ("5.4.105/arm64, 5.11.6/arm64", "8", "1"),
        ("5.12/arm64, 6.12/arm64", "8", "0"),
        ("6.12/arm64+16k, 6.12/arm64+64k", "8", "1"),
    ]
    failure = suites[0].find("testcase/failure")
    assert failure is not None
    assert failure.get("message", "").startswith("EFAULT ipa-limit")


def test_sarif_points_into_the_layout() -> None:
    _, out, _ = call("memslots check examples/layouts/arm64-virt.toml --format sarif")
    found = json.loads(out)
    results = found["runs"][0]["results"]
    assert (found["version"], [result["ruleId"] for result in results]) == (
        "2.1.0",
        ["size-unaligned", "ipa-limit"],
    )
    place = results[0]["locations"][0]["physicalLocation"]
    assert place == {
        "artifactLocation": {"uri": "examples/layouts/arm64-virt.toml"},
        "region": {"startLine": 21},
    }
    assert (ROOT / place["artifactLocation"]["uri"]).read_text().splitlines()[20] == "[[slot]]"


def test_the_helper_for_tests_of_others() -> None:
    assert assert_accepted(LAYOUTS / "pc.toml").exit_code == 0
    with pytest.raises(AssertionError, match="EFAULT ipa-limit"):
        assert_accepted(LAYOUTS / "arm64-virt.toml")
    assert_accepted(LAYOUTS / "pc-hotplug.toml", ["7.2"])
    with pytest.raises(AssertionError, match="depends on the host"):
        assert_accepted(LAYOUTS / "pc-hotplug.toml", ["7.2"], depends=False)


def test_names_of_many_kernels() -> None:
    assert [profile.name for profile in named_kernels(["all"])] == [
        f"{version}/x86_64" for version in BRANCHES
    ]
    assert named_kernels(["all/riscv64"])[0].name == "5.16/riscv64"
    assert len(named_kernels(["all/all"])) > 8 * 20
    assert len(named_kernels(["6.1", "6.1/x86_64", "all"])) == len(BRANCHES)
    for wrong in ("all/vax", "all+nope", "everything", "all/arm64+128k"):
        with pytest.raises(UnknownKernelError):
            named_kernels([wrong])


def test_spans_of_kernels() -> None:
    names = [f"{version}/x86_64" for version in BRANCHES]
    assert kernel_spans(names, names) == f"all {len(names)} releases (x86_64)"
    assert kernel_spans([*names[:3], *names[-2:]], names) == "4.19 to 5.7, 7.2 and later (x86_64)"
    assert kernel_spans(["6.1/arm64"], ["6.1/arm64", "6.2/arm64"]) == "6.1/arm64"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("no-such-file", "no-such-file"),
        ("examples/layouts/pc.toml --kernel 1.0", "begin with"),
        ("LICENSE", "neither a layout nor a recording"),
    ],
)
def test_errors(words: str, message: str) -> None:
    code, out, err = call(f"memslots check {words}")
    assert (code, out) == (2, "")
    assert message in err


def test_standard_input(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import io

    class Standard:
        buffer = io.BytesIO(b'{"slot": [{"gpa": 0, "size": 4095}]}')

    monkeypatch.setattr(sys, "stdin", Standard)
    code, out, _ = call("memslots check - --kernel 6.1")
    assert (code, "size-unaligned" in out) == (1, True)
