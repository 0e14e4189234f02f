"""Which calls a recorder keeps: all memory calls but those that running vCPUs make all the time."""

from __future__ import annotations

from ..uapi.calls import CALLS, REGION_CALLS, REQUEST_CODES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..uapi.calls import Call

RECORDED = tuple(call for _, call in sorted(CALLS.items()) if not call.is_frequent)
LEFT_OUT = tuple(call for call in CALLS.values() if call.is_frequent)
REQUESTS = {call.request(): call for call in RECORDED}
"""Whole request numbers: KVM has calls that differ in direction and size only."""
ANY_SIZE = {
    code: call
    for code, call in REQUEST_CODES.items()
    if call.name in (*REGION_CALLS, "KVM_SET_MEMORY_REGION")
}
"""Low halves of the region calls' numbers: with a wrong size they fail, and that is worth
seeing.
"""


def call_of(request: int) -> Call | None:
    """The call of a request number, if it is a memory call."""
    return REQUESTS.get(request & 0xFFFF_FFFF) or ANY_SIZE.get(request & 0xFFFF)
