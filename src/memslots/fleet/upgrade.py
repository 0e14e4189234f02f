"""What another kernel would answer to the calls of a fleet: which VMs change, at which call, why.

Each recording is put to both kernels, from its rows alone, and follows what really happened: a
call that is answered otherwise changes nothing for those after it.
"""

from __future__ import annotations

import json
import os

from ..errors import UnknownKernelError
from ..explain.which_kernel import contradicts
from ..kernel.names import find
from ..replay.replay import Replay
from ..rules.answer import Accepted, Refused, Undetermined
from ..trace.event import Event
from .schema import STEPS, TOLD
from .store import PARTS
from .tables import Tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..kernel.profile import Profile
    from ..rules.answer import Answer as KernelAnswer

    Row = tuple[object, ...]

_COLUMNS = (
    "recording, step, tid, process, fd, new_fd, vm, call, slot, flags, gpa, bytes, hva, fields, "
    "result, line"
)
_REGION = ("slot", "flags", "guest_phys_addr", "memory_size", "userspace_addr")
_SOME = 10_000
"""Rows that are fetched at a time."""


class CallChange:
    """A call that the two kernels answer differently."""

    __slots__ = ("after", "before", "call", "fields", "line", "step", "vm")

    def __init__(
        self, step: int, event: Event, vm: str, before: KernelAnswer, after: KernelAnswer
    ) -> None:
        self.step = step
        self.line = event.line
        self.call = event.call
        self.fields = event.fields
        self.vm = vm
        self.before = before
        self.after = after

    @property
    def is_certain(self) -> bool:
        """Whether both kernels have an answer; if not, it depends on what was not observed."""
        return isinstance(self.before, (Accepted, Refused)) and isinstance(
            self.after, (Accepted, Refused)
        )


class ChangedVm:
    """One VM of which calls are answered otherwise."""

    __slots__ = ("answers", "host", "kernels", "name", "recording", "vm", "vmm")

    def __init__(self, of: dict[str, object], vm: str, vmm: str, kernels: tuple[str, str]) -> None:
        self.recording = int(str(of["id"]))
        self.host = str(of["host"] or "")
        self.name = str(of["name"])
        self.vm = vm
        self.vmm = vmm
        self.kernels = kernels
        """Names of the two profiles."""
        self.answers: list[CallChange] = []

    @property
    def is_certain(self) -> bool:
        """Whether one of its calls is answered otherwise for certain."""
        return any(answer.is_certain for answer in self.answers)


class Upgrade:
    """The answer to the upgrade question."""

    __slots__ = ("asked", "asked_vms", "changed", "others", "source", "target", "unlike", "unnamed")

    def __init__(self, source: str, target: str) -> None:
        self.source = source
        self.target = target
        self.asked = 0
        """Recordings that were put to both."""
        self.asked_vms = 0
        self.others: dict[tuple[int, int], int] = {}
        """Branch of another kernel than `source`: how many recordings say that they are of it."""
        self.unnamed = 0
        """Recordings of a kernel that could not be found out."""
        self.unlike = 0
        """Recordings that do not say it, but have answers that `source` does not give."""
        self.changed: list[ChangedVm] = []

    @property
    def elsewhere(self) -> int:
        """Recordings that say that they are of another kernel than `source`."""
        return sum(self.others.values())


