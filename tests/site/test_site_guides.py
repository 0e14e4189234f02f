"""docs/tutorial.md and docs/cookbook.md: every command does what the page says.

Set MEMSLOTS_REWRITE_STORIES=1 to write the outputs of the tutorial anew; commit only a change that
is understood.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from sessions import TOP, one_liners, outputs, rewritten, shell_folder

TUTORIAL, COOKBOOK = TOP / "docs" / "tutorial.md", TOP / "docs" / "cookbook.md"
INSTALL = (
    "python3 -m venv try-memslots", ". try-memslots/bin/activate", "pip install --quiet memslots",
)  # fmt: skip
FINE, FINDINGS = 0, 1


def test_tutorial(tmp_path):
    text = TUTORIAL.read_text()
    now = rewritten(text, tmp_path, shell_folder(tmp_path), INSTALL)
    if os.environ.get("MEMSLOTS_REWRITE_STORIES"):
        TUTORIAL.write_text(now)
        text = now
    assert now == text
    assert all(f"$ {line}\n" in text for line in INSTALL)
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_tutorial_begins_in_an_empty_environment(tmp_path):
    """The installation too, from a wheel of this checkout."""
    source = tmp_path / "source"
    shutil.copytree(
        TOP, source,
        ignore=shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "tests", "__pycache__"),
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--no-index", "-w", tmp_path / "wheels", source],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode and "setuptools" in done.stderr:
        pytest.skip("no setuptools here that builds a wheel without an index")
    assert done.returncode == 0, done.stderr
    empty = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "wheels"), "HOME": str(tmp_path)}
    environment = {**os.environ, **empty, "NO_COLOR": "1"}
    environment.pop("PYTHONPATH", None)
    text = TUTORIAL.read_text()
    assert rewritten(text, tmp_path, environment) == text


def test_cookbook(tmp_path):
    lines = one_liners(COOKBOOK.read_text())
    assert len(lines) > 30
    found = outputs(lines, tmp_path, shell_folder(tmp_path))
    assert len(found) == len(lines)
    for line, (text, code) in zip(lines, found):
        assert code in (FINE, FINDINGS), f"{line}\n{text}"
        assert text or "-o " in line or "--svg" in line, line
        assert "Traceback" not in text, f"{line}\n{text}"
    for name in ("report.html", "map.svg", "vmm.json"):
        assert (tmp_path / name).stat().st_size > 1000
