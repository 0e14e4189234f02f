"""Public names: what `memslots` exports is there, and every public thing says what it is."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys

import pytest
from test_layers import MODULES, ROOT

import memslots


def test_all_is_sorted_and_there():
    assert memslots.__all__ == sorted(memslots.__all__)
    for name in memslots.__all__:
        assert getattr(memslots, name) is not None
    assert set(memslots.__all__) <= set(dir(memslots))


def test_star_import_gives_exactly_all():
    names: dict[str, object] = {}
    exec("from memslots import *", names)
    assert set(names) - {"__builtins__"} == set(memslots.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = memslots.no_such_thing
    with pytest.raises(ImportError):
        exec("from memslots import no_such_thing")


@pytest.mark.parametrize("name", [name for name in memslots.__all__ if name != "__version__"])
def test_exported_things_and_their_methods_have_docstrings(name):
    thing = getattr(memslots, name)
    assert inspect.getdoc(thing)
    if inspect.isclass(thing):
        for attribute, value in vars(thing).items():
            if not attribute.startswith("_") and (
                inspect.isfunction(value) or isinstance(value, property)
            ):
                assert inspect.getdoc(value), f"{name}.{attribute}"


def _undocumented(tree, prefix=""):
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            short = isinstance(node, ast.FunctionDef) and prefix and len(node.body) == 1
            if (
                not ast.get_docstring(node)
                and not short
                and not getattr(node, "decorator_list", None)
            ):
                yield prefix + node.name
            if isinstance(node, ast.ClassDef):
                yield from _undocumented(node, node.name + ".")


@pytest.mark.parametrize("name", sorted(MODULES))
def test_public_functions_and_classes_have_docstrings(name):
    path = MODULES[name]
    tree = ast.parse(path.read_text())
    if path.name != "__init__.py":
        assert ast.get_docstring(tree), "a module says what it is"
    missing = [
        found
        for found in _undocumented(tree)
        # design classes say in one line what their base class explains
        if "." not in found or found.split(".")[1] not in ("total", "budget", "vm", "main")
    ]
    assert not missing


def test_importing_memslots_loads_little():
    """The public names are loaded when they are asked for."""
    program = (
        "import sys, memslots; print(sum(name.startswith('memslots.') for name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(ROOT.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) == 0


def test_the_readme_example_of_the_class_docstring_runs():
    text = inspect.getdoc(sys.modules[memslots.Vm.__module__])
    lines = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    names: dict[str, object] = {"Vm": memslots.Vm}
    for line in lines[:2]:
        exec(line, names)
    vm = names["vm"]
    assert (vm.total_pages, vm.mmu_budget) == (262144, 5242)
