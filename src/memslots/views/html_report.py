"""The report on a recording as one HTML file that needs nothing else.

Explanations, the space-time map, findings, kernels, VMs, cost and the steps.
Everything that comes from a recording is escaped; the page loads nothing.
"""

from __future__ import annotations

from ..check.cost import cost_of_vms
from ..check.metadata import Conditions
from ..errors import MemslotsError
from ..explain.slot_lives import SlotLives
from ..units import format_bytes
from .cost import cost_lines
from .evidence import evidence_texts
from .explanation import call_text, paragraphs, place_text
from .findings import elsewhere_text, finding_examples
from .html_look import page
from .html_steps import StepTable
from .report import again_text, totals_lines, vm_json, vm_text
from .space_time import space_time
from .svg import escaped
from .text import counted, duration_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

    from ..explain.analysis import Alike, Analysis

_COMMANDS = frozenset(("run", "send"))
_MOST_VMS, _MOST_STEPS, _COSTLIEST, _LONGEST_TEXT = 100, 6, 10, 4000
_SECTIONS = {
    "explanations": "Explanations",
    "map": "Map",
    "findings": "Findings",
    "kernels": "Kernels",
    "vms": "VMs and processes",
    "cost": "Cost",
    "steps": "Steps",
    "reading": "Reading",
}


class HtmlReport:
    """Runs an analysis and keeps what the page shows of it."""

    __slots__ = ("analysis", "lives", "table")

    def __init__(self, analysis: Analysis) -> None:
        self.analysis = analysis
        self.lives = SlotLives()
        self.table = StepTable()

    def run(self) -> HtmlReport:
        """See every step; what was seen is kept where the recording breaks off."""
        for step, explanation in self.analysis.run():
            self.lives.see(step, self.analysis.replay.tracked.vm)
            self.table.see(step, is_explained=explanation is not None)
        return self

    def html(self, title: str, *, by_time: bool = False) -> str:
        """The page; title: what it is about, the recording's name for example."""
        analysis = self.analysis
        rows = self.table.rows()
        picture = space_time(
            list(self.lives.vms.values()), analysis.profile.name, linked=rows, by_time=by_time
        )
        sections = {
            "explanations": "\n".join(_why(each, analysis) for each in analysis.alike)
            + _not_shown(analysis),
            "map": f'<div id="tools" class="tools"></div>\n<div class="picture">{picture}</div>',
            "findings": _findings(analysis, rows),
            "kernels": _kernels(analysis, rows),
            "vms": _vms(analysis),
            "cost": _cost(analysis),
            "steps": self.table.html(),
            "reading": _reading(analysis),
        }
        shown = {name: text for name, text in sections.items() if text}
        links = "".join(f'<a href="#{name}">{_SECTIONS[name]}</a>' for name in shown)
        body = [
            f"<header><h1>{escaped(title)}</h1>",
            f'<p class="dim">{escaped("; ".join(_kernel_texts(analysis)))}</p>',
            _tiles(analysis),
            f"</header>\n<nav>{links}</nav>\n<main>",
            *(
                f'<section id="{name}"><h2>{_SECTIONS[name]}</h2>\n{text}\n</section>'
                for name, text in shown.items()
            ),
            "</main>",
        ]
        return page(escaped(f"memslots: {title}"), "\n".join(body))


def _kernel_texts(analysis: Analysis) -> list[str]:
    if analysis.evidence is None:
        return [f"kernel: {analysis.profile.name}, stated"]
    return [f"kernel: {text}" for text in evidence_texts(analysis.evidence)]


def _tiles(analysis: Analysis) -> str:
    summaries = analysis.summaries.values()
    kinds = len(analysis.alike)
    tiles = [
        (analysis.region_calls, "memory-region calls", False),
        (sum(each.refused_calls for each in summaries), "of them refused", True),
        (kinds, "explained below", True),
        (len(analysis.watch.findings) + len(analysis.elsewhere), "findings", False),
        (len(analysis.replay.vms), "VM" if len(analysis.replay.vms) == 1 else "VMs", False),
    ]
    inner = "".join(
        f'<div class="tile{" bad" if is_bad and count else ""}"><b>{count}</b>{what}</div>'
        for count, what, is_bad in tiles
    )
    return f'<div class="tiles">{inner}</div>'


