"""What differs between two fleets: the same hosts on two days, or two sites."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .tables import Tables

_QUESTIONS = {
    "totals": """
        SELECT 'recordings' AS of, count(*) FROM recordings
        UNION ALL SELECT 'hosts', count(DISTINCT host) FROM recordings
        UNION ALL SELECT 'VMs', count(*) FROM vms
        UNION ALL SELECT 'region calls', sum(region_calls) FROM vms
        UNION ALL SELECT 'refused', sum(refused_calls) FROM vms
        UNION ALL SELECT 'slots at most', max(most_slots) FROM vms
        UNION ALL SELECT 'metadata bytes', sum(metadata_bytes) FROM vms""",
    "kernels": "SELECT kernel, count(*) FROM recordings GROUP BY ALL",
    "vmms": "SELECT vmm, count(*) FROM vms GROUP BY ALL",
    "refusals": "SELECT concat_ws(' ', rule, call, errno), count(*) FROM refusals GROUP BY ALL",
    "findings": "SELECT concat_ws(' ', kind, severity), count(*) FROM findings GROUP BY ALL",
    "hosts": "SELECT host, count(*) FROM recordings GROUP BY ALL",
}
"""Chapter: a query for names and numbers."""


class NumberChange:
    """One number that differs."""

    __slots__ = ("after", "before", "chapter", "name")

    def __init__(self, chapter: str, name: str, before: int, after: int) -> None:
        self.chapter = chapter
        self.name = name
        """Of the rule, kernel, ...; empty where the recordings do not say it."""
        self.before = before
        self.after = after


def changes(before: Tables, after: Tables) -> list[NumberChange]:
    """The numbers that differ, chapter by chapter, the largest difference first."""
    found: list[NumberChange] = []
    for chapter, query in _QUESTIONS.items():
        old, new = _numbers(before, query), _numbers(after, query)
        differing = [
            NumberChange(chapter, name, old.get(name, 0), new.get(name, 0))
            for name in {**old, **new}
            if old.get(name, 0) != new.get(name, 0)
        ]
        if chapter != "totals":
            differing.sort(key=lambda each: (-abs(each.after - each.before), each.name))
        found += differing
    return found


def _numbers(tables: Tables, query: str) -> dict[str, int]:
    return {str(name or ""): int(number or 0) for name, number in tables.ask(query).rows}  # type: ignore[call-overload]
