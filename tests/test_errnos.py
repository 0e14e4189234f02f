"""Errnos are Linux's, whatever system memslots runs on."""

from __future__ import annotations

import errno
import os
import platform
import re
from pathlib import Path

import pytest

import memslots
from memslots.errnos import NUMBERS, errno_name, errno_text

ROOT = Path(memslots.__file__).parent
OF_THIS_HOST = ("emulate", "live", "record", "running")
"""Wings that speak with this host's kernel."""
IS_GENERIC = platform.system() == "Linux" and not platform.machine().startswith("mips")


@pytest.mark.skipif(not IS_GENERIC, reason="this system has other numbers")
def test_as_linux_has_them():
    for number, name in errno.errorcode.items():
        assert NUMBERS[name] == number
        assert NUMBERS[errno_name(number)] == number
    assert {name: getattr(errno, name, number) for name, number in NUMBERS.items()} == NUMBERS | {
        name: number for name, number in NUMBERS.items() if not hasattr(errno, name)
    }


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="texts of glibc")
def test_as_glibc_says_them():
    for number in [*NUMBERS.values(), 524]:
        assert errno_text(-number) == os.strerror(number)


def test_nobody_asks_the_system_that_runs_memslots():
    for path in ROOT.rglob("*.py"):
        if path.relative_to(ROOT).parts[0] not in OF_THIS_HOST:
            asks = re.search(
                r"^\s*(import errno|from errno )|os\.strerror\(", path.read_text(), re.M
            )
            assert not asks, f"{path}: memslots.errnos knows Linux's"
