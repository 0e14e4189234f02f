"""Which stable release a commit came in, from the changelogs that distributions write for their
kernels.

Debian and Ubuntu quote each stable update of upstream with the subjects of its commits:

      * New upstream stable update:                        (Debian)
        https://www.kernel.org/pub/linux/kernel/v5.x/ChangeLog-5.10.84
        - [x86] KVM: Disallow user memslot with size that exceeds "unsigned long"

      * Jammy update: v5.15.7 upstream stable release      (Ubuntu)
        - KVM: Disallow user memslot with size that exceeds "unsigned long"

Debian writes architectures in brackets before the subject and leaves commits out
that its kernels are not built with; Ubuntu quotes all.  Subjects are compared from
behind their last prefix, which both keep.
"""

from __future__ import annotations

import re

from ...kernel.version import Version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_ENTRY = re.compile(r"\S.* \(.+\) .*;")
"""First line of one upload of the package."""
_HEADING = re.compile(r"  \* ")
_DEBIAN = re.compile(r"\s+https?://\S+/ChangeLog-(\d+\.\d+(?:\.\d+)?)\s*$")
_UBUNTU = re.compile(r"  \* .*[ :]v?(\d+\.\d+\.\d+) upstream stable release")
_ITEM = re.compile(r"\s+- (.*)")
_NOT_SUBJECT = re.compile(r"\[[^\]]*\]|\(cve-[^)]*\)|[\"'`]")
"""Architectures, numbers of vulnerabilities, quotes: what a quoting of a subject adds or drops."""


def quoted_commits(lines: Iterable[str]) -> Iterator[tuple[Version, str]]:
    """Each stable release that a changelog quotes, with a subject; (release, "") when one
    begins.
    """
    release: Version | None = None
    words: list[str] = []
    for line in lines:
        begins = _DEBIAN.match(line) or _UBUNTU.match(line)
        item = _ITEM.match(line)
        if (
            begins or item or not line.strip() or _HEADING.match(line) or _ENTRY.match(line)
        ) and words:
            if release is not None:
                yield release, " ".join(words)
            words = []
        if begins:
            release = Version.parse(begins[1])
            yield release, ""
        elif _HEADING.match(line) or _ENTRY.match(line):
            release = None
        elif item:
            words = [item[1].strip()]
        elif words:
            words.append(line.strip())
    if words and release is not None:
        yield release, " ".join(words)


def key_of(subject: str) -> str:
    """What two ways of quoting one subject have in common."""
    plain = _NOT_SUBJECT.sub("", subject.lower())
    return " ".join(plain.rsplit(": ", 1)[-1].split()).rstrip(".")


class Changelogs:
    """Stable releases and the commits that came with them."""

    def __init__(self) -> None:
        self.quoted: set[Version] = set()
        """Releases whose commits were quoted, by anybody."""
        self._releases: dict[str, set[Version]] = {}

    def read(self, lines: Iterable[str]) -> None:
        """Take one changelog in; several may quote the same release."""
        for release, subject in quoted_commits(lines):
            self.quoted.add(release)
            if subject:
                self._releases.setdefault(key_of(subject), set()).add(release)

    def releases_with(self, subject: str) -> tuple[Version, ...]:
        """The first release of each stable branch that quotes this subject, oldest branch first."""
        first: dict[tuple[int, int], Version] = {}
        for release in sorted(self._releases.get(key_of(subject), ())):
            first.setdefault(release.branch, release)
        return tuple(first[branch] for branch in sorted(first))

    def gaps(self, branch: tuple[int, int], newest: int) -> tuple[int, ...]:
        """Patch levels of a branch, up to the newest, that no changelog quoted."""
        seen = {release.patch for release in self.quoted if release.branch == branch}
        return tuple(patch for patch in range(1, newest + 1) if patch not in seen)
