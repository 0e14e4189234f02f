"""Benchmarks are run by hand: what they import from the package must be there all the same."""

from __future__ import annotations

import ast
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

BENCHMARKS = sorted((Path(__file__).parents[2] / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_what_a_benchmark_imports_is_there(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("memslots"):
            continue
        if node.module == "memslots.arrays" and find_spec("numpy") is None:
            continue
        module = import_module(node.module or "")
        for name in node.names:
            assert hasattr(module, name.name) or find_spec(f"{node.module}.{name.name}"), name.name
