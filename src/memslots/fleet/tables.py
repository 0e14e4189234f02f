"""The tables of a fleet in DuckDB, with the views that are shipped: one SQL file each."""

from __future__ import annotations

import os

from ..errors import TraceError
from .schema import RECORDINGS, TABLES
from .store import PARTS, check, connect, part_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .schema import FleetTable

_SUPERSEDED = (
    "SELECT * FROM all_recordings QUALIFY row_number() OVER "
    "(PARTITION BY host, name ORDER BY changed_ns DESC, file_bytes DESC, id) = 1"
)
"""A recording that was scanned while it grew is there several times: the last one counts."""


class Answer:
    """What a query gave."""

    __slots__ = ("columns", "rows")

    def __init__(self, columns: list[str], rows: list[tuple[object, ...]]) -> None:
        self.columns = columns
        self.rows = rows

    def dicts(self) -> list[dict[str, object]]:
        """Each row by the names of its columns."""
        return [dict(zip(self.columns, row)) for row in self.rows]


class Tables:
    """A fleet to be asked.  `database` is DuckDB's connection, for all that it can."""

    __slots__ = ("database", "folder", "parts")

    def __init__(self, folder: str, *, threads: int = 0, memory: str = "") -> None:
        """Open the tables.  Raises TraceError for a folder that is no fleet or has no table yet.

        threads: of DuckDB (0: as many as processors).  memory: what it may use (`4GB`).
        """
        check(folder)
        self.folder = folder
        self.parts = part_names(folder)
        if not self.parts:
            raise TraceError(f"{folder}: nothing was scanned yet")
        self.database: Any = connect(":memory:", threads=threads or os.cpu_count() or 1)
        if memory:
            self.database.execute(f"SET memory_limit = {_literal(memory)}")
        for table in TABLES:
            self._make(f"all_{table.name}", f"SELECT * FROM read_parquet({self._files(table)})")
        is_grown = self.database.execute(
            "SELECT count(*) > count(DISTINCT (host, name)) FROM all_recordings"
        ).fetchone()[0]
        for table in TABLES:
            query = f"SELECT * FROM all_{table.name}"
            if is_grown and table is RECORDINGS:
                query = _SUPERSEDED
            elif is_grown:
                query += " WHERE recording IN (SELECT id FROM recordings)"
            self._make(table.name, query)
        for name, text in view_texts().items():
            self._make(name, text)

    def _files(self, table: FleetTable) -> str:
        return _literal(os.path.join(self.folder, PARTS, "*", f"{table.name}.parquet"))

    def _make(self, name: str, query: str) -> None:
        self.database.execute(f"CREATE OR REPLACE VIEW {name} AS {query}")

    def ask(self, query: str, parameters: list[object] | None = None) -> Answer:
        """The answer to a query.  Raises ValueError with DuckDB's words for one that is wrong."""
        import duckdb

        try:
            found = self.database.execute(query, parameters or [])
        except duckdb.Error as error:
            raise ValueError(str(error).strip()) from None
        return Answer([column[0] for column in found.description], found.fetchall())

    def close(self) -> None:
        """End the connection."""
        self.database.close()


def view_texts() -> dict[str, str]:
    """Name of a view: its SQL, which begins with a line of what it tells."""
    from importlib.resources import files

    found = {}
    for file in sorted(files("memslots.fleet").joinpath("sql").iterdir(), key=lambda one: one.name):
        if file.name.endswith(".sql"):
            found[file.name.removesuffix(".sql")] = file.read_text("utf-8")
    return found


def view_meaning(text: str) -> str:
    """What a view tells, in a few words: its first line."""
    return text.split("\n", 1)[0].removeprefix("--").strip()


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
