"""A kernel release as an ordered value."""

from __future__ import annotations

from ..errors import UnknownKernelError
from ..patterns import lazy

_RELEASE = lazy(r"v?(\d{1,3})\.(\d{1,4})(?:\.(\d{1,6}))?(?:[-~]rc(\d{1,3}))?")
NEWEST = 1 << 30
"""Patch level that stands for the newest point release of a branch."""
MERGE_WINDOW = -1000
"""Patch level before the first release candidate of a branch; candidate N has MERGE_WINDOW + N."""


class Version:
    """`6.1.176` or `7.3-rc7`; without a patch level, the newest point release of the branch."""

    __slots__ = ("branch", "key", "major", "minor", "patch")

    def __init__(self, major: int, minor: int, patch: int = NEWEST) -> None:
        self.major = major
        self.minor = minor
        self.patch = patch
        self.branch = (major, minor)
        """`(6, 1)`: what stable releases of one kernel have in common."""
        self.key = (major, minor, patch)
        """What orders releases."""

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read `6.1`, `v6.1.7`, `7.3-rc7`, or what uname says (`6.18.44-fc-v657`, `7.3.0-rc7`).

        Debian writes `7.3~rc7`.  A candidate of a point release (`6.1.7-rc1`) has all that the
        release has. Raises UnknownKernelError with the text.
        """
        numbers = text.split(".")
        if len(numbers) in (2, 3) and all(
            number.isdecimal() and len(number) <= 3 for number in numbers
        ):
            return cls(*map(int, numbers))  # most of them, of which the tables have hundreds
        match = _RELEASE.match(text)
        if not match:
            raise UnknownKernelError(
                f"not a kernel release: {text!r} (expected e.g. 6.1 or 5.10.223)"
            )
        major, minor, patch, candidate = match.groups()
        if candidate is not None and not int(patch or 0):
            return cls(int(major), int(minor), MERGE_WINDOW + int(candidate))
        return cls(int(major), int(minor), NEWEST if patch is None else int(patch))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self.key == other.key

    def __lt__(self, other: Version) -> bool:
        return self.key < other.key

    def __le__(self, other: Version) -> bool:
        return self.key <= other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __str__(self) -> str:
        patch = "" if self.patch == NEWEST else f".{self.patch}"
        if self.patch < 0:
            patch = f"-rc{self.patch - MERGE_WINDOW}"
        return f"{self.major}.{self.minor}{patch}"

    def __repr__(self) -> str:
        return f"Version({str(self)!r})"
