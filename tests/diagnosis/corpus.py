"""The corpus of diagnosis cases as data: one text file a case, a header of `name: value` lines,
`----`, the paste.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parent / "cases"
BAR = "----\n"
HEADERS = frozenset(
    ("id", "provenance", "program", "kind", "title", "title-suffices", "known", "verdict", "other",
    "accept", "near",
     "candidates", "question", "ask", "exit", "data", "why", "no-mutation")
)  # fmt: skip
REQUIRED = ("id", "provenance", "program", "kind", "verdict", "exit", "data", "why")
VERDICT = re.compile(
    r"(?:(?:rule|cause|finding):[a-z0-9]+(?:-[a-z0-9]+)*|undecidable|healthy|nothing)"
)
FAILURE, HEALTHY, NOTHING, UNDECIDABLE = "failure", "healthy", "nothing", "undecidable"


@dataclass(frozen=True)
class Case:
    """One paste and what an expert answers to it."""

    id: str
    """`own-017`, `failure-005`, `paste-13`."""
    paste: str
    provenance: str
    """`own`, or `shared example N`."""
    program: str
    kind: str
    verdict: str
    """`rule:ID`, `cause:NAME`, `finding:ID`, `undecidable`, `healthy` (silence and exit 0),
    `nothing` (no failure).
    """
    exits: frozenset[int]
    """Exit codes that are right."""
    data: str
    """`yes`, `partly` or `no`: does the paste alone decide the verdict?"""
    why: str
    title: str = ""
    title_suffices: bool = False
    """Does the title alone lead to the same verdict?"""
    known: str = ""
    """Facts that the paste states, in words."""
    other: str = ""
    """Regular expression that the explanation must contain: the other party, or the circumstance
    that decides.
    """
    accept: frozenset[str] = frozenset()
    """Verdicts that experts would accept as well."""
    near: frozenset[str] = frozenset()
    """Verdicts that point in the right direction, without being the answer."""
    candidates: frozenset[str] = frozenset()
    """Where undecidable: verdicts of which one should be named first."""
    question: str = ""
    """The question that decides, in words."""
    ask: str = ""
    """Regular expression that the answer must contain if it asks that question."""
    no_mutation: frozenset[str] = frozenset()
    """Mutations that would change what this paste says."""

    @property
    def part(self) -> str:
        """`examples`, or for own cases `held` (each third number) and `tune`."""
        if self.provenance != "own":
            return "examples"
        return "held" if int(self.id.rpartition("-")[2]) % 3 == 0 else "tune"

    @property
    def accepted(self) -> frozenset[str]:
        """All verdicts that are right."""
        return (
            self.accept
            | {self.verdict}
            | (self.candidates if self.verdict == UNDECIDABLE else frozenset())
        )


class CaseError(ValueError):
    """A case file is not as it should be."""


@dataclass
class _Header:
    path: Path
    values: dict[str, str] = field(default_factory=dict)

    def names(self, name: str) -> frozenset[str]:
        return frozenset(
            word.strip() for word in self.values.get(name, "").split(",") if word.strip()
        )


def parse(path: Path) -> Case:
    """Read one case.  Raises CaseError with the file and the header line that is wrong."""
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    head, bar, paste = text.partition(BAR)
    if not bar:
        raise CaseError(f"{path.name}: no line of four dashes between header and paste")
    header = _Header(path)
    last = ""
    for line in head.splitlines():
        if line.startswith("  ") and last:
            header.values[last] += " " + line.strip()
            continue
        last, colon, value = line.partition(":")
        if not colon or last not in HEADERS or last in header.values:
            raise CaseError(f"{path.name}: header line {line!r}")
        header.values[last] = value.strip()
    for name in REQUIRED:
        if not header.values.get(name):
            raise CaseError(f"{path.name}: no {name}")
    return _case(header, paste)


def _case(header: _Header, paste: str) -> Case:
    values = header.values
    return Case(
        id=values["id"],
        paste=paste,
        provenance=values["provenance"],
        program=values["program"],
        kind=values["kind"],
        verdict=values["verdict"],
        exits=frozenset(int(code) for code in values["exit"].split("|")),
        data=values["data"],
        why=values["why"],
        title=values.get("title", ""),
        title_suffices=values.get("title-suffices") == "yes",
        known=values.get("known", ""),
        other=values.get("other", ""),
        accept=header.names("accept"),
        near=header.names("near"),
        candidates=header.names("candidates"),
        question=values.get("question", ""),
        ask=values.get("ask", ""),
        no_mutation=header.names("no-mutation"),
    )


def cases(*parts: str) -> list[Case]:
    """The cases of the parts named (`examples`, `tune`, `held`; all if none), in the order of
    their files.
    """
    found = [parse(path) for path in sorted(FOLDER.rglob("*.txt"))]
    return [case for case in found if not parts or case.part in parts]
