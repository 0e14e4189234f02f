"""The page of a cause and the list of all causes: for terminals, as Markdown, as JSON."""

from __future__ import annotations

from .text import wrapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..explain.causes.cause import Cause

    Chapters = Sequence[tuple[str, Sequence[Cause]]]

SCHEMA, PAGE_SCHEMA = "memslots.causes/1", "memslots.cause/1"


def cause_sections(cause: Cause) -> list[tuple[str, str]]:
    """The page in parts: heading and paragraph."""
    parts = [
        ("What it is", f"{cause.title} {cause.page}".strip()),
        ("What speaks for it", cause.seen),
        ("What decides", cause.decides),
        ("What to do", cause.next),
        ("Kernels", cause.kernels),
        ("Calls", ", ".join(f"{call} {errno}" for call, errno in cause.calls)),
    ]
    return [(heading, text) for heading, text in parts if text]


def cause_lines(cause: Cause) -> list[str]:
    """The page for a terminal."""
    lines = [cause.id]
    for heading, text in cause_sections(cause):
        lines += ["", heading, *wrapped("", text, 2, 0)]
    return lines


def list_lines(chapters: Chapters) -> list[str]:
    """One line a cause, by chapter."""
    width = max(len(cause.id) for _, causes in chapters for cause in causes)
    lines: list[str] = []
    for heading, causes in chapters:
        lines += ["", heading] if lines else [heading]
        lines += [f"  {cause.id:{width}}  {cause.title}" for cause in causes]
    return lines


def catalogue_markdown(chapters: Chapters) -> list[str]:
    """All causes by chapter, for a Markdown page."""
    lines: list[str] = []
    for heading, causes in chapters:
        lines += [
            "",
            f"## {heading}",
            "",
            "| cause | what it is | what decides |",
            "| --- | --- | --- |",
        ]
        lines += [
            f"| {cause.id} | {_cell(cause.title)} | {_cell(cause.decides)} |" for cause in causes
        ]
    return lines


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def cause_json(cause: Cause) -> dict[str, object]:
    """A cause as a JSON object."""
    return {
        "id": cause.id,
        "title": cause.title,
        "page": cause.page,
        "seen": cause.seen,
        "decides": cause.decides,
        "next": cause.next,
        "commands": list(cause.commands),
        "kernels": cause.kernels,
        "calls": [f"{call} {errno}" for call, errno in cause.calls],
    }


def cause_page_json(cause: Cause) -> dict[str, object]:
    """The page of one cause as a JSON object."""
    return {"schema": PAGE_SCHEMA, **cause_json(cause)}


def as_json(chapters: Chapters) -> str:
    """All causes as one JSON object."""
    import json

    causes = [
        {"chapter": heading, **cause_json(cause)} for heading, found in chapters for cause in found
    ]
    return json.dumps({"schema": SCHEMA, "causes": causes})
