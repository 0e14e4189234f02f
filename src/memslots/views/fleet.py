"""A fleet in text: what a scan came to, tables, what changes on another kernel or another day."""

from __future__ import annotations

from ..errors import errno_name
from ..fleet.schema import TABLES
from ..fleet.tables import view_meaning
from ..rules.answer import Refused, Undetermined
from ..units import format_bytes
from .text import counted, duration_text, wrapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..fleet.changes import NumberChange
    from ..fleet.scan import Scanned
    from ..fleet.tables import Answer
    from ..fleet.upgrade import CallChange, ChangedVm, Upgrade
    from ..rules.answer import Answer as KernelAnswer

SCHEMA_SCAN, SCHEMA_UPGRADE = "memslots.fleet-scan/1", "memslots.fleet-upgrade/1"
SCHEMA_DIFF = "memslots.fleet-diff/1"
_MOST_NAMED = 10
_CELL = 44
_BYTES, _NS = ("bytes", "_bytes"), ("_ns",)
_INEXACT = frozenset(("time_ns", "first_ns", "last_ns", "changed_ns"))


def scan_lines(found: Scanned) -> list[str]:
    """What a scan came to."""
    lines = [
        f"{counted(found.inputs, 'recording')} named, {found.known} known already, "
        f"{found.recordings} scanned in {counted(found.batches, 'part')}: "
        f"{counted(found.vms, 'VM')}, {counted(found.steps, 'step')}, "
        f"{counted(found.refusals, 'refusal')}, {counted(found.surprises, 'surprise')}"
    ]
    if found.cpu_s:
        rate = found.recordings / found.cpu_s
        lines.append(
            f"{found.cpu_s:.1f} s of processor time in the workers, "
            f"{rate:.0f} recordings a second of it"
        )
    for label, pairs in (
        ("not read to the end", found.failed),
        ("not scanned: no worker came back with the batch of", found.lost),
    ):
        lines += [f"{label}: {name}: {why}" for name, why in pairs[:_MOST_NAMED]]
        if len(pairs) > _MOST_NAMED:
            lines.append(f"{label}: {len(pairs) - _MOST_NAMED} more")
    lines += [f"not looked at: {problem}" for problem in found.problems[:_MOST_NAMED]]
    if len(found.problems) > _MOST_NAMED:
        lines.append(f"not looked at: {len(found.problems) - _MOST_NAMED} more")
    return lines


def scan_json(found: Scanned) -> dict[str, object]:
    """What a scan came to, as a JSON object."""
    return {
        "schema": SCHEMA_SCAN,
        **{
            name: getattr(found, name)
            for name in (
                "inputs", "known", "batches", "recordings", "vms", "steps", "refusals",
                "surprises", "cpu_s",
            )
        },
        "failed": [{"name": name, "error": why} for name, why in found.failed],
        "lost": [{"name": name, "error": why} for name, why in found.lost],
        "problems": found.problems,
    }  # fmt: skip


