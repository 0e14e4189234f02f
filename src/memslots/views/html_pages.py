"""The page that leads to the reports on several recordings: one row each, one file a recording."""

from __future__ import annotations

import re

from .html_look import page
from .report import owner_text
from .svg import escaped
from .text import counted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..explain.analysis import Analysis

_HEAD = (
    "recording", "host", "kernel", "VMs", "processes", "region calls", "refused", "explained",
    "findings", "note",
)  # fmt: skip
_MOST_NAMED = 4


class RecordingPages:
    """Names the page of each recording, and links them."""

    __slots__ = ("_rows", "_title")

    def __init__(self, title: str) -> None:
        self._title = title
        self._rows: dict[str, str] = {}
        """Recording: its row."""

    def add(self, name: str, analysis: Analysis, broken: Exception | None) -> str:
        """Take a recording that was analysed; the name of the file that its page shall have."""
        number = len(self._rows) + 1
        stem = re.sub(r"[^\w.-]+", "-", name)[-80:].strip("-.")
        file = f"{number:04}-{stem}.html"
        summaries = analysis.summaries.values()
        owners = list(dict.fromkeys(filter(None, map(owner_text, summaries))))
        more = f" and {len(owners) - _MOST_NAMED} more" if len(owners) > _MOST_NAMED else ""
        how = "stated" if analysis.evidence is None else "from the recording"
        cells = [
            f'<a href="{escaped(file)}">{escaped(name)}</a>',
            escaped(analysis.reading.node),
            escaped(f"{analysis.profile.name}, {how}"),
            str(len(analysis.replay.vms)),
            escaped(", ".join(owners[:_MOST_NAMED]) + more),
            str(analysis.region_calls),
            str(sum(each.refused_calls for each in summaries)),
            str(len(analysis.alike)),
            str(len(analysis.watch.findings) + len(analysis.elsewhere)),
            escaped(str(broken or "")),
        ]
        self._rows[name] = f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
        return file

    def unread(self, name: str, error: Exception) -> None:
        """Take a recording that has no page."""
        cells = [escaped(name), *[""] * (len(_HEAD) - 2), escaped(str(error))]
        row = f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
        self._rows.setdefault(name, row)

    def html(self) -> str:
        """The page with the links."""
        head = "".join(f"<th>{name}</th>" for name in _HEAD)
        body = (
            f"<header><h1>{escaped(self._title)}</h1>"
            f'<p class="dim">{counted(len(self._rows), "recording")}, each by itself</p></header>'
            f'\n<main><div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>\n'
            + "\n".join(self._rows.values())
            + "\n</tbody></table></div></main>"
        )
        return page(escaped(f"memslots: {self._title}"), body)