def _why(each: Alike, analysis: Analysis) -> str:
    """One explanation, with the calls that it is for."""
    explanation = each.explanation
    step = explanation.step
    where = place_text(step, vm_text(step.vm_name, analysis), with_file=True)
    if not where and step.event.line:
        where = f"line {step.event.line}"
    rows = [("where", where)] if where else []
    rows += paragraphs(explanation)
    if each.count > 1:
        rows.append(("again", again_text(each, analysis)))
    inner, last = [], ""
    for label, text in rows:
        last = label or last
        is_command = last in _COMMANDS
        value = f"<code>{escaped(text)}</code>" if is_command else escaped(text)
        inner.append(f"<dt>{escaped(label)}</dt><dd>{value}</dd>")
    raw = step.event.text.strip()[:_LONGEST_TEXT]
    recorded = (
        f"<details><summary>as recorded</summary><pre>{escaped(raw)}</pre></details>" if raw else ""
    )
    kind = "why surprise" if each.is_surprise else "why"
    number = step.number
    return (
        f'<section id="why-{number}" class="{kind}"><h3><a href="#step-{number}">step {number}</a> '
        f'<span class="call">{escaped(call_text(step))}</span></h3>\n<dl>{"".join(inner)}</dl>'
        f"{recorded}</section>"
    )


def _not_shown(analysis: Analysis) -> str:
    if analysis.not_shown:
        left_out = counted(analysis.not_shown, "more refused or surprising call")
        return f'<p class="dim">{left_out} of other kinds: a larger --most shows them</p>'
    if analysis.alike:
        return ""
    calls = counted(analysis.region_calls, "memory-region call")
    return f"<p>{calls}, none refused, none surprising</p>"


def _findings(analysis: Analysis, linked: Container[int]) -> str:
    parts = []
    for finding in analysis.watch.findings.values():
        examples = "".join(f"<li>{escaped(text)}</li>" for text in finding_examples(finding))
        steps = _step_links(list(dict.fromkeys(seen.step for seen in finding.seen)), linked)
        parts.append(
            f'<div class="finding {escaped(finding.severity)}"><h3>{escaped(finding.kind.id)}: '
            f"{escaped(finding.kind.title)} ({finding.count})</h3>"
            f'<p class="dim">{escaped(finding.severity)}, {escaped(finding.vm_name)}, steps '
            f"{steps}</p><ul>{examples}</ul><p>{escaped(finding.kind.remedy)}</p></div>"
        )
    return "\n".join(parts)


