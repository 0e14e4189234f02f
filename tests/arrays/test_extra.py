"""numpy is an extra: nothing else of memslots needs it, and the message without it says what to
do.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SRC = Path(__file__).parents[2] / "src"
WITHOUT = "import sys; sys.modules['numpy'] = None\n"


def run(program):
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(SRC)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_everything_but_arrays_is_imported_without_numpy():
    names = sorted(
        ".".join(path.relative_to(SRC).with_suffix("").parts)
        for path in SRC.rglob("*.py")
        if not path.stem.startswith("__") and "arrays" not in path.parts
    )
    program = "import importlib\n" + "".join(
        f"importlib.import_module({name!r})\n" for name in names
    )
    program += "import sys; print(any(name.split('.')[0] == 'numpy' for name in sys.modules))"
    assert run(program).split()[-1] == "False"


def test_help_and_an_explanation_load_no_numpy():
    program = (
        WITHOUT + "from memslots.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print([name for name in sys.modules if 'memslots.arrays' in name])"
    )
    assert run(program).splitlines()[-1] == "[]"


def test_the_message_without_numpy():
    program = (
        WITHOUT + "from memslots import MemslotsError\n"
        "for kind in (MemslotsError, ImportError):\n"
        "    try:\n        import memslots.arrays\n    except kind as error:\n"
        "        print(type(error).__name__, error.name, error)\n"
    )
    line = "ExtraMissingError numpy this needs numpy: pip install 'memslots[arrays]'"
    assert run(program).splitlines() == [line, line]
