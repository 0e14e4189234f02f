"""Numbers of style that reading cannot keep: lengths, names, imports, paths."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_layers import MODULES

TOP = Path(__file__).parents[2]
MODULE_LINES, FUNCTION_LINES, COLUMNS = 400, 70, 100
_PRAGMA = re.compile(r"\s+# (type: ignore|noqa|fmt:).*")
BARE = {"size", "addr", "len"}
"""Names that hide the unit: whose size, in what?"""
OF_A_PROTOCOL = {"read"}
"""Methods whose parameters are those of Python's files."""
KEYS_OF_A_FILE = {"check.layout.model"}
"""Modules whose names are the keys that people write."""
SLOW = {"dataclasses", "typing", "pathlib"}
LOADED_FOR_TYPES_ONLY = {"model.kvm"}
"""Modules that no command loads: a protocol has to exist for tests and type checkers."""
EXTRAS = {
    "distributed",
    "numpy",
    "rich",
    "polars",
    "duckdb",
    "pyarrow",
    "jinja2",
    "textual",
    "pytest",
}
LOADED_BY_AN_EXTRA = {"pytest_plugin": "pytest"}
"""Modules that only the extra itself loads: it is there when they are."""
MACHINES = ("/wo" + "rk/", "/ro" + "ot/", ".libr" + "ary")
PATHS = re.compile("|".join([*map(re.escape, MACHINES), "(?<!verify)/fa" + "rm/"]))


def tree_of(name):
    return ast.parse(MODULES[name].read_text())


