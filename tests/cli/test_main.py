"""The command line as a whole: help, errors, exit codes, start-up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from memslots.cli.main import COMMANDS, HEADINGS, main


def run(*words, data=b""):
    return subprocess.run(
        [sys.executable, "-m", "memslots", *words], input=data, capture_output=True, check=False
    )


def test_no_words_is_a_usage_error_with_the_overview(capsys):
    assert main([]) == 2
    assert "explain" in capsys.readouterr().out


def test_help_and_version(capsys):
    assert main(["--help"]) == 0
    assert main(["--version"]) == 0
    assert "memslots 0." in capsys.readouterr().out


def test_unknown_command(capsys):
    assert main(["explian"]) == 2
    assert "no command 'explian'" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help(name, capsys):
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert "examples:" in text
    assert "In Python:" in text


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from memslots.cli.main import main; main(['--help']); print(*sys.modules, "
        "file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert not loaded & {
        "argparse",
        "re",
        "json",
        "dataclasses",
        "typing",
        "pathlib",
        "enum",
        "ctypes",
    }
    assert not {name for name in loaded if name.startswith("memslots.kernel")}


def test_bad_input_is_a_message_not_a_traceback(tmp_path):
    garbage = tmp_path / "garbage"
    garbage.write_bytes(bytes(range(256)) * 64)
    for words in (
        ("explain", str(garbage)),
        ("replay", str(garbage)),
        ("map", str(garbage)),
        ("timeline", str(garbage)),
        ("explain", str(tmp_path / "missing")),
        ("explain", "--kernel", "6.1/vax", str(garbage)),
        ("explain", "--kernel", "nonsense", str(garbage)),
        ("conformance", str(garbage)),
        ("conformance", str(tmp_path)),
    ):
        done = run(*words)
        assert done.returncode == 2, (words, done)
        assert b"Traceback" not in done.stderr
        assert done.stderr.startswith(b"memslots ")


def test_closed_pipe_is_no_error():
    command = (
        f"{sys.executable} -m memslots replay examples/recordings/qemu72-q35-lifecycle.strace | "
        "head -1"
    )
    done = subprocess.run(command, shell=True, capture_output=True, check=False)
    assert done.returncode == 0
    assert not done.stderr


def test_the_overview_is_in_groups_and_says_where_to_begin(capsys):
    main(["--help"])
    out = capsys.readouterr().out
    groups = [part.splitlines() for part in out.split("\n\n")[2:-1]]
    assert groups[0][0] == "A VM fails: start with `memslots explain FILE`"
    assert [group[0] for group in groups] == list(HEADINGS.values())
    named = [line.split()[0] for group in groups for line in group[1:]]
    assert named == list(COMMANDS)
    assert f"\nDocumentation: {Path(__file__).parents[2] / 'docs'}\n" in out
