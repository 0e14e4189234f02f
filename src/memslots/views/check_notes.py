"""What a survey has to say to other programs: one note for each rule and place in the file."""

from __future__ import annotations

from ..check.survey import REFUSED
from .matrix import row_text
from .spans import kernel_spans

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..check.survey import Refusal, Row, Survey


class CheckNote:
    """One rule at one place: the calls of a table with `count = 500` are one."""

    __slots__ = ("calls", "line", "number", "path", "problem", "text")

    def __init__(self, problem: Refusal, line: int, calls: list[Row], found: Survey) -> None:
        self.problem = problem
        self.line = line
        """Of the layout or recording, from 1; 0 if it has none."""
        self.calls = calls
        self.number = 0
        """Which of the notes of this rule on this slot it is; a recording can have several."""
        self.path = relative_path(found.source)
        more = f" and {len(calls) - 1} more like it" if len(calls) > 1 else ""
        kernels = kernel_spans(problem.kernels, list(found.columns))
        self.text = f"{row_text(calls[0])}{more}: {problem.outcome.reason} (on {kernels})"

    @property
    def is_refusal(self) -> bool:
        """Whether a kernel refuses; otherwise it depends on the host."""
        return self.problem.mark == REFUSED

    @property
    def fingerprint(self) -> str:
        """The same for the same rule on the same slot, wherever its table moves in the file."""
        import hashlib

        parts = [*self.key, self.path]
        if self.number:
            parts.append(str(self.number))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]

    @property
    def key(self) -> tuple[str, str, str]:
        """Rule, verdict and slot."""
        return (self.problem.rule.id, self.problem.mark, row_text(self.calls[0]))


def notes_of(found: Survey) -> list[CheckNote]:
    """All of them: refusals first, in the order of the calls."""
    notes = []
    for problem in found.problems:
        by_line: dict[int, list[Row]] = {}
        for call in problem.calls:
            by_line.setdefault(call.line, []).append(call)
        notes += [CheckNote(problem, line, calls, found) for line, calls in by_line.items()]
    seen: dict[tuple[str, str, str], int] = {}
    for note in notes:
        note.number = seen.get(note.key, 0)
        seen[note.key] = note.number + 1
    return notes


def relative_path(source: str) -> str:
    """The path as CI systems want it: from the working folder, with slashes."""
    import os

    if source == "-":
        return "stdin"
    path = os.path.relpath(source) if os.path.isabs(source) else os.path.normpath(source)
    return source if path.startswith("..") else path.replace(os.sep, "/")
