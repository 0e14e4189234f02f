"""What a scan is given: files, folders and archives, taken apart into recordings."""

from __future__ import annotations

import os
import stat
from hashlib import blake2b

from ..trace.reader import recording_name, recordings_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TAR, ZIP = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2"), (".zip",)
OTHERS = (".parquet", ".html", ".py", ".md", ".toml", ".sql", ".svg", ".tmp")
"""Endings of files that stand beside recordings in folders and are none."""
WITHIN = "!"
"""Between the name of an archive and that of a file in it."""


class Input:
    """One recording, not yet read: where it is, and what makes it this one."""

    __slots__ = ("archive", "changed_ns", "files", "host", "name", "nbytes")

    def __init__(
        self, host: str, files: list[str], nbytes: int, changed_ns: int, archive: str = ""
    ) -> None:
        self.host = host
        """As far as it is known before it is read."""
        self.files = files
        """Paths, or names within the archive; several of one strace -ff."""
        self.nbytes = nbytes
        self.changed_ns = changed_ns
        self.archive = archive
        name = recording_name(files)
        self.name = f"{archive}{WITHIN}{name}" if archive else name

    @property
    def id(self) -> int:
        """A number of 63 bits: the same for the same recording, wherever it is scanned."""
        text = f"{self.host}\0{self.name}\0{self.nbytes}\0{self.changed_ns}"
        digest = blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest()
        return int.from_bytes(digest, "big") >> 1


class Inputs:
    """The recordings among what was named, in order, and what could not be looked at."""

    __slots__ = ("found", "problems")

    def __init__(self) -> None:
        self.found: list[Input] = []
        self.problems: list[str] = []

    def add(self, source: str, host: str) -> None:
        """Take a file, an archive, or a folder with all below it."""
        path = os.path.normpath(source)
        if os.path.isdir(path):
            for folder, owner in _folders(path):
                self._files(_recordings_in(folder), host or owner)
        else:
            self._files([path], host)

    def _files(self, paths: list[str], host: str) -> None:
        archives = [path for path in paths if path.endswith(TAR + ZIP)]
        for path in archives:
            try:
                members = _zipped(path) if path.endswith(ZIP) else _tarred(path)
                self._members(path, members, host)
            except (OSError, ValueError, EOFError) as error:
                self.problems.append(f"{path}: {error}")
        for files in recordings_of(path for path in paths if path not in archives):
            try:
                states = [os.stat(file) for file in files]
            except OSError as error:
                self.problems.append(f"{recording_name(files)}: {error.strerror or error}")
                continue
            if all(stat.S_ISREG(state.st_mode) for state in states):
                nbytes = sum(state.st_size for state in states)
                changed = max(state.st_mtime_ns for state in states)
                self.found.append(Input(host, files, nbytes, changed))
            else:
                self.problems.append(f"{recording_name(files)}: no regular file")

    def _members(self, path: str, members: Iterable[tuple[str, int, int]], host: str) -> None:
        known = {name: (nbytes, changed) for name, nbytes, changed in members}
        for files in recordings_of(name for name in known if not _is_other(name)):
            owner = host or (files[0].split("/")[0] if "/" in files[0] else "")
            nbytes = sum(known[name][0] for name in files)
            changed = max(known[name][1] for name in files)
            self.found.append(Input(owner, files, nbytes, changed, path))


def find_inputs(sources: Iterable[str], host: str = "") -> Inputs:
    """The recordings in files, folders and archives, in the order of their names.

    host: where they were all recorded, if it is stated.  Otherwise it is the first folder below a
    folder that is named: recordings/HOST/any.rec.  What a recording says itself comes first.
    """
    inputs = Inputs()
    for source in sources:
        inputs.add(source, host)
    seen: dict[int, Input] = {each.id: each for each in inputs.found}
    inputs.found = sorted(seen.values(), key=lambda each: (each.host, each.name))
    return inputs


def _folders(top: str) -> Iterator[tuple[str, str]]:
    """Each folder with the host that it stands for: the one below `top` in which it lies."""
    for folder, below, _ in os.walk(top):
        below[:] = sorted(name for name in below if not name.startswith("."))
        inner = os.path.relpath(folder, top)
        yield folder, "" if inner == "." else inner.split(os.sep)[0]


def _recordings_in(folder: str) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(
            entry.path for entry in entries if not _is_other(entry.path) and entry.is_file()
        )


def _is_other(name: str) -> bool:
    return name.endswith(OTHERS) or os.path.basename(name).startswith(".")


def _tarred(path: str) -> list[tuple[str, int, int]]:
    import tarfile

    try:
        with tarfile.open(path) as archive:
            return sorted(
                (member.name, member.size, int(member.mtime * 1_000_000_000))
                for member in archive
                if member.isfile()
            )
    except tarfile.TarError as error:
        raise ValueError(str(error)) from None


def _zipped(path: str) -> list[tuple[str, int, int]]:
    import calendar
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            return sorted(
                (each.filename, each.file_size, calendar.timegm(each.date_time) * 1_000_000_000)
                for each in archive.infolist()
                if not each.is_dir()
            )
    except zipfile.BadZipFile as error:
        raise ValueError(str(error)) from None
