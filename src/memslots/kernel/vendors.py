"""Kernels by what `uname -r` says: distributions' own names of releases.

Some say which upstream release they are (`6.12.38+deb13-amd64`), some only the branch
(`6.1.0-18-amd64`: the number is that of the module interface), and some carry changes of later
releases that nobody has listed (`5.14.0-427.el9.x86_64`).  What a name leaves open is not guessed:
the error says what it is, and which names there are instead.
"""

from __future__ import annotations

from ..errors import UnknownKernelError
from ..patterns import lazy
from .arch import ARCH_AND_EDITS
from .distributions import BUILDS
from .profile import dated
from .version import Version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .arch import Arch
    from .profile import OptionValue, Profile

_DEBIAN_ARCH = (
    r"(?P<arch>amd64|arm64|686|riscv64|s390x|ppc64el|powerpc64le|loong64|loongarch64)(?:-pae)?"
)
_FLAVOUR = r"(?:-(?:cloud|rt|unsigned|bpo))?"
_EXACT, _BRANCH, _VENDOR = "exact", "branch", "vendor"
_NAMES = tuple(
    (lazy(pattern), who, how)
    for pattern, who, how in (
        (rf"(?P<base>\d+\.\d+)\.0-\d+(?:\.\w+)*{_FLAVOUR}-{_DEBIAN_ARCH}", "Debian", _BRANCH),
        (
            rf"(?P<base>\d+\.\d+\.\d+)(?:\+deb\d+\w*)?(?:\+\d+)?{_FLAVOUR}-{_DEBIAN_ARCH}",
            "Debian",
            _EXACT,
        ),
        (
            r"(?P<base>\d+\.\d+)\.\d+-\d+(?:\.\d+)?-"
            r"(?:generic|lowlatency|aws|azure|gcp|gke|kvm|oracle|ibm|nvidia|raspi|virtual)"
            r"(?:-[a-z0-9.]+)*",
            "Ubuntu",
            _VENDOR,
        ),
        (
            r"(?P<base>\d+\.\d+\.\d+)-[\w.]*\.(?:el\d+\w*|ocs\d+|tl\d+|an\d+|al\d+)"
            r"(?:\.(?P<arch>\w+))?",
            "Red Hat and its relatives",
            _VENDOR,
        ),
        (r"(?P<base>\d+\.\d+\.\d+)-[\d.]+-(?:default|azure|rt|preempt)", "SUSE", _VENDOR),
        (
            r"(?P<base>\d+\.\d+\.\d+)-[\d.]+\.amzn\d+(?:\.(?P<arch>x86_64|aarch64))?",
            "Amazon Linux",
            _VENDOR,
        ),
        (r"(?P<base>\d+\.\d+\.\d+)-android\d+-[\w.-]+", "Android", _VENDOR),
        (r"(?P<base>\d+\.\d+\.\d+)-\d+\.fc\d+(?:\.(?P<arch>\w+))?", "Fedora", _EXACT),
        (r"(?P<base>\d+\.\d+\.\d+)-(?:arch\d+-\d+|\d+-(?:lts|zen)\S*|zen\S+)", "Arch", _EXACT),
    )
)
_REST = lazy(ARCH_AND_EDITS)
_BUILT_FROM = lazy(r"\bDebian (\d+\.\d+(?:\.\d+|~rc\d+))")


class UnameName:
    """What a name of `uname -r` says."""

    __slots__ = ("arch", "base", "edits", "how", "text", "who")

    def __init__(self, text: str, base: str, arch: str, edits: str, who: str, how: str) -> None:
        self.text = text
        """The name alone."""
        self.base = Version.parse(base)
        """The release that it is, or the first that it may be."""
        self.arch = arch
        """As the name or what follows it says; empty if neither does."""
        self.edits = edits
        self.who = who
        self.how = how


def uname_name(name: str) -> UnameName | None:
    """A distribution's name of a release, with an architecture and edits behind it, taken apart."""
    for pattern, who, how in _NAMES:
        match = pattern.match(name)
        rest = _REST.match(name, match.end()) if match else None
        if match and rest:
            arch = rest["arch"] or match.groupdict().get("arch") or ""
            return UnameName(match[0], match["base"], arch, rest["edits"], who, how)
    return None


def profile_of(found: UnameName, arch: Arch) -> Profile:
    """The profile of a kernel by its own name; its name is `found.text/arch`.

    Raises UnknownKernelError, with names to take instead, where the name leaves open what decides.
    """
    name = f"{found.text}/{arch.name}"
    upstream = f"{found.base.major}.{found.base.minor}"
    if found.how == _VENDOR:
        raise UnknownKernelError(
            f"{found.text}: which later changes {found.who} carries in its {upstream} is not "
            f"known.  Take the release that it began with (`{found.base}/{arch.name}`), state "
            f"changes (`{found.base}/{arch.name}+fact`; `memslots kernel {upstream}` has the "
            "names), or probe a machine that runs it with `memslots live`"
        )
    profile = dated(found.base, arch)
    if found.how == _BRANCH:
        first = Version(found.base.major, found.base.minor, 0)
        differing = profile.facts.keys() ^ dated(first, arch).facts.keys()
        if differing:
            raise UnknownKernelError(
                f"{found.text} may be any release of {upstream}, and these differ in "
                f"{', '.join(sorted(differing))}.  `uname -v` has the release: name that "
                f"(`{upstream}.N/{arch.name}`), or the newest of them (`{upstream}/{arch.name}`)"
            )
    return profile.edited(_built(found, arch), f"{found.who}'s build, as asked", name)


def release_of(uname_release: str, uname_version: str = "") -> Version:
    """The upstream release of a kernel that runs: by `uname -r`, and `uname -v` where that says it.

    Distributions freeze the last number at 0 and count updates of their own behind it: there the
    branch is meant.  Raises UnknownKernelError.
    """
    told = _BUILT_FROM.search(uname_version)
    version = Version.parse(told[1] if told else uname_release)
    return version if version.patch else Version(version.major, version.minor)


def vendor_of(uname_release: str) -> str:
    """Who carries changes of later releases in this kernel, which nobody has listed; or empty."""
    found = uname_name(uname_release)
    return found.who if found is not None and found.how == _VENDOR else ""


def _built(found: UnameName, arch: Arch) -> Mapping[str, OptionValue]:
    """The options that Debian's kernel of that branch was asked for."""
    for build in BUILDS.values() if found.who == "Debian" else ():
        if Version.parse(build.release).branch == found.base.branch:
            return build.options.get(arch.name, {})
    return {}
