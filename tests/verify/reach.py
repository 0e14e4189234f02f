"""Which refusals of `rules/` are reached: by recorded answers of real kernels, and by calls drawn
for `verify`.
"""

from __future__ import annotations

import ast
import os
import sys
from contextlib import contextmanager

import memslots.rules
from memslots.rules.answer import Rule

FOLDER = os.path.dirname(memslots.rules.__file__)
_REFUSALS = ("refuse", "refuse_for", "refuse_late")


class Site:
    """One place that refuses: where it stands, and by which rule."""

    def __init__(self, path, node):
        self.path = path
        self.lines = range(node.lineno, node.end_lineno + 1)
        self.rule = ast.unparse(node.func.value)

    def __repr__(self):
        return f"{os.path.relpath(self.path, FOLDER)}:{self.lines.start} {self.rule}"


def sites():
    """Every place in `rules/` that refuses a call."""
    found = []
    for folder, _, names in sorted(os.walk(FOLDER)):
        for name in sorted(names):
            if name.endswith(".py") and name != "answer.py":
                path = os.path.join(folder, name)
                with open(path, encoding="utf-8") as file:
                    tree = ast.parse(file.read())
                found += [
                    Site(path, node)
                    for node in ast.walk(tree)
                    if isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr in _REFUSALS
                ]
    return found


@contextmanager
def noted(monkeypatch):
    """A set that takes (path, line) of each refusal made meanwhile."""
    reached = set()

    def wrapped(original):
        def refuse(self, *arguments, **numbers):
            frame = sys._getframe(1)
            reached.add((frame.f_code.co_filename, frame.f_lineno))
            return original(self, *arguments, **numbers)

        return refuse

    with monkeypatch.context() as patch:
        for name in _REFUSALS:
            patch.setattr(Rule, name, wrapped(getattr(Rule, name)))
        yield reached


def unreached(reached):
    """The places that none of these lines is in."""
    return [
        site
        for site in sites()
        if not any(path == site.path and line in site.lines for path, line in reached)
    ]