@pytest.mark.parametrize("name", sorted(MODULES))
def test_lengths(name):
    lines = MODULES[name].read_text().splitlines()
    assert len(lines) <= MODULE_LINES
    too_wide = [
        number for number, line in enumerate(lines, 1) if len(_PRAGMA.sub("", line)) > COLUMNS
    ]
    assert not too_wide
    for node in ast.walk(tree_of(name)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno - node.lineno < FUNCTION_LINES, f"{node.name} is too long"


def test_decide_fits_one_screen():
    (function,) = (
        node
        for node in tree_of("rules.region.set_memory_region").body
        if isinstance(node, ast.FunctionDef)
    )
    assert function.end_lineno - function.lineno < 40


def _public_functions(body):
    for node in body:
        if isinstance(node, ast.FunctionDef) and (
            not node.name.startswith("_") or node.name == "__init__"
        ):
            yield node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _public_functions(node.body)


@pytest.mark.parametrize("name", sorted(set(MODULES) - KEYS_OF_A_FILE))
def test_public_parameters_say_their_unit(name):
    for node in _public_functions(tree_of(name).body):
        arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        bare = [
            argument.arg
            for argument in arguments
            if argument.arg in BARE and node.name not in OF_A_PROTOCOL
        ]
        assert not bare, f"{name}.{node.name}({', '.join(bare)})"


def _imports(tree):
    """(top-level module, guarded by a function or a try) of every absolute import."""

    def walk(node, guarded):
        for child in ast.iter_child_nodes(node):
            inside = guarded or isinstance(child, (ast.FunctionDef, ast.Try))
            if isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING":
                continue
            if isinstance(child, ast.Import):
                yield from ((alias.name.split(".")[0], inside) for alias in child.names)
            elif isinstance(child, ast.ImportFrom) and not child.level and child.module:
                yield child.module.split(".")[0], inside
            else:
                yield from walk(child, inside)

    return list(walk(tree, False))


@pytest.mark.parametrize("name", sorted(MODULES))
def test_only_the_standard_library(name):
    for module, guarded in _imports(tree_of(name)):
        if module in sys.stdlib_module_names or module == "memslots":
            continue
        if LOADED_BY_AN_EXTRA.get(name) == module:
            continue
        assert module in EXTRAS, f"{module} is no extra"
        assert guarded, f"{module} is an extra: import it where it is used"


@pytest.mark.parametrize("name", sorted(set(MODULES) - LOADED_FOR_TYPES_ONLY))
def test_slow_modules_are_loaded_late_if_at_all(name):
    assert [
        module for module, guarded in _imports(tree_of(name)) if module in SLOW and not guarded
    ] == []


def test_the_start_loads_nothing_slow():
    program = (
        "import sys, memslots, memslots.model.vm, memslots.cli.main; print(*sorted(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],
        env={"PYTHONPATH": str(TOP / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not SLOW & set(done.stdout.split())


def test_no_run_time_dependency():
    text = (TOP / "pyproject.toml").read_text()
    assert "\ndependencies = []\n" in text


def test_no_path_of_a_machine():
    try:
        done = subprocess.run(["git", "ls-files", "-z"], cwd=TOP, capture_output=True, check=True)
        names = [name for name in done.stdout.decode().split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    found = []
    for name in names:
        path = TOP / name
        if (
            path.suffix in (".xz", ".gz", ".png")
            or not path.is_file()
            or name.startswith("examples/")
        ):
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if PATHS.search(line):
                found.append(f"{name}:{number}")
    assert not found


COMMANDS = sorted(
    name
    for name, path in MODULES.items()
    if name.startswith("cli.") and "EPILOG = " in path.read_text() and name != "cli.main"
)
COMMAND_LINES = 100
NO_JSON = {
    "cli.export": "what it writes is a form of its own",
    "cli.record": "what it writes is the recording",
    "cli.emulate": "what it writes is the recording",
    "cli.report": "what it writes is a page for people; explain has the data",
    "cli.vectors": "what it writes is JSON",
}
"""Commands without --json, and why."""


def _told(tree):
    """Lines of what people are told: help texts, declared options."""
    return sum(
        node.end_lineno - node.lineno + 1
        for node in tree.body
        if getattr(node, "name", "") == "add_arguments"
        or (
            isinstance(node, ast.Assign)
            and getattr(node.targets[0], "id", "") in ("HELP", "EPILOG")
        )
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_short_and_speaks_json(name):
    text, tree = MODULES[name].read_text(), tree_of(name)
    lines = len(text.splitlines()) - _told(tree)
    assert lines <= COMMAND_LINES, "its work belongs below, its words in the views"
    speaks = "--json" in text.replace("EPILOG", "") or "JSON" in text
    assert speaks or name in NO_JSON


PAGES = {
    "compare.designs": "the designs are those of x86",
    "record.bpf_script": "the smallest page there is: what crosses none crosses no larger one",
    "check.metadata": "kernel memory is counted for x86 only",
    "kernel.user_range": "the page below the end of user space of x86",
    "record.mappings": "mmap2 counts in units of 4096 bytes, whatever the page size",
}
"""Modules that say 4096 where others ask the machine for its page size, and why."""


def page_constants(tree):
    """Lines that give 4096 the name of a page."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            names, values = [getattr(t, "id", "") for t in node.targets], [node.value]
        elif isinstance(node, ast.arguments):
            names = [each.arg for each in node.args[-len(node.defaults) :]] if node.defaults else []
            values = node.defaults
        else:
            continue
        for name, value in zip(names, values, strict=False):
            if "page" in name.lower() and getattr(value, "value", None) == 4096:
                found.append(value.lineno)
    return found


@pytest.mark.parametrize("name", sorted(MODULES))
def test_no_page_has_4096_bytes_by_itself(name):
    assert bool(page_constants(tree_of(name))) == (name in PAGES)


def test_that_can_fail():
    assert page_constants(ast.parse("PAGE_BYTES = 4096")) == [1]
    assert page_constants(ast.parse("def lines(x, page_bytes=4096): ...")) == [1]
    assert page_constants(ast.parse("MOST = 4096")) == []


def test_todo_is_for_issues():
    for name, path in MODULES.items():
        assert not re.search(r"\b(TODO|FIXME|XXX)\b", path.read_text()), name
