"""The table of docs/reading.md is data: each name stands in the file that it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_layers import ROOT

PAGE = Path(__file__).parents[2] / "docs" / "reading.md"
ROWS = re.findall(r"^\| (.+?) \| (`.+`) \|$", PAGE.read_text(), re.MULTILINE)
NAMES = [(name, path) for what, path in ROWS for name in re.findall(r"`([\w.]+)(?:\(\))?`", what)]


@pytest.mark.parametrize(("name", "path"), NAMES, ids=[name for name, _ in NAMES])
def test_the_name_stands_in_the_file(name, path):
    (file,) = re.findall(r"`([\w/.]+)`", path)
    assert re.search(rf"\b{re.escape(name)}\b", (ROOT / file).read_text()), (
        f"{name} is not in {file}"
    )


def test_files_exist_and_names_are_many():
    assert all(
        (ROOT / file).is_file() for _, path in ROWS for file in re.findall(r"`([\w/.]+)`", path)
    )
    assert (
        len(
            {
                name
                for name, _ in NAMES
                if re.match(r"_?_?(?:KVM|kvm|nr_|n_|access|check|TASK|x86)", name)
            }
        )
        >= 40
    )
