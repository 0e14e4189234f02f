"""The kernels that can be booted here: package, machine, and how much memory a VM may ask for.

What the model knows of each machine (address bits, paging mode) stands with the
profiles, in `memslots.verify.recorded.profiles`, under the same names.
"""

from __future__ import annotations

import os

from ...errors import UnknownKernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

NATIVE = "native"
"""The kernel under us, asked by the same program without QEMU."""


class EmulatedMachine:
    """How kernels of one Debian architecture are booted."""

    __slots__ = ("compiler", "console", "modules", "qemu", "qemu_package")

    def __init__(
        self,
        compiler: str,
        qemu: tuple[str, ...],
        qemu_package: str,
        console: str,
        modules: tuple[str, ...],
    ) -> None:
        self.compiler = compiler
        self.qemu = qemu
        """The command; its first word is the program."""
        self.qemu_package = qemu_package
        self.console = console
        self.modules = modules


_PC = ("qemu-system-x86_64", "-machine", "pc", "-cpu", "max,la57=off")
_PC_PA52 = (*_PC[:-1], "max,la57=off,phys-bits=52")
"""52 guest-physical address bits instead of QEMU's 40."""
_PC_PA36 = (*_PC[:-1], "max,la57=off,phys-bits=36")
_ARM = (
    "qemu-system-aarch64",
    "-machine",
    "virt,virtualization=on,gic-version=3",
    "-cpu",
    "cortex-a76",
)
_ARM_GICV2 = (
    "qemu-system-aarch64",
    "-machine",
    "virt,virtualization=on,gic-version=2",
    "-cpu",
    "cortex-a72",
)
_ARM_MTE = (
    "qemu-system-aarch64",
    "-machine",
    "virt,virtualization=on,gic-version=3,mte=on",
    "-cpu",
    "max",
)
_RISCV = ("qemu-system-riscv64", "-machine", "virt", "-cpu", "rv64,h=true")
_POWER = ("qemu-system-ppc64", "-machine", "powernv9", "-cpu", "power9_v2.0")

MACHINES = {
    "amd64": EmulatedMachine("gcc", _PC, "qemu-system-x86", "ttyS0", ("kvm-amd",)),
    "i386": EmulatedMachine("i686-linux-gnu-gcc", _PC, "qemu-system-x86", "ttyS0", ("kvm-amd",)),
    "arm64": EmulatedMachine("aarch64-linux-gnu-gcc", _ARM, "qemu-system-arm", "ttyAMA0", ()),
    "riscv64": EmulatedMachine(
        "riscv64-linux-gnu-gcc", _RISCV, "qemu-system-misc", "ttyS0", ("kvm",)
    ),
    "ppc64el": EmulatedMachine(
        "powerpc64le-linux-gnu-gcc", _POWER, "qemu-system-ppc", "hvc0", ("kvm-hv",)
    ),
}

# Guest pages of one VM up to which slots are asked for.  Some kernels allocate 4 to 10
# bytes for each page at once, and 32-bit ones have 128 MiB of room for that.
_P64, _P32, _WRITE_TRACKED, _FREE = 1 << 26, 1 << 23, 1 << 28, 1 << 34
LIMIT_PAGES_OF_ALL = {arch: _P32 if arch == "i386" else _P64 for arch in MACHINES}
"""What every kernel of an architecture has room for, whatever its release."""


class Changed:
    """A value of an identification register that QEMU's copy in the cache has in place of
    another.
    """

    __slots__ = ("new", "old", "register")

    def __init__(self, register: str, old: int, new: int) -> None:
        self.register = register
        self.old = old
        self.new = new


_PARANGE_36 = Changed("ID_AA64MMFR0_EL1", 0x10_1122, 0x10_1121)
"""cortex-a76 with 36 physical address bits: no processor of QEMU has fewer than 40."""


