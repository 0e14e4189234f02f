"""The program of the playground without a browser: the package without the wings for Linux."""

from __future__ import annotations

import subprocess
import sys
import zipfile

from site_parts import TOP, site_playground

ABSENT = (
    "fcntl",
    "ctypes",
    "resource",
    "termios",
    "pwd",
    "grp",
    "mmap",
    "numpy",
    "_posixsubprocess",
)
"""Modules that Windows or WebAssembly does not have, or that are no part of Python."""
PROGRAM = f"""
import os, sys
del os.uname
for name in {ABSENT!r}:
    sys.modules[name] = None
import importlib, pathlib
root = pathlib.Path(sys.path[0])
LEFT_OUT = {tuple(f"memslots.{name}." for name in site_playground.LEFT_OUT)!r}
for wing in ("uapi", "kernel", "state", "rules", "model", "trace", "replay", "explain", "check",
             "compare", "views"):
    for path in sorted((root / "memslots" / wing).rglob("*.py")):
        try:
            importlib.import_module(".".join(path.relative_to(root).with_suffix("").parts))
        except ModuleNotFoundError as error:  # views of what only Linux can do
            if wing != "views" or not error.name.startswith(LEFT_OUT):
                raise
import terminal
line, code, out, err = terminal.run(["explain", "-"], open(sys.argv[1], "rb").read())
assert (line, code, err) == ("memslots explain -", 1, ""), (line, code, err)
assert "slot-overlap" in out
for words in (["map", "--svg=-", "-"], ["report", "-"]):
    line, code, out, err = terminal.run(words, open(sys.argv[1], "rb").read())
    assert code in (0, 1) and out.startswith("<") and not err, err
assert "7.2/x86_64" in terminal.kernels()
assert terminal.exit_codes().startswith("Exit codes")
"""


def test_it_is_whole_and_asks_nothing_of_unix(tmp_path):
    site_playground.write_program(tmp_path / "memslots.zip")
    with zipfile.ZipFile(tmp_path / "memslots.zip") as archive:
        archive.extractall(tmp_path / "program")
    (tmp_path / "program" / "try.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-S", "-E", str(tmp_path / "program" / "try.py"),
         str(TOP / "examples" / "refused-overlap.strace")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_policy_lets_nothing_out():
    rules = dict(rule.split(" ", 1) for rule in site_playground.policy().split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["connect-src"] == "'self'"
    assert "unsafe-eval'" not in rules["script-src"].replace("'wasm-unsafe-eval'", "")
    assert "'unsafe-inline'" not in rules["script-src"]
