"""The matrix of a survey with its explanations; the same as JSON."""

from __future__ import annotations

from ..check.survey import ACCEPTED, DEPENDS, FOLLOWS, REFUSED
from ..errors import errno_name
from ..explain.explain import number_lines
from ..rules.answer import Refused, Undetermined
from ..units import format_bytes
from .spans import kernel_spans
from .text import table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..check.layout.model import Layout
    from ..check.survey import Cell, Refusal, Row, Survey

SCHEMA = "memslots.check/1"
_MOST_ROWS_OF_A_KIND = 6
_MOST_ROWS = 40


def layout_lines(layout: Layout) -> list[str]:
    """Where the slots of a layout lie, in guest-physical order."""
    rows = [
        (
            f"{slot.gpa:#x}",
            f"{slot.gpa + slot.step * (slot.count - 1) + slot.size:#x}",
            f"{slot.count} x {format_bytes(slot.size)}"
            if slot.count > 1
            else format_bytes(slot.size),
            f"{slot.name} (address space {slot.space})" if slot.space else slot.name,
        )
        for slot in sorted(layout.slots, key=lambda slot: (slot.space, slot.gpa))
    ]
    lines = table(rows[:_MOST_ROWS], ("gpa", "end", "length", ""), right=frozenset((2,)))
    left = len(rows) - _MOST_ROWS
    return [*lines, f"and {left} more, as the layout has them"] if left > 0 else lines


def survey_lines(found: Survey) -> list[str]:
    """Verdict, kernels by group, matrix of the calls that are not accepted everywhere,
    explanations.
    """
    groups, among = found.groups(), list(found.columns)
    lines = [
        f"{found.name or found.source}: {len(found.calls)} calls on {len(among)} "
        f"kernel{'s'[: len(among) > 1]}",
        *(f"note: {note}" for note in found.notes),
        "",
    ]
    if not found.problems:
        return [*lines, f"accepted on {kernel_spans(among, among)}"]
    marks = _marks(found.problems)
    letters = [
        chr(65 + number) if number < 26 else f"Z{number - 25}" for number in range(len(groups))
    ]
    for letter, (kernels, _) in zip(letters, groups):
        lines.append(f"  {letter}  {kernel_spans(kernels, among)}")
    lines += ["", *_matrix(found, groups, letters, marks), ""]
    for problem in found.problems:
        lines += [*problem_lines(problem, marks[problem.mark, problem.rule.id], found), ""]
    return lines[:-1]


def _marks(problems: Sequence[Refusal]) -> dict[tuple[str, str], str]:
    """R1, R2 for refusals, ?1, ?2 for what depends on the host."""
    found: dict[tuple[str, str], str] = {}
    counts = {REFUSED: 0, DEPENDS: 0}
    for problem in problems:
        counts[problem.mark] += 1
        letter = "R" if problem.mark == REFUSED else "?"
        found[problem.mark, problem.rule.id] = f"{letter}{counts[problem.mark]}"
    return found


def _matrix(
    found: Survey,
    groups: list[tuple[list[str], list[Cell]]],
    letters: list[str],
    marks: dict[tuple[str, str], str],
) -> list[str]:
    rows: list[tuple[Row, list[str]]] = []
    for number, call in enumerate(found.calls):
        texts = [_cell_text(cells[number], marks) for _, cells in groups]
        if any(text != "." for text in texts):
            rows.append((call, texts))
    shown = _without_repeats(rows)
    width = max(len(row_text(call)) for call, _ in shown if call is not None)
    lines = [f"  step  {'call':{width}}  {'  '.join(f'{letter:2}' for letter in letters)}".rstrip()]
    for row, texts in shown:
        if row is None:
            lines.append(f"   ...  {texts[0]}")
        else:
            lines.append(
                f"  {row.number:4}  {row_text(row):{width}}  "
                f"{'  '.join(f'{text:2}' for text in texts)}".rstrip()
            )
    if len(shown) > _MOST_ROWS:
        lines = [
            *lines[:_MOST_ROWS],
            f"   ...  {len(shown) - _MOST_ROWS} more rows (--json has all)",
        ]
    accepted = len(found.calls) - len(rows)
    if accepted:
        lines.append(f"  the other {accepted} calls are accepted on all")
    lines.append(
        "  .  accepted   R  refused   ?  depends on the host   -  follows from a refusal above"
    )
    return lines


