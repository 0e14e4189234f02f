"""English is made in `views/` and `cli/`: below them data, docstrings, errors, and the texts of
rules, findings and causes.
"""

from __future__ import annotations

import ast

import pytest
from test_layers import MODULES

ABOVE = ("views.", "cli.", "docs")
TEXTS = {
    "Rule",
    "FindingKind",
    "Cause",
    "Fact",
    "Option",
    "Limit",
    "Probe",
    "Question",
    "Commit",
    "Read",
    "Asked",
}
"""What holds a text of its own, as data with an identity."""
SAYS = {"ask", "Unmodelled", "note", "skip", "say", "warn"}
"""Calls whose text is part of an answer (a question), or what a reader met: they go out as they
are.
"""
REASONS = {
    "errors": "the text of an error is put together before it is raised",
    "export.c": "the text of a C program",
    "export.c_prelude": "the text of a C program",
    "export.python": "the text of a Python program",
}
"""Modules that hold sentences all the same, and why."""
MOST_SPACES = 2


def _allowed(tree):
    """Nodes within which a text is in its place."""
    found = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            for child in body:
                # docstrings: of modules, classes, functions, and below attributes
                if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                    found.add(child.value)
        if isinstance(node, ast.Raise):
            found.update(ast.walk(node))
        if isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in TEXTS | SAYS or called.endswith("Error"):
                found.update(ast.walk(node))
    return found


def sentences(tree):
    """(line, text) of each text with more than two spaces that is out of place."""
    allowed = _allowed(tree)
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node not in allowed
        and node.value.strip().count(" ") > MOST_SPACES
        and not node.value.lstrip().startswith(("#", "(", "{", "^", "\\", "<"))
    ]


@pytest.mark.parametrize("name", sorted(name for name in MODULES if not name.startswith(ABOVE)))
def test_no_sentences_below_the_views(name):
    if name in REASONS:
        return
    assert sentences(ast.parse(MODULES[name].read_text())) == []


def test_it_can_fail():
    assert sentences(ast.parse('text = "the slot ends beyond the limit"')) == [
        (1, "the slot ends beyond the limit")
    ]
    assert sentences(ast.parse('raise ValueError("the slot ends beyond the limit")')) == []


@pytest.mark.parametrize("name", REASONS)
def test_every_reason_is_needed(name):
    assert sentences(ast.parse(MODULES[name].read_text()))