def cell_text(column: str, value: object) -> str:
    """One value as people read it: bytes and times with their units, nothing for nothing."""
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(str(each) for each in value if each is not None)
    if isinstance(value, float) and value == int(value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        if column.endswith(_BYTES):
            return format_bytes(value)
        if column.endswith(_NS) and column not in _INEXACT:
            return duration_text(value)
    return str(value)


def table_lines(answer: Answer) -> list[str]:
    """Rows in columns, those of numbers to the right."""
    texts = [
        [cell_text(column, value)[:_CELL] for column, value in zip(answer.columns, row)]
        for row in answer.rows
    ]
    is_number = [
        any(isinstance(row[at], (int, float)) for row in answer.rows)
        for at in range(len(answer.columns))
    ]
    widths = [
        max([len(name), *(len(row[at]) for row in texts)]) for at, name in enumerate(answer.columns)
    ]
    lines = []
    for row in [answer.columns, *texts]:
        cells = [
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(row, widths, is_number)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def catalogue_lines(views: dict[str, str]) -> list[str]:
    """The tables with their columns, and the views with what they tell; views: name, SQL."""
    lines = []
    for table in TABLES:
        lines += wrapped("", f"{table.name}: {', '.join(table.columns)}", 0, 0)
    width = max(map(len, views))
    return [*lines, "", *(f"{name:{width}}  {view_meaning(text)}" for name, text in views.items())]


def answer_text(answer: KernelAnswer) -> str:
    """`accepted`, `EINVAL gfn-above-max`, `undetermined`: what a kernel answers, in two words."""
    if isinstance(answer, Refused):
        return f"{errno_name(answer.errno)} {answer.rule.id}"
    return "accepted" if answer.accepted else "undetermined"


def why_text(one: CallChange) -> str:
    """Why the answer is another one: the rule with its numbers, or what would have to be known."""
    for answer in (one.after, one.before):
        if isinstance(answer, Refused):
            return answer.reason.split(";")[0].partition(" ")[2]
        if isinstance(answer, Undetermined):
            return answer.question
    return ""


def upgrade_lines(found: Upgrade, most: int) -> list[str]:
    """Which VMs change, at which call, why."""
    certain = [each for each in found.changed if each.is_certain]
    lines = [
        f"{found.source} to {found.target}: {len(certain)} of {counted(found.asked_vms, 'VM')} in "
        f"{counted(found.asked, 'recording')} change"
    ]
    if len(certain) < len(found.changed):
        lines[0] += f", {len(found.changed) - len(certain)} may, as it depends on the host"
    if found.others:
        others = sorted(found.others.items(), key=lambda each: -each[1])[:_MOST_NAMED]
        named = ", ".join(f"{major}.{minor}: {count}" for (major, minor), count in others)
        named += ", ..." if len(found.others) > _MOST_NAMED else ""
        lines.append(
            f"not asked: {counted(found.elsewhere, 'recording')} of other kernels than "
            f"{found.source} ({named}; --all asks them too)"
        )
    if found.unnamed:
        lines.append(
            f"not asked: {counted(found.unnamed, 'recording')} of a kernel that is not known"
        )
    if found.unlike:
        lines.append(
            f"not asked: {counted(found.unlike, 'recording')} with answers that "
            f"{found.source} does not give"
        )
    for each in found.changed[:most]:
        lines += ["", *_changed_lines(each)]
    if len(found.changed) > most:
        lines += ["", f"{len(found.changed) - most} more: a larger --most shows them"]
    return lines


def _changed_lines(each: ChangedVm) -> list[str]:
    who = f"{each.vm}, {each.vmm}" if each.vmm else each.vm
    head = f"{each.name}: {who}" + (f" on {each.host}" if each.host else "")
    lines = [head]
    for one in each.answers[:_MOST_NAMED]:
        at = f"step {one.step}" + (f", line {one.line}" if one.line else "")
        text = (
            f"{at}: {one.call} {_fields_text(one)}: {answer_text(one.before)} -> "
            f"{answer_text(one.after)} ({why_text(one)})"
        )
        lines += [f"  {line}" for line in wrapped("", text, 0, 0)]
    if len(each.answers) > _MOST_NAMED:
        lines.append(f"  and {len(each.answers) - _MOST_NAMED} calls more")
    return lines


def _fields_text(one: CallChange) -> str:
    return " ".join(
        f"{name}={value:#x}" if value > 9 else f"{name}={value}"
        for name, value in one.fields.items()
    )


def upgrade_json(found: Upgrade) -> dict[str, object]:
    """The answer to the upgrade question as a JSON object."""
    return {
        "schema": SCHEMA_UPGRADE,
        "from": found.source,
        "to": found.target,
        "asked": found.asked,
        "asked_vms": found.asked_vms,
        "of_other_kernels": found.elsewhere,
        "of_unknown_kernels": found.unnamed,
        "not_of_this_kernel": found.unlike,
        "changed": [
            {
                "recording": each.recording,
                "name": each.name,
                "host": each.host or None,
                "vm": each.vm,
                "vmm": each.vmm or None,
                "kernels": list(each.kernels),
                "certain": each.is_certain,
                "calls": [
                    {
                        "step": one.step,
                        "line": one.line,
                        "call": one.call,
                        "fields": dict(one.fields),
                        "before": answer_text(one.before),
                        "after": answer_text(one.after),
                        "why": why_text(one),
                        "certain": one.is_certain,
                    }
                    for one in each.answers
                ],
            }
            for each in found.changed
        ],
    }


def diff_lines(found: list[NumberChange]) -> list[str]:
    """The numbers that differ between two fleets, chapter by chapter."""
    lines: list[str] = []
    chapter = ""
    for each in found:
        if each.chapter != chapter:
            chapter = each.chapter
            lines += ["", chapter]
        step = each.after - each.before
        lines.append(
            f"  {each.name or '(not recorded)':50} {each.before:>14} -> {each.after:<14} {step:+}"
        )
    return lines[1:] if lines else ["no number differs"]


def diff_json(found: list[NumberChange]) -> dict[str, object]:
    """The numbers that differ as a JSON object."""
    rows = [
        {
            "chapter": each.chapter,
            "name": each.name or None,
            "before": each.before,
            "after": each.after,
        }
        for each in found
    ]
    return {"schema": SCHEMA_DIFF, "differences": rows}
