"""DuckDB is an extra: nothing else of memslots needs it, and what does says what to install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SRC = Path(__file__).parents[2] / "src"
WITHOUT = "import sys; sys.modules['duckdb'] = sys.modules['distributed'] = None\n"


def run(program):
    return subprocess.run(
        [sys.executable, "-c", WITHOUT + program],
        env={"PYTHONPATH": str(SRC)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_all_modules_are_imported_without_it():
    names = [f"memslots.fleet.{path.stem}" for path in (SRC / "memslots" / "fleet").glob("*.py")]
    program = "import importlib\n" + "".join(
        f"importlib.import_module({name!r})\n" for name in names if "__" not in name
    )
    done = run(program)
    assert done.returncode == 0, done.stderr


def test_the_command_says_what_to_install(tmp_path):
    program = (
        "from memslots.cli.main import main\n"
        f"sys.exit(main(['fleet', 'scan', {str(tmp_path)!r}, '-o', {str(tmp_path / 'f')!r}]))"
    )
    done = run(program)
    assert done.returncode != 0
    assert "pip install 'memslots[fleet]'" in done.stderr
    assert not (tmp_path / "f").exists()


def test_generating_needs_none(tmp_path):
    program = (
        "from memslots.cli.main import main\n"
        f"sys.exit(main(['fleet', 'generate', '-o', {str(tmp_path)!r}, '--recordings', '5']))"
    )
    assert run(program).returncode == 0
