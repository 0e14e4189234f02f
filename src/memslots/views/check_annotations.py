"""A survey as annotations of GitHub's and GitLab's CI."""

from __future__ import annotations

from .check_notes import notes_of, relative_path
from .links import rule_place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..check.layout.mistake import LayoutError
    from ..check.survey import Survey


def survey_github(found: Survey) -> list[str]:
    """Workflow commands of GitHub Actions: an annotation at the line of each table."""
    lines = []
    for note in notes_of(found):
        command = "error" if note.is_refusal else "notice"
        text = f"{note.text}. More: {rule_place(note.problem.rule.id)}"
        lines.append(_command(command, note.path, note.line, note.problem.rule.id, text))
    return lines


def mistake_github(error: LayoutError) -> str:
    """A mistake in the layout itself, as an annotation."""
    return _command("error", relative_path(error.source), error.line, "layout", error.mistake)


def _command(command: str, path: str, line: int, title: str, text: str) -> str:
    values = f"file={_property(path)},line={line or 1},title={_property(title)}"
    return f"::{command} {values}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def survey_gitlab(found: Survey) -> str:
    """GitLab's code quality report."""
    import json

    return json.dumps(
        [
            {
                "description": note.text,
                "check_name": note.problem.rule.id,
                "fingerprint": note.fingerprint,
                "severity": "major" if note.is_refusal else "info",
                "location": {"path": note.path, "lines": {"begin": note.line or 1}},
                "content": {"body": rule_place(note.problem.rule.id)},
            }
            for note in notes_of(found)
        ],
        indent=1,
    )
