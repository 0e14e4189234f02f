"""docs/failures.md: public failures, each with what memslots says of it, exactly as it says it.

Set MEMSLOTS_REWRITE_STORIES=1 to write the page anew; commit only a change that is understood.
"""

from __future__ import annotations

import glob
import json
import os

from memslots.explain.analysis import Analysis
from memslots.views.explanation import explanation_lines
from memslots.views.findings import finding_lines
from memslots.views.text import Paint

PAGE = "docs/failures.md"
HEAD = """\
# Public failures, explained

Failures that people reported in public, the lines they quoted, and what `memslots explain` makes
of these lines alone.
"""


def story(path):
    with open(path, encoding="utf-8") as text:
        failure = json.load(text)
    lines = [
        "",
        f"## {failure['title']}",
        "",
        f"{failure['project']}, {failure['date']}: <{failure['url']}>",
        "",
    ]
    lines += ["```", *failure["log"], "```", ""]
    analysis = Analysis("\n".join(failure["log"]).encode()).finish()
    said = [
        line
        for each in analysis.explanations
        for line in [*explanation_lines(each, Paint(False)), ""]
    ]
    for finding in analysis.watch.findings.values():
        said += [*finding_lines(finding, Paint(False)), ""]
    if not said:
        return [
            *lines,
            "The quoted lines hold no KVM call and no error of one: nothing to explain.",
        ]
    return [*lines, "```", *said[:-1], "```"]


def page():
    stories = [
        line for path in sorted(glob.glob("examples/failures/*.json")) for line in story(path)
    ]
    return HEAD + "\n".join(stories) + "\n"


def test_page_of_public_failures_is_what_memslots_says():
    text = page()
    if os.environ.get("MEMSLOTS_REWRITE_STORIES"):
        with open(PAGE, "w", encoding="utf-8") as out:
            out.write(text)
    with open(PAGE, encoding="utf-8") as kept:
        assert kept.read() == text
