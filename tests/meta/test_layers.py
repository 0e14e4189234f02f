"""Imports point one way: a module imports only what the map in `memslots/__init__.py` puts in its line or above."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import memslots

ROOT = Path(__file__).parents[2] / "src" / "memslots"
UPWARD = {
    ("kernel.registry", "live.probe"): "the name `host` asks the running kernel; loaded for that name only",
    ("survey", "views.matrix"): "an assertion for tests shows its text; loaded when it fails",
}
"""Imports against the order, inside functions, and why."""


def layers(text):
    """Name -> line of the map."""
    found = {}
    lines = text[text.index("Map of the package") :].splitlines()[1:]
    for number, line in enumerate(line for line in lines if line.strip()):
        names = re.match(r" {4}((?:[\w/]+ )+) +\S", line)
        assert names, f"not a line of the map: {line!r}"
        for name in names[1].split():
            assert name not in found, f"{name} is twice in the map"
            found[name.rstrip("/")] = number
    return found


def modules():
    """Dotted name -> path, for every module but the package itself."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            found[name] = path
    return found


MODULES = modules()


def imports_of(name, path, known):
    """(module, is it inside a function) of each import within the package, but those for type checkers."""
    tree = ast.parse(path.read_text())
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]

    def walk(node, inside):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
                continue
            if isinstance(child, ast.ImportFrom):
                if child.level:
                    base = package[: len(package) - child.level + 1]
                elif (child.module or "").split(".")[0] == "memslots":
                    base = []
                else:
                    continue
                words = (child.module or "").split(".") if child.module else []
                target = base + (words if child.level else words[1:])
                for alias in child.names:
                    full = ".".join([*target, alias.name])
                    yield (full if full in known else ".".join(target)), inside
            elif isinstance(child, ast.Import):
                for alias in child.names:
                    if alias.name.split(".")[0] == "memslots":
                        yield alias.name.partition(".")[2], inside
            else:
                yield from walk(child, inside or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)))

    return [(target, inside) for target, inside in walk(tree, False) if target]


def violations(imports, order):
    """(importer, imported) that go against the order."""
    bottom = max(order.values()) + 1
    order = {**{name.split(".")[0]: bottom for name in imports}, **order}
    top = {name: order[name.split(".")[0]] for name in imports}
    return {
        (name, target)
        for name, targets in imports.items()
        for target, _ in targets
        if order[target.split(".")[0]] > top[name]
    }


IMPORTS = {name: imports_of(name, path, MODULES) for name, path in MODULES.items()}


def test_the_map_names_every_module_and_no_other():
    order = layers(memslots.__doc__)
    assert {name.split(".")[0] for name in MODULES} == set(order), "add it to the map in memslots/__init__.py"


def test_no_module_imports_from_below():
    assert violations(IMPORTS, layers(memslots.__doc__)) == set(UPWARD)


@pytest.mark.parametrize("pair", UPWARD, ids="->".join)
def test_exceptions_are_inside_functions(pair):
    assert (pair[1], True) in IMPORTS[pair[0]]
    assert (pair[1], False) not in IMPORTS[pair[0]]


def test_there_are_no_cycles():
    graph = {
        name: {target for target, _ in targets if (name, target) not in UPWARD} for name, targets in IMPORTS.items()
    }
    TopologicalSorter(graph).prepare()


def test_it_can_fail(tmp_path):
    path = tmp_path / "slot.py"
    path.write_text("def f():\n    from .vm import Vm\n\nif TYPE_CHECKING:\n    from .cli import main\n")
    imports = {"slot": imports_of("slot", path, {"vm": path})}
    assert imports == {"slot": [("vm", True)]}
    assert violations(imports, layers(memslots.__doc__)) == {("slot", "vm")}
    with pytest.raises(AssertionError, match="twice"):
        layers("Map of the package:\n    units abi   numbers\n    units   again\n")
