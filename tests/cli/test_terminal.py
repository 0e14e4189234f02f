"""Width, colours, links, letters, pager, output file: one way for all text commands."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time

import pytest
from epilog import ROOT, call

from memslots.cli.terminal import TEXT_COMMANDS, pager_command
from memslots.views import links
from memslots.views.terminal_text import Highlighter, fitted, visible_columns

REFUSED = "examples/refused-overlap.strace"
LINES = {
    "accounting": "accounting --host-bits 32 --slot-pages 524272 --slots 5",
    "causes": "causes",
    "check": "check examples/layouts/arm64-virt.toml",
    "conformance": "conformance examples/answers.tar.xz",
    "cost": "cost examples/layouts/pc.toml",
    "diff": "diff 5.10 6.1",
    "explain": "explain examples/recordings/refusals-by-rule-x86-6.18.strace",
    "kernel": "kernel 6.1/x86_64",
    "kernels": "kernels",
    "map": f"map {REFUSED}",
    "replay": f"replay {REFUSED}",
    "rule": "rule page-total-cap",
    "rules": "rules",
    "timeline": f"timeline {REFUSED}",
}
NEEDS_A_KERNEL = {"live", "sweep", "verify"}


def test_every_text_command_is_tried_here():
    assert {*LINES, *NEEDS_A_KERNEL} == TEXT_COMMANDS


def can_wrap(line, width):
    """Whether a line has a space at which it could have been shorter."""
    return len(max(line.split(), key=len)) < width - 30


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
@pytest.mark.parametrize("width", [72, 80])
def test_no_line_is_wider_than_asked_where_it_can_be_wrapped(line, width):
    code, out, err = call(f"memslots {line} --width {width}")
    assert code in (0, 1), err
    too_wide = [each for each in out.splitlines() if len(each) > width and can_wrap(each, width)]
    assert not too_wide


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_all_words_survive_the_wrapping(line):
    words = [call(f"memslots {line}{more}")[1].split() for more in ("", " --width 60")]
    marks = "#-=|"  # bars are drawn to measure
    left = [[word for word in each if word.strip(marks)] for each in words]
    assert left[0] == left[1]


def test_a_width_for_nothing_is_told():
    code, _, err = call("memslots rules --width 10")
    assert (code, err) == (2, "memslots rules: --width takes a number from 40, not 10\n")


def test_columns_of_the_environment_are_for_terminals(monkeypatch):
    plain = call(f"memslots explain {REFUSED}")
    monkeypatch.setenv("COLUMNS", "50")
    assert call(f"memslots explain {REFUSED}") == plain


def test_a_line_is_fitted_below_its_text():
    assert fitted("  do  a b c d e f g h i", 18) == ["  do  a b c d e f", "      g h i"]
    assert fitted("a  b c d", 6) == ["a  b c", "  d"]
    long = "x" * 50
    assert fitted(f"  {long} y", 40) == [f"  {long}", "      y"]
    assert fitted("\x1b[1mab\x1b[0m cd", 5) == ["\x1b[1mab\x1b[0m cd"]
    assert visible_columns("\x1b]8;;https://x\x1b\\ab\x1b]8;;\x1b\\") == 2


def test_what_is_coloured_and_linked(monkeypatch):
    monkeypatch.setattr(links, "SITE", "https://example.org")
    mark = Highlighter({"slot-overlap": True, "host-alias": False}, colours=True, links=True)
    line = mark("EEXIST slot-overlap host-alias not-an-id pre-slot-overlap")
    assert line.startswith("\x1b[31mEEXIST\x1b[0m \x1b]8;;https://")
    assert line.count("\x1b]8;;https") == 1
    assert "/rules/slot-overlap.html\x1b\\" in line
    assert line.endswith(" not-an-id pre-slot-overlap")
    assert mark("  other    slot 0") == "  other    \x1b[33mslot 0\x1b[0m"
    assert Highlighter({}, colours=False, links=True)("EEXIST") == "EEXIST"


@pytest.mark.parametrize("line", [LINES["explain"], LINES["rules"], LINES["check"]])
def test_forced_colours_add_nothing_but_colours(line, monkeypatch):
    plain = call(f"memslots {line}")[1]
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = call(f"memslots {line}")[1]
    assert "\x1b[31mE" in out
    assert re.sub(r"\x1b\[\d*m", "", out) == plain
    monkeypatch.setenv("NO_COLOR", "1")
    assert call(f"memslots {line}")[1] == plain


def test_forms_for_programs_are_left_alone(monkeypatch):
    plain = call(f"memslots explain {REFUSED} --json")[1]
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert call(f"memslots explain {REFUSED} --json --width 50")[1] == plain
    assert "\x1b" not in call(f"memslots explain {REFUSED} --format markdown")[1]


def test_letters_that_the_encoding_lacks(tmp_path):
    path = tmp_path / "r.strace"
    path.write_text((ROOT / REFUSED).read_text().replace("= 0\n", "= 0 <0.000012>\n"))
    done = subprocess.run(
        [sys.executable, "-m", "memslots", "explain", str(path)],
        env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert b"us inside" in done.stdout
    assert b"?" not in done.stdout


def test_output_goes_to_a_file(tmp_path):
    target = tmp_path / "out.txt"
    plain = call(f"memslots explain {REFUSED}")
    assert call(f"memslots explain {REFUSED} -o {target}") == (plain[0], "", plain[2])
    assert target.read_text() == plain[1]
    code, _, err = call(f"memslots rules -o {tmp_path}")
    assert (code, "Is a directory" in err) == (2, True)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (f"explain --to markdown {REFUSED}", f"explain --format markdown {REFUSED}"),
        (f"explain --json {REFUSED}", f"explain --format json {REFUSED}"),
        (f"export --to c {REFUSED}", f"export --format c {REFUSED}"),
    ],
)
def test_earlier_names_of_options_stay(old, new):
    assert call(f"memslots {old}") == call(f"memslots {new}")
    assert "--to " not in call(f"memslots {old.split()[0]} --help")[1]


def on_terminal(words, *, columns=80, rows=24, **environment):
    """What a program prints on a terminal of this size, and its exit code."""
    leader, follower = pty.openpty()
    import fcntl
    import struct
    import termios

    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    inherited = {key: value for key, value in os.environ.items() if key not in (
        "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "PAGER", "MEMSLOTS_PAGER")}  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "memslots", *words], cwd=ROOT, stdout=follower, stdin=follower,
        env={**inherited, "TERM": "xterm", **environment},
    )  # fmt: skip
    os.close(follower)
    seen, end = b"", time.monotonic() + 60
    while time.monotonic() < end:
        if select.select([leader], [], [], 0.2)[0]:
            try:
                data = os.read(leader, 65536)
            except OSError:
                break
            if not data:
                break
            seen += data
        elif process.poll() is not None:
            break
    code = process.wait(10)
    os.close(leader)
    return code, seen.decode().replace("\r\n", "\n")


def test_a_terminal_gets_its_width_and_colours():
    code, seen = on_terminal(["replay", REFUSED], columns=70)
    assert code == 0
    assert "\x1b[31mEEXIST\x1b[0m" in seen
    assert max(map(visible_columns, seen.splitlines())) <= 70
    _, dumb = on_terminal(["replay", REFUSED], columns=70, TERM="dumb")
    assert "\x1b" not in dumb


def test_a_terminal_that_shows_links_gets_them():
    assert "\x1b]8;;" not in on_terminal(["rule", "slot-overlap"], rows=60)[1]
    shows = {"rows": 60, "WT_SESSION": "1"}
    assert "\x1b]8;;" not in on_terminal(["rule", "slot-overlap"], **shows)[1]  # no site, no link
    shows["MEMSLOTS_DOCS"] = "https://example.org/"
    linked = on_terminal(["rule", "slot-overlap"], **shows)[1]
    assert "\x1b]8;;https://example.org/rules/slot-overlap.html" in linked
    asked = on_terminal(["rule", "slot-overlap"], rows=60, WT_SESSION="1", FORCE_HYPERLINK="0")
    assert "\x1b]8;;" not in asked[1]


def test_long_text_is_paged_and_short_text_is_not(tmp_path):
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\necho PAGED\nexec cat\n")
    pager.chmod(0o755)
    code, seen = on_terminal(["rules"], PAGER=str(pager))
    assert (code, seen.startswith("PAGED\n")) == (0, True)
    assert "slot-overlap" in seen
    assert "PAGED" not in on_terminal(["rules"], rows=400, PAGER=str(pager))[1]
    assert "PAGED" not in on_terminal(["kernels"], rows=5, PAGER=str(pager))[1]
    assert "PAGED" not in on_terminal(["rules"], PAGER=str(pager), MEMSLOTS_PAGER="cat")[1]
    code, seen = on_terminal(["rules"], PAGER="/no/such/pager")
    assert (code, "slot-overlap" in seen) == (0, True)
    code, seen = on_terminal(["explain", REFUSED], rows=5, PAGER="head -2")
    assert (code, len(seen.splitlines())) == (1, 2)  # left early, and still the command's own code


def test_which_pager(monkeypatch):
    for name in ("PAGER", "MEMSLOTS_PAGER"):
        monkeypatch.delenv(name, raising=False)
    assert pager_command() == ["less"]
    monkeypatch.setenv("PAGER", "more -s")
    assert pager_command() == ["more", "-s"]
    monkeypatch.setenv("MEMSLOTS_PAGER", "")
    assert pager_command() == []
