"""Kernels by the name of the distribution that ships them: `debian-12`, `debian-13/arm64`.

Distributions change kernels: they carry fixes back and choose what is built in.
A name stands here only where a kernel of that distribution was asked; of the
others only the release they were built from is known, which is no profile.
"""

from __future__ import annotations

from ..errors import UnknownKernelError
from .history import OLDEST
from .profile import dated
from .version import Version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .arch import Arch
    from .profile import OptionValue, Profile


class Build:
    """One distribution's kernel, as it was asked."""

    __slots__ = ("arches", "options", "package", "release")

    def __init__(
        self,
        release: str,
        package: str,
        arches: tuple[str, ...],
        options: dict[str, dict[str, OptionValue]],
    ) -> None:
        self.release = release
        """The upstream release of its newest kernel: facts are dated by it."""
        self.package = package
        """The package that was asked; how it was built is taken over to newer ones."""
        self.arches = arches
        """Architectures on which it was asked."""
        self.options = options
        """Architecture: how it was built, as its capabilities said."""


_NO_RING_BITMAP: dict[str, OptionValue] = {"ring-with-bitmap-built": False}

# From the first lines of the recorded answers: release, package, capabilities.
BUILDS = {
    "debian-11": Build(
        "5.10.262", "linux 5.10.223-1 (2024-08-10)", ("x86_64", "i386", "arm64"),
        {"x86_64": {"smm": True}, "i386": {"smm": True}, "arm64": _NO_RING_BITMAP},
    ),
    "debian-12": Build(
        "6.1.192", "linux 6.1.176-1 (2026-07-02)", ("x86_64", "i386", "arm64", "ppc64"),
        {"x86_64": {"smm": True}, "i386": {"smm": True}, "arm64": _NO_RING_BITMAP,
        "ppc64": {"page-shift": 16}},
    ),
    "debian-13": Build(
        "6.12.118", "linux 6.12.107-1 (2026-08-29)", ("x86_64", "arm64", "riscv64", "ppc64"),
        {"x86_64": {"smm": True, "guest-memfd-built": True, "attributes-built": True,
        "max-vcpu-id": 16384,
                    "max-vcpus": 4096},
         "arm64": {"ring-with-bitmap-built": True}, "ppc64": {"page-shift": 12}},
    ),
    "debian-sid": Build(
        "7.2.13", "linux 7.2.13-1 (2026-10-28)", ("x86_64", "arm64", "riscv64", "ppc64"),
        {"x86_64": {"smm": True, "guest-memfd-built": True, "attributes-built": True,
        "max-vcpu-id": 16384,
                    "max-vcpus": 4096},
         "arm64": {"ring-with-bitmap-built": True, "guest-memfd-built": True},
         "ppc64": {"page-shift": 12}},
    ),
}  # fmt: skip

ALIASES = {
    "debian-bullseye": "debian-11",
    "debian-bookworm": "debian-12",
    "debian-trixie": "debian-13",
    "debian-unstable": "debian-sid",
}

# Nobody has asked these: only the release that each was built from is known.
BUILT_FROM = {
    "ubuntu-18.04": "4.15",
    "ubuntu-20.04": "5.4",
    "ubuntu-22.04": "5.15",
    "ubuntu-24.04": "6.8",
    "rhel-8": "4.18",
    "rhel-9": "5.14",
    "rhel-10": "6.12",
    "sles-15-sp4": "5.14",
    "sles-15-sp5": "5.14",
    "sles-15-sp6": "6.4",
    "amazon-linux-2": "4.14, 5.4, 5.10 or 5.15",
    "amazon-linux-2023": "6.1",
    "android-13": "5.10 or 5.15",
    "android-14": "5.15 or 6.1",
    "android-15": "6.1 or 6.6",
}
_CLONES = {
    "centos": "rhel",
    "centos-stream": "rhel",
    "rocky": "rhel",
    "almalinux": "rhel",
    "oracle-linux": "rhel",
}


def is_distribution(name: str) -> bool:
    """Whether the name begins with a distribution instead of a release."""
    return _canonical(name) in BUILDS or _canonical(name) in BUILT_FROM


def distributed(name: str, arch: Arch) -> Profile:
    """The profile of a distribution's kernel.

    Raises UnknownKernelError where that kernel was not asked, with what is known instead.
    """
    key = _canonical(name)
    if key in BUILT_FROM:
        base = BUILT_FROM[key]
        first = base.split()[0].rstrip(",")
        nearest = first if Version.parse(first) >= OLDEST else str(OLDEST)
        raise UnknownKernelError(
            f"{name}: nobody has asked this kernel; it is built from {base}, which changes it "
            "carries is not known. "
            f"Take a release and state the changes (`{nearest}/{arch.name}+fact`), or probe a "
            "machine that runs it "
            "with `memslots live`"
        )
    build = BUILDS[key]
    if arch.name not in build.arches:
        raise UnknownKernelError(
            f"{name} was not asked on {arch.name}, only on {', '.join(build.arches)}; the release "
            "alone is "
            f"{build.release}/{arch.name}"
        )
    profile = dated(Version.parse(build.release), arch)
    return profile.edited(
        build.options.get(arch.name, {}), f"asked: {build.package}", f"{key}/{arch.name}"
    )


def _canonical(name: str) -> str:
    key = name.lower()
    for clone, original in _CLONES.items():
        if key.startswith(f"{clone}-") and key[len(clone) + 1 :].isdigit():
            return f"{original}-{key[len(clone) + 1 :]}"
    return ALIASES.get(key, key)
