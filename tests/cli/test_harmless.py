"""What commands print: nothing in it is obeyed by a terminal."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from memslots.cli.harmless import HarmlessOutput, harmless
from memslots.cli.main import main


def test_what_a_terminal_would_obey_is_shown_as_a_question_mark() -> None:
    assert harmless("a\x1b[2Jb\x07\r\x9b\u202ec\ud800\nµ\t—") == "a?[2Jb?????c?\nµ\t—".replace(
        "?????", "????"
    )


def test_colours_pass_where_there_are_colours_and_nothing_else_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    under = io.StringIO()
    out = HarmlessOutput(under, "standard output")  # type: ignore[arg-type]
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out.write("\x1b[31mred\x1b[0m \x1b]0;title\x07\x1b[2J")
    monkeypatch.setenv("NO_COLOR", "1")
    out.writelines(["\x1b[31mred\n"])
    assert under.getvalue() == "\x1b[31mred\x1b[0m ?]0;title??[2J?[31mred\n"


def test_a_name_in_an_error_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "no\x1b[2Jsuch"]) == 2
    assert "no?[2Jsuch" in capsys.readouterr().err
    assert main(["rules", "\x1b[31m"]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_names_in_a_fleet_and_a_sweep_are_harmless(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("duckdb")
    recordings, tables = tmp_path / "in\x1b[2J\u202eput", str(tmp_path / "tables")
    recordings.mkdir()
    (recordings / "a\x07<b>.strace").write_text("30820 ioctl(9, KVM_CREATE_VM, 0\x1b[31m) = 10\n")
    (recordings / "\x1b]0;bad").write_text("\x1b[2Jnothing\n")
    for words in (
        ["fleet", "scan", str(recordings), "-o", tables, "--jobs", "1"],
        ["fleet", "query", tables, "SELECT *, chr(27) || '[2J' FROM recordings"],
        ["sweep", "--", str(tmp_path / "no\x1b[2Jsuch")],
    ):
        main(words)
        said = "".join(capsys.readouterr())
        assert said
        assert not {"\x1b", "\x07", "\u202e"} & set(said)


def test_a_closed_output_is_an_error_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)
    monkeypatch.setattr("sys.stderr", None)
    assert main(["kernels"]) == 2


def test_a_closed_input_is_an_error_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    for words in (["ask"], ["explain", "-"], ["check", "-"]):
        assert main(words) == 2
        assert "standard input is closed" in capsys.readouterr().err
