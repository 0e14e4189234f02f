"""The fixture, as a project's own tests would use it."""

from __future__ import annotations

from requires import requires

pytest_plugins = ["memslots.emulate.fixture"]
pytestmark = requires("ptrace", "kvm")


def test_a_command_of_ones_own(emulated):
    first = emulated(["sh", "-c", "exit 4"], kernel="6.1/x86_64")
    second = emulated(["true"], inject=["KVM_CREATE_VM:error=ENOMEM"])
    assert (first.exit_code, second.exit_code) == (4, 0)
    assert first.path != second.path
