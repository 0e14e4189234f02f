"""A fixture for pytest: programs under test on other kernels.

pytest_plugins = ["memslots.emulate.fixture"]

def test_it_ends_cleanly(emulated):
    assert emulated(["./my-vmm"], inject=["KVM_CREATE_VCPU:error=ENOMEM"]).exit_code == 1
"""

from __future__ import annotations

import pytest

from .emulation import Emulated, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


@pytest.fixture
def emulated(tmp_path: Path) -> Callable[..., Emulated]:
    """`memslots.emulate.run`, with recordings in the test's own folder."""
    count = 0

    def emulate_here(command: Sequence[str], **options: object) -> Emulated:
        nonlocal count
        count += 1
        options.setdefault("path", str(tmp_path / f"emulated-{count}.rec"))
        return run(command, **options)  # type: ignore[arg-type]

    return emulate_here
