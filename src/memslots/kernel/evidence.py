"""How a date is known: commits, sources that were read, kernels that were asked, and bounds.

A date is a `Commit`, a `Bound` or `ALWAYS`; each says of a release whether it was
reached: True, False, or None where nobody looked.  `Read` and `Asked` are what was
looked at; they date nothing, they show that a date is right.
"""

from __future__ import annotations

from .version import MERGE_WINDOW, NEWEST, Version

_LAST_MINOR = {4: 20, 5: 19, 6: 19}
"""Last minor number of each major one that is complete."""


class Commit:
    """A commit of the kernel: from `tag` on in the mainline, from some point releases on in stable
    branches.
    """

    __slots__ = ("_first", "hash", "release", "stable", "subject", "tag", "unsure")

    def __init__(self, hash: str, subject: str, tag: str, *stable: str | Bound) -> None:
        self.hash = hash
        """The first twelve digits as somebody quoted them; empty where only the subject was
        seen.
        """
        self.subject = subject
        self.tag = tag
        """First mainline release with it; `6.8` here means all of the branch, its candidates
        too.
        """
        self.release = Version.parse(tag)
        self._first = _first_of(self.release)
        self.stable = tuple(Version.parse(text) for text in stable if isinstance(text, str))
        """Point releases in which it came to older branches."""
        self.unsure = tuple(bound for bound in stable if isinstance(bound, Bound))
        """Older branches of which the point release is not known."""

    def reached(self, version: Version) -> bool | None:
        """Whether this release has the commit.  None: nobody looked."""
        for port in self.stable:
            if version.branch == port.branch:
                return port.patch <= version.patch
        for bound in self.unsure:
            if version.branch == bound.absent.branch:
                return bound.reached(version)
        return version.key >= self._first

    def __str__(self) -> str:
        return f'commit {self.hash} ("{self.subject}")' if self.hash else f'commit "{self.subject}"'


class Bound:
    """Not in `absent`, in `present`: which release between them brought it is not known."""

    __slots__ = ("absent", "present")

    def __init__(self, absent: str, present: str = "") -> None:
        self.absent = Version.parse(absent)
        """The last release that was seen without; without a patch level, its whole branch."""
        self.present = Version.parse(present) if present else None
        """The first that was seen with; None: no later one of this branch was looked at."""

    @property
    def release(self) -> Version:
        """The first release that surely has it."""
        return self.absent if self.present is None else self.present

    def reached(self, version: Version) -> bool | None:
        """Whether it is in this release.  None: nobody looked."""
        if version <= self.absent:
            return False
        present = self.present
        return True if present is not None and version.key >= _first_of(present) else None

    @property
    def is_exact(self) -> bool:
        """Whether no branch lies between the two releases."""
        present = self.present
        if present is None or self.absent.patch != NEWEST:
            return False
        major, minor = self.absent.branch
        following = (major + 1, 0) if minor == _LAST_MINOR.get(major) else (major, minor + 1)
        return present.patch in (0, NEWEST) and present.branch == following

    def __str__(self) -> str:
        if self.present is None:
            return f"not in {self.absent}; nobody looked at later releases of that branch"
        return f"not in {self.absent}, in {self.present}"


class Always:
    """In every release that the facts cover."""

    __slots__ = ()
    release = Version(2, 6)

    def reached(self, _version: Version) -> bool:
        """True."""
        return True

    def __str__(self) -> str:
        return "in every release covered"


ALWAYS = Always()


TREES = {
    "5.4": "Ubuntu", "6.8": "Ubuntu", "7.0": "Ubuntu",
    "6.1.192": "Debian", "6.12.117": "Debian", "6.12.118": "Debian", "7.2.13": "Debian",
    "7.3.4": "Debian",
}  # fmt: skip
"""Releases whose source was read in a distribution's tree; all others in that of the project."""


class Read:
    """The source of a release was read."""

    __slots__ = ("function", "path", "tag")

    def __init__(self, tag: str, path: str, function: str = "") -> None:
        self.tag = tag
        self.path = path
        """File in the source tree."""
        self.function = function
        """The function there; empty: a definition or an option of the build."""

    @property
    def tree(self) -> str:
        """Whose tree it was, if a distribution's, which carries changes of its own."""
        return TREES.get(self.tag, "")

    @property
    def kind(self) -> str:
        """How much it is worth, in the words of `fact.EVIDENCE`."""
        return "patched" if self.tree else "read"

    def __str__(self) -> str:
        where = f"{self.function}() in {self.path}" if self.function else self.path
        return f"read in {self.tag}{f' ({self.tree})' if self.tree else ''}: {where}"


class Asked:
    """Kernels whose recorded answers show it, by the names of their recordings."""

    __slots__ = ("kernels",)
    kind = "asked"

    def __init__(self, *kernels: str) -> None:
        self.kernels = kernels

    def __str__(self) -> str:
        return f"asked: {', '.join(self.kernels)}"


def _first_of(dated: Version) -> tuple[int, int, int]:
    """The key of the first release that a date means.  A date without a patch level means its
    branch, candidates too.
    """
    patch = MERGE_WINDOW if dated.patch == NEWEST else dated.patch
    return dated.major, dated.minor, patch
