"""Imports point one way: the map in `memslots/__init__.py` is the order, for wings and for the
files in each.

Imports for type checkers count: a name that a module has to know is known, whenever it is loaded.
"""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import memslots
from memslots.late import load

ROOT = Path(__file__).parents[2] / "src" / "memslots"
UPWARD = {
    (
        "kernel.names",
        "live.probe",
    ): "the name `host` asks the running kernel; loaded for that name only",
    ("check.survey", "views.matrix"): "an assertion for tests shows its text; loaded when it fails",
    ("model.vm", "views.space_time"): "a notebook shows a VM as a picture; loaded when it does",
    ("replay.replay", "views.space_time"): "a notebook shows VMs as a picture; loaded when it does",
    ("rules.answer", "views.notebook"): "a notebook shows a refusal as a table; loaded then",
    ("rules.raised", "rules.answer"): "an error holds its answer; the name is for type checkers",
    (
        "state.apply",
        "state.vm_state",
    ): "part of VmState.apply in a file of its own; the name is for type checkers",
    (
        "state.invariants",
        "state.vm_state",
    ): "VmState.check in a file of its own; the name is for type checkers",
}
"""Imports against the order, inside functions or for type checkers, and why."""


def order_of(text):
    """Module (or wing, for what its __init__ holds) -> its place in the map."""
    found = {}
    place = 0
    wing = ""
    for line in text[text.index("Map of the package") :].splitlines()[2:]:
        head = re.match(r" {4}((?:[\w/]+ )+) +\S", line)
        inner = re.match(r" {8}([\w. ]+)$", line)
        assert head or inner, f"not a line of the map: {line!r}"
        if head:
            wing = ""
            for name in head[1].split():
                assert name.rstrip("/") not in found, f"{name} is twice in the map"
                found[name.rstrip("/")] = place
                wing = name.rstrip("/") if name.endswith("/") else ""
                place += 1
            continue
        assert wing, f"files of no wing: {line!r}"
        for name in inner[1].split():
            assert f"{wing}.{name}" not in found, f"{wing}.{name} is twice in the map"
            found[f"{wing}.{name}"] = place
            place += 1
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
PACKAGES = {name for name, path in MODULES.items() if path.name == "__init__.py"}


def imports_of(name, path, known):
    """(module, name, is it at the top and at run time) of each import within the package."""
    tree = ast.parse(path.read_text())
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]

    def walk(node, at_top):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ImportFrom):
                if child.level:
                    target = package[: len(package) - child.level + 1]
                elif (child.module or "").split(".")[0] == "memslots":
                    target = []
                else:
                    continue
                words = (child.module or "").split(".") if child.module else []
                target = target + (words if child.level else words[1:])
                for alias in child.names:
                    full = ".".join([*target, alias.name])
                    yield (full if full in known else ".".join(target)), alias.name, at_top
            elif isinstance(child, ast.Import):
                for alias in child.names:
                    if alias.name.split(".")[0] == "memslots":
                        yield alias.name.partition(".")[2], "", at_top
            else:
                checking = (
                    isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING"
                )
                inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))
                yield from walk(child, at_top and not checking and not inside)

    return [found for found in walk(tree, True) if found[0]]


def violations(imports, order):
    """(importer, imported) that go against the order."""

    def place(name):
        # what the __init__ of a wing holds stands behind all of its files
        if name in PACKAGES and "." not in name:
            return max(
                (at for other, at in order.items() if other.split(".")[0] == name),
                default=order.get(name, 0),
            )
        return order.get(name, order.get(name.split(".")[0], 0))

    return {
        (name, target)
        for name, targets in imports.items()
        for target, _, _ in targets
        if target != name and place(target) > place(name)
    }


IMPORTS = {name: imports_of(name, path, MODULES) for name, path in MODULES.items()}


def test_the_map_names_every_module_and_no_other():
    order = order_of(memslots.__doc__)
    there = {name for name in MODULES if name not in PACKAGES} | {
        name for name in PACKAGES if "." not in name
    }
    assert there == set(order), "add it to the map in memslots/__init__.py"


def test_no_module_imports_from_below():
    assert violations(IMPORTS, order_of(memslots.__doc__)) == set(UPWARD)


@pytest.mark.parametrize("pair", UPWARD, ids="->".join)
def test_exceptions_are_not_loaded_with_the_module(pair):
    kinds = [at_top for target, _, at_top in IMPORTS[pair[0]] if target == pair[1]]
    assert kinds
    assert not any(kinds)


def test_there_are_no_cycles():
    graph = {
        name: {
            target for target, _, _ in targets if target != name and (name, target) not in UPWARD
        }
        for name, targets in IMPORTS.items()
    }
    TopologicalSorter(graph).prepare()


def test_other_files_use_declared_names_only():
    """A name with an underscore is its file's own; modules as a whole are no names."""
    private = {
        f"{name} takes {what} from {target}"
        for name, targets in IMPORTS.items()
        for target, what, _ in targets
        if what.startswith("_") and not what.startswith("__")
    }
    assert private == set()


def _places_of(path):
    """Modules that a file names as the places of what it loads late (`memslots.late`)."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found = re.fullmatch(r"([a-z_]+(?:\.[a-z0-9_]+)+):\w+", node.value)
            if found and found[1] in MODULES:
                yield found[1], node.value


LATE = {
    name: list(_places_of(path))
    for name, path in MODULES.items()
    if any(target == "late" for target, _, _ in IMPORTS[name])
}


def test_what_is_loaded_late_is_there_and_stands_above():
    assert sum(map(len, LATE.values())) > 20
    for places in LATE.values():
        for _, place in places:
            assert load(place) is not None
    asked = {name: [(module, "", False) for module, _ in places] for name, places in LATE.items()}
    assert violations(asked, order_of(memslots.__doc__)) == set()


def test_it_can_fail(tmp_path):
    path = tmp_path / "slot.py"
    path.write_text(
        "def f():\n    from ..model.vm import Vm\n\nif TYPE_CHECKING:\n    from ..cli.main import "
        "main\n"
    )
    known = {"model.vm": path, "cli.main": path}
    imports = {"state.slot": imports_of("state.slot", path, known)}
    assert imports == {"state.slot": [("model.vm", "Vm", False), ("cli.main", "main", False)]}
    order = order_of(
        "Map of the package\nhead\n    state/    a\n        slot\n    model/ cli/    b\n"
    )
    assert violations(imports, order) == {("state.slot", "model.vm"), ("state.slot", "cli.main")}
    with pytest.raises(AssertionError, match="twice"):
        order_of("Map of the package:\nhead\n    units abi   numbers\n    units   again\n")
