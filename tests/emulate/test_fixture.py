"""The fixture of the pytest plugin, as a project's own tests would use it."""

from __future__ import annotations

import inspect

from requires import requires

from memslots import pytest_plugin

pytestmark = requires("ptrace", "kvm")


def test_a_command_of_ones_own(tmp_path):
    emulated = inspect.unwrap(pytest_plugin.memslots_emulated)(tmp_path)
    first = emulated(["sh", "-c", "exit 4"], kernel="6.1/x86_64")
    second = emulated(["true"], inject=["KVM_CREATE_VM:error=ENOMEM"])
    assert (first.exit_code, second.exit_code) == (4, 0)
    assert [first.path, second.path] == [str(tmp_path / f"emulated-{n}.rec") for n in (1, 2)]
