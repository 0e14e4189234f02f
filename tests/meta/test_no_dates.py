"""Releases are dates of behaviours: they stand in `kernel/`, and elsewhere a fact is named."""

from __future__ import annotations

import ast
import re

import pytest
from test_layers import MODULES

RELEASE = re.compile(r"(?<![\w.])(?:2\.6|[3-7]\.\d{1,2})(?:\.\d+)?(?:-rc\d+)?(?![\w.]|\.\d)")
HELP = ("kernel.", "cli.", "docs", "pytest_plugin")
"""Where dates are kept, and where examples of names are."""
REASONS = {
    "check.layout.qemu_machine": "a release of QEMU, whose layouts these are",
    "export.python": "an example in the help of the program that is written",
    "running.btf": "a release that has the structures read here",
    "running.descriptors": "a release that has the system call used here",
    "running.kernel_memory": "a release that has the interface used here",
    "state.mmu_pages_designs": "the titles of historical designs",
    "views.kernel_page": "examples of names",
    "views.page_total_review": "a review of 2021 told again; a test runs each sentence's command",
    "verify.farm.kernels": "names of packages",
    "verify.farm.rerun": "an example of the name of a recording",
}
"""Modules with releases in strings all the same, and why."""
CAUSES = "explain.causes."
"""Causes outside memory slots: dates of QEMU, VFIO and vhost have no place in `kernel/`."""


def dates(text):
    """(line, text) of each string with a release in it, docstrings aside."""
    tree = ast.parse(text)
    docstrings = {
        child.value
        for node in ast.walk(tree)
        if isinstance(getattr(node, "body", None), list)
        for child in node.body
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
    }
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node not in docstrings
        and RELEASE.search(node.value)
    ]


@pytest.mark.parametrize(
    "name",
    sorted(
        name for name in MODULES if not name.startswith((*HELP, CAUSES)) and name not in REASONS
    ),
)
def test_no_date_outside_the_history(name):
    assert dates(MODULES[name].read_text()) == []


def test_every_reason_is_needed():
    assert [name for name in REASONS if not dates(MODULES[name].read_text())] == []


def test_it_can_fail():
    assert dates('"""Since 5.17."""\nwhy = "refused since 5.17.3 on x86"') == [
        (2, "refused since 5.17.3 on x86")
    ]
    assert dates('scale = "1.5 of 0.3"') == []
