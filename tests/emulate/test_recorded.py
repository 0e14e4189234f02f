"""A program on an emulated kernel sees what it saw on the real one: the farm's own questions."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from requires import requires

from memslots.emulate.emulation import emulate
from memslots.verify.farm.script import Answers, script_of
from memslots.verify.recorded.compare import answer_files, load_sequences, open_answers, read_lines
from memslots.verify.recorded.profiles import profile_of

pytestmark = requires("ptrace", "kvm", "gcc")
ROOT = Path(__file__).parents[2]
ARCHIVE = ROOT / "tests" / "verify" / "recorded" / "answers.tar.xz"
MOST, LIMIT_PAGES = 120, 1 << 20


@pytest.fixture(scope="module")
def asker(tmp_path_factory):
    """The program that asks real kernels."""
    path = str(tmp_path_factory.mktemp("asker") / "asker")
    source = ROOT / "src" / "memslots" / "verify" / "farm" / "asker.c"
    subprocess.run(["gcc", "-O1", "-static", str(source), "-o", path], check=True)
    return path


@pytest.fixture(scope="module")
def folder():
    with open_answers(str(ARCHIVE)) as path:
        yield path


def result(answer):
    """The return value alone: what a guest wrote is not to be had here."""
    return answer["r"] if isinstance(answer, dict) and "r" in answer else answer


def is_skipped(answer):
    return isinstance(answer, dict) and "skip" in answer


@pytest.mark.parametrize(
    "name",
    ["debian-5.10-x86_64", "debian-5.10-x86_64.corners", "debian-6.1-x86_64.corners",
     "debian-6.1-x86_64-shadow", "debian-6.12-x86_64", "debian-experimental-x86_64.corners"],
)  # fmt: skip
def test_the_answers_are_those_of_the_real_kernel(name, asker, folder, tmp_path):
    path, kind = next(
        each for each in answer_files(folder) if os.path.basename(each[0]) == f"{name}.jsonl"
    )
    sequences = load_sequences(folder, kind)
    first, *rest = map(json.loads, read_lines(path))
    profile = profile_of(first["meta"]["name"], first["kernel"])
    chosen = rest[:: max(1, len(rest) // MOST)][:MOST]
    operations = [sequences[line["id"]] for line in chosen]
    script, out = tmp_path / "script", tmp_path / "out"
    script.write_text(script_of(operations, range(len(operations)), LIMIT_PAGES))
    with open(out, "wb") as file:
        found = emulate(
            [asker, str(script)], str(tmp_path / "r"), profile, stdout=file.fileno()
        )  # fmt: skip
    assert (found.status, found.remark, found.lost) == (0, "", 0)
    answers = Answers()
    for line in out.read_text(errors="replace").splitlines():
        answers.take(line)
    compared, others = 0, []
    for number, line in enumerate(chosen):
        for operation, real, here in zip(
            operations[number], line["res"], answers.sequence(number).in_order()
        ):
            if is_skipped(real) or is_skipped(here):
                continue
            compared += 1
            if result(real) != result(here):
                others.append((line["id"], operation, real, here))
                break  # the state is another one from here on
    assert compared > 1000
    # what the host refuses and the kernel took, and what has no model, is said of each; nothing
    # else may differ
    said = Counter(remark.kind for remark in found.remarks)
    refused = [other for other in others if result(other[2]) >= 0 > result(other[3])]
    unknown = [other for other in others if other not in refused]
    assert all(operation[0] == "enable_cap" for _, operation, _, _ in unknown), unknown
    assert len(unknown) <= said["not-modelled"]
    assert len(refused) <= said["host-refused"] + said["not-modelled"]
    assert len(others) <= compared // 200, others
