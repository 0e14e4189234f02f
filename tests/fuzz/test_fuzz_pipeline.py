"""A short, repeatable part of the fuzzing, and every input that once showed a fault."""

from __future__ import annotations

import importlib
import os

import pytest
from fuzz import corpus, targets
from fuzz.checks import Fault
from fuzz.commands import Commands
from fuzz.run import Run, plain

from memslots.cli.main import COMMANDS

SECONDS = float(os.environ.get("MEMSLOTS_FUZZ_SECONDS", "0"))
"""A time instead of a number of inputs: a minute in CI, hours by `make fuzz`."""
HOSTILE = os.path.join(corpus.ROOT, "tests", "corpus", "hostile")
NAMES = sorted(os.listdir(HOSTILE))


def test_inputs_through_the_whole_of_memslots(tmp_path) -> None:  # type: ignore[no-untyped-def]
    run = Run("test", SECONDS, str(tmp_path), "")
    plain(run, seed=12, shared="", rounds=0 if SECONDS else 1500)
    assert run.faults == {}
    assert run.inputs >= 1000


def test_whole_commands(tmp_path) -> None:  # type: ignore[no-untyped-def]
    for module, _ in COMMANDS.values():
        importlib.import_module(f"memslots.cli.{module}")
    run = Commands(12, str(tmp_path))
    for number in range(1, 61):
        run.one(number)
    assert run.faults == {}
    assert sum(run.by_code.values()) == 60


@pytest.mark.parametrize("name", NAMES)
def test_what_once_showed_a_fault(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    path = os.path.join(HOSTILE, name)
    for words in (*targets.ON_RECORDINGS, *targets.ON_LAYOUTS):
        kernel = ("--kernel", "6.1/x86_64") if words[0] in ("check", "explain") else ()
        code, out, err = targets.run((*words, path, *kernel))
        targets.judge(words, code, out, err, hostile_layout=True)


def test_the_checks_can_fail() -> None:
    for words, code, out, err in (
        (("explain",), 4, "x", ""),
        (("explain",), 0, "a\x1b[31m", ""),
        (("explain",), 0, "a\u202e", ""),
        (("explain",), 2, "", "Traceback"),
        (("explain",), 1, "x", "memslots explain: odd"),
        (("explain", "--to", "json"), 0, "{", ""),
        (("explain", "--to", "json"), 0, '{"explanations": [1]}', ""),
        (("explain", "--to", "markdown"), 0, "<img src=x>", ""),
        (("check", "--format", "junit"), 0, "<a>\x00</a>", ""),
        (("report",), 0, "<p><img src=x></p>", ""),
        (("export", "--to", "python"), 0, "def", ""),
        (("map", "--svg", "-"), 0, "<svg>", ""),
        (("replay", "--jsonl"), 0, "{}\n[", ""),
        (("replay", "--jsonl"), 0, "NaN", ""),
    ):
        with pytest.raises(Fault):
            targets.judge(words, code, out, err, hostile_layout=False)


def test_an_input_comes_back_as_it_was_packed() -> None:
    for kind in corpus.KINDS:
        assert targets.unpacked(targets.packed(kind, 200, b"ab\0c")) == (kind, 200, b"ab\0c")


def test_the_seeds_are_of_every_kind_and_the_dictionary_knows_every_call() -> None:
    assert {kind for kind, _ in corpus.seeds()} == set(corpus.KINDS)
    words = corpus.dictionary()
    assert b"KVM_SET_USER_MEMORY_REGION2" in words
    assert b"guest_memfd_offset" in words
