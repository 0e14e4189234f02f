"""How often `memslots explain` gives the expert's answer: `python tests/diagnosis/score.py [--held]
[--mutations]`.

right   the verdict, or one that experts accept, comes first, and the other party is named where
there is one near    it is among the first three, or first without the other party
wrong   something else is said
bare    nothing is said: no answer of any kind
silent  exit 0 and no word, although a failure was pasted
crash   an exception, or more than the time allowed
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "src")]

from diagnosis.corpus import HEALTHY, NOTHING, UNDECIDABLE, cases  # noqa: E402
from diagnosis.mutations import MUTATIONS, mutants  # noqa: E402
from diagnosis.verdict import Verdict, run  # noqa: E402

if TYPE_CHECKING:
    from diagnosis.corpus import Case

MARKS = ("right", "near", "wrong", "bare", "silent", "crash")
_FIRST = 3


def mark(case: Case, verdict: Verdict) -> str:
    """One of MARKS."""
    if verdict.failed:
        return "crash"
    if case.verdict in (HEALTHY, NOTHING):
        quiet = not verdict.tops and not verdict.ranked
        if quiet and (case.verdict == NOTHING or NOTHING in case.accept) and verdict.exit == 2:
            return "right" if verdict.advice else "bare"
        if verdict.exit == 2:
            return "bare"
        return "right" if quiet and verdict.exit in case.exits else _by_answers(case, verdict)
    if not verdict.ranked and case.accept & {HEALTHY, NOTHING} and verdict.exit in case.exits:
        return _without_answers(case, verdict)
    if not verdict.ranked and case.verdict == UNDECIDABLE and verdict.exit == 1 and verdict.advice:
        return (
            "right" if not case.ask or re.search(case.ask, verdict.text, re.IGNORECASE) else "bare"
        )
    if not verdict.ranked:
        return "silent" if verdict.exit == 0 else "bare"
    return _by_answers(case, verdict)


def _without_answers(case: Case, verdict: Verdict) -> str:
    if case.ask and not re.search(case.ask, verdict.text, re.IGNORECASE):
        return "bare" if verdict.exit else "silent"
    return "right" if verdict.exit == 0 or verdict.advice else "bare"


def _by_answers(case: Case, verdict: Verdict) -> str:
    if verdict.exit == 0 and 0 not in case.exits:
        return "silent"
    accepted = case.accepted
    first = set(verdict.tops[:2])
    asked = not case.ask or bool(re.search(case.ask, verdict.text, re.IGNORECASE))
    if case.verdict == UNDECIDABLE:
        claimed = verdict.certain - case.accept
        if first & accepted and asked and not claimed:
            return "right"
        return "near" if set(verdict.ranked[:_FIRST]) & accepted else "wrong"
    if first & accepted:
        named = not case.other or bool(re.search(case.other, verdict.text, re.IGNORECASE))
        return "right" if named and (asked or case.data == "yes") else "near"
    if set(verdict.ranked[:_FIRST]) & accepted or first & case.near:
        return "near"
    return "wrong"


def _titled(case: Case) -> Case:
    """What can be asked of an answer to the title alone: the verdict, without the other party."""
    return replace(case, other="", ask="")


class Table:
    """Counts of marks by row."""

    def __init__(self) -> None:
        self.rows: dict[str, Counter[str]] = defaultdict(Counter)

    def add(self, row: str, found: str, advice: bool) -> None:
        """Count one run."""
        self.rows[row][found] += 1
        self.rows[row]["advice"] += advice

    def lines(self, head: str) -> list[str]:
        """The table in Markdown, with its total."""
        total: Counter[str] = sum(self.rows.values(), Counter())
        found = [
            f"| {head} | n | {' | '.join(MARKS)} | right % | advice % |",
            f"| --- |{' ---: |' * (len(MARKS) + 3)}",
        ]
        for row, counts in [*sorted(self.rows.items()), ("**all**", total)]:
            n = sum(counts[name] for name in MARKS)
            cells = " | ".join(str(counts[name]) for name in MARKS)
            found.append(
                f"| {row} | {n} | {cells} | {_percent(counts['right'], n)} | "
                f"{_percent(counts['advice'], n)} |"
            )
        return found


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f}" if whole else "-"


def _said(verdict: Verdict) -> str:
    if verdict.failed:
        return verdict.failed[:100]
    tops = ", ".join(verdict.tops[:4]) or "nothing"
    more = [answer for answer in verdict.ranked if answer not in verdict.tops][:4]
    return f"exit {verdict.exit}: {tops}" + (f"; perhaps {', '.join(more)}" if more else "")


def score(chosen: list[Case], mutated: bool, only: str, show: bool) -> dict[str, str]:
    """Run, print the tables and the list of failures; the mark of each unchanged case."""
    kinds, parts, changed, marks = Table(), Table(), Table(), {}
    kept, kept_of, bad = 0, 0, []
    for case in chosen:
        verdict = run(case.paste)
        found = marks[case.id] = mark(case, verdict)
        kinds.add(case.kind, found, verdict.advice)
        sufficient = "" if case.data == "yes" else ", data not sufficient"
        parts.add(case.part + sufficient, found, verdict.advice)
        if found != "right":
            bad.append(
                f"{found:6} {case.id} ({case.kind}): expected {case.verdict}; {_said(verdict)}"
            )
        for name, text in mutants(case) if mutated else ():
            if only and name != only:
                continue
            altered = run(text)
            result = mark(_titled(case) if name == "title" else case, altered)
            changed.add(name, result, altered.advice)
            if found == "right":
                kept_of += 1
                kept += result == "right"
                if result != "right":
                    bad.append(
                        f"{result:6} {case.id} [{name}]: expected {case.verdict}; {_said(altered)}"
                    )
    lines = [*kinds.lines("kind"), "", *parts.lines("part")]
    if mutated:
        lines += ["", *changed.lines("mutation")]
        lines += [
            "",
            f"verdict kept by {kept} of {kept_of} mutations of cases that are right "
            f"({_percent(kept, kept_of)} %)",
        ]
    print("\n".join(lines))
    if show:
        print("\n" + "\n".join(bad))
    return marks


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--held", action="store_true", help="own cases that are held back")
    parser.add_argument("--tune", action="store_true", help="own cases for tuning")
    parser.add_argument("--examples", action="store_true", help="public failures carried over")
    parser.add_argument("--all", action="store_true", help="all of these (the default)")
    parser.add_argument(
        "--mutations", action="store_true", help="also every mutation of every case"
    )
    parser.add_argument(
        "--only", default="", metavar="NAME", choices=("", *MUTATIONS), help="this mutation alone"
    )
    parser.add_argument("--case", default="", metavar="ID", help="cases whose id contains this")
    parser.add_argument("--quiet", action="store_true", help="tables without the list of failures")
    return parser.parse_args()


def main() -> int:
    """The command; 0 if every case is right."""
    options = _arguments()
    parts = [
        name for name in ("examples", "tune", "held") if getattr(options, name) and not options.all
    ]
    chosen = [case for case in cases(*parts) if options.case in case.id]
    marks = score(chosen, options.mutations, options.only, not options.quiet)
    return 0 if all(found == "right" for found in marks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
