"""The bytes of recordings, whether they lie in folders or in archives; one is open at a time."""

from __future__ import annotations

import os
from contextlib import contextmanager

from ..trace.reader import read
from .inputs import ZIP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

    from ..trace.event import Event, Reading
    from .inputs import Input


class Opener:
    """Opens recordings; an archive stays open from one of its recordings to the next."""

    __slots__ = ("_archive", "_path")

    def __init__(self) -> None:
        self._path = ""
        self._archive: object = None

    @contextmanager
    def events(self, one: Input, reading: Reading) -> Iterator[Iterator[Event]]:
        """The events of a recording.  Raises TraceError or OSError for what cannot be read."""
        if not one.archive:
            yield read(one.files[0] if len(one.files) == 1 else one.files, reading=reading)
        elif len(one.files) == 1:
            with self._member(one.archive, one.files[0]) as file:
                yield read(_Named(file, one.name), reading=reading)  # type: ignore[arg-type]
        else:
            yield from self._thread_files(one, reading)

    def _thread_files(self, one: Input, reading: Reading) -> Iterator[Iterator[Event]]:
        """The files of one strace -ff, which are read side by side."""
        import shutil
        import tempfile

        with tempfile.TemporaryDirectory(prefix="memslots-") as folder:
            paths = []
            for name in one.files:
                paths.append(os.path.join(folder, os.path.basename(name)))
                with self._member(one.archive, name) as file, open(paths[-1], "wb") as copy:
                    shutil.copyfileobj(file, copy)
            yield read(paths, reading=reading)

    def _member(self, path: str, name: str) -> IO[bytes]:
        import tarfile
        import zipfile

        if path != self._path:
            self.close()
            if path.endswith(ZIP):
                self._archive = zipfile.ZipFile(path)
            else:
                self._archive = tarfile.open(fileobj=_plain(path))  # noqa: SIM115
            self._path = path
        if isinstance(self._archive, zipfile.ZipFile):
            return self._archive.open(name)
        assert isinstance(self._archive, tarfile.TarFile)
        file = self._archive.extractfile(name)
        if file is None:
            raise OSError(f"{path}: {name} is no file")
        return file

    def close(self) -> None:
        """Close what is open."""
        if self._archive is not None:
            self._archive.close()  # type: ignore[attr-defined]
        self._archive, self._path = None, ""


def _plain(path: str) -> IO[bytes]:
    """A tar archive without its compression, in which one can go back."""
    import bz2
    import gzip
    import lzma
    import shutil
    import tempfile

    if path.endswith(".tar"):
        return open(path, "rb")
    packed = gzip if path.endswith("gz") else lzma if path.endswith("xz") else bz2
    plain = tempfile.TemporaryFile(prefix="memslots-")  # noqa: SIM115
    with packed.open(path) as file:
        shutil.copyfileobj(file, plain)
    plain.seek(0)
    return plain


class _Named:
    """A file in an archive, under the name that its recording has."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self.read = file.read
        self.name = name
