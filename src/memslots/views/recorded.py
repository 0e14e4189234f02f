"""What came of a recording, in words."""

from __future__ import annotations

from .text import counted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..record.recorder import Recorded


def recorded_lines(recorded: Recorded, *, quiet: bool = False) -> list[str]:
    """What is missing, and why; unless quiet also what the recording began with and where it is."""
    lines = []
    if recorded.lost != 0:
        lost = "an unknown number of" if recorded.lost is None else recorded.lost
        why = f" ({recorded.remark})" if recorded.remark else ""
        lines.append(f"{lost} calls were lost{why}; the program was not disturbed")
    elif recorded.remark:
        lines.append(recorded.remark)
    lines += _beginning_lines(recorded, quiet)
    if not quiet and recorded.path:
        threads = recorded.processes
        whose = counted(threads, "thread") if threads else "all processes"
        calls, path = counted(recorded.calls, "call"), recorded.path
        lines.append(f"{calls} of {whose} in {path}; see them with `memslots explain {path}`")
    return lines


def _beginning_lines(recorded: Recorded, quiet: bool) -> list[str]:
    """What an attached recording began with, or why it began with nothing."""
    beginning = recorded.beginning
    if beginning is None:
        return []
    lines = []
    if beginning.missing:
        lines.append(f"slots made before it began are not in it: {beginning.missing}")
    if beginning.changing:
        lines.append(
            f"slots that {beginning.changing} VMs had before are not in it:"
            " they changed at every try to read them"
        )
    if not quiet and not beginning.missing:
        lines.append(
            f"it began with {counted(beginning.vms, 'VM')}, {counted(beginning.slots, 'slot')}"
        )
    return lines