def row_text(row: Row) -> str:
    """`slot 3 of space 1  SMRAM`, `delete slot 3`, `KVM_CREATE_IRQCHIP`: a call by its slot and
    name.
    """
    where = ""
    if row.slot is not None:
        where = f"slot {row.slot & 0xFFFF}" + (
            f" of space {row.slot >> 16}" if row.slot >> 16 else ""
        )
        where = f"delete {where}" if row.is_delete else where
    return "  ".join(part for part in (where, row.title) if part) or row.call


def _without_repeats(rows: list[tuple[Row, list[str]]]) -> list[tuple[Row | None, list[str]]]:
    """Long runs of rows that look the same are cut in the middle."""
    shown: list[tuple[Row | None, list[str]]] = []
    start = 0
    while start < len(rows):
        end = start
        while end < len(rows) and rows[end][1] == rows[start][1]:
            end += 1
        if end - start > _MOST_ROWS_OF_A_KIND:
            shown += [rows[start], (None, [f"{end - start - 2} more like these"]), rows[end - 1]]
        else:
            shown += rows[start:end]
        start = end
    return shown


def _cell_text(cell: Cell, marks: dict[tuple[str, str], str]) -> str:
    if cell.mark == ACCEPTED:
        return "."
    return "-" if cell.mark == FOLLOWS else marks.get(cell.key, "?")


def problem_lines(problem: Refusal, mark: str, found: Survey) -> list[str]:
    """One explanation: rule, numbers, where, what would pass."""
    outcome, among = problem.outcome, list(found.columns)
    first = problem.calls[0]
    more = f" and {len(problem.calls) - 1} more" if len(problem.calls) > 1 else ""
    if isinstance(outcome, Undetermined):
        lines = [f"{mark}  {problem.rule.id} depends on the host: {problem.rule.title}"]
        lines.append(f"    ask      {outcome.question}")
    else:
        lines = [f"{mark}  {errno_name(outcome.errno)} {problem.rule.id}: {problem.rule.title}"]
        lines += [f"    numbers  {text}" for text in number_lines(outcome, problem.page_shift)]
        if outcome.other is not None:
            lines.append(f"    other    {outcome.other}")
    lines.append(f"    at       step {first.number} {row_text(first)}{more}")
    lines.append(f"    on       {kernel_spans(problem.kernels, among)}")
    for text, failing in problem.passes:
        lines.append(f"    passes   {text}{_failing_text(failing, among)}")
    if not problem.passes:
        lines.append(f"    do       {' '.join(problem.rule.remedy.split())}")
    return lines


def kernel_problem_lines(found: Survey, kernel: str) -> list[str]:
    """What one kernel refuses, with the explanations."""
    lines: list[str] = []
    marks = _marks(found.problems)
    for problem in found.problems:
        if kernel in problem.kernels and problem.mark == REFUSED:
            mark = marks[problem.mark, problem.rule.id]
            lines += [*problem_lines(problem, mark, found), ""]
    return lines[:-1]


def _failing_text(failing: list[str], among: list[str]) -> str:
    if not failing:
        return " (on all of them)" if len(among) > 1 else ""
    return f" (but not on {kernel_spans(failing, among)})"


def survey_json(found: Survey) -> str:
    """The survey as one JSON object."""
    import json

    return json.dumps(
        {
            "schema": SCHEMA,
            "name": found.name,
            "source": found.source,
            "exit_code": found.exit_code,
            "notes": found.notes,
            "calls": [
                {"step": call.number, "name": row_text(call), "call": call.call, "line": call.line}
                for call in found.calls
            ],
            "kernels": {
                kernel: [_cell_json(cell) for cell in cells]
                for kernel, cells in found.columns.items()
            },
            "problems": [_problem_json(problem) for problem in found.problems],
        }
    )


def _cell_json(cell: Cell) -> dict[str, object]:
    row: dict[str, object] = {"verdict": cell.mark}
    if isinstance(cell.outcome, (Refused, Undetermined)):
        row["rule"] = cell.outcome.rule.id
    if isinstance(cell.outcome, Refused):
        row["errno"] = errno_name(cell.outcome.errno)
    return row


def _problem_json(problem: Refusal) -> dict[str, object]:
    outcome = problem.outcome
    return {
        "verdict": problem.mark,
        "rule": problem.rule.id,
        "errno": errno_name(outcome.errno) if isinstance(outcome, Refused) else None,
        "title": problem.rule.title,
        "question": outcome.question if isinstance(outcome, Undetermined) else None,
        "numbers": dict(outcome.numbers),
        "steps": [call.number for call in problem.calls],
        "kernels": problem.kernels,
        "passes": [{"change": text, "not_enough_on": failing} for text, failing in problem.passes],
        "remedy": " ".join(problem.rule.remedy.split()),
    }
