"""One batch's rows as Parquet files: written aside, and put in their place by one rename.

A part is a folder, parts/NAME, with one file a table.  It is there as a whole or not at all, so a
scan may end at any moment, and two that write the same part leave one.
"""

from __future__ import annotations

import csv
import os
import shutil
import tempfile

from .schema import RECORDINGS, TABLES
from .store import PARTS, UNFINISHED, connect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .schema import FleetTable

_ROW_GROUP = 122_880
_LITERAL = (
    "SELECT * FROM read_csv('{path}', auto_detect=false, header=false, delim=',', quote='\"', "
    "escape='\"', nullstr='', parallel=false, max_line_size=16777216, columns={columns})"
)


class Part:
    """A part that is being written.  A context manager; left without `finish` it leaves no trace.

    Raises OSError where it cannot be written.
    """

    def __init__(self, folder: str, name: str) -> None:
        self.name = name
        self._place = os.path.join(folder, PARTS, name)
        aside = os.path.join(folder, UNFINISHED)
        os.makedirs(aside, exist_ok=True)
        os.makedirs(os.path.dirname(self._place), exist_ok=True)
        self._aside = tempfile.mkdtemp(prefix=f"{name}.", dir=aside)
        self._files = {
            table.name: open(self._csv(table), "w", newline="", encoding="utf-8")  # noqa: SIM115
            for table in TABLES
        }
        self._writers = {name: csv.writer(file) for name, file in self._files.items()}

    def _csv(self, table: FleetTable) -> str:
        return os.path.join(self._aside, f"{table.name}.csv")

    def add(self, table: FleetTable, rows: Iterable[tuple[object, ...]]) -> None:
        """Append rows, with a value for each column."""
        self._writers[table.name].writerows(rows)

    def add_lines(self, table: FleetTable, lines: Iterable[str]) -> None:
        """Append rows that are lines of CSV already."""
        self._files[table.name].writelines(lines)

    def finish(self) -> bool:
        """Make it part of the fleet; False if it was there already."""
        database = connect()
        for table in TABLES:
            self._files[table.name].close()
            source, target = self._csv(table), os.path.join(self._aside, f"{table.name}.parquet")
            query = _LITERAL.format(path=source.replace("'", "''"), columns=table.columns)
            database.execute(
                f"COPY ({query}) TO '{target.replace(chr(39), chr(39) * 2)}' "
                f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROW_GROUP})"
            )
            os.unlink(source)
            _to_disk(target)
        _to_disk(self._aside)
        try:
            os.chmod(self._aside, 0o755)
            os.rename(self._aside, self._place)
        except OSError:
            if not os.path.exists(os.path.join(self._place, f"{RECORDINGS.name}.parquet")):
                raise
            return False
        _to_disk(os.path.dirname(self._place))
        return True

    def __enter__(self) -> Part:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()
        shutil.rmtree(self._aside, ignore_errors=True)


def quoted(text: str) -> str:
    """A text as CSV has it."""
    if '"' in text or "," in text or "\n" in text or "\r" in text:
        return '"' + text.replace('"', '""') + '"'
    return text


def _to_disk(path: str) -> None:
    """What the path holds outlives a loss of power."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
