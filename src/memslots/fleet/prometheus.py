"""A fleet's numbers as Prometheus reads them from a file: slots used, refusals, page totals."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .tables import Tables

_LATEST = "SELECT max(last_ns) FROM recordings"
_VMS = (
    "FROM vms JOIN recordings ON recordings.id = vms.recording "
    f"WHERE recordings.last_ns IS NULL OR recordings.last_ns >= ({_LATEST}) - 3600000000000"
)
"""VMs of the last hour that is recorded: earlier ones may have ended."""


class Metric:
    """One metric: a query whose last column is the number, and whose others are labels."""

    __slots__ = ("kind", "meaning", "name", "query")

    def __init__(self, name: str, kind: str, meaning: str, query: str) -> None:
        self.name = name
        self.kind = kind
        self.meaning = meaning
        self.query = query


GAUGE, COUNTER = "gauge", "counter"
METRICS = (
    Metric(
        "memslots_vm_slots_used", GAUGE, "Slots of a VM.",
        f"SELECT vms.host, vmm, process, vm, max(vms.slots) {_VMS} GROUP BY ALL ORDER BY ALL",
    ),
    Metric(
        "memslots_vm_slots_left", GAUGE, "Slots that a VM may still make.",
        f"SELECT vms.host, vmm, process, vm, min(slots_left) {_VMS} GROUP BY ALL ORDER BY ALL",
    ),
    Metric(
        "memslots_vm_pages", GAUGE, "Page total of a VM, in host pages.",
        f"SELECT vms.host, vmm, process, vm, max(pages) {_VMS} GROUP BY ALL ORDER BY ALL",
    ),
    Metric(
        "memslots_metadata_bytes", GAUGE, "Kernel memory for slots.",
        f"SELECT vms.host, vmm, sum(coalesce(metadata_bytes, 0)) {_VMS} GROUP BY ALL ORDER BY ALL",
    ),
    Metric(
        "memslots_region_calls_total", COUNTER, "Memory-region calls.",
        "SELECT host, vmm, sum(region_calls) FROM vms GROUP BY ALL ORDER BY ALL",
    ),
    Metric(
        "memslots_refusals_total", COUNTER, "Calls that KVM refused.",
        "SELECT host, vmm, call, errno, rule, count(*) FROM refusals GROUP BY ALL ORDER BY ALL",
    ),
    Metric(
        "memslots_recordings_total", COUNTER, "Recordings scanned.",
        "SELECT host, count(*) FROM recordings GROUP BY ALL ORDER BY ALL",
    ),
    Metric(
        "memslots_unread_total", COUNTER, "Recordings not read to the end.",
        "SELECT host, count(error) FROM recordings GROUP BY ALL ORDER BY ALL",
    ),
)  # fmt: skip


def textfile(tables: Tables) -> str:
    """All metrics in the text format of Prometheus."""
    lines = []
    for metric in METRICS:
        lines += [
            f"# HELP {metric.name} {metric.meaning}",
            f"# TYPE {metric.name} {metric.kind}",
        ]
        answer = tables.ask(metric.query)
        for *labels, number in answer.rows:
            pairs = ",".join(
                f'{name}="{_escaped(value)}"'
                for name, value in zip(answer.columns, labels)
                if value is not None
            )
            lines.append(f"{metric.name}{{{pairs}}} {number}")
    return "\n".join(lines) + "\n"


def _escaped(value: object) -> str:
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return text.replace("\n", "\\n")
