"""A kernel of one's own: an image that was built, and its modules, booted as the farm's are."""

from __future__ import annotations

import os
import struct

from ...errors import DeviceUnavailableError
from .initramfs import module_files
from .kernels import LIMIT_PAGES_OF_ALL, MACHINES, Kernel

OWN = "own"
"""The suite of a kernel that is in no suite."""
_READ_BYTES = 1 << 20
_X86_MAGIC, _X86_64_FLAG = b"HdrS", 1
_ELF_PPC64 = 21


class ImageHead:
    """What the head of a kernel image says."""

    __slots__ = ("arch", "release")

    def __init__(self, arch: str, release: str = "") -> None:
        self.arch = arch
        """Debian's name of the architecture."""
        self.release = release
        """What `uname -r` will say; empty if the head does not."""


def head_of(path: str) -> ImageHead:
    """The architecture of an image, by its boot protocol.  Raises ValueError for a file that is no
    kernel image, OSError for one that cannot be read.
    """
    with open(path, "rb") as file:
        data = file.read(_READ_BYTES)
    if data[0x202:0x206] == _X86_MAGIC:
        (flags,) = struct.unpack_from("<H", data, 0x236)
        (at,) = struct.unpack_from("<H", data, 0x20E)
        text = data[0x200 + at : 0x200 + at + 256].split(b"\0")[0].decode("ascii", "replace")
        return ImageHead("amd64" if flags & _X86_64_FLAG else "i386", text.split(" ")[0])
    if data[56:60] == b"ARM\x64":
        return ImageHead("arm64")
    if data[56:60] == b"RSC\x05":
        return ImageHead("riscv64")
    if data[:4] == b"\x7fELF" and data[5:6] == b"\1" and data[18:20] == bytes([_ELF_PPC64, 0]):
        return ImageHead("ppc64el")
    raise ValueError(
        f"{path} is no kernel image that can be booted here: give arch/x86/boot/bzImage, "
        "arch/arm64/boot/Image, arch/riscv/boot/Image or powerpc's vmlinux, not compressed"
    )


def own_kernel(path: str, modules: str = "") -> Kernel:
    """A kernel to boot: the image, and the folder that `make modules_install
    INSTALL_MOD_PATH=DIR` filled (none if KVM is built in).  Raises ValueError, OSError.
    """
    head = head_of(path)
    if modules and not _releases(modules):
        raise ValueError(f"{modules} has no lib/modules: make modules_install INSTALL_MOD_PATH=DIR")
    names = {"amd64": "x86_64"}
    return Kernel(
        f"built-own-{names.get(head.arch, head.arch)}", OWN, head.arch, "",
        LIMIT_PAGES_OF_ALL[head.arch], image_path=path, modules_path=modules,
    )  # fmt: skip


def own_modules(kernel: Kernel) -> list[tuple[str, bytes]]:
    """(name, content) of the modules that KVM is made of, in loading order; none if built in."""
    if not kernel.modules_path:
        return []
    releases = _releases(kernel.modules_path)
    wanted = head_of(kernel.image_path).release
    if wanted and wanted not in releases:
        raise DeviceUnavailableError(
            f"{kernel.modules_path} has modules of {', '.join(releases)}, the image is {wanted}"
        )
    release = wanted or releases[0]
    return module_files(kernel.modules_path, release, MACHINES[kernel.arch].modules)


def _releases(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(os.path.join(folder, "lib", "modules")))
    except OSError:
        return []
