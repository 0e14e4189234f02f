"""Each noun once: classes are unique, and a file name in two wings has two roles of one noun."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

from test_layers import MODULES, PACKAGES

ROLES = {
    frozenset(("cli", "views")): "one asks for it, one shows it",
    frozenset(("rules", "state")): "one refuses it, one is it",
    frozenset(("export", "trace")): "one writes the form, one reads it",
    frozenset(("record", "trace")): "one makes the form, one reads it",
    frozenset(("cli", "rules")): "a command has the name of what it is about",
}
"""Pairs of wings that may have files of one name, and why."""
SHOWN = {"cli", "views"}
"""Wings whose files have the names of what they show."""
MEANINGS = {
    "model": "the wing, and the classes of a layout",
    "catalogue": "of rules, of causes",
    "compare": "the wing, and the comparison of recorded answers",
    "device": "/dev/kvm, and the chapter of causes about it",
    "host_memory": "memory of this host, and the chapter of causes about it",
    "region": "the structure of the call, and the rules about it",
    "arch": "what architectures are, and their rules",
    "words": "of texts that people paste, and machine words of accounting",
    "answer": "the model's, and the live kernel's",
    "rerun": "recorded calls on this kernel, and recorded sequences on booted ones",
    "calls": "of the uapi, and what of them a recorder reads",
    "page_total": "the number, and how designs keep it",
    "__main__": "of two packages that can be run",
}
"""Names that stand in other wings too, and what they mean there."""


def classes_twice(trees):
    """Name: the modules that have a public class of this name, if there are several."""
    found = defaultdict(list)
    for name, tree in sorted(trees.items()):
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(name)
    return {name: modules for name, modules in found.items() if len(modules) > 1}


def stems_twice(names):
    """File name: the modules that have it without one being about the other."""
    found = defaultdict(set)
    for name in names:
        found[name.split(".")[-1]].add(name)
    twice = {}
    for stem, modules in found.items():
        # a wing of that name holds it, and views and commands have the names of what they show
        wings = {name.split(".")[0] for name in modules} - {stem}
        inner = wings - SHOWN
        if len(inner) > 1 and frozenset(inner) not in ROLES and stem not in MEANINGS:
            twice[stem] = sorted(modules)
    return twice


def test_public_classes_are_unique():
    assert classes_twice({n: ast.parse(p.read_text()) for n, p in MODULES.items()}) == {}


def test_a_file_name_means_one_thing():
    assert stems_twice(name for name in MODULES if name not in PACKAGES or "." not in name) == {}


def test_they_can_fail():
    one, two = ast.parse("class Slot: ..."), ast.parse("class Slot: ...")
    assert classes_twice({"state.slot": one, "check.plan": two}) == {
        "Slot": ["check.plan", "state.slot"]
    }
    assert stems_twice(["state.slot", "check.slot"]) == {"slot": ["check.slot", "state.slot"]}
    assert stems_twice(["state.memory", "rules.memory"]) == {}


def _declared(tree):
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


UAPI = "uapi.capabilities"
"""The kernel's names, whether the model needs them or not."""


def dead(texts, outside):
    """(module, name) of what is declared and neither used nor exported nor told of to people."""
    words = defaultdict(int)
    for text in texts.values():
        for word in re.findall(r"\w+", text):
            words[word] += 1
    told = set(re.findall(r"\w+", outside))
    return [
        (module, name)
        for module, text in sorted(texts.items())
        for name in _declared(ast.parse(text))
        if not name.startswith(("__", "pytest_")) and words[name] < 2 and name not in told
    ]


def test_nothing_is_declared_for_nobody():
    top = Path(__file__).parents[2]
    docs = "\n".join(path.read_text() for path in [top / "README.md", *top.glob("docs/*.md")])
    texts = {name: path.read_text() for name, path in MODULES.items() if name != UAPI}
    assert dead(texts, docs) == []


def test_that_can_fail_too():
    assert dead({"a": "def used(): ...\ndef lost(): ...\n", "b": "used()"}, "") == [("a", "lost")]
    assert dead({"a": "def lost(): ...\n"}, "call `lost()`") == []
