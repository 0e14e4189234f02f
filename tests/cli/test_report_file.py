"""`memslots report` and `memslots map --svg`: files, exit codes, examples."""

from __future__ import annotations

import gzip
import shlex
from xml.etree import ElementTree

import pytest
from epilog import ROOT, call, examples
from strace_lines import MIB, region, vm

from memslots.errors import TraceError
from memslots.explain.analysis import Analysis

REFUSED = "examples/refused-overlap.strace"
LIFECYCLE = "examples/recordings/qemu72-q35-lifecycle.strace"


@pytest.mark.parametrize("line", examples("report"))
def test_examples_of_the_help(line, tmp_path):
    out = tmp_path / "made.html"
    line = line.replace("vmm.strace", REFUSED).replace("report.html", shlex.quote(str(out)))
    code, said, err = call(line)
    assert (code, said, err) == (1 if REFUSED in line else 0, "", "")
    assert out.read_text().startswith("<!DOCTYPE html>")


def test_the_example_of_map(tmp_path):
    (line,) = (line for line in examples("map") if "--svg" in line)
    out = tmp_path / "map.svg"
    assert call(line.replace("map.svg", str(out)))[:2] == (0, "")
    ElementTree.parse(out)


def test_to_standard_output_with_a_title():
    code, out, _ = call(f"memslots report --title 'web-3 & co' {REFUSED}")
    assert code == 1
    assert "<h1>web-3 &amp; co</h1>" in out
    code, out, _ = call(f"memslots map --svg - {REFUSED}")
    assert code == 0
    ElementTree.fromstring(out)


def test_map_up_to_a_step():
    _, whole, _ = call(f"memslots map --svg - {REFUSED}")
    _, part, _ = call(f"memslots map --svg - --at 4 {REFUSED}")
    assert ">EEXIST</text>" in whole
    assert ">EEXIST</text>" not in part


def test_exit_codes(tmp_path):
    fine = tmp_path / "fine.strace"
    fine.write_text("\n".join([vm(), region(0, 0, MIB)]))
    assert call(f"memslots report {fine}")[0] == 0
    nothing = tmp_path / "nothing.txt"
    nothing.write_text("hello\n")
    code, out, err = call(f"memslots report {nothing}")
    assert (code, out) == (2, "")
    assert "no KVM call" in err
    assert call(f"memslots report {tmp_path / 'no such file'}")[0] == 2
    assert call(f"memslots report --kernel 99.9/x86_64 {fine}")[0] == 2
    assert call(f"memslots report --most 0 {fine}")[0] == 2
    assert call(f"memslots report -o {tmp_path / 'no' / 'folder.html'} {fine}")[0] == 2


def test_a_file_that_ends_early_is_told_of(tmp_path):
    lines = [vm(), *(region(slot, slot * MIB, MIB) for slot in range(3000))]
    packed = gzip.compress("\n".join(lines).encode())
    broken = tmp_path / "broken.gz"
    broken.write_bytes(packed[: len(packed) * 9 // 10])
    _, out, _ = call(f"memslots report {broken}")
    assert "<li>not read: 1 x " in out
    assert 'id="step-2"' in out


def test_what_was_read_before_a_recording_breaks_off_is_written(tmp_path, monkeypatch):
    whole = Analysis.run

    def run(self):
        for step, explanation in whole(self):
            yield step, explanation
            if step.number == 3:
                raise TraceError("the disk is gone")

    monkeypatch.setattr(Analysis, "run", run)
    out = tmp_path / "report.html"
    code, _, err = call(f"memslots report -o {out} {REFUSED}")
    assert (code, err) == (2, "memslots report: the disk is gone\n")
    text = out.read_text()
    assert 'id="step-3"' in text
    assert 'id="step-4"' not in text


def test_several_files_are_named(tmp_path):
    code, out, _ = call(f"memslots report --together {REFUSED} {LIFECYCLE}")
    assert code == 1
    assert "<li>read: " in out
    assert out.count("lifecycle.strace") > 1


@pytest.mark.parametrize(
    "line",
    [
        line.strip()
        for line in (ROOT / "docs" / "pictures.md").read_text().splitlines()
        if line.startswith("    memslots map")
    ],
)
def test_pictures_of_the_docs_are_what_the_command_draws(line):
    name = "q35-lifecycle" if "q35" in line else "refused-overlap"
    code, out, _ = call(line.replace("map.svg", "-"))
    assert code == 0
    kept = (ROOT / "docs" / "pictures" / f"{name}.svg").read_text()
    assert out == kept, f"run `{line}` with docs/pictures/{name}.svg"
