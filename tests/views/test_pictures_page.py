"""docs/pictures.md: its sessions give what it says, and its files are there."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

TOP = Path(__file__).parents[2]
PAGE = TOP / "docs" / "pictures.md"


def test_sessions(monkeypatch):
    monkeypatch.chdir(TOP)
    failed, tried = doctest.testfile(str(PAGE), module_relative=False)
    assert tried >= 10
    assert not failed


def test_pictures_are_there():
    names = re.findall(r"\]\(((?:pictures|images)/[\w.-]+)\)", PAGE.read_text())
    assert len(names) == 6
    assert all((PAGE.parent / name).stat().st_size > 1000 for name in names)
