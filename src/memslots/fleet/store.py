"""The folder of a fleet: where its parts lie, which version it is, and DuckDB."""

from __future__ import annotations

import json
import os
import shutil
import time

from ..errors import ExtraMissingError, TraceError
from .schema import RECORDINGS, VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PARTS, UNFINISHED, MARK = "parts", "unfinished", "fleet.json"
_STALE_S = 24 * 3600
"""Seconds after which what a lost worker left aside is removed."""
_connection: Any = None


def connect(path: str = ":memory:", *, threads: int = 1) -> Any:
    """A connection to DuckDB; the one in memory with one thread is made once a process.

    Raises ExtraMissingError without the package.
    """
    global _connection
    try:
        import duckdb
    except ImportError:
        raise ExtraMissingError("duckdb", "fleet") from None
    if path != ":memory:" or threads != 1:
        return duckdb.connect(path, config={"threads": threads})
    if _connection is None:
        _connection = duckdb.connect(path, config={"threads": 1})
    return _connection


def begin(folder: str) -> None:
    """Make the folder of a fleet, or see that it is one of this version.

    Raises TraceError for one of another version.
    """
    os.makedirs(folder, exist_ok=True)
    mark = os.path.join(folder, MARK)
    if not os.path.exists(mark):
        aside = f"{mark}.{os.getpid()}.tmp"
        with open(aside, "w", encoding="utf-8") as file:
            json.dump({"schema": f"memslots.fleet/{VERSION}"}, file)
        os.replace(aside, mark)
    check(folder)
    _remove_stale(os.path.join(folder, UNFINISHED))


def check(folder: str) -> None:
    """See that a folder is a fleet of this version.  Raises TraceError if it is not."""
    try:
        with open(os.path.join(folder, MARK), encoding="utf-8") as file:
            found = json.load(file).get("schema")
    except (OSError, ValueError, AttributeError):
        raise TraceError(
            f"{folder}: no fleet; `memslots fleet scan INPUTS -o {folder}` makes one"
        ) from None
    if found != f"memslots.fleet/{VERSION}":
        raise TraceError(
            f"{folder}: tables of {found}, this is memslots.fleet/{VERSION}: scan into a new folder"
        )


def part_names(folder: str) -> list[str]:
    """The parts that are there, in order."""
    try:
        return sorted(os.listdir(os.path.join(folder, PARTS)))
    except FileNotFoundError:
        return []


def known_ids(folder: str) -> frozenset[int]:
    """The recordings that are in the tables."""
    if not part_names(folder):
        return frozenset()
    pattern = os.path.join(folder, PARTS, "*", f"{RECORDINGS.name}.parquet")
    rows = connect().execute("SELECT id FROM read_parquet(?)", [pattern]).fetchall()
    return frozenset(number for (number,) in rows)


def _remove_stale(aside: str) -> None:
    try:
        names = os.listdir(aside)
    except FileNotFoundError:
        return
    for name in names:
        path = os.path.join(aside, name)
        try:
            if time.time() - os.stat(path).st_mtime > _STALE_S:
                shutil.rmtree(path, ignore_errors=True)
        except FileNotFoundError:
            continue  # finished, or removed by another scan
