"""The step table of a report: all calls, or of a long recording the first, the last and those
that matter.
"""

from __future__ import annotations

from collections import deque

from ..errors import errno_name
from ..replay.step import DIFFERS, REFUSED
from ..uapi.calls import CALLS
from .explanation import call_text, result_text
from .svg import escaped
from .text import counted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..replay.step import Step

_FIRST, _LAST, _MARKED = 700, 300, 1000
_HEAD = ("step", "VM", "call", "result", "expected", "pages", "MMU budget", "slots")
_RIGHT = frozenset((0, 3, 4, 5, 6, 7))
_LONGEST = 400


class StepTable:
    """Sees steps as they pass and keeps at most 2,000 rows, and those of explained steps."""

    __slots__ = ("_first", "_last", "_marked", "_seen")

    def __init__(self) -> None:
        self._first: dict[int, str] = {}
        self._marked: dict[int, str] = {}
        self._last: deque[tuple[int, str]] = deque(maxlen=_LAST)
        self._seen = 0

    def see(self, step: Step, *, is_explained: bool) -> None:
        """Keep the row of a step, for now or for good."""
        call = CALLS.get(step.event.call)
        is_marked = step.verdict in (REFUSED, DIFFERS)
        if not (is_explained or is_marked or step.change or (call and not call.is_frequent)):
            return
        self._seen += 1
        row = _row(step, is_explained=is_explained)
        if len(self._first) < _FIRST:
            self._first[step.number] = row
        elif is_explained or (is_marked and len(self._marked) < _MARKED):
            self._marked[step.number] = row
        else:
            self._last.append((step.number, row))

    def rows(self) -> dict[int, str]:
        """Step: its row, in order."""
        return dict(sorted({**self._first, **self._marked, **dict(self._last)}.items()))

    def html(self) -> str:
        """The table, and a note of what it leaves out."""
        rows = self.rows()
        left_out = self._seen - len(rows)
        note = ""
        if left_out:
            note = (
                f'<p class="dim">{counted(left_out, "call")} left out: here are the first '
                f"{_FIRST}, the last {_LAST}, those that were explained, and the first {_MARKED} "
                "of the others that were refused or surprise. <code>memslots replay --all FILE"
                "</code> has every call.</p>"
            )
        head = "".join(
            f"<th{' class=' + chr(34) + 'n' + chr(34) if column in _RIGHT else ''}>{name}</th>"
            for column, name in enumerate(_HEAD)
        )
        lines, number = [], len(self._first)
        for at, row in enumerate(rows.values()):
            if left_out and at == number:
                lines.append(
                    f'<tr class="gap"><td colspan="{len(_HEAD)}">from here on not every call</td>'
                    "</tr>"
                )
            lines.append(row)
        table = (
            f'<div class="scroll"><table id="call-table"><thead><tr>{head}</tr></thead><tbody>\n'
            + "\n".join(lines)
            + "\n</tbody></table></div>"
        )
        field = (
            '<input id="filter" type="search" placeholder="filter" aria-label="filter" hidden=""/>'
        )
        return f"{note}\n{field}\n{table}"


def _row(step: Step, *, is_explained: bool) -> str:
    number, answer = step.number, step.answer
    call = call_text(step).rpartition(" = ")[0]
    call = call if len(call) <= _LONGEST else call[:_LONGEST] + "\u2026"
    expected = ""
    if answer is not None:
        if answer.result is None:
            expected = "?"
        elif answer.result < 0:
            expected = errno_name(answer.result)
        elif step.event.new_fd is None:
            expected = str(answer.result)
    pages, budget, slots = step.totals
    result = escaped(result_text(step.observed))
    if is_explained:
        result = f'<a href="#why-{number}">{result}</a>'
    cells = (
        f'<a href="#step-{number}">{number}</a>', escaped(step.vm_name), escaped(call), result,
        escaped(expected), str(pages), "" if budget is None else str(budget), str(slots),
    )  # fmt: skip
    inner = "".join(
        f'<td class="n">{cell}</td>' if column in _RIGHT else f"<td>{cell}</td>"
        for column, cell in enumerate(cells)
    )
    place = " ".join(
        part
        for part in (step.event.source, f"line {step.event.line}" if step.event.line else "")
        if part
    )
    return f'<tr id="step-{number}" class="{step.verdict}" title="{escaped(place)}">{inner}</tr>'