def upgrade(tables: Tables, source: str, target: str, *, every: bool = False) -> Upgrade:
    """Put the fleet's calls to two kernels: `5.10`, `6.12`, or whole names.

    every: also recordings of other kernels than `source`.
    Raises UnknownKernelError for a kernel that is not known.
    """
    found = Upgrade(source, target)
    branch = find(source).version.branch
    find(target)
    known = {
        int(row["id"]): row  # type: ignore[call-overload]
        for row in tables.ask("SELECT id, host, name, kernel, how FROM recordings").dicts()
    }
    vmms = {
        (number, vm): str(vmm or "")
        for number, vm, vmm in tables.ask("SELECT recording, vm, vmm FROM vms").rows
    }
    for number, rows in _recordings(tables):
        recording = known.get(number)
        if recording is None:
            continue
        if recording["kernel"] is None:
            found.unnamed += 1
            continue
        kernel = find(str(recording["kernel"]))
        is_told = recording["how"] in TOLD
        if is_told and not every and kernel.version.branch != branch:
            other = kernel.version.branch
            found.others[other] = found.others.get(other, 0) + 1
            continue
        profiles = _on(source, kernel), _on(target, kernel)
        answers = _answers(rows, *profiles, is_strict=not (is_told or every))
        if answers is None:
            found.unlike += 1
            continue
        found.asked += 1
        found.asked_vms += len({row[6] for row in rows})
        names = profiles[0].name, profiles[1].name
        by_vm: dict[str, ChangedVm] = {}
        for answer in answers:
            vmm = vmms.get((number, answer.vm), "")
            changed = by_vm.setdefault(answer.vm, ChangedVm(recording, answer.vm, vmm, names))
            changed.answers.append(answer)
        found.changed += by_vm.values()
    found.changed.sort(key=lambda each: (not each.is_certain, each.host, each.name, each.vm))
    return found


def _recordings(tables: Tables) -> Iterator[tuple[int, list[Row]]]:
    """Each recording with its rows, part by part, as they lie there."""
    for part in tables.parts:
        path = os.path.join(tables.folder, PARTS, part, f"{STEPS.name}.parquet")
        cursor = tables.database.cursor()
        cursor.execute(f"SELECT {_COLUMNS} FROM read_parquet(?)", [path])
        rows: list[Row] = []
        while some := cursor.fetchmany(_SOME):
            for row in some:
                if rows and rows[0][0] != row[0]:
                    yield int(str(rows[0][0])), rows
                    rows = []
                rows.append(row)
        if rows:
            yield int(str(rows[0][0])), rows
        cursor.close()


def _on(name: str, kernel: Profile) -> Profile:
    """The profile of a release on the host that another profile is of."""
    if "/" in name:
        return find(name)
    _, _, rest = kernel.name.partition("/")
    for edits in (rest, kernel.arch.name):
        try:
            return find(f"{name}/{edits}")
        except UnknownKernelError:
            continue
    return find(name, default_arch=kernel.arch.name)


def _answers(
    rows: list[Row], source: Profile, target: Profile, *, is_strict: bool
) -> list[CallChange] | None:
    """The calls that are answered otherwise; None if `source` contradicts what was observed and
    is_strict.
    """
    found = []
    before, after = Replay((), source, most_kept=0), Replay((), target, most_kept=0)
    for row in rows:
        number, event = int(str(row[1])), _event(row)
        first = before.take(number, event)
        one, other = first.answer, after.take(number, event).answer
        if is_strict and contradicts(first):
            return None
        if one is None or other is None or _is_same(one, other):
            continue
        found.append(CallChange(number, event, str(row[6]), one, other))
    return found


def _event(row: Row) -> Event:
    """The call of a row of `steps`."""
    _, _, tid, process, fd, new_fd, _, call, *region, others, result, line = row
    fields: dict[str, int] = json.loads(str(others)) if others else {}
    fields.update((name, value) for name, value in zip(_REGION, region) if value is not None)  # type: ignore[misc]
    return Event(
        str(call), fields, result, fd=fd, new_fd=new_fd, pid=tid, line=line,  # type: ignore[arg-type]
        process=str(process) if process else None, format="fleet",
    )  # fmt: skip


def _is_same(one: KernelAnswer, other: KernelAnswer) -> bool:
    """Whether a program sees no difference."""
    if isinstance(one, Refused) and isinstance(other, Refused):
        return one.errno == other.errno
    if isinstance(one, Undetermined) and isinstance(other, Undetermined):
        return True
    return type(one) is type(other)
