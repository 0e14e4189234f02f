"""A region call of a binary recording, taken apart only where somebody looks closely.

Most calls of a recording are region calls that were accepted, of which a replay wants six numbers.
"""

from __future__ import annotations

from ..uapi.calls import REGION_CALLS
from .event import ANSWERERS, Event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Row = tuple[int, ...]
    """The numbers of a record: its bytes, its kind, its call, thread, time, result, descriptor, the
    arguments, and what is kept beside them.
    """

FORMAT = "recording"
TID, TIME_NS, RESULT, FD, FIRST = 3, 4, 5, 6, 7
"""Places in a row; the arguments begin at FIRST."""
_NAMES = ("slot", "flags", "guest_phys_addr", "memory_size", "userspace_addr")
_I64_BITS, _U32_BITS = 63, 32


class RowKind:
    """What the rows of one kind of record have in common."""

    __slots__ = ("call", "duration_at", "names", "source", "vcpus_at", "who_at")

    def __init__(
        self, call: str, names: tuple[str, ...], beside: Mapping[str, int], source: str
    ) -> None:
        """beside: name of a number that is kept beside the arguments: its place in the row."""
        self.call = call
        self.names = names
        self.source = source
        self.duration_at = beside.get("duration_ns", 0)
        self.vcpus_at = beside.get("vcpus_in_run", 0)
        self.who_at = beside.get("answered_by", 0)

    @property
    def is_region(self) -> bool:
        """Whether they are region calls of the first form."""
        return self.call == REGION_CALLS[0] and self.names == _NAMES

    def put_beside(self, event: Event, row: Row) -> None:
        """What a row says of a call beside its arguments."""
        if self.duration_at:
            duration_ns = row[self.duration_at]
            event.duration_ns = None if duration_ns >> _I64_BITS else duration_ns or None
        if self.vcpus_at:
            vcpus = row[self.vcpus_at]
            event.vcpus_in_run = None if vcpus >> _U32_BITS else vcpus
        if self.who_at:
            who = row[self.who_at]
            event.answered_by = ANSWERERS[who] if who < len(ANSWERERS) else ""


class RecordedRegion(Event):
    """A region call of the first form that was accepted: its numbers fit what they are for.

    It becomes an event as any other the first time that an attribute of one is asked for.
    """

    __slots__ = ("kind", "of_process", "row")

    def __init__(self, kind: RowKind, row: Row, process: str | None) -> None:
        self.kind = kind
        self.row = row
        self.of_process = process

    def __getattr__(self, name: str) -> object:
        """An attribute that is not there yet."""
        if name not in Event.__slots__:
            raise AttributeError(name)
        kind, row = self.kind, self.row
        Event.__init__(
            self, kind.call, dict(zip(_NAMES, row[FIRST:])), row[RESULT], fd=row[FD],
            pid=row[TID], time_ns=row[TIME_NS], source=kind.source, process=self.of_process,
            format=FORMAT,
        )  # fmt: skip
        kind.put_beside(self, row)
        return getattr(self, name)

    def moment(self) -> tuple[int | None, int | None, int | None]:
        """See Event."""
        row, vcpus_at = self.row, self.kind.vcpus_at
        vcpus = row[vcpus_at] if vcpus_at else None
        return row[TID], row[TIME_NS], None if vcpus is None or vcpus >> _U32_BITS else vcpus

    def taken(self) -> tuple[int | None, int | None]:
        """See Event."""
        row, duration_at = self.row, self.kind.duration_at
        duration_ns = row[duration_at] if duration_at else 0
        return row[TID], None if not duration_ns or duration_ns >> _I64_BITS else duration_ns
