"""English is made in `views/` and `cli/`: below them data, docstrings, errors, and the texts of
rules, findings and causes.
"""

from __future__ import annotations

import ast

import pytest
from test_layers import MODULES

ABOVE = ("views.", "cli.", "docs", "pytest_plugin")
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
    "emulate.faked_calls": "names of calls, in a row",
    "emulate.sweep": "the text of a Python program",
    "explain.advice": "signs by which programs are known, and commands to copy",
    "explain.causes.catalogue": "titles of chapters, with the causes",
    "explain.explain": "the summary and the questions of an explanation, chosen with its parts",
    "explain.facts": "signs in texts, and the reason of a fact: what was read",
    "explain.histories": "a circumstance in words stands beside the case that it describes",
    "explain.hypotheses": "a circumstance in words stands beside the VM that is tried under it",
    "explain.other_causes": "signs in texts, and names of products",
    "explain.other_kernels": "what one line says of all releases",
    "explain.ranges": "what a text says lies in the way",
    "explain.remedies": "a change in words stands beside the change that was tried",
    "explain.rule_signs": "signs in texts: data",
    "explain.text_events": "signs in texts: data",
    "explain.unread": "what an input seems to be, and commands to copy",
    "explain.which_kernel": "evidence says itself where it is from",
    "export.c": "the text of a C program",
    "export.c_prelude": "the text of a C program",
    "export.python": "the text of a Python program",
    "fleet.changes": "questions in SQL",
    "fleet.inputs": "why an input was left out, beside the system's own words for it",
    "fleet.part": "a query in SQL",
    "fleet.prometheus": "questions in SQL",
    "fleet.store": "a query in SQL",
    "fleet.tables": "queries in SQL",
    "fleet.upgrade": "queries in SQL",
    "kernel.distributions": "releases that a distribution was built from, put into an error's text",
    "kernel.evidence": "evidence says itself where it is from: provenance goes out as it is",
    "kernel.fact": "what each kind of evidence is worth",
    "kernel.profile": "the question of an undetermined answer, put together from a fact's evidence",
    "kernel.vendors": "what a vendor's kernel is, put into an error's text",
    "live.answer": "the text of an error is put together before it is raised",
    "live.device": "the text of an error is put together before it is raised",
    "errnos": "what the C library says for an errno: data",
    "live.probe": "how the host was asked, question by question",
    "live.rerun": "why a call was not made, one reason a call",
    "record.bpf": "how a recording was made, which its first line says",
    "record.bpf_script": "the text of a bpftrace program",
    "record.bpf_session": "why a recording ended, put together from what bpftrace said",
    "record.recorder": "how a recording was made, and why calls are not in it",
    "record.start": "the text of an error is put together before it is raised",
    "record.processes": "the text of an error is put together before it is raised",
    "rules.answer": "what every accepted answer takes for granted",
    "rules.dirty_log": "names of functions in the kernel, for several rules",
    "rules.region.arch.vma": "names of functions in the kernel, for several rules",
    "state.mmu_pages_designs": "the titles of historical designs",
    "trace.error_texts": "what the C libraries say for an errno: data",
    "trace.mend": "a pattern",
    "trace.message_table": "patterns of what programs say",
    "trace.messages": "patterns of what programs say",
    "trace.perf": "patterns",
    "trace.recording": "why something could not be read, put into a note",
    "trace.search": "a note that two readers share",
    "verify.booted": "why a call was not asked, counted by reason",
    "verify.farm.__main__": "a command line of its own: the help",
    "verify.farm.boot": "the kernel's command line, and why a boot came to nothing",
    "verify.farm.dates": "a command line of its own: help and report",
    "verify.farm.packages": "what apt prints",
    "verify.pair": "why a call was not asked, counted by reason",
    "verify.recorded.player": "what the program that asks kernels prints",
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
        if isinstance(node, ast.Raise) or (
            isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        ):
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
