"""On each host: its finished recordings into tables that are small enough to ship, and numbers for
the dashboards that there are.
"""

from __future__ import annotations

import os
import struct
import time

from ..record.file import HEADER, KIND_END, MAGIC
from . import engines
from .inputs import find_inputs
from .prometheus import textfile
from .scan import scan
from .store import known_ids
from .tables import Tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .scan import Scanned

_header = struct.Struct(HEADER)
_QUIET_S = 60.0
"""Seconds after which a text that did not change is finished."""
_ABANDONED_S = 3600.0
"""Seconds after which a recording without its end mark is: its recorder was killed."""


def ingest(
    sources: Iterable[str],
    folder: str,
    *,
    host: str = "",
    prom: str = "",
    is_removing: bool = False,
) -> Scanned:
    """Scan the finished recordings of this host; one that still grows is left for the next time.

    host: its name (default: as the system says).  prom: a file for node_exporter's textfile
    collector.  is_removing: remove recordings once they are in the tables.
    """
    host = host or os.uname().nodename
    paths = [path for path in _files(sources) if is_finished(path)]
    scanned = scan(paths, folder, host=host, engine=engines.here())
    if is_removing:
        known = known_ids(folder)
        for each in find_inputs(paths, host).found:
            if each.id in known and not each.archive:
                for path in each.files:
                    os.unlink(path)
    if prom and known_ids(folder):
        _write(prom, textfile(Tables(folder, threads=1)))
    return scanned


def is_finished(path: str) -> bool:
    """Whether a recording will not grow any more."""
    try:
        age_s = time.time() - os.stat(path).st_mtime
        if age_s > _ABANDONED_S:
            return True
        with open(path, "rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                return age_s > _QUIET_S
            file.seek(-_header.size, os.SEEK_END)
            last = file.read(_header.size)
    except OSError:
        return True  # the scan says what is wrong with it
    nbytes, kind, *_ = _header.unpack(last)
    return bool(nbytes == _header.size and kind == KIND_END)


def _files(sources: Iterable[str]) -> Iterator[str]:
    """The files that are named, and those below folders."""
    for source in sources:
        if not os.path.isdir(source):
            yield source
            continue
        for folder, below, names in os.walk(source):
            below.sort()
            yield from (
                os.path.join(folder, name) for name in sorted(names) if not name.startswith(".")
            )


def _write(path: str, text: str) -> None:
    """As a whole or not at all: a collector may read at any moment."""
    aside = f"{path}.{os.getpid()}.tmp"
    with open(aside, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(aside, path)
