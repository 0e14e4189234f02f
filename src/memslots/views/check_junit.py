"""A survey as JUnit's XML and as KTAP: suites of kernels that answer alike."""

from __future__ import annotations

from ..check.survey import ACCEPTED, REFUSED
from .matrix import row_text
from .spans import kernel_spans

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..check.survey import Cell, Row, Survey

_SKIPPED = "skipped"


class _Case:
    """Calls of one table that are answered alike, as one case."""

    __slots__ = ("cell", "count", "row")

    def __init__(self, row: Row, cell: Cell) -> None:
        self.row = row
        self.cell = cell
        self.count = 1

    @property
    def name(self) -> str:
        more = f" and {self.count - 1} more like it" if self.count > 1 else ""
        return f"{self.row.number} {row_text(self.row)}{more}"

    @property
    def reason(self) -> str:
        return self.cell.outcome.reason if self.cell.outcome is not None else ""

    @property
    def mark(self) -> str:
        return self.cell.mark if self.cell.mark in (ACCEPTED, REFUSED) else _SKIPPED


def _suites(found: Survey) -> Iterator[tuple[str, list[str], list[_Case]]]:
    """Name, kernels and cases of each group of kernels."""
    among = list(found.columns)
    for kernels, cells in found.groups():
        cases: list[_Case] = []
        for row, cell in zip(found.calls, cells):
            last = cases[-1] if cases else None
            if last and row.line and row.line == last.row.line and cell.key == last.cell.key:
                last.count += 1
            else:
                cases.append(_Case(row, cell))
        yield kernel_spans(kernels, among), kernels, cases


def survey_junit(found: Survey) -> str:
    """JUnit's XML; what depends on the host is skipped."""
    from xml.etree import ElementTree

    root = ElementTree.Element("testsuites", name="memslots check")
    for name, kernels, cases in _suites(found):
        marks = [case.mark for case in cases]
        suite = ElementTree.SubElement(
            root, "testsuite", name=_clean(name), tests=str(len(cases)),
            failures=str(marks.count(REFUSED)), errors="0", skipped=str(marks.count(_SKIPPED)),
        )  # fmt: skip
        listed = ElementTree.SubElement(suite, "properties")
        ElementTree.SubElement(listed, "property", name="kernels", value=" ".join(kernels))
        for case in cases:
            element = ElementTree.SubElement(
                suite, "testcase", classname=_clean(name), name=_clean(case.name)
            )
            if case.row.line:
                element.set("file", found.source)
                element.set("line", str(case.row.line))
            if case.mark != ACCEPTED:
                tag = "failure" if case.mark == REFUSED else _SKIPPED
                ElementTree.SubElement(element, tag, message=_clean(case.reason))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, "unicode")


def _clean(text: str) -> str:
    """Without what XML 1.0 has no way to write."""
    return "".join(each if each >= " " and each not in "\ufffe\uffff" else "?" for each in text)


def survey_ktap(found: Survey) -> list[str]:
    """KTAP, as the kernel's own CI reads it: a test for each group of kernels, its subtests the
    calls.
    """
    suites = list(_suites(found))
    lines = ["KTAP version 1", f"1..{len(suites)}"]
    for number, (name, _, cases) in enumerate(suites, 1):
        lines += ["  KTAP version 1", f"  # Subtest: {_plain(name)}", f"  1..{len(cases)}"]
        for place, case in enumerate(cases, 1):
            refused = case.mark == REFUSED
            if refused:
                lines.append(f"  # {_plain(case.reason)}")
            skip = f" # SKIP {_plain(case.reason)}" if case.mark == _SKIPPED else ""
            verdict = "not ok" if refused else "ok"
            lines.append(f"  {verdict} {place} {_plain(case.name)}{skip}")
        failed = any(case.mark == REFUSED for case in cases)
        lines.append(f"{'not ok' if failed else 'ok'} {number} {_plain(name)}")
    return lines


def _plain(text: str) -> str:
    """Without the mark that begins a directive."""
    return " ".join(text.replace("#", "").split())
