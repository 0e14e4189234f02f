"""What a small answer loads: counted, so that it cannot creep back.  Times are in docs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
SMALL = "examples/refused-overlap.strace"
# what one of these commands loads of the package, and of the standard library beside bare Python
MOST = {"explain": (138, 40), "replay": (138, 40), "map": (140, 40), "check": (138, 40)}
UNASKED = (
    *("rules.catalogue", "rules.create_vcpu", "rules.dirty_log", "rules.region.arch.arm64"),
    *("trace.perf", "trace.search", "trace.line_numbers", "trace.messages", "trace.recording"),
    *("kernel.distributions", "kernel.vendors", "explain.histories", "views.findings"),
)
"""Files whose answers nobody asks for: other calls, architectures, forms of recordings."""
SLOW = ("locale", "shutil", "textwrap", "threading", "inspect", "typing", "dataclasses", "json")
PROGRAM = """\
import sys
before = set(sys.modules)
from memslots.cli.main import main
main(sys.argv[1:])
print(*sorted(set(sys.modules) - before), file=sys.stderr)
"""


def loaded_by(*words):
    """Modules that a command of its own loads."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", PROGRAM, *words],
        env={"PYTHONPATH": str(TOP / "src")},
        cwd=TOP,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr.splitlines()[-1].split()


@pytest.mark.parametrize("command", MOST)
def test_a_small_answer_loads_little(command):
    loaded = loaded_by(command, SMALL)
    own = [name for name in loaded if name.split(".")[0] == "memslots"]
    most_own, most_others = MOST[command]
    assert len(own) <= most_own, "import in the function that needs it (memslots.late)"
    assert len(loaded) - len(own) <= most_others
    assert not set(SLOW) & set(loaded)


def test_what_no_answer_needs_is_not_loaded():
    loaded = set(loaded_by("explain", SMALL))
    assert not loaded & {f"memslots.{name}" for name in UNASKED}
    assert "memslots.rules.region.overlap" in loaded  # the names above are looked for as they are
