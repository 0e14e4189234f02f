"""`python -m memslots.verify.farm dates`: the dates of facts beside the changelogs of
distributions.

    python -m memslots.verify.farm dates             all facts; fetches about 100 MB the first time
    python -m memslots.verify.farm dates size-fits-ulong bad-vm-eio
    python -m memslots.verify.farm dates --again     fetch the changelogs anew
    python -m memslots.verify.farm dates --changelog FILE    read another one too, gzipped or not

Each commit that dates a fact is looked up by its subject in the stable updates that Debian quotes,
and Ubuntu, whose changelogs are read if they are given.
Exit code 0 if what is found is what the facts say, 1 if not, 4 if no changelog could be had.
"""

from __future__ import annotations

import argparse
import gzip
import os
import re
import shutil
import sys

from ...errors import DeviceUnavailableError
from ...kernel.evidence import Bound, Commit
from ...kernel.footprint import FOOTPRINT_FACTS
from ...kernel.history import FACTS
from .changelogs import Changelogs
from .kernels import cache_folder
from .packages import Apt, mirror, say_on_stderr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ...kernel.fact import Fact
    from ...kernel.version import Version

_DEBIAN = "linux-libc-dev"
"""The smallest package with the kernel's whole changelog."""
_DEBIAN_SUITES = (
    "bullseye-security", "bookworm-security", "trixie-security", "bookworm-backports",
    "trixie-backports", "sid",
    "experimental",
)  # fmt: skip


class Looked:
    """What the changelogs say of one commit, beside what the facts say."""

    __slots__ = ("commit", "facts", "found", "missing", "unquoted", "unstated")

    def __init__(self, commit: Commit, facts: list[str], changelogs: Changelogs) -> None:
        self.commit = commit
        self.facts = facts
        """Names of the facts that it dates."""
        releases = changelogs.releases_with(commit.subject)
        self.found = tuple(
            release for release in releases if release.branch < commit.release.branch
        )
        """First point release of each older branch in which a changelog has it."""
        # whoever says "between 6.1.0 and 6.1.192" is not contradicted by a release in between, but
        # is told
        self.unstated = tuple(release for release in self.found if release not in commit.stable)
        """Found, and not what the fact says."""
        rest = [release for release in commit.stable if release not in self.found]
        self.unquoted = tuple(release for release in rest if release not in changelogs.quoted)
        """Said by the fact, of releases that no changelog quotes."""
        self.missing = tuple(release for release in rest if release in changelogs.quoted)
        """Said by the fact, of releases that are quoted without it: Debian leaves commits out."""


def look(facts: Iterable[Fact], changelogs: Changelogs) -> list[Looked]:
    """Every commit that dates one of the facts, once."""
    dated: dict[str, tuple[Commit, list[str]]] = {}
    for fact in facts:
        for date in (fact.began, fact.ended):
            if isinstance(date, Commit):
                names = dated.setdefault(date.subject, (date, []))[1]
                if fact.name not in names:
                    names.append(fact.name)
    return [Looked(commit, names, changelogs) for commit, names in dated.values()]


def report(facts: Sequence[Fact], changelogs: Changelogs) -> Iterator[str]:
    """The lines of the report: each commit, then what could not be dated."""
    for looked in look(facts, changelogs):
        commit = looked.commit
        yield f"{', '.join(looked.facts)}: {commit.hash or '(no hash)'} {commit.subject}"
        yield f"    mainline {commit.tag}; stable branches: {_texts(looked.found) or 'in none'}"
        if looked.unstated:
            yield f"    DIFFERS: the fact says {_texts(commit.stable) or 'none'}"
        if looked.missing:
            yield f"    quoted without it, so known otherwise: {_texts(looked.missing)}"
        if looked.unquoted:
            yield f"    no changelog quotes {_texts(looked.unquoted)}: known otherwise"
    undated = [
        fact
        for fact in facts
        if fact.unsure or isinstance(fact.began, Bound) or isinstance(fact.ended, Bound)
    ]
    yield (
        f"{len(undated)} facts without a commit for some date, or with releases at which nobody "
        "looked"
    )
    for fact in undated:
        bounds = fact.unsure or [
            date for date in (fact.began, fact.ended) if isinstance(date, Bound)
        ]
        yield f"    {fact.name} ({', '.join(sorted(fact.arches))}): {'; '.join(map(str, bounds))}"


def _texts(releases: Iterable[Version]) -> str:
    return ", ".join(map(str, releases))


def main(arguments: Sequence[str]) -> int:
    """Run the command line; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m memslots.verify.farm dates",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("facts", nargs="*", metavar="FACT", help="only these")
    parser.add_argument("--again", action="store_true", help="fetch the changelogs anew")
    parser.add_argument(
        "--changelog", action="append", default=[], metavar="FILE", help="read it too"
    )
    options = parser.parse_args(arguments)
    every = (*FACTS, *FOOTPRINT_FACTS.values())
    unknown = set(options.facts) - {fact.name for fact in every}
    if unknown:
        print(
            f"memslots.verify.farm dates: no such fact: {', '.join(sorted(unknown))}",
            file=sys.stderr,
        )
        return 2
    facts = [fact for fact in every if not options.facts or fact.name in options.facts]
    changelogs = _fetched(again=options.again)
    try:
        for path in options.changelog:
            _read(path, changelogs)
    except (OSError, EOFError) as error:
        print(f"memslots.verify.farm dates: {path}: {error}", file=sys.stderr)
        return 2
    if not changelogs.quoted:
        print("memslots.verify.farm dates: no changelog could be had", file=sys.stderr)
        return 4
    print("\n".join(report(facts, changelogs)))
    differing = sum(bool(looked.unstated) for looked in look(facts, changelogs))
    print(
        f"{len(changelogs.quoted)} stable releases are quoted; {differing} commits differ from "
        "what the facts say"
    )
    return 1 if differing else 0


def _fetched(*, again: bool) -> Changelogs:
    folder = os.path.join(cache_folder(), "changelogs")
    if again:
        shutil.rmtree(folder, ignore_errors=True)
    changelogs = Changelogs()
    for suite in _DEBIAN_SUITES:
        try:
            paths = _changelogs_of(suite, os.path.join(folder, suite))
        except DeviceUnavailableError as error:
            say_on_stderr(f"{suite}: not read: {error}")
            continue
        for path in paths:
            _read(path, changelogs)
    return changelogs


def _read(path: str, changelogs: Changelogs) -> None:
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8", errors="replace") as file:
        changelogs.read(file)


def _changelogs_of(suite: str, folder: str) -> list[str]:
    """Paths of the compressed changelogs of one suite, fetched if there are none."""
    if not os.path.isdir(folder):
        apt, names = _packages_of(suite)
        say_on_stderr(f"{suite}: fetching {len(names)} packages for their changelogs")
        unpacked = f"{folder}.new"
        shutil.rmtree(unpacked, ignore_errors=True)
        os.makedirs(unpacked)
        apt.unpack(names, unpacked)
        os.makedirs(folder)
        for where, _, files in os.walk(unpacked):
            for name in files:
                if re.fullmatch(r"changelog(\.Debian)?\.gz", name):
                    os.rename(
                        os.path.join(where, name),
                        os.path.join(folder, f"{os.path.basename(where)}.gz"),
                    )
        shutil.rmtree(unpacked)
    return sorted(os.path.join(folder, name) for name in os.listdir(folder))


def _packages_of(suite: str) -> tuple[Apt, list[str]]:
    security = suite.endswith("-security")
    return Apt(suite, "amd64", uri=mirror().rstrip("/") + "-security" if security else ""), [
        _DEBIAN
    ]
