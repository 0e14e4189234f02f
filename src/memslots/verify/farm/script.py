"""Sequences as the text that the asking program reads, and the lines that it answers."""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Operations = Sequence[Sequence[object]]


def script_of(
    sequences: Sequence[Operations],
    numbers: Sequence[int],
    limit_pages: int,
    *,
    seconds: int = 60,
    probe: bool = False,
    checksums: bool = False,
) -> str:
    """The script of the sequences with these numbers.

    limit_pages: guest pages of one VM beyond which the program does not ask; seconds: for one
    sequence.
    """
    lines = [f"L {limit_pages}", f"T {seconds}"]
    if checksums:
        lines.append("C")
    if probe:
        lines.append("P")
    for number in numbers:
        lines.append(f"S {number}")
        lines += [" ".join(map(str, operation)) for operation in sequences[number]]
        lines.append("E")
    return "\n".join(lines) + "\n"


class Heard:
    """The answers to one sequence."""

    __slots__ = ("ended", "kernel_messages", "results", "why_short")

    def __init__(self) -> None:
        self.results: dict[int, object] = {}
        """Operation: a number (return value or negated errno), or a table with `r` and more."""
        self.kernel_messages: list[str] = []
        self.why_short = ""
        """Why the program or the kernel ended before the sequence did."""
        self.ended = False

    def in_order(self) -> list[object]:
        """The answers up to the first that is missing: a later one would be taken for another's."""
        answers: list[object] = []
        while len(answers) in self.results:
            answers.append(self.results[len(answers)])
        return answers

    def record(self, name: str) -> dict[str, object]:
        """The sequence as a line of a file of answers."""
        line: dict[str, object] = {"id": name, "res": self.in_order()}
        if self.kernel_messages:
            line["kmsg"] = self.kernel_messages
        if self.why_short:
            line["died"] = self.why_short
        return line


class Answers:
    """What was heard from the program, over all boots."""

    def __init__(self) -> None:
        self.header: dict[str, object] | None = None
        """Release, page size, capabilities; None until the program has run."""
        self.heard: dict[int, Heard] = {}
        self.probe: dict[str, object] | None = None
        """Which probes there are: `budget` and `commit` 0 or -1, `word` of the total or -1."""
        self.failed_modules: list[dict[str, object]] = []
        self.is_done = False
        """Whether the program has come to the end of its script."""
        self.is_off = False
        """Whether it will say no more."""

    @property
    def has_kvm(self) -> bool:
        """Whether the program could open /dev/kvm."""
        return self.header is not None and "open_kvm" not in self.header

    def sequence(self, number: int) -> Heard:
        """The answers to a sequence, perhaps none."""
        return self.heard.setdefault(number, Heard())

    def take(self, text: str) -> bool:
        """One line of output; False if it is no answer but what else a console shows."""
        # the last: a program that was killed leaves half a line before it
        start = text.rfind("@{")
        if start < 0:
            return False
        try:
            found = json.loads(text[start + 1 :].strip())
        except ValueError:
            return False
        if not isinstance(found, dict):
            return False
        if "s" in found:
            return self._take_answer(found)
        if "hdr" in found:
            self.header = found
        elif "module" in found:
            self.failed_modules.append(found)
        elif "probe" in found:
            self.probe = found
        self.is_done = self.is_done or "done" in found
        self.is_off = self.is_off or "bye" in found
        return True

    def _take_answer(self, found: dict[str, object]) -> bool:
        number = found.pop("s")
        if not isinstance(number, int):
            return False
        heard = self.sequence(number)
        if "kmsg" in found:
            heard.kernel_messages.append(str(found["kmsg"]))
        elif "died" in found:
            heard.why_short = str(found["died"])
        elif "end" in found:
            heard.ended = True
        elif isinstance(index := found.pop("i", None), int):
            heard.results[index] = _answer(found)
        else:
            return False
        return True


def _answer(found: dict[str, object]) -> object:
    result, error = found.pop("r", None), found.pop("e", None)
    value = -error if isinstance(error, int) else result
    return {"r": value, **found} if found else value
