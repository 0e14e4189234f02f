"""The report on a fleet as one HTML file that needs nothing else, with the look of the others."""

from __future__ import annotations

from .fleet import answer_text, cell_text, why_text
from .html_look import page
from .svg import escaped
from .text import counted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..fleet.tables import Answer, Tables
    from ..fleet.upgrade import Upgrade

_VIEWS = {
    "rules": ("Refusals", "What KVM refused, by rule."),
    "refusals_by_rule": ("By kernel and VMM", "The same, by call, errno, kernel and VMM."),
    "kernels": ("Kernels", "Which kernels there are, and how that is known."),
    "slots_used": ("Slots", "The VMs that use most of their kernel's slots."),
    "metadata": ("Kernel memory", "What slots cost the kernel, by host and VMM."),
    "churn": ("Churn", "The VMs that change their slots most."),
    "windows": ("Windows", "Guest memory that had no slot for a while, the longest first."),
    "findings_by_kind": ("Findings", "What was accepted and is worth a look."),
    "outliers": ("Outliers", "VMs far from the others of their VMM."),
    "surprises": ("Surprises", "Calls that the kernel's model answers otherwise."),
    "unread": ("Not read", "Recordings that could not be read to the end, or not in full."),
}
_TOTALS = """
    SELECT
        (SELECT count(*) FROM recordings),
        (SELECT count(DISTINCT host) FROM recordings),
        (SELECT count(*) FROM vms),
        (SELECT coalesce(sum(region_calls), 0) FROM vms),
        (SELECT coalesce(sum(refused_calls), 0) FROM vms),
        (SELECT coalesce(sum(surprises), 0) FROM recordings),
        (SELECT count(*) FROM recordings WHERE error IS NOT NULL)
"""
_TILES = (
    ("recordings", False), ("hosts", False), ("VMs", False), ("memory-region calls", False),
    ("of them refused", True), ("surprises", True), ("not read to the end", True),
)  # fmt: skip
_BARS = frozenset(("times", "percent", "recordings", "bytes", "region_calls", "vms"))
"""Columns of which the first in a table is drawn as a bar behind its number."""


def fleet_page(tables: Tables, title: str, upgrades: Sequence[Upgrade] = (), most: int = 30) -> str:
    """The page; most: rows of a table that are shown."""
    sections: dict[str, tuple[str, str]] = {}
    for found in upgrades:
        name = f"upgrade-{found.source}-{found.target}"
        sections[name] = f"{found.source} to {found.target}", _upgrade(found, most)
    for view, (heading, meaning) in _VIEWS.items():
        answer = tables.ask(f"SELECT * FROM {view} LIMIT {most + 1}")
        if answer.rows:
            text = f'<p class="dim">{escaped(meaning)}</p>{_table(answer, most)}'
            sections[view] = heading, text
    links = "".join(
        f'<a href="#{escaped(name)}">{escaped(heading)}</a>'
        for name, (heading, _) in sections.items()
    )
    body = [
        f"<header><h1>{escaped(title)}</h1>",
        _tiles(tables),
        f"</header>\n<nav>{links}</nav>\n<main>",
        *(
            f'<section id="{escaped(name)}"><h2>{escaped(heading)}</h2>\n{text}\n</section>'
            for name, (heading, text) in sections.items()
        ),
        '<p class="dim">A number under `recording` or `example` is the id of a recording: '
        "memslots fleet query FOLDER &quot;SELECT name FROM recordings WHERE id = ID&quot; names "
        "its file, memslots explain FILE explains it.</p></main>",
    ]
    return page(escaped(f"memslots fleet: {title}"), "\n".join(body))


def _tiles(tables: Tables) -> str:
    numbers = tables.ask(_TOTALS).rows[0]
    inner = "".join(
        f'<div class="tile{" bad" if is_bad and number else ""}"><b>{number}</b>{what}</div>'
        for number, (what, is_bad) in zip(numbers, _TILES)
    )
    return f'<div class="tiles">{inner}</div>'


def _table(answer: Answer, most: int) -> str:
    head = "".join(f"<th>{escaped(name.replace('_', ' '))}</th>" for name in answer.columns)
    bar = next((at for at, name in enumerate(answer.columns) if name in _BARS), -1)
    highest = max((_number(row[bar]) for row in answer.rows), default=0.0) if bar >= 0 else 0.0
    rows = []
    for row in answer.rows[:most]:
        cells = []
        for at, (column, value) in enumerate(zip(answer.columns, row)):
            style = ""
            if at == bar and highest:
                share = 100 * _number(value) / highest
                style = (
                    f' style="background:linear-gradient(90deg,var(--mark) {share:.0f}%,'
                    f'transparent {share:.0f}%)"'
                )
            kind = ' class="n"' if isinstance(value, (int, float)) and at != bar else ""
            cells.append(f"<td{kind}{style}>{escaped(cell_text(column, value))}</td>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    more = '<p class="dim">and more</p>' if len(answer.rows) > most else ""
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody>'
        f"</table></div>{more}"
    )


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0


def _upgrade(found: Upgrade, most: int) -> str:
    certain = sum(1 for each in found.changed if each.is_certain)
    text = (
        f"<p>{certain} of {counted(found.asked_vms, 'VM')} change, "
        f"{len(found.changed) - certain} may. Asked: {counted(found.asked, 'recording')}; of other "
        f"kernels: {found.elsewhere}, of unknown ones: {found.unnamed}; with answers that "
        f"{escaped(found.source)} does not give: {found.unlike}.</p>"
    )
    rows = []
    for each in found.changed[:most]:
        first = each.answers[0]
        cells = [
            each.host, each.name, each.vm, each.vmm, str(first.step), first.call,
            answer_text(first.before), answer_text(first.after), why_text(first),
            str(len(each.answers) - 1 or ""),
        ]  # fmt: skip
        rows.append(f"<tr>{''.join(f'<td>{escaped(cell)}</td>' for cell in cells)}</tr>")
    if not rows:
        return text
    names = (
        "host", "recording", "VM", "VMM", "step", "call", found.source, found.target, "why",
        "more calls",
    )  # fmt: skip
    head = "".join(f"<th>{escaped(name)}</th>" for name in names)
    more = len(found.changed) - len(rows)
    note = f'<p class="dim">{counted(more, "VM")} more</p>' if more else ""
    return (
        f'{text}<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}'
        f"</tbody></table></div>{note}"
    )