class Kernel:
    """One kernel, and the machine it is booted on."""

    __slots__ = (
        "arch", "changed", "command_line", "image_path", "limit_pages", "module_arguments",
        "modules_path", "name", "package", "program_arch", "qemu",
        "ram", "suite", "totals_command_line", "totals_ram",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        suite: str,
        arch: str,
        package: str,
        limit_pages: int,
        *,
        qemu: tuple[str, ...] | None = None,
        changed: Changed | None = None,
        program_arch: str | None = None,
        module_arguments: dict[str, str] | None = None,
        command_line: str = "",
        ram: str = "3G",
        totals_ram: str | None = None,
        totals_command_line: str = "",
        image_path: str = "",
        modules_path: str = "",
    ) -> None:
        self.name = name
        self.suite = suite
        """Debian's name of the release; empty for the kernel under us."""
        self.arch = arch
        """Debian's name of the architecture."""
        self.package = package
        self.limit_pages = limit_pages
        """Guest pages of one VM up to which slots are asked for."""
        self.qemu = MACHINES[arch].qemu if qemu is None else qemu
        self.changed = changed
        self.program_arch = arch if program_arch is None else program_arch
        """The architecture that the asking program is compiled for."""
        self.module_arguments = module_arguments or {}
        self.command_line = command_line
        """What the kernel is told."""
        self.ram = ram
        """QEMU's -m."""
        self.totals_ram = ram if totals_ram is None else totals_ram
        """The same for the sequences that fill a VM up."""
        self.totals_command_line = totals_command_line
        """What the kernel is told then, besides."""
        self.image_path = image_path
        """The image of a kernel that is in no package."""
        self.modules_path = modules_path
        """The folder above its lib/modules; empty if KVM is built in."""

    @property
    def is_native(self) -> bool:
        """Whether it is the kernel under us."""
        return not self.suite


_AMD64, _PAE = "linux-image-amd64", "linux-image-686-pae"
_ARM64, _POWER64 = "linux-image-arm64", "linux-image-powerpc64le"
_PROTECTED = "kvm-arm.mode=protected"
"""KVM keeps a hypervisor of its own below the kernel, which owns the memory of protected VMs."""
_ROOM = "vmalloc=768M"
"""For the reverse maps of 120 million pages; needs 4 GiB."""

_ALL = (
    Kernel(NATIVE, "", "amd64", "", _P64),
    Kernel("native-compat32", "", "i386", "", _P64),
    Kernel("debian-5.10-x86_64", "bullseye", "amd64", _AMD64, _P64),
    Kernel("debian-6.1-x86_64", "bookworm", "amd64", _AMD64, _FREE),
    Kernel("debian-6.1-x86_64-compat32", "bookworm", "amd64", _AMD64, _FREE, program_arch="i386"),
    Kernel(
        "debian-6.1-x86_64-shadow",
        "bookworm",
        "amd64",
        _AMD64,
        _P64,
        module_arguments={"kvm_amd": "npt=0"},
    ),
    Kernel("debian-6.12-x86_64", "trixie", "amd64", _AMD64, _FREE),
    Kernel("debian-sid-x86_64", "sid", "amd64", _AMD64, _FREE),
    Kernel("debian-6.1-x86_64-pa52", "bookworm", "amd64", _AMD64, _WRITE_TRACKED, qemu=_PC_PA52),
    Kernel("debian-6.12-x86_64-pa52", "trixie", "amd64", _AMD64, _FREE, qemu=_PC_PA52),
    Kernel("debian-sid-x86_64-pa52", "sid", "amd64", _AMD64, _FREE, qemu=_PC_PA52),
    Kernel("debian-5.10-i386", "bullseye", "i386", _PAE, _P32),
    Kernel(
        "debian-5.10-i386-pa52",
        "bullseye",
        "i386",
        _PAE,
        _P32,
        qemu=_PC_PA52,
        totals_ram="4G",
        totals_command_line=_ROOM,
    ),
    Kernel("debian-5.10-i386-nopae", "bullseye", "i386", "linux-image-686", _P32),
    Kernel("debian-6.1-i386", "bookworm", "i386", _PAE, _P32),
    Kernel(
        "debian-6.1-i386-pa52",
        "bookworm",
        "i386",
        _PAE,
        _P32,
        qemu=_PC_PA52,
        totals_ram="4G",
        totals_command_line=_ROOM,
    ),
    Kernel("debian-6.1-i386-nopae", "bookworm", "i386", "linux-image-686", _P32),
    Kernel(
        "debian-6.5-i386", "bookworm-backports", "i386", "linux-image-6.5.0-0.deb12.4-686-pae", _P32
    ),
    Kernel("debian-5.10-arm64", "bullseye", "arm64", _ARM64, _FREE),
    Kernel("debian-6.1-arm64", "bookworm", "arm64", _ARM64, _FREE),
    Kernel("debian-6.12-arm64", "trixie", "arm64", _ARM64, _FREE),
    Kernel("debian-6.12-arm64-16k", "trixie", "arm64", "linux-image-arm64-16k", _FREE),
    Kernel("debian-sid-arm64", "sid", "arm64", _ARM64, _FREE),
    Kernel("debian-6.12-riscv64", "trixie", "riscv64", "linux-image-riscv64", _FREE),
    Kernel("debian-sid-riscv64", "sid", "riscv64", "linux-image-riscv64", _FREE),
    Kernel("debian-6.1-ppc64el", "bookworm", "ppc64el", _POWER64, _P64),
    Kernel("debian-6.12-ppc64el", "trixie", "ppc64el", _POWER64, _P64),
    Kernel("debian-6.12-ppc64el-64k", "trixie", "ppc64el", "linux-image-powerpc64le-64k", _P64),
    Kernel("debian-sid-ppc64el", "sid", "ppc64el", _POWER64, _P64),
    # the newest there is: candidates of the next release
    Kernel("debian-experimental-x86_64", "experimental", "amd64", _AMD64, _FREE),
    Kernel(
        "debian-experimental-x86_64-pa52", "experimental", "amd64", _AMD64, _FREE, qemu=_PC_PA52
    ),
    Kernel("debian-experimental-arm64", "experimental", "arm64", _ARM64, _FREE),
    Kernel("debian-experimental-ppc64el", "experimental", "ppc64el", _POWER64, _P64),
    # rare hosts
    Kernel("debian-sid-x86_64-pa36", "sid", "amd64", _AMD64, _FREE, qemu=_PC_PA36),
    Kernel("debian-5.10-arm64-pa36", "bullseye", "arm64", _ARM64, _FREE, changed=_PARANGE_36),
    Kernel("debian-sid-arm64-pa36", "sid", "arm64", _ARM64, _FREE, changed=_PARANGE_36),
    Kernel(
        "debian-6.12-arm64-protected", "trixie", "arm64", _ARM64, _FREE, command_line=_PROTECTED
    ),
    Kernel("debian-sid-arm64-protected", "sid", "arm64", _ARM64, _FREE, command_line=_PROTECTED),
    Kernel(
        "debian-experimental-arm64-protected",
        "experimental",
        "arm64",
        _ARM64,
        _FREE,
        command_line=_PROTECTED,
    ),
    Kernel("debian-5.10-arm64-gicv2", "bullseye", "arm64", _ARM64, _FREE, qemu=_ARM_GICV2),
    Kernel("debian-sid-arm64-gicv2", "sid", "arm64", _ARM64, _FREE, qemu=_ARM_GICV2),
    Kernel("debian-6.1-arm64-mte", "bookworm", "arm64", _ARM64, _FREE, qemu=_ARM_MTE),
    Kernel("debian-sid-arm64-mte", "sid", "arm64", _ARM64, _FREE, qemu=_ARM_MTE),
)
KERNELS = {kernel.name: kernel for kernel in _ALL}


