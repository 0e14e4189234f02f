"""What a machine lacks is skipped with the reason, and fails where MEMSLOTS_REQUIRE names it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WITHOUT_DEVICE = (
    "unshare",
    "--mount",
    "sh",
    "-c",
    'mount --bind /dev/null /dev/kvm && exec "$@"',
    "sh",
)
PATIENT = """
import sys
sys.path[:0] = {path!r}
from requires import requires

@requires({names})
def test_it():
    pass
"""


def outcome(tmp_path, names, must, prefix=(), **environment):
    """(exit code, output) of pytest on one test that needs these."""
    file = tmp_path / "test_patient.py"
    file.write_text(
        PATIENT.format(path=[TESTS, *filter(None, sys.path)], names=", ".join(map(repr, names)))
    )
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "-c",
        os.devnull, str(file)],
        env={**os.environ, "MEMSLOTS_REQUIRE": must, **environment}, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("name", "program"), [("gcc", "gcc"), ("strace", "strace"), ("qemu", "qemu-system-x86_64")]
)
def test_a_program_that_is_missing(tmp_path, name, program):
    code, output = outcome(tmp_path, [name], "kvm", PATH=str(tmp_path))
    assert code == 0
    assert f"{program} is not installed" in output
    assert "1 skipped" in output
    code, output = outcome(tmp_path, [name], f"kvm,{name}", PATH=str(tmp_path))
    assert code != 0
    assert f"MEMSLOTS_REQUIRE: {name}: {program} is not installed" in output


def test_a_device_that_is_missing(tmp_path):
    if subprocess.run([*WITHOUT_DEVICE, "true"], check=False, capture_output=True).returncode:
        pytest.skip("only who may mount can take /dev/kvm away")
    for names in (["kvm"], ["guest"]):
        code, output = outcome(tmp_path, names, "", WITHOUT_DEVICE)
        assert code == 0, output
        assert "1 skipped" in output
        assert "/dev/kvm" in output
    code, output = outcome(tmp_path, ["kvm"], "kvm", WITHOUT_DEVICE)
    assert code != 0
    assert "MEMSLOTS_REQUIRE: kvm: /dev/kvm" in output