def _kernels(analysis: Analysis, linked: Container[int]) -> str:
    """Accepted here, refused by: one row a rule, one column a release; then those refused here."""
    parts = []
    if analysis.elsewhere:
        among = analysis.elsewhere[0].among
        here = str(analysis.profile.version)
        head = "".join(
            f'<th class="k{" here" if name == here else ""}">{escaped(name)}</th>' for name in among
        )
        rows = []
        for found in analysis.elsewhere:
            refusing = set(found.releases)
            cells = "".join(
                '<td class="k no">\u2717</td>' if name in refusing else '<td class="k">\u2713</td>'
                for name in among
            )
            rows.append(
                f'<tr title="{escaped(elsewhere_text(found))}"><td>{escaped(found.rule.id)}</td>'
                f"<td>{_step_links(found.steps, linked)}</td>{cells}</tr>"
            )
        parts.append(
            "<p>Calls that were accepted here, and that other releases refuse (\u2717).</p><div "
            f'class="scroll"><table class="matrix"><thead><tr><th>rule</th><th>steps</th>{head}'
            f"</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        )
    refused = [each for each in analysis.alike if each.explanation.kernels]
    if refused:
        rows = [
            f"<tr><td>{_step_links(each.numbers, linked, each.count)}</td>"
            f"<td>{escaped(each.explanation.rule.id if each.explanation.rule else '')}</td>"
            f"<td>{escaped(each.explanation.kernels)}</td></tr>"
            for each in refused
        ]
        parts.append(
            "<p>Calls that are explained above, on the releases of this architecture.</p>"
            '<div class="scroll"><table><thead><tr><th>steps</th><th>rule</th><th>kernels</th></tr>'
            f"</thead><tbody>{''.join(rows)}</tbody></table></div>"
        )
    evidence = analysis.evidence
    if evidence is not None and evidence.ruled_out:
        rows = [
            f"<tr><td>{escaped(name)}</td><td>{escaped(first)}</td></tr>"
            for name, first in evidence.ruled_out.items()
        ]
        parts.append(
            f"<details><summary>{counted(len(rows), 'kernel')} ruled out by the recording</summary>"
            "<table><thead><tr><th>kernel</th><th>the first call that it would have answered "
            f"otherwise</th></tr></thead><tbody>{''.join(rows)}</tbody></table></details>"
        )
    return "\n".join(parts)


def _step_links(steps: list[int], linked: Container[int], count: int = 0) -> str:
    """Numbers of steps, as links where the table has them; count: of all, if there are more."""
    shown = steps[:_MOST_STEPS]
    links = " ".join(
        f'<a href="#step-{number}">{number}</a>' if number in linked else str(number)
        for number in shown
    )
    more = max(count, len(steps)) - len(shown)
    return f"{links} and {more} more" if more else links


_VM_HEAD = (
    "VM", "process", "file", "vCPUs", "region calls", "refused", "slots at the end", "at most",
    "pages at the end", "at most", "MMU budget", "inside the calls",
)  # fmt: skip


def _vms(analysis: Analysis) -> str:
    rows = []
    tracked = [each for each in analysis.replay.vms if each.name in analysis.summaries]
    for each in tracked[:_MOST_VMS]:
        found = vm_json(each, analysis.summaries[each.name])
        nanoseconds = found["region_ns"]
        shift = each.vm.page_shift
        cells = [
            found["name"], found["process"] or "", found["source"], found["vcpus"],
            found["region_calls"], found["refused_calls"], found["slots"], found["most_slots"],
            f"{found['pages']} ({format_bytes(each.vm.total_pages << shift)})",
            found["most_pages"], "" if found["mmu_budget"] is None else found["mmu_budget"],
            duration_text(nanoseconds) if isinstance(nanoseconds, int) else "",
        ]  # fmt: skip
        note = " ".join(line.strip() for line in totals_lines(each))
        inner = "".join(f"<td>{escaped(cell)}</td>" for cell in cells)
        rows.append(f'<tr title="{escaped(note)}">{inner}</tr>')
    if not rows:
        return ""
    head = "".join(f"<th>{name}</th>" for name in _VM_HEAD)
    more = len(tracked) - len(rows)
    note = f'<p class="dim">{counted(more, "VM")} more</p>' if more else ""
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody>'
        f"</table></div>{note}"
    )


def _cost(analysis: Analysis) -> str:
    """Kernel memory of the slots that are there at the end."""
    vms = [tracked.vm for tracked in analysis.replay.vms if tracked.vm.state.nr_slots]
    if not vms:
        return ""
    try:
        found = cost_of_vms(vms, analysis.profile, Conditions())
        lines = cost_lines(found, _COSTLIEST)
    except MemslotsError as error:
        return f'<p class="dim">{escaped(error)}</p>'
    return (
        "<p>Kernel memory for the slots that are there at the end.</p>"
        f"<pre>{escaped(chr(10).join(lines))}</pre>"
    )


def _reading(analysis: Analysis) -> str:
    reading = analysis.reading
    lines = [f"read: {', '.join(map(str, reading.sources))}"] if reading.sources else []
    lines += [f"not read: {count} x {why}" for why, count in reading.skipped.items()]
    lines += [f"note: {note}" for note in reading.notes]
    items = "".join(f"<li>{escaped(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""