def find_kernel(name: str) -> Kernel:
    """The kernel of that name.  Raises UnknownKernelError that lists the known ones."""
    try:
        return KERNELS[name]
    except KeyError:
        raise UnknownKernelError(
            f"no bootable kernel {name!r}; there are {', '.join(KERNELS)}"
        ) from None


def recorded_as(name: str) -> Kernel:
    """The kernel that gave the recorded answers of this name.

    Raises UnknownKernelError that says why it cannot be asked here.
    """
    if name.startswith("host-"):
        release, _, word = name.removeprefix("host-").partition("-")
        here = ".".join(os.uname().release.split(".")[:2])
        if release != here:
            raise UnknownKernelError(
                f"{name} was asked on a {release} kernel, and this host runs {here}"
            )
        return KERNELS[NATIVE if word == "x86_64" else f"{NATIVE}-{word}"]
    if name.startswith("built-"):
        raise UnknownKernelError(
            f"{name} was compiled by hand from Debian's source, in a configuration nobody "
            "packages: not booted here"
        )
    return find_kernel(name)


def cache_folder() -> str:
    """Where kernels and programs are kept: $MEMSLOTS_FARM_CACHE or ~/.cache/memslots."""
    return os.environ.get("MEMSLOTS_FARM_CACHE") or os.path.join(
        os.path.expanduser("~"), ".cache", "memslots"
    )


def kernel_folder(kernel: Kernel) -> str:
    """Where a fetched kernel is unpacked; kernels of one package share it."""
    return os.path.join(cache_folder(), "kernels", f"{kernel.suite}-{kernel.arch}-{kernel.package}")


def fetched(kernels: Iterable[Kernel] = _ALL) -> list[str]:
    """The names of those that need no download."""
    return [
        kernel.name
        for kernel in kernels
        if kernel.is_native or os.path.exists(os.path.join(kernel_folder(kernel), "ok"))
    ]
