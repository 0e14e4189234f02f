"""A fact: one dated behaviour of KVM, with how its dates are known."""

from __future__ import annotations

from .arch import ARCHES
from .evidence import Bound, Commit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .evidence import Always, Asked, Read
    from .version import Version

    Date = Commit | Bound | Always
    Look = Read | Asked

X86 = frozenset({"x86_64", "i386"})
ALL = frozenset(ARCHES)


class Fact:
    """One dated behaviour of KVM."""

    __slots__ = ("_source", "arches", "began", "ended", "looks", "name", "summary")

    def __init__(
        self,
        name: str,
        summary: str,
        began: Date,
        *looks: Look,
        ended: Date | None = None,
        arches: frozenset[str] = ALL,
    ) -> None:
        self.name = name
        self.summary = summary
        self.began = began
        """What brought it."""
        self.looks = looks
        """Where it was seen."""
        self.ended = ended
        """What took it away."""
        self.arches = arches
        self._source = ""

    def holds(self, version: Version, arch: str) -> bool | None:
        """Whether a kernel of this release and architecture behaves so.  None: nobody looked."""
        if arch not in self.arches:
            return False
        began = self.began.reached(version)
        ended = self.ended is not None and self.ended.reached(version)
        if began is False or ended is True:
            return False
        return None if began is None or ended is None else True

    @property
    def since(self) -> Version:
        """First mainline release that surely has it."""
        return self.began.release

    @property
    def until(self) -> Version | None:
        """First mainline release that surely has it no more."""
        return None if self.ended is None else self.ended.release

    @property
    def backports(self) -> tuple[Version, ...]:
        """Point releases from which on an older branch has it."""
        return self.began.stable if isinstance(self.began, Commit) else ()

    @property
    def ended_in(self) -> tuple[Version, ...]:
        """Point releases from which on an older branch has it no more."""
        return self.ended.stable if isinstance(self.ended, Commit) else ()

    @property
    def unsure(self) -> tuple[Bound, ...]:
        """Intervals of releases of which it is not known."""
        found: list[Bound] = []
        for date in (self.began, self.ended):
            if isinstance(date, Commit):
                found += date.unsure
            elif isinstance(date, Bound) and not date.is_exact:
                found.append(date)
        return tuple(found)

    @property
    def kinds(self) -> tuple[str, ...]:
        """How its dates are known, in the words of `EVIDENCE`."""
        kinds = [look.kind for look in self.looks]
        commits = (date for date in (self.began, self.ended) if isinstance(date, Commit))
        kinds += ["commit" if commit.hash else "subject" for commit in commits]
        return tuple(dict.fromkeys([*kinds, *(["undetermined"] if self.unsure else [])]))

    @property
    def source(self) -> str:
        """All evidence as text."""
        if not self._source:
            self._source = self._evidence()
        return self._source

    def _evidence(self) -> str:
        parts = [str(self.began)] if isinstance(self.began, Commit) else []
        parts += [f"ended by {self.ended}"] if isinstance(self.ended, Commit) else []
        parts += [str(look) for look in self.looks]
        return "; ".join([*parts, *(f"undetermined: {bound}" for bound in self.unsure)])

    def __repr__(self) -> str:
        return f"Fact({self.name!r})"


EVIDENCE = {
    "commit": "the commit that changed it, by hash, with the releases in which it came",
    "subject": "the commit by its subject alone: nobody quoted its hash",
    "read": "the source of a release before or after was read",
    "patched": "the same, in the tree of a distribution, which carries changes of its own",
    "asked": "real kernels answered; their answers are recorded",
    "undetermined": "for some releases nobody looked: there the answer is undetermined",
}
"""The kinds of evidence, and what each is worth."""
