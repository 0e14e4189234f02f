"""What a call is stands in `uapi/calls.py`, once: no second table of calls, no bare capability or
flag.
"""

from __future__ import annotations

import ast
import re

import pytest
from test_layers import MODULES

from memslots.trace.decode import LOOKALIKES
from memslots.uapi.calls import CALLS
from memslots.uapi.capabilities import CAP_NAMES
from memslots.uapi.state_calls import STATE_CALLS

TABLES = {
    "uapi.calls": "the table itself",
    "rules.decide": "which function decides each call",
    "verify.recorded.operations": "the language of the program that asks real kernels, operation "
    "by operation",
    "explain.text_events": "spellings of calls in sentences, and the call that each is",
    "trace.message_table": "texts of programs, and the call that each is about",
    "trace.selftest": "functions of the selftests' library, and the call that each makes",
    "emulate.possible_errors": "which error each call can really be given",
    "trace.decode": "request codes of calls that are not about memory",
}
"""Modules in which several calls stand side by side, and why."""
MOST_TOGETHER = 2
"""Names of calls in one literal elsewhere: a pair is a case, more are a table."""
_CALL = re.compile(r"KVM_(?:CREATE|SET|GET|CHECK|ENABLE|CLEAR|RESET|PRE)_[A-Z0-9_]+")
_BITS = {"flags", "attributes"}


def trees():
    return [(name, ast.parse(path.read_text())) for name, path in sorted(MODULES.items())]


def _names(node):
    """Calls named in a literal, not counting those within a nested function."""
    return [
        child.value
        for child in ast.walk(node)
        if isinstance(child, ast.Constant) and isinstance(child.value, str) and child.value in CALLS
    ]


@pytest.mark.parametrize(("name", "tree"), trees(), ids=[name for name, _ in trees()])
def test_no_second_table_of_calls(name, tree):
    if name in TABLES:
        return
    for node in ast.walk(tree):
        literal = node if isinstance(node, (ast.Dict, ast.Set, ast.Tuple, ast.List)) else None
        if literal is not None:
            assert len(set(_names(literal))) <= MOST_TOGETHER, (
                f"line {node.lineno}: derive it from CALLS"
            )


@pytest.mark.parametrize(("name", "tree"), trees(), ids=[name for name, _ in trees()])
def test_every_name_of_a_call_is_one(name, tree):
    known = set(CALLS) | set(LOOKALIKES.values()) | set().union(*STATE_CALLS.values())
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and _CALL.fullmatch(node.value)
        ):
            assert node.value in known, (
                f"line {node.lineno}: {node.value} is no call that anybody describes"
            )


def _is_capability(node):
    return (
        isinstance(node, ast.Constant)
        and type(node.value) is int
        and node.value > 1
        and node.value in CAP_NAMES
    )


@pytest.mark.parametrize(("name", "tree"), trees(), ids=[name for name, _ in trees()])
def test_capabilities_go_by_name(name, tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in ("check_extension", "enable_cap"):
                assert not any(map(_is_capability, node.args[:1])), (
                    f"line {node.lineno}: name the capability"
                )
        elif isinstance(node, ast.Compare):
            left = getattr(node.left, "id", getattr(node.left, "attr", ""))
            if left in ("cap", "capability"):
                assert not any(map(_is_capability, node.comparators)), (
                    f"line {node.lineno}: name the capability"
                )


@pytest.mark.parametrize(("name", "tree"), trees(), ids=[name for name, _ in trees()])
def test_flags_go_by_name(name, tree):
    """`flags & 1` hides which flag; masks of widths and pages are something else."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.BinOp) and isinstance(node.op, (ast.BitAnd, ast.BitXor))):
            continue
        left = getattr(node.left, "id", getattr(node.left, "attr", ""))
        right = node.right.operand if isinstance(node.right, ast.UnaryOp) else node.right
        if left in _BITS and isinstance(right, ast.Constant):
            pytest.fail(f"line {node.lineno}: {ast.unparse(node)}: name the flag")


def test_it_can_fail():
    table = ast.parse('X = {"KVM_CREATE_VM": 1, "KVM_CREATE_VCPU": 2, "KVM_GET_DIRTY_LOG": 3}')
    with pytest.raises(AssertionError, match="derive it"):
        test_no_second_table_of_calls("x", table)
    with pytest.raises(AssertionError, match="name the capability"):
        test_capabilities_go_by_name("x", ast.parse("vm.enable_cap(168, 1)"))
    with pytest.raises(AssertionError, match="name the capability"):
        test_capabilities_go_by_name("x", ast.parse("capability == 225"))
    with pytest.raises(pytest.fail.Exception, match="name the flag"):
        test_flags_go_by_name("x", ast.parse("slot.flags & 1"))
    with pytest.raises(AssertionError, match="no call"):
        test_every_name_of_a_call_is_one("x", ast.parse('call == "KVM_SET_USER_MEMORY_REGON"'))


def test_a_call_is_of_memory_or_of_state():
    assert not set(CALLS) & set().union(*STATE_CALLS.values())
