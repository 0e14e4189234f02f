"""What a kernel is booted with: the asking program, the modules it needs, the script."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import os
import subprocess

from ...errors import DeviceUnavailableError
from .kernels import MACHINES, cache_folder
from .packages import need

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "asker.c")
_DIRECTORY, _CHARACTER_DEVICE, _PROGRAM, _FILE = 0o040755, 0o020600, 0o100755, 0o100644
_LIBRARIES = {
    "amd64": "gcc libc6-dev", "i386": "gcc-i686-linux-gnu libc6-dev-i386-cross",
    "arm64": "gcc-aarch64-linux-gnu libc6-dev-arm64-cross", "riscv64": "gcc-riscv64-linux-gnu "
        "libc6-dev-riscv64-cross",
    "ppc64el": "gcc-powerpc64le-linux-gnu libc6-dev-ppc64el-cross",
}  # fmt: skip


def compiled(arch: str) -> str:
    """The asking program for a Debian architecture; compiled once for each version of its source.

    Raises DeviceUnavailableError without the (cross) compiler.
    """
    compiler = need(MACHINES[arch].compiler, _LIBRARIES[arch])
    with open(SOURCE, "rb") as file:
        version = hashlib.sha256(file.read()).hexdigest()[:12]
    program = os.path.join(cache_folder(), "bin", f"asker-{arch}-{version}")
    if not os.path.exists(program):
        os.makedirs(os.path.dirname(program), exist_ok=True)
        unfinished = f"{program}.{os.getpid()}"
        command = [compiler, "-O2", "-static", "-o", unfinished, SOURCE]
        ended = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if ended.returncode:
            raise DeviceUnavailableError(
                f"{compiler} cannot compile the asking program (apt-get install "
                f"{_LIBRARIES[arch]}?): "
                f"{ended.stderr.strip()[-300:]}"
            )
        os.rename(unfinished, program)
    return program


def module_files(folder: str, release: str, wanted: Sequence[str]) -> list[tuple[str, bytes]]:
    """(name, content) of the wanted modules and all they need, in loading order.

    A module that the kernel does not have is built in, or the kernel has no KVM: it will say so.
    """
    base = os.path.join(folder, "lib", "modules", release)
    needs: dict[str, list[str]] = {}
    with open(os.path.join(base, "modules.dep"), encoding="utf-8") as lines:
        for line in lines:
            path, _, rest = line.partition(":")
            needs[path] = rest.split()
    paths = {_module_name(path): path for path in needs}
    order: list[str] = []

    def add(path: str) -> None:
        for needed in needs.get(path, ()):
            add(needed)
        if path not in order:
            order.append(path)

    for name in wanted:
        found = paths.get(name.replace("-", "_"))
        if found is not None:
            add(found)
    return [(_module_name(path), _unpacked(os.path.join(base, path))) for path in order]


def _module_name(path: str) -> str:
    return os.path.basename(path).split(".ko")[0].replace("-", "_")


def _unpacked(path: str) -> bytes:
    with open(path, "rb") as file:
        data = file.read()
    if path.endswith(".xz"):
        return lzma.decompress(data)
    if path.endswith(".gz"):
        return gzip.decompress(data)
    if path.endswith(".zst"):
        return subprocess.run(
            [need("zstd", "zstd"), "-dc", path], capture_output=True, check=True
        ).stdout
    return data


class Cpio:
    """An archive of the "newc" kind, as much of it as an initramfs needs."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._inode = 1

    def add(
        self, name: str, mode: int, content: bytes = b"", device: tuple[int, int] = (0, 0)
    ) -> None:
        """Append a file, folder (no content) or device (major and minor number)."""
        self._inode += 1
        path = name.encode() + b"\0"
        fields = (self._inode, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(path), 0)
        self._data += b"070701" + b"".join(b"%08x" % field for field in fields) + path
        self._pad()
        self._data += content
        self._pad()

    def _pad(self) -> None:
        self._data += bytes(-len(self._data) % 4)

    def finished(self) -> bytes:
        """The archive with its trailer."""
        self.add("TRAILER!!!", 0)
        return bytes(self._data)


def initramfs(
    program: bytes,
    modules: Sequence[tuple[str, bytes]],
    module_arguments: Mapping[str, str],
    script: str,
) -> bytes:
    """The archive whose /init is the program."""
    archive = Cpio()
    for folder in ("dev", "proc", "sys", "asker"):
        archive.add(folder, _DIRECTORY)
    archive.add("dev/console", _CHARACTER_DEVICE, device=(5, 1))
    archive.add("dev/null", _CHARACTER_DEVICE | 0o066, device=(1, 3))
    archive.add("init", _PROGRAM, program)
    listed = []
    for name, content in modules:
        archive.add(f"asker/{name}.ko", _FILE, content)
        listed.append(f"/asker/{name}.ko {module_arguments.get(name, '')}".strip() + "\n")
    archive.add("asker/modules", _FILE, "".join(listed).encode())
    archive.add("asker/script", _FILE, script.encode())
    return archive.finished()
