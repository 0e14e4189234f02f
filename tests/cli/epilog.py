"""Runs the examples of a command's help, as a reader would."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
from importlib import import_module
from pathlib import Path

from memslots.cli.main import main

ROOT = Path(__file__).parents[2]


def examples(command: str) -> list[str]:
    """The example lines of a command's help."""
    text = import_module(f"memslots.cli.{command}").EPILOG
    return [line.strip() for line in text.splitlines() if line.startswith("  memslots ")]


def call(line: str) -> tuple[int, str, str]:
    """Run a command line of memslots from the root of the repository: exit code, output, errors."""
    words = shlex.split(line, comments=True)
    assert words[0] == "memslots"
    out, err = io.StringIO(), io.StringIO()
    before = os.getcwd()
    os.chdir(ROOT)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(words[1:])
    finally:
        os.chdir(before)
    return code, out.getvalue(), err.getvalue()
