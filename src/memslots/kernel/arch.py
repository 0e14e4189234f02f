"""Architectures: what does not depend on the release."""

from __future__ import annotations

from ..errnos import EINVAL, ENOTTY
from ..errors import UnknownKernelError


class Arch:
    """One host architecture as KVM sees it."""

    __slots__ = ("endian", "long_bits", "name", "page_shifts", "unknown_vm_ioctl")

    def __init__(
        self,
        name: str,
        long_bits: int,
        page_shifts: tuple[int, ...],
        *,
        unknown_vm_ioctl: int = ENOTTY,
        endian: str = "little",
    ) -> None:
        self.name = name
        self.long_bits = long_bits
        """Bits of `unsigned long` in the kernel."""
        self.page_shifts = page_shifts
        """Possible host page shifts, the usual one first."""
        self.unknown_vm_ioctl = unknown_vm_ioctl
        """Errno for an ioctl number that a VM fd does not know."""
        self.endian = endian

    @property
    def is_x86(self) -> bool:
        """x86_64 or i386."""
        return self.name in ("x86_64", "i386")

    @property
    def is_powerpc(self) -> bool:
        """ppc64 or ppc32."""
        return self.name in ("ppc64", "ppc32")

    def __repr__(self) -> str:
        return f"Arch({self.name!r})"


# Unknown VM ioctls: asked of real kernels (5.10 to 7.2) for x86, arm64, riscv64
# and powerpc; from source for the others.
ARCHES = {
    arch.name: arch
    for arch in (
        Arch("x86_64", 64, (12,)),
        Arch("i386", 32, (12,)),
        Arch("arm64", 64, (12, 14, 16), unknown_vm_ioctl=EINVAL),
        Arch("riscv64", 64, (12,), unknown_vm_ioctl=EINVAL),
        Arch("ppc64", 64, (16, 12)),
        Arch("ppc32", 32, (12,), endian="big"),
        Arch("s390x", 64, (12,), endian="big"),
        Arch("mips", 64, (12, 14, 16)),
        Arch("loongarch64", 64, (14, 12, 16)),
    )
}

# groups of architectures that rules share
X86 = ("x86_64", "i386")
ARM64, RISCV, S390, LOONGARCH, PPC64 = (
    ("arm64",),
    ("riscv64",),
    ("s390x",),
    ("loongarch64",),
    ("ppc64",),
)
WITH_VMA_WALK = ("arm64", "riscv64")
"""Architectures whose prepare hooks look at the host mappings behind a slot."""
NARROW = tuple(arch.name for arch in ARCHES.values() if arch.long_bits < 64)
"""Architectures whose unsigned long has 32 bits."""

_ALIASES = {
    "x86-64": "x86_64",
    "x64": "x86_64",
    "amd64": "x86_64",
    "x86": "x86_64",
    "i486": "i386",
    "i586": "i386",
    "i686": "i386",
    "x86-32": "i386",
    "aarch64": "arm64",
    "riscv": "riscv64",
    "ppc64le": "ppc64",
    "ppc64el": "ppc64",
    "powerpc64": "ppc64",
    "powerpc64le": "ppc64",
    "ppc": "ppc32",
    "powerpc": "ppc32",
    "s390": "s390x",
    "mips64": "mips",
    "loongarch": "loongarch64",
    "loong64": "loongarch64",
}


ARCH_AND_EDITS = r"(?:/(?P<arch>[A-Za-z0-9_]+?(?:-(?:64|32))?))?(?P<edits>(?:[+-].*)?)$"
"""What may stand behind a release in the name of a kernel: `/x86-64+intel-smm`."""


def find_arch(name: str) -> Arch:
    """The architecture of that name, as uname, Debian or KVM spell it.

    Raises UnknownKernelError with the names there are.
    """
    key = name.lower()
    arch = ARCHES.get(_ALIASES.get(key, key))
    if arch is None:
        raise UnknownKernelError(f"unknown architecture {name!r}; known: {', '.join(ARCHES)}")
    return arch
