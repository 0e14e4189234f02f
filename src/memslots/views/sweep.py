"""The endings of a sweep: as a table, as JSON, as JUnit's XML."""

from __future__ import annotations

import shlex

from ..emulate.sweep import CLEAN, CRASH, FAULTS, HANG, LACKS, LEAVES, NOT_HIT, SILENT
from ..units import format_bytes
from .explanation import result_text
from .text import counted, table, wrapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..emulate.sweep import Ending, Sweep

SCHEMA = "memslots.sweep/1"
_WORDS = {
    CLEAN: "clean error",
    CRASH: "crash",
    HANG: "hang",
    SILENT: "success all the same",
    LACKS: "success, memory lacks",
    LEAVES: "success, memory left",
    NOT_HIT: "not reached",
}
_TITLES = {
    CRASH: "ended by a signal",
    HANG: "did not end within the time",
    LACKS: "ended as if all were well, with a guest that lacks memory",
    LEAVES: "ended as if all were well, with memory in place that should be gone",
}
NOT_FINE = (
    "undisturbed the command ends with exit code {}: an ending with that code is taken for success"
)
_MOST_PIECES, _MOST_STEPS = 3, 12


def ending_line(ending: Ending) -> str:
    """One ending in one line, as it comes."""
    return f"{ending.target.expression}: {_WORDS[ending.how]}{_code_text(ending)}"


def sweep_lines(sweep: Sweep) -> list[str]:
    """The table, the faults with what repeats each, and the count."""
    rows = [
        (str(each.target.step), each.target.call.removeprefix("KVM_").lower(), each.target.kind,
         result_text(each.target.result), _WORDS[each.how] + _code_text(each),
         f"{each.seconds:.1f}")
        for each in sweep.endings
    ]  # fmt: skip
    lines = table(
        rows, ("step", "call", "kind", "gets", "ends", "seconds"), right=frozenset((0, 5))
    )
    if sweep.code:
        lines += ["", *wrapped("note", NOT_FINE.format(sweep.code))]
    for alike in _alike(sweep):
        lines += ["", *_fault_lines(alike[0], sweep), *_again_lines(alike[1:])]
    counts = ", ".join(f"{number} {_WORDS[how]}" for how, number in sweep.counts.items() if number)
    missing = len(sweep.targets) - len(sweep.endings)
    rest = f"; {counted(missing, 'call')} not tried" if missing else ""
    calls = counted(len(sweep.endings), "refused call")
    return [*lines, "", f"{calls}: {counts}{rest}" if counts else f"{calls}{rest}"]


def _alike(sweep: Sweep) -> list[list[Ending]]:
    """The faults, those together that differ in the place only."""
    found: dict[object, list[Ending]] = {}
    for each in sweep.endings:
        if each.how in FAULTS:
            target = each.target
            key = target.call, target.kind, each.how, each.code, each.said
            found.setdefault(key, []).append(each)
    return list(found.values())


def _again_lines(others: list[Ending]) -> list[str]:
    if not others:
        return []
    shown = ", ".join(str(each.target.step) for each in others[:_MOST_STEPS])
    more = ", ..." if len(others) > _MOST_STEPS else ""
    text = f"{counted(len(others), 'call')} more, at step{'s'[: len(others) > 1]} {shown}{more}"
    return wrapped("again", text)


def _fault_lines(ending: Ending, sweep: Sweep) -> list[str]:
    target = ending.target
    kind = f" ({target.kind})" if target.kind else ""
    lines = wrapped(
        f"step {target.step}", f"{target.call}{kind} refused: {_TITLES[ending.how]}", 0, 9
    )
    if ending.lacks:
        lines += wrapped("lacks", _pieces_text(ending.lacks))
    if ending.left:
        lines += wrapped("left", _pieces_text(ending.left))
    if ending.said:
        lines += wrapped("said", ending.said)
    return lines + [f"  repeat   {repeat_text(ending, sweep)}"]


def repeat_text(ending: Ending, sweep: Sweep) -> str:
    """The shortest command that repeats an ending."""
    kernel = ["--kernel", sweep.kernel] if sweep.kernel else []
    words = ["memslots", "emulate", *kernel, "--inject", ending.target.expression, "--"]
    return shlex.join([*words, *sweep.command])


def _pieces_text(pieces: list[tuple[int, int, int]]) -> str:
    shown = [
        f"[{gpa:#x}, {gpa + nbytes:#x}) {format_bytes(nbytes)}"
        + (f" in address space {as_id}" if as_id else "")
        for as_id, gpa, nbytes in pieces[:_MOST_PIECES]
    ]
    more = len(pieces) - len(shown)
    return ", ".join(shown) + (f" and {counted(more, 'piece')} more" if more else "")


def _code_text(ending: Ending) -> str:
    if ending.code is None:
        return ""
    if ending.code < 0:
        import signal

        try:
            return f" ({signal.Signals(-ending.code).name})"
        except ValueError:
            return f" (signal {-ending.code})"
    return f" ({ending.code})"


def sweep_json(sweep: Sweep) -> dict[str, object]:
    """The sweep as a JSON object."""
    return {
        "schema": SCHEMA,
        "command": sweep.command,
        "kernel": sweep.kernel,
        "exit_code": sweep.code,
        "seconds": sweep.seconds,
        "calls": len(sweep.targets),
        "counts": sweep.counts,
        "endings": [
            {
                "step": each.target.step,
                "call": each.target.call,
                "kind": each.target.kind,
                "result": each.target.result,
                "how": each.how,
                "exit_code": each.code,
                "seconds": each.seconds,
                "lacks": each.lacks,
                "left": each.left,
                "said": each.said,
                "repeat": repeat_text(each, sweep),
            }
            for each in sweep.endings
        ],
    }


def sweep_junit(sweep: Sweep) -> str:
    """The sweep as JUnit's XML: a test a refused call, failed where it ended as nobody can want."""
    from xml.etree import ElementTree

    faults = sum(each.how in FAULTS for each in sweep.endings)
    suite = ElementTree.Element(
        "testsuite", name="memslots sweep", tests=str(len(sweep.endings)), failures=str(faults),
        time=f"{sum(each.seconds for each in sweep.endings):.3f}",
    )  # fmt: skip
    for each in sweep.endings:
        case = ElementTree.SubElement(
            suite, "testcase", classname=each.target.call, name=each.target.expression,
            time=f"{each.seconds:.3f}",
        )  # fmt: skip
        text = "\n".join(_fault_lines(each, sweep)) if each.how in FAULTS else ""
        if text:
            failure = ElementTree.SubElement(case, "failure", message=_TITLES[each.how])
            failure.text = _printable(text)
        elif each.how == NOT_HIT:
            ElementTree.SubElement(case, "skipped", message=_WORDS[each.how])
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _printable(text: str) -> str:
    """Without letters that XML cannot hold."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)
