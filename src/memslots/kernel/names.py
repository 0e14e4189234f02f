"""Profiles by name: `6.1/x86_64`, `7.3-rc7/i386`, `6.12/arm64+16k`, `7.2/x86_64+pa46-smm`,
`debian-12/arm64`, or what `uname -r` says: `6.1.0-18-amd64`, `5.14.0-427.el9.x86_64`.

The part after the architecture adds (`+`) and takes away (`-`) facts and
options: any fact of the history, any option of the profile as `+name=value`,
and these short forms:

    16k 64k 4k        host page size
    pa46 (any width)  guest-physical address bits of the host
    intel amd pvm     vendor module
    ept npt           two-dimensional paging (same as tdp)

`host` is the kernel under us, asked through /dev/kvm; it takes edits too.
"""

from __future__ import annotations

import re

from ..errors import UnknownKernelError
from ..patterns import lazy
from .arch import ARCH_AND_EDITS, find_arch
from .history import LAST_BRANCH, NEWEST_KNOWN, OLDEST
from .profile import FACT_NAMES, OPTIONS, Profile, dated
from .version import Version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .profile import OptionValue

_NAME = lazy(r"(?P<release>v?\d+\.\d+(?:\.\d+)?(?:[-~]rc\d+)?[^/+\s]*?)" + ARCH_AND_EDITS)
_SHORT: dict[str, tuple[str, OptionValue]] = {
    "4k": ("page-shift", 12),
    "16k": ("page-shift", 14),
    "64k": ("page-shift", 16),
    "intel": ("vendor", "intel"),
    "amd": ("vendor", "amd"),
    "pvm": ("vendor", "pvm"),
    "ept": ("tdp", True),
    "npt": ("tdp", True),
}


def _edit_pattern() -> str:
    words = sorted((*FACT_NAMES, *OPTIONS, *_SHORT), key=len, reverse=True)
    return rf"([+-])({'|'.join(map(re.escape, words))}|pa\d\d)(?:=([^+\s-]+))?(?=[+-]|$)"


_EDIT = lazy(_edit_pattern)
_MOVING = frozenset(("next", "linux-next", "mainline", "master", "latest", "torvalds", "tip"))


def find(name: str, *, default_arch: str = "x86_64") -> Profile:
    """The profile of that name.  Raises UnknownKernelError that says what is wrong.

    `host` is the running kernel, asked (DeviceUnavailableError without /dev/kvm).
    """
    if not isinstance(name, str):
        raise TypeError(f"a kernel is named by a string such as '6.1/x86_64', not {name!r}")
    if name == "host" or name.startswith(("host+", "host-")):
        # asking is optional machinery far above this module, so it is loaded for this name only
        from ..live.probe import probe

        return probe().edited(_parse_edits(name, name[4:]), "stated", name)
    if "-" in name.partition("/")[0]:  # all that `uname -r` says beside plain releases has one
        from .vendors import profile_of, uname_name

        vendor = uname_name(name.strip())
        if vendor is not None:
            profile = profile_of(vendor, find_arch(vendor.arch or default_arch))
            return _edited(profile, name, vendor.edits)
    match = _NAME.match(name.strip()) or _distribution(name.strip())
    if not match and name.strip().lower() in _MOVING:
        raise UnknownKernelError(
            f"{name!r} is another kernel every day: take the newest that is known, "
            f"`{NEWEST_KNOWN}/{default_arch}`, and state what came since (`+fact`), or boot it: "
            "`memslots verify --image FILE`"
        )
    if not match:
        raise UnknownKernelError(
            f"not a kernel name: {name!r} (examples: 6.1/x86_64, 5.10/i386, 6.12/arm64+16k, "
            "debian-12)"
        )
    arch = find_arch(match["arch"] or default_arch)
    release = match.groupdict().get("release")
    if release is None:
        from .distributions import distributed

        profile = distributed(match["name"], arch)
    else:
        profile = dated(_known(release), arch)
    return _edited(profile, name, match["edits"])


def _edited(profile: Profile, name: str, text: str) -> Profile:
    edits = _parse_edits(name, text)
    shift = edits.get("page-shift")
    if shift is not None and shift not in profile.arch.page_shifts:
        raise UnknownKernelError(
            f"{profile.arch.name} has no page size of {1 << int(shift) >> 10} KiB"
        )
    return profile.edited(edits, "stated", profile.name + text) if edits else profile


def _known(release: str) -> Version:
    """The release, if the facts reach so far: what nobody has looked at is not guessed."""
    version = Version.parse(release)
    # releases before the facts begin have a message of their own, in dated()
    if version >= OLDEST and version.minor > LAST_BRANCH.get(version.major, -1):
        raise UnknownKernelError(
            f"no release {version} is known: the facts go from {OLDEST} to {NEWEST_KNOWN}"
        )
    return version


def _distribution(name: str) -> re.Match[str] | None:
    """A distribution's name contains "-" itself, as edits do: the longest known name wins."""
    from .distributions import is_distribution

    word = re.split(r"[/+]", name, maxsplit=1)[0]
    for end in range(len(word), 0, -1):
        if is_distribution(word[:end]):
            return re.match(rf"(?P<name>{re.escape(word[:end])})" + ARCH_AND_EDITS, name)
    return None


def _parse_edits(name: str, text: str) -> dict[str, OptionValue]:
    edits: dict[str, OptionValue] = {}
    while text:
        # names contain "-" themselves, so the longest known name wins
        match = _EDIT.match(text)
        if not match:
            raise UnknownKernelError(
                f"no such fact or option: {text!r} in the kernel name {name!r} (`memslots kernel "
                "NAME` lists them)"
            )
        sign, word, value = match.groups()
        key, setting = _one_edit(word, value, adding=sign == "+")
        edits[key] = setting
        text = text[match.end() :]
    return edits


def _one_edit(word: str, value: str | None, *, adding: bool) -> tuple[str, OptionValue]:
    if adding and word in _SHORT:
        return _SHORT[word]
    if adding and re.fullmatch(r"pa\d\d", word):
        return "gpa-bits", int(word[2:])
    if word in ("ept", "npt"):
        return "tdp", False
    if value is not None and word in OPTIONS:
        kind = OPTIONS[word].kind
        if kind is str:
            return word, value
        try:
            return word, int(value, 0)
        except ValueError:
            raise UnknownKernelError(f"{word} takes a number, not {value!r}") from None
    return word, adding
