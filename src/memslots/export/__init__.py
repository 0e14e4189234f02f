"""A recording or sequence of calls in another form: C, a test of the kernel's, Python, JSONL,
strace's text, a Perfetto trace.

from memslots.export import export
for line in export(events, "c"):
    print(line)
"""

from __future__ import annotations

from ..trace.event import Event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..kernel.profile import Profile

FORMATS = ("c", "selftest", "python", "jsonl", "strace", "perfetto")


def export(events: Iterable[Event], to: str, profile: Profile | None = None) -> Iterator[str]:
    """The lines of the export, without their ends.

    profile: for `perfetto`, the kernel whose totals and budgets are drawn (default: the newest
    known). Raises ValueError for a format that is not in FORMATS.
    """
    if to == "jsonl":
        from ..trace.jsonl import event_to_json

        return map(event_to_json, events)
    if to == "strace":
        from .strace import strace_line

        return map(strace_line, events)
    if to == "perfetto":
        from .perfetto import perfetto_lines

        return perfetto_lines(events, profile)
    if to == "python":
        from .python import python_lines

        return python_lines(events)
    if to in ("c", "selftest"):
        from .c import c_lines

        return c_lines(events, is_selftest=to == "selftest")
    raise ValueError(f"no export to {to!r}; there are {', '.join(FORMATS)}")


__all__ = ["FORMATS", "export"]
