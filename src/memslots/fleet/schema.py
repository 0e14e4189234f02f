"""The tables of a fleet: their columns, and the version of both.

Types are DuckDB's.  Sizes are in bytes, pages in host pages of the recording's kernel, times in
nanoseconds as recorded.  What the recording does not say is NULL.
"""

from __future__ import annotations

VERSION = 1
"""Counts up when a column changes its meaning or goes away; new ones may come within a version."""


class FleetTable:
    """One table: a name and its columns."""

    __slots__ = ("columns", "name")

    def __init__(self, name: str, /, **columns: str) -> None:
        self.name = name
        self.columns = columns
        """Column: its type."""


RECORDINGS = FleetTable(
    "recordings",
    id="UBIGINT",  # of host, name, bytes and time of change: the same everywhere
    host="VARCHAR",  # as the recording says, else as it was stated, else the folder
    name="VARCHAR",
    file_bytes="UBIGINT",
    changed_ns="BIGINT",
    kernel="VARCHAR",  # the profile that the calls were put to
    how="VARCHAR",  # STATED, RECORDED, HOST, WEIGHED or ALIKE
    release="VARCHAR",  # what uname said
    formats="VARCHAR",
    events="UBIGINT",
    kvm_calls="UBIGINT",
    region_calls="UBIGINT",
    refused_calls="UBIGINT",
    surprises="UBIGINT",  # calls that the kernel's model answers otherwise
    vms="UINTEGER",
    first_ns="BIGINT",
    last_ns="BIGINT",
    not_read="UBIGINT",
    notes="VARCHAR",
    error="VARCHAR",  # why it could not be read to its end
)
VMS = FleetTable(
    "vms",
    recording="UBIGINT",
    host="VARCHAR",
    kernel="VARCHAR",
    vm="VARCHAR",
    vmm="VARCHAR",
    process="VARCHAR",
    pid="BIGINT",
    from_start="BOOLEAN",
    vcpus="UINTEGER",
    region_calls="UBIGINT",
    refused_calls="UBIGINT",
    slots="UINTEGER",  # at the end, in all address spaces
    most_slots="UINTEGER",
    slot_limit="UINTEGER",  # of one address space
    slots_left="UINTEGER",  # in the fullest address space, at the end
    pages="UBIGINT",
    most_pages="UBIGINT",
    page_bytes="UINTEGER",
    mmu_budget="UBIGINT",
    metadata_bytes="UBIGINT",  # kernel memory for the slots that are there at the end
    region_ns="BIGINT",
    timed_calls="UBIGINT",
    longest_ns="BIGINT",
    first_step="UBIGINT",
    last_step="UBIGINT",
    uncertain_since="UBIGINT",
)
STEPS = FleetTable(
    "steps",
    recording="UBIGINT",
    step="UBIGINT",
    time_ns="BIGINT",
    tid="BIGINT",
    process="VARCHAR",
    fd="INTEGER",
    new_fd="INTEGER",
    vm="VARCHAR",
    call="VARCHAR",
    slot="UINTEGER",  # as_id << 16 | id
    flags="UINTEGER",
    gpa="UBIGINT",
    bytes="UBIGINT",
    hva="UBIGINT",
    fields="VARCHAR",  # all other arguments, as a JSON object
    result="BIGINT",
    expected="BIGINT",
    rule="VARCHAR",
    verdict="VARCHAR",
    change="VARCHAR",
    pages="UBIGINT",  # of the VM, after the call
    slots="UINTEGER",
    mmu_budget="UBIGINT",
    duration_ns="BIGINT",
    line="UBIGINT",
)
REFUSALS = FleetTable(
    "refusals",
    recording="UBIGINT",
    host="VARCHAR",
    kernel="VARCHAR",
    vm="VARCHAR",
    vmm="VARCHAR",
    step="UBIGINT",
    time_ns="BIGINT",
    call="VARCHAR",
    errno="VARCHAR",  # as observed
    rule="VARCHAR",  # NULL if the model has none for it
    expected="VARCHAR",  # errno, or 0
    verdict="VARCHAR",
    slot="UINTEGER",
    gpa="UBIGINT",
    bytes="UBIGINT",
    other_slot="UINTEGER",  # the one in the way
    numbers="VARCHAR",  # what decided, as a JSON object
    text="VARCHAR",  # of an error message that names no call
)
FINDINGS = FleetTable(
    "findings",
    recording="UBIGINT",
    host="VARCHAR",
    kernel="VARCHAR",
    vm="VARCHAR",
    vmm="VARCHAR",
    kind="VARCHAR",
    severity="VARCHAR",
    count="UBIGINT",
    times="UBIGINT",
    height="UBIGINT",
    first_step="UBIGINT",
    last_step="UBIGINT",
    window_ns="BIGINT",  # the longest of those that were kept
    numbers="VARCHAR",  # of the most telling time, as a JSON object
)
TABLES = (RECORDINGS, VMS, STEPS, REFUSALS, FINDINGS)

STATED, RECORDED, HOST, WEIGHED, ALIKE = "stated", "recorded", "host", "weighed", "alike"
"""How the kernel of a recording is known: stated for all; by the recording itself; by another
recording of the same host; found from its calls; found from those of another recording of the same
host.  In the third and the last case nothing in this one contradicts it.
"""
TOLD = (STATED, RECORDED, HOST)
