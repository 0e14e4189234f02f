"""docs/arrays.md: its examples give what it says."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

from requires import requires

PAGE = Path(__file__).parents[2] / "docs" / "arrays.md"


def test_sessions():
    failed, tried = doctest.testfile(str(PAGE), module_relative=False)
    assert tried > 15
    assert not failed


@requires("kvm")
def test_programs():
    programs = [
        code
        for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
        if ">>>" not in code
    ]
    assert len(programs) == 1
    for code in programs:
        exec(compile(code, str(PAGE), "exec"), {})
