"""Kernels from Debian packages, through the mirror that this machine's apt is configured with.

Each suite and architecture has an apt state of its own in the cache, so that the
machine's package lists and installed packages are left alone.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

from ...errors import DeviceUnavailableError
from .kernels import Kernel, cache_folder, kernel_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Say = Callable[[str], None]

_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_KERNEL_PACKAGE = re.compile(r"linux-(image|binary|modules)-\d")
_DONE = "ok"
"""The file that is written when all else is there; it holds the release."""


def say_on_stderr(text: str) -> None:
    """One line for who is waiting."""
    print(text, file=sys.stderr, flush=True)


def need(program: str, package: str) -> str:
    """The path of a program.  Raises DeviceUnavailableError that says what to install."""
    path = shutil.which(program)
    if path is None:
        raise DeviceUnavailableError(f"{program} is not installed: apt-get install {package}")
    return path


def fetch(kernel: Kernel, say: Say = say_on_stderr) -> tuple[str, str]:
    """The folder of an unpacked kernel and its release; fetched if it is not there.

    Raises DeviceUnavailableError if a tool, the mirror or the package is missing.
    """
    folder = kernel_folder(kernel)
    done = os.path.join(folder, _DONE)
    if not os.path.exists(done):
        for program, package in (("apt-get", "apt"), ("dpkg", "dpkg"), ("depmod", "kmod")):
            need(program, package)
        apt = Apt(kernel.suite, kernel.arch)
        try:
            _unpack(kernel, apt, folder, say)
        except DeviceUnavailableError:
            # the mirror may have gone on since the lists were fetched
            apt.update()
            _unpack(kernel, apt, folder, say)
        _finish(folder, done)
    with open(done, encoding="ascii") as file:
        return folder, file.read().strip()


def _unpack(kernel: Kernel, apt: Apt, folder: str, say: Say) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    names = apt.kernel_packages(kernel.package)
    say(f"{kernel.name}: fetching {' '.join(names)}")
    apt.unpack(names, folder)


def _finish(folder: str, done: str) -> None:
    """Put modules where depmod looks for them, and note the release."""
    if not os.path.exists(os.path.join(folder, "lib")) and os.path.isdir(
        os.path.join(folder, "usr", "lib")
    ):
        os.symlink("usr/lib", os.path.join(folder, "lib"))
    release = sorted(os.listdir(os.path.join(folder, "lib", "modules")))[0]
    _run(["depmod", "-b", folder, release])
    with open(done, "w", encoding="ascii") as file:
        file.write(release)


def _run(command: Sequence[str], cwd: str | None = None) -> str:
    """What a command prints.  Raises DeviceUnavailableError with its last complaint."""
    ended = subprocess.run(command, cwd=cwd, capture_output=True, text=True, errors="replace")
    if ended.returncode:
        complaint = (ended.stderr.strip() or ended.stdout.strip() or "no message").splitlines()[-1]
        raise DeviceUnavailableError(
            f"{' '.join(command[:1])} failed ({ended.returncode}): {complaint}"
        )
    return ended.stdout


def _first_cause(complaints: str) -> str:
    """The first thing that apt complains of; its last line only says that there was one."""
    lines = [
        line[3:].strip() for line in complaints.splitlines() if line.startswith(("E: ", "W: "))
    ]
    causes = [line for line in lines if not line.startswith("Some index files failed")]
    cause = (causes or lines or ["apt-get update says nothing"])[0]
    mismatch = any(
        word in cause for word in ("unexpected size", "Hash Sum mismatch", "Mirror sync")
    )
    return f"{cause} (the mirror is being renewed: try again later)" if mismatch else cause


def mirror() -> str:
    """The Debian mirror of this machine's apt.  Raises DeviceUnavailableError if it has none."""
    listed = _run(
        [
            need("apt-get", "apt"),
            "indextargets",
            "--format",
            "$(REPO_URI)",
            "Origin: Debian",
            "Created-By: Packages",
        ]
    )
    for uri in listed.split():
        if "security" not in uri:
            return uri
    raise DeviceUnavailableError(
        "apt has no Debian mirror, or no package lists: run apt-get update"
    )


