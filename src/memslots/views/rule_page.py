"""The page of a rule and the list of all rules: for terminals, as Markdown, as JSON."""

from __future__ import annotations

from ..errnos import errno_name, errno_text
from ..kernel.history import FACTS
from ..rules.catalogue import REGION_RULES, all_rules, rules_beside
from ..rules.presence import releases_with, surveyed
from .spans import ALL, release_spans
from .text import paragraph_width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..kernel.fact import Fact
    from ..rules.answer import Rule

SCHEMA = "memslots.rules/1"


def rule_sections(rule: Rule) -> list[tuple[str, list[str]]]:
    """The page in parts: heading and paragraphs."""
    parts = [
        ("Refuses when", [rule.title]),
        ("Answer", [f"{errno_name(rule.errno)} ({errno_text(rule.errno)}) from {rule.calls}"]),
        ("Why KVM checks", [_joined(rule.page)] if rule.page else []),
        ("What to do", [_joined(rule.remedy)]),
        ("Kernels", [*kernels_of(rule), *(fact_line(fact) for fact in facts_of(rule))]),
        ("Source", [rule.source]),
        ("Order", [order_line(rule)]),
    ]
    return [(heading, body) for heading, body in parts if body]


def _joined(text: str) -> str:
    return " ".join(text.split())


def kernels_of(rule: Rule) -> list[str]:
    """One line for each group of architectures with the same releases."""
    among: dict[str, list[str]] = {}
    for profile in surveyed():
        among.setdefault(profile.arch.name, []).append(str(profile.version))
    groups: dict[str, list[str]] = {}
    for arch, releases in releases_with(rule).items():
        groups.setdefault(release_spans(releases, among[arch]), []).append(arch)
    if groups.keys() == {ALL} and len(groups[ALL]) == len(among):
        return ["all releases, all architectures"]
    return [f"{', '.join(arches)}: {text}" for text, arches in groups.items()] or [
        "none of the releases surveyed"
    ]


def facts_of(rule: Rule) -> list[Fact]:
    """The dated facts that the rule hangs on."""
    return [fact for fact in FACTS if fact.name in (*rule.needs, *rule.without)]


def fact_line(fact: Fact) -> str:
    """A fact with its dates and how they are known."""
    dates = f"since {fact.since}"
    if fact.until is not None:
        dates += f", until {fact.until}"
    if fact.backports:
        dates += f", also from {' and '.join(map(str, fact.backports))} on"
    return f"{fact.name}: {dates} ({fact.source})"


def order_line(rule: Rule) -> str:
    """Where the rule stands among those of its call."""
    column = rules_beside(rule)
    if rule not in column:
        return "nowhere: the model assumes that it never happens"
    at = column.index(rule)
    before = column[at - 1].id if at else None
    after = column[at + 1].id if at + 1 < len(column) else None
    where = f"number {at + 1} of {len(column)}"
    if before:
        where += f", after {before}"
    return f"{where}, before {after}" if after else where


def rule_lines(rule: Rule) -> list[str]:
    """The page for a terminal."""
    import textwrap

    lines = [rule.id]
    for heading, paragraphs in rule_sections(rule):
        lines += ["", heading]
        for text in paragraphs:
            lines += textwrap.wrap(
                text,
                paragraph_width() - 4,
                initial_indent="  ",
                subsequent_indent="  ",
                break_on_hyphens=False,
            )
    return lines


def rule_markdown(rule: Rule) -> str:
    """The page as Markdown, as it stands in docs/rules/."""
    lines = [f"# {rule.id}"]
    for heading, paragraphs in rule_sections(rule):
        lines += ["", f"## {heading}", ""]
        lines += paragraphs if len(paragraphs) == 1 else [f"* {text}" for text in paragraphs]
    return "\n".join(lines) + "\n"


def list_lines(rules: Sequence[Rule]) -> list[str]:
    """One line a rule, in the kernel's order, under the call that it belongs to."""
    width = max((len(rule.id) for rule in rules), default=0)
    lines: list[str] = []
    for call, group in by_call(rules):
        lines += ["", call] if lines else [call]
        lines += [
            f"  {rule.id:{width}}  {errno_name(rule.errno):10}  {rule.title}" for rule in group
        ]
    return lines


def by_call(rules: Sequence[Rule]) -> list[tuple[str, list[Rule]]]:
    """Rules under headings: the region calls first, in the order of the checks."""
    groups: dict[str, list[Rule]] = {}
    for rule in rules:
        heading = (
            "KVM_SET_USER_MEMORY_REGION and KVM_SET_USER_MEMORY_REGION2"
            if rule in REGION_RULES
            else rule.calls
        )
        groups.setdefault(heading, []).append(rule)
    return list(groups.items())


def index_markdown() -> str:
    """The table of all rules."""
    lines = [
        "# Rules",
        "",
        "Every reason for which KVM refuses a guest-memory call, in the order of the checks.",
    ]
    for call, group in by_call(all_rules()):
        lines += ["", f"## {call}", "", "| rule | errno | refuses when |", "| --- | --- | --- |"]
        lines += [
            f"| [{rule.id}]({rule.id}.md) | {errno_name(rule.errno)} | {rule.title} |"
            for rule in group
        ]
    return "\n".join(lines) + "\n"


def rule_json(rule: Rule) -> dict[str, object]:
    """A rule as a JSON object."""
    return {
        "id": rule.id,
        "errno": errno_name(rule.errno),
        "calls": rule.calls,
        "title": rule.title,
        "why": _joined(rule.page),
        "remedy": _joined(rule.remedy),
        "source": rule.source,
        "needs": list(rule.needs),
        "without": list(rule.without),
        "releases": releases_with(rule),
    }


def as_json(rules: Sequence[Rule]) -> str:
    """Rules as one JSON object."""
    import json

    return json.dumps({"schema": SCHEMA, "rules": [rule_json(rule) for rule in rules]})
