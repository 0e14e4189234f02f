"""explain, replay, map, timeline and conformance as commands."""

from __future__ import annotations

import io
import json
import sys

import pytest
from epilog import call, examples

LIFECYCLE = "examples/recordings/qemu72-q35-lifecycle.strace"
REFUSED = "examples/refused-overlap.strace"


@pytest.mark.parametrize("command", ["explain", "replay", "map", "timeline"])
def test_examples_of_the_help_run(command, monkeypatch):
    for line in examples(command):
        line = line.replace("vmm.strace", REFUSED)
        if line.endswith(" -"):
            continue
        code, out, err = call(line.replace("--svg map.svg", "--svg -"))
        assert code in (0, 1), (line, err)
        assert out


def test_explain_a_real_run_is_fine():
    code, out, _ = call(f"memslots explain {LIFECYCLE}")
    assert code == 0
    assert "none refused, none surprising" in out


def test_explain_a_refusal_fits_the_screen():
    code, out, _ = call(f"memslots explain {REFUSED}")
    assert code == 1
    assert "rule     slot-overlap" in out
    assert "made at step 3" in out
    assert max(map(len, out.splitlines()[1:])) <= 100
    assert len(out.splitlines()) <= 40


def test_explain_forms():
    code, out, _ = call(f"memslots explain --json {REFUSED}")
    assert code == 1
    assert json.loads(out)["schema"] == "memslots.explain/1"
    code, out, _ = call(f"memslots explain --to markdown {REFUSED}")
    assert out.startswith("### Memory slots")


def test_explain_standard_input(monkeypatch):
    text = b"bla\nkvm_set_user_memory Slot#1 flags=0x0 gpa=0x1000 size=0x1001 ua=0x7f0000000000 ret=-22\nbla\n"  # noqa: E501
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    code, out, _ = call("memslots explain")
    assert code == 1
    assert "size-unaligned" in out


def test_replay_forms():
    code, out, _ = call(f"memslots replay {LIFECYCLE}")
    assert code == 0
    assert len([line for line in out.splitlines() if " region" in line]) == 84
    _, out, _ = call(f"memslots replay --jsonl {REFUSED}")
    steps = [json.loads(line) for line in out.splitlines()]
    assert [step["verdict"] for step in steps if step["call"].endswith("REGION")] == [
        "accepted",
        "accepted",
        "refused",
        "refused",
    ]
    _, out, _ = call(f"memslots replay --json {REFUSED}")
    assert json.loads(out) == steps


def test_replay_on_another_kernel_differs():
    code, _, _ = call(f"memslots replay --kernel 6.1/s390x {REFUSED}")
    assert code == 1


def test_map_at_a_step():
    code, out, _ = call(f"memslots map --at 95 {LIFECYCLE}")
    assert code == 0
    assert "hole" in out
    _, out, _ = call(f"memslots map --json {LIFECYCLE}")
    rows = json.loads(out)["vms"][0]["spaces"][0]
    assert sum(row["kind"] == "slot" for row in rows) == 10


def test_timeline_json():
    _, out, _ = call(f"memslots timeline --json {LIFECYCLE}")
    changes = json.loads(out)["changes"]
    assert changes[0]["change"] == "create"
    assert changes[-1]["pages"] == 102432


def test_conformance_of_one_kernel():
    code, out, _ = call(
        "memslots conformance --kernel host-6.18-x86_64 tests/verify/recorded/answers.tar.xz"
    )
    assert code == 0
    assert out.splitlines()[-1] == "50409 operations, 0 disagreements, 0 excepted"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"memslots explain --most 0 {REFUSED}", "--most takes a number from 1"),
        (f"memslots map --at -5 {REFUSED}", "--at takes a step number from 1"),
        (f"memslots explain --kernel 99.1 {REFUSED}", "no release 99.1 is known"),
        (f"memslots replay --kernel 5.20/i386 {REFUSED}", "no release 5.20 is known"),
        ("memslots export /dev/null --to c", "nothing to export"),
    ],
)
def test_words_that_mean_nothing_are_refused(line, said):
    code, _, err = call(line)
    assert code == 2
    assert said in err


def test_more_refusals_than_shown_still_count():
    code, out, _ = call(
        "memslots explain --most 1 examples/recordings/refusals-by-rule-x86-6.18.strace"
    )
    assert code == 1
    assert "more refused or surprising calls of other kinds" in out


@pytest.mark.parametrize("name", ["unbacked-window", "allocation-failed", "slot-overlap"])
def test_every_id_in_a_report_has_a_page(name):
    code, out, _ = call(f"memslots rule {name}")
    assert code == 0
    assert name in out
