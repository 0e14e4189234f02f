"""Boots another kernel under QEMU with this Python and this package in it, to read the VMs that
run there.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import memslots
from memslots.verify.farm.initramfs import Cpio, module_files
from memslots.verify.farm.kernels import MACHINES
from memslots.verify.farm.packages import fetch, image

HERE = Path(__file__).parent
EXTENSIONS = (
    "_ctypes", "_struct", "mmap", "fcntl", "resource", "array", "select", "math", "_json",
    "_posixsubprocess", "zlib",
    "_random", "_sha2", "_sha512", "_sha256", "binascii", "_bisect", "_heapq", "_datetime",
    "_opcode", "unicodedata",
)  # fmt: skip
LEFT_OUT = re.compile(
    r"/(test|tests|idlelib|tkinter|lib2to3|ensurepip|distutils|site-packages|lib-dynload|__pycache__)/"
)
SECONDS = 400


class Archive(Cpio):
    """An initramfs that makes the folders of what is put in."""

    def __init__(self):
        super().__init__()
        self._folders = set()

    def put(self, name, content, mode=0o100755):
        parent = os.path.dirname(name)
        parts = parent.split("/") if parent else []
        for depth in range(1, len(parts) + 1):
            folder = "/".join(parts[:depth])
            if folder not in self._folders:
                self._folders.add(folder)
                self.add(folder, 0o040755)
        self.add(name, mode, content)

    def folder(self, name):
        self._folders.add(name)
        self.add(name, 0o040755)


def libraries(path):
    """The shared libraries that a program or an extension needs, and the loader."""
    said = subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout
    return {word for line in said.splitlines() for word in line.split() if word.startswith("/")}


def python_of(archive):
    """Put the interpreter, its library and what they load where they are here."""
    program = os.path.realpath(sys.executable)
    needed = {program, *libraries(program)}
    standard = Path(sysconfig.get_path("stdlib"))
    for path in (standard / "lib-dynload").glob("*.so"):
        if path.name.split(".")[0] in EXTENSIONS:
            needed |= {str(path), *libraries(str(path))}
    for path in sorted(needed):
        archive.put(path.lstrip("/"), Path(path).read_bytes())
    for path in standard.rglob("*.py"):
        if not LEFT_OUT.search(str(path)):
            archive.put(str(path).lstrip("/"), path.read_bytes(), 0o100644)
    return program


def initramfs(kernel):
    """The archive whose /init is `inside_other_kernel.py`."""
    folder, release = fetch(kernel)
    archive = Archive()
    for name in ("dev", "proc", "sys", "modules"):
        archive.folder(name)
    archive.add("dev/console", 0o020600, device=(5, 1))
    archive.add("dev/null", 0o020666, device=(1, 3))
    program = python_of(archive)
    package = Path(memslots.__file__).parent
    for path in package.rglob("*"):
        if path.is_file() and path.suffix in (".py", ".json") and "__pycache__" not in path.parts:
            archive.put(
                f"memslots-src/memslots/{path.relative_to(package)}", path.read_bytes(), 0o100644
            )
    for number, (name, content) in enumerate(
        module_files(folder, release, MACHINES[kernel.arch].modules)
    ):
        archive.put(f"modules/{number:02}-{name}.ko", content, 0o100644)
    inside = (HERE / "inside_other_kernel.py").read_text()
    archive.put("init", f"#!{program} -BS\n{inside}".encode())
    return folder, release, archive.finished()


def seen_on(kernel, folder):
    """What `inside_other_kernel.py` printed on a kernel."""
    tree, release, content = initramfs(kernel)
    path = Path(folder) / "initramfs"
    path.write_bytes(content)
    machine = MACHINES[kernel.arch]
    command = [
        *kernel.qemu, "-accel", "tcg", "-m", "2G", "-display", "none", "-monitor", "none",
        "-serial", "stdio",
        "-no-reboot", "-nodefaults", "-nic", "none", "-kernel", image(tree, release), "-initrd",
        str(path),
        "-append", f"console={machine.console} quiet loglevel=1 panic=-1 mitigations=off "
                   "rdinit=/init",
    ]  # fmt: skip
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False
    )
    console = done.stdout.decode(errors="replace")
    found = re.search(r"SEEN (\{.*\})", console)
    assert found, console[-3000:]
    return json.loads(found[1])
