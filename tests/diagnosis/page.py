"""docs/diagnosis.md: how often `explain` is right on the cases, by kind, before and now.

`python tests/diagnosis/page.py` writes it anew; test_score.py checks that it is current.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

from diagnosis.corpus import cases  # noqa: E402
from diagnosis.score import mark  # noqa: E402
from diagnosis.verdict import run  # noqa: E402

PAGE = ROOT / "docs" / "diagnosis.md"
BASELINE = Path(__file__).parent / "BASELINE.md"
HEAD = """\
# How often the diagnosis is right

`tests/diagnosis/cases` holds pastes with an expert's answer: public failures (*examples*) and
cases written from the kinds of fault before anything was tuned (*tune*; *held*: each third of
them, which nobody looks at while working on the program). *Right* means: the right cause first, and
the other party named where there is one; where the paste does not decide, one of the possible
causes first, none claimed as certain, and the question that decides. *Before* is the first
release ([baseline](../tests/diagnosis/BASELINE.md)).

`python tests/diagnosis/score.py --help` prints the score in full and by mutations of the cases,
`python tests/diagnosis/page.py` writes this page.
"""
_ROW = re.compile(r"^\| ([^|]+?) +\| (\d+) \| (\d+) \|", re.MULTILINE)


def _section(heading: str) -> dict[str, tuple[int, int]]:
    """(cases, right) by row of a table of the baseline."""
    text = BASELINE.read_text(encoding="utf-8")
    part = text[text.index(heading) + len(heading) :].partition("\n## ")[0]
    return {name: (int(n), int(right)) for name, n, right in _ROW.findall(part)}


def before(kind: str) -> int:
    """Cases of a kind that were right in the first release."""
    tables = _section("## Examples by kind"), _section("## Own cases by kind")
    return sum(table.get(kind, (0, 0))[1] for table in tables)


def marks() -> list[tuple[str, str, str]]:
    """(kind, part, mark) of every case."""
    found = []
    for case in cases():
        sufficient = "" if case.data == "yes" else ", paste does not decide"
        found.append((case.kind, case.part + sufficient, mark(case, run(case.paste))))
    return found


def _table(head: str, rows: list[tuple[str, int, int, int]]) -> list[str]:
    rows = [*rows, ("**all**", *(sum(row[at] for row in rows) for at in (1, 2, 3)))]
    lines = [f"| {head} | cases | right before | right now |", "| --- | ---: | ---: | ---: |"]
    return lines + [f"| {name} | {n} | {old} | {new} |" for name, n, old, new in rows]


def page(found: list[tuple[str, str, str]]) -> str:
    """The whole page."""
    kinds, right = Counter(kind for kind, _, _ in found), Counter()
    parts, right_parts = Counter(part for _, part, _ in found), Counter()
    for kind, part, result in found:
        right[kind] += result == "right"
        right_parts[part] += result == "right"
    old = _section("## All parts")
    names = {part: part.replace("paste does not decide", "data not sufficient") for part in parts}
    by_part = [
        (part, parts[part], old.get(names[part], (0, 0))[1], right_parts[part])
        for part in sorted(parts)
    ]
    by_kind = [(kind, kinds[kind], before(kind), right[kind]) for kind in sorted(kinds)]
    lines = [HEAD, *_table("part", by_part), "", *_table("kind", by_kind)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(marks()), encoding="utf-8")
