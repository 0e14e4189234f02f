"""The difference of two kernels, for people and as JSON."""

from __future__ import annotations

from ..compare.difference import PAGE, WORD
from ..errors import errno_name
from ..rules.presence import is_out_of_reach
from .questions import question_text, reply_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..compare.difference import Difference, LimitChange, Noticed
    from ..kernel.fact import Fact
    from ..kernel.profile import Profile
    from ..rules.answer import Rule

SCHEMA = "memslots.diff/1"
_SUMMARIES = {WORD: "bits of an unsigned long.", PAGE: "bytes of a host page."}


def difference_lines(found: Difference) -> list[str]:
    """What begins, what ends, what has another value, and what a program notices."""
    lines = [f"{found.before.name} -> {found.after.name}"]
    if found.is_empty:
        return [*lines, "", "No difference is known."]
    both = found.before.arch.name == found.after.arch.name
    sections = [
        ("Begins to hold" if both else f"Holds only on {found.after.name}", _facts(found.started)),
        ("No longer holds" if both else f"Holds only on {found.before.name}", _facts(found.ended)),
        ("Limits and options", _changes(found.limits + found.options)),
        (
            "Rules that begin" if both else f"Rules only on {found.after.name}",
            _rules(found.new_rules, found.after),
        ),
        (
            "Rules that end" if both else f"Rules only on {found.before.name}",
            _rules(found.gone_rules, found.before),
        ),
        ("What a program notices", _noticed(found.noticed)),
    ]
    for title, body in sections:
        if body:
            lines += ["", title, *body]
    if not found.noticed:
        lines += ["", "No probe is answered differently: only what stands above."]
    if found.idle:
        names = ", ".join(fact.name for fact in found.idle)
        lines += ["", f"Also dated between them, but about 32-bit hosts only: {names}."]
    same = sum(1 for name in found.before.facts if found.after.knows(name))
    return [
        *lines,
        "",
        f"{same} facts are the same; the rules that both have are checked in the same order.",
    ]


def _facts(facts: list[Fact]) -> list[str]:
    lines = []
    for fact in facts:
        lines += [
            f"  {fact.name}: {fact.summary}",
            f"      since {fact.since}{_until(fact)}; {fact.source}",
        ]
    return lines


def _until(fact: Fact) -> str:
    text = f", until {fact.until}" if fact.until else ""
    ports = [str(port) for port in fact.backports]
    return f"{text}, also from {' and '.join(ports)} on" if ports else text


def _changes(changes: list[LimitChange]) -> list[str]:
    lines = []
    for change in changes:
        lines.append(f"  {change.name}: {value_text(change.before)} -> {value_text(change.after)}")
        summary = change.summary or _SUMMARIES.get(change.name, "")
        if summary:
            lines.append(f"      {summary[0].upper()}{summary[1:]}")
    return lines


def _noticed(changes: list[Noticed]) -> list[str]:
    lines = []
    for each in changes:
        before, after = value_text(reply_text(each.before)), value_text(reply_text(each.after))
        lines.append(f"  {question_text(each.question)}: {before} -> {after}")
    return lines


def _rules(rules: list[Rule], profile: Profile) -> list[str]:
    lines = []
    for rule in rules:
        note = " (Out of reach of 64-bit totals.)" if is_out_of_reach(rule, profile) else ""
        lines.append(f"  {rule.id} ({errno_name(rule.errno)}): {rule.title}{note}")
    return lines


def value_text(value: object) -> str:
    """A limit or option as text: `not known`, `yes`, a number."""
    if value is None:
        return "not known"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def as_json(found: Difference) -> str:
    """The difference as one JSON object."""
    import json

    return json.dumps(
        {
            "schema": SCHEMA,
            "before": found.before.name,
            "after": found.after.name,
            "facts_started": [fact_json(fact) for fact in found.started],
            "facts_ended": [fact_json(fact) for fact in found.ended],
            "facts_without_effect": [fact_json(fact) for fact in found.idle],
            "limits": [_change_json(change) for change in found.limits],
            "options": [_change_json(change) for change in found.options],
            "rules_new": [rule.id for rule in found.new_rules],
            "rules_gone": [rule.id for rule in found.gone_rules],
            "noticed": [_noticed_json(each) for each in found.noticed],
        }
    )


def fact_json(fact: Fact) -> dict[str, object]:
    """A dated fact as a JSON object."""
    return {
        "name": fact.name,
        "summary": fact.summary,
        "source": fact.source,
        "since": str(fact.since),
        "until": None if fact.until is None else str(fact.until),
        "backports": [str(port) for port in fact.backports],
        "arches": sorted(fact.arches),
    }


def _change_json(change: LimitChange) -> dict[str, object]:
    return {"name": change.name, "before": change.before, "after": change.after}


def _noticed_json(each: Noticed) -> dict[str, object]:
    return {
        "name": question_text(each.question),
        "question": each.question.id,
        "before": reply_text(each.before),
        "after": reply_text(each.after),
    }
