"""What `memslots explain --json` says of a paste, reduced to what can be compared with an expert's
answer.

`verdict_of` is the one place that knows the form of the document.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import signal
import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from memslots.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 20
"""A run that takes longer is counted as a crash."""


@dataclass
class Verdict:
    """The answers of one run, in order."""

    tops: list[str] = field(default_factory=list)
    """The first answer of each explanation, and the findings that are warnings: distinct, in
    order.
    """
    ranked: list[str] = field(default_factory=list)
    """All answers of all explanations, the first of each explanation before the others."""
    certain: set[str] = field(default_factory=set)
    """Answers given as certain."""
    text: str = ""
    """All that is said, for regular expressions: without what was only repeated from the paste."""
    advice: bool = False
    """Is there anything to do or to send?"""
    exit: int = 0
    failed: str = ""
    """The exception, if the program broke down."""


# Today's explanation of a look-alike is a sentence for each call.  What it says is, as names of
# causes in its order:
_LOOKALIKE = {
    "KVM_IOEVENTFD": {17: ("ioeventfd-exists",), 28: ("ioeventfd-limit",)},
    "KVM_CREATE_VM": {12: ("create-vm-no-memory",), 22: ("rule:vm-type-unsupported",)},
    "KVM_RUN": {14: ("run-efault-host-memory",)},
    "VFIO_IOMMU_MAP_DMA": {
        12: ("vfio-memlock-limit", "iommu-address-width", "iommu-reserved-range"),
        22: ("iommu-address-width", "vfio-memlock-limit", "iommu-reserved-range"),
    },
}
_SAID = (
    "summary", "when", "text", "title", "remedy", "numbers", "other", "passes", "then", "kernels",
    "possible", "questions", "advice", "do", "send", "next", "ask", "facts", "because", "also",
    "page",
)  # fmt: skip
_ADVICE = ("passes", "questions", "advice", "do", "send", "next", "ask", "remedy")
_COMMAND = re.compile(
    r"memslots (?:record|check|explain|rule|causes|ask|cost|map|timeline|live)\b|\bstrace -"
    r"|-trace kvm_"
    r"|\bdmesg\b|\bjournalctl\b|\bulimit\b|\buname -"
)


def verdict_of(document: dict[str, object], exit_code: int) -> Verdict:
    """The answers in a document of `memslots explain --json`."""
    verdict = Verdict(exit=exit_code)
    later: list[str] = []
    explanations = document.get("explanations") or []
    assert isinstance(explanations, list)
    for explanation in explanations:
        answers = list(_answers(explanation))
        if answers:
            _add(verdict.tops, answers[0])
            later += answers[1:]
            if explanation.get("certainty") in ("certain", "not a memslot problem"):
                verdict.certain.add(answers[0])
        verdict.text += json.dumps(
            {name: explanation[name] for name in _SAID if name in explanation}, ensure_ascii=False
        )
        rule_advises = (
            explanation.get("rule") is not None and explanation.get("certainty") == "certain"
        )
        verdict.advice |= rule_advises or any(explanation.get(name) for name in _ADVICE)
    for finding in _list(document.get("findings")):
        if finding.get("severity") == "warning":
            _add(verdict.tops, f"finding:{finding['id']}")
            verdict.advice = True
        verdict.text += json.dumps(finding.get("examples", ""), ensure_ascii=False)
    for name in ("evidence", "notes", "advice", "send", "next", "asked"):
        verdict.text += json.dumps(document.get(name) or "", ensure_ascii=False)
    verdict.advice |= bool(_COMMAND.search(verdict.text))
    verdict.ranked = list(verdict.tops)
    for answer in later:
        _add(verdict.ranked, answer)
    return verdict


def _answers(explanation: dict[str, object]) -> Iterator[str]:
    """The answers of one explanation, the best first."""
    if explanation.get("cause"):
        yield _named("cause", explanation["cause"])
    elif explanation.get("certainty") == "not a memslot problem":
        errno = -int(explanation.get("observed") or 0)  # type: ignore[call-overload]
        for name in _LOOKALIKE.get(str(explanation.get("call")), {}).get(
            errno, ("unnamed-look-alike",)
        ):
            yield _named("cause", name)
    elif explanation.get("rule"):
        yield _named("rule", explanation["rule"])
    for possible in _list(explanation.get("possible")):
        kind = "cause" if possible.get("cause") else "rule"
        if possible.get(kind):
            yield _named(kind, possible[kind])


def _named(kind: str, name: object) -> str:
    return str(name) if ":" in str(name) else f"{kind}:{name}"


def _list(value: object) -> list[dict[str, object]]:
    return value if isinstance(value, list) else []


def _add(answers: list[str], answer: str) -> None:
    if answer not in answers:
        answers.append(answer)


class _TooSlowError(Exception):
    pass


def _too_slow(*_: object) -> None:
    raise _TooSlowError(f"more than {SECONDS} s")


def run(paste: str) -> Verdict:
    """Run the command on a paste, in this process."""
    out, err = io.StringIO(), io.StringIO()
    signal.signal(signal.SIGALRM, _too_slow)
    with tempfile.NamedTemporaryFile(suffix=".txt") as file:
        file.write(paste.encode("utf-8", "surrogateescape"))
        file.flush()
        signal.alarm(SECONDS)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = main(["explain", "--json", file.name])
        except Exception as problem:  # whatever happens is a result
            return Verdict(failed=f"{type(problem).__name__}: {problem}")
        finally:
            signal.alarm(0)
    complaint = err.getvalue().replace("memslots explain: ", "")
    try:
        document = json.loads(out.getvalue())
    except ValueError:
        said = complaint + out.getvalue()
        return Verdict(exit=code, text=said, advice=bool(_COMMAND.search(said)))
    verdict = verdict_of(document, code)
    verdict.text += complaint
    verdict.advice |= bool(_COMMAND.search(complaint))
    return verdict