class Apt:
    """An apt for one suite and architecture, with its own lists."""

    def __init__(self, suite: str, arch: str, *, uri: str = "") -> None:
        """Fetches the lists if there are none; `uri` is another archive of Debian than the mirror's
        main one.

        Raises DeviceUnavailableError.
        """
        self.suite, self.arch = suite, arch
        self.folder = os.path.join(cache_folder(), "apt", f"{suite}-{arch}")
        lists = os.path.join(self.folder, "lists")
        for part in (lists, os.path.join(self.folder, "archives")):
            os.makedirs(os.path.join(part, "partial"), exist_ok=True)
        sources = os.path.join(self.folder, "sources.list")
        with open(sources, "w", encoding="utf-8") as file:
            file.write(f"deb [signed-by={_KEYRING}] {uri or mirror()} {suite} main\n")
        with open(os.path.join(self.folder, "status"), "a", encoding="ascii"):
            pass
        settings = {
            "Dir::Etc::sourcelist": sources,
            "Dir::Etc::sourceparts": "-",
            "Dir::State": self.folder,
            "Dir::State::lists": lists,
            "Dir::State::status": os.path.join(self.folder, "status"),
            "Dir::Cache": self.folder,
            "Dir::Cache::archives": os.path.join(self.folder, "archives"),
            "APT::Architecture": arch,
            "APT::Architectures": arch,
            "Acquire::Languages": "none",
            "Acquire::Check-Valid-Until": "false",  # lists of old releases are not renewed
        }
        if os.geteuid() == 0:
            settings["APT::Sandbox::User"] = "root"  # _apt cannot read a home folder
        self.options = [
            word for name, value in settings.items() for word in ("-o", f"{name}={value}")
        ]
        if not self._has_lists():
            self.update()

    def update(self) -> None:
        """Fetch the lists.  Raises DeviceUnavailableError that says which of them, and why not."""
        command = ["apt-get", *self.options, "update", "-qq"]
        ended = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if ended.returncode or not self._has_lists():
            raise DeviceUnavailableError(
                f"no package lists of {self.suite} for {self.arch}: {_first_cause(ended.stderr)}"
            )  # fmt: skip

    def _has_lists(self) -> bool:
        return any("Packages" in name for name in os.listdir(os.path.join(self.folder, "lists")))

    def kernel_packages(self, package: str) -> list[str]:
        """The packages with files that a kernel's metapackage stands for."""
        waiting, seen = [package], []
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.append(name)
            for alternative in self._depends(name).split(","):
                first = alternative.split("|")[0].split("(")[0].strip()
                if _KERNEL_PACKAGE.match(first):
                    waiting.append(first)
        return [name for name in seen if _KERNEL_PACKAGE.match(name)]

    def _depends(self, package: str) -> str:
        try:
            shown = _run(["apt-cache", *self.options, "show", "--no-all-versions", package])
        except DeviceUnavailableError as error:
            raise DeviceUnavailableError(
                f"{self.suite} has no {package} for {self.arch}: {error}"
            ) from None
        match = re.search(r"^Depends: (.*)$", shown, re.MULTILINE)
        return match[1] if match else ""

    def unpack(self, packages: Sequence[str], folder: str) -> None:
        """Download packages and unpack them into a folder; nothing is installed."""
        debs = os.path.join(folder, "debs")
        os.makedirs(debs)
        _run(["apt-get", *self.options, "download", "-qq", *packages], cwd=debs)
        for name in sorted(os.listdir(debs)):
            _run(["dpkg", "-x", os.path.join(debs, name), folder])
        shutil.rmtree(debs)


def image(folder: str, release: str) -> str:
    """The kernel to boot in an unpacked package.

    Raises DeviceUnavailableError if there is none.
    """
    for path in (
        f"boot/vmlinuz-{release}", f"boot/vmlinux-{release}",
        f"usr/lib/modules/{release}/vmlinuz", f"lib/modules/{release}/vmlinuz",
    ):  # fmt: skip
        if os.path.exists(os.path.join(folder, path)):
            return os.path.join(folder, path)
    raise DeviceUnavailableError(f"{folder} holds no kernel {release}: remove it to fetch it again")
