"""A survey as SARIF 2.1.0."""

from __future__ import annotations

from . import links
from .check_notes import CheckNote, notes_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..check.survey import Survey
    from ..rules.answer import Rule


def survey_sarif(found: Survey) -> str:
    """One result for each rule and table of the layout, with the page of the rule."""
    import json

    from .. import __version__

    notes = notes_of(found)
    rules: dict[str, Rule] = {}
    for note in notes:
        rules.setdefault(note.problem.rule.id, note.problem.rule)
    numbers = {rule_id: number for number, rule_id in enumerate(rules)}
    driver: dict[str, object] = {
        "name": "memslots",
        "version": __version__,
        "rules": [_rule(rule) for rule in rules.values()],
    }
    if links.SITE:
        driver["informationUri"] = links.SITE
    run = {
        "tool": {"driver": driver},
        "automationDetails": {"id": "memslots/check/"},
        "columnKind": "unicodeCodePoints",
        "results": [_result(note, numbers) for note in notes],
    }
    return json.dumps(
        {
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [run],
        },
        indent=1,
    )


def _rule(rule: Rule) -> dict[str, object]:
    name = "".join(word.capitalize() for word in rule.id.split("-"))
    remedy, page = " ".join(rule.remedy.split()), links.rule_link(rule.id)
    more = f"[The rule]({page})" if page else f"`{links.rule_place(rule.id)}`"
    found: dict[str, object] = {
        "id": rule.id,
        "name": name,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": " ".join(rule.page.split()) or rule.title},
        "help": {"text": remedy, "markdown": f"{remedy}\n\n{more}"},
    }
    if page:
        found["helpUri"] = page
    return found


def _result(note: CheckNote, numbers: dict[str, int]) -> dict[str, object]:
    rule_id = note.problem.rule.id
    return {
        "ruleId": rule_id,
        "ruleIndex": numbers[rule_id],
        "level": "error" if note.is_refusal else "note",
        "message": {"text": note.text},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": _uri(note.path)},
                    "region": {"startLine": note.line or 1},
                }
            }
        ],
        "occurrenceCount": len(note.calls),
        "partialFingerprints": {"memslotsCheck/v1": note.fingerprint},
    }


def _uri(path: str) -> str:
    from urllib.parse import quote

    return f"file://{quote(path)}" if path.startswith("/") else quote(path)
