"""Failed assertions of KVM's selftests.

    ==== Test Assertion Failure ====
      guest_memfd_test.c:178: fd1 != -1
      pid=7565 tid=7565 errno=22 - Invalid argument
         1  0x000000000040252f: test_create_guest_memfd_multiple at guest_memfd_test.c:178
      memfd creation should succeed

The program prints the errno of that moment whether a call has failed or not, so
that it counts only where the assertion is about the result of a call.  Which call
that was: the message names it, or the innermost function that is known.
"""

from __future__ import annotations

import re

from ..patterns import lazy
from . import messages
from .event import Event, Reading
from .lines import block_ahead
from .message_table import REGION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .lines import Ahead

FORMAT = "selftest"
_LINES = 40
"""Of an assertion with its stack and message."""
_PLACE = lazy(r"([\w./-]{1,80}\.[ch]:\d{1,6}): ?(.{1,300})")
_ERRNO = lazy(r"\bpid=(\d{1,10})\s+tid=(\d{1,10})\s+errno=(\d{1,4})\b", re.ASCII)
_FRAME = lazy(r"^\s*\d{1,3}\s+(?:0x[0-9a-f]{1,16}: |\(inlined by\) )?([\w.]{1,80}) at \S", re.ASCII)
_OF_A_RESULT = lazy(r"\b(?:ret|rc|r|err|\w*fd\d?)\b|errno")
_WANTS_FAILURE = lazy(r"(?:== ?-1\b|< ?0\b)|should (?:fail|have failed|be rejected|not succeed)")
"""The call was to fail and did not: the errno is that of another."""
_SAYS_RESULT = lazy(r"\brc: ?-?\d|\berrno: ?\d|\bfailed\b|should succeed|IOCTL")
_FUNCTIONS = (
    (lazy(r"\w*create_guest_memfd\w*"), "KVM_CREATE_GUEST_MEMFD"),
    (lazy(r"_{0,2}vm_set_user_memory_region2|vm_mem_add\w*"), REGION + "2"),
    (
        lazy(r"_{0,2}vm_set_user_memory_region|vm_userspace_mem_region_add|vm_mem_region_\w+"),
        REGION,
    ),
    (lazy(r"_{0,2}vm_(?:set_memory_attributes|mem_set_\w+)"), "KVM_SET_MEMORY_ATTRIBUTES"),
    (lazy(r"kvm_vm_get_dirty_log"), "KVM_GET_DIRTY_LOG"),
    (lazy(r"kvm_vm_clear_dirty_log"), "KVM_CLEAR_DIRTY_LOG"),
    (lazy(r"_{0,2}vm_enable_cap|_{0,2}vm_enable_dirty_ring"), "KVM_ENABLE_CAP"),
    (lazy(r"_{0,2}vm_vcpu_add|vm_vcpu_add\w*|vm_arch_vcpu_add"), "KVM_CREATE_VCPU"),
    (lazy(r"_{0,2}vm_create\w*|vm_open"), "KVM_CREATE_VM"),
    (lazy(r"_{0,2}vcpu_run\w*"), "KVM_RUN"),
    (lazy(r"_?open_kvm_dev\w*|_?open_path_or_exit|kvm_open\w*"), "open"),
)
"""Functions of the selftests' library that make one call each: the call."""


class Selftest:
    """Reads an assertion from the line that announces it."""

    def __init__(self, reading: Reading, ahead: Ahead) -> None:
        self.reading = reading
        self._ahead = ahead

    def parse(self, text: str, line: int, final: bool) -> list[Event] | None:
        """The event of the call that the assertion is about; none if its message names it."""
        block = block_ahead(self._ahead, _LINES, lambda each: "Test Assertion Failure" in each)
        found = _PLACE.search(block[0]) if block else None
        told = next((known for known in map(_ERRNO.search, block[:4]) if known), None)
        if found is None or told is None:
            return []
        self.reading.note(f"KVM selftest: assertion at {found[1]} failed")
        functions = [frame[1] for frame in map(_FRAME.match, block) if frame]
        stack_end = max((at for at, shown in enumerate(block) if _FRAME.match(shown)), default=1)
        message = [shown.strip() for shown in block[stack_end + 1 :] if shown.strip()][:6]
        told_more = messages.parse(" ".join(message), line, Reading(), True)
        if isinstance(told_more, Event) and told_more.call.startswith("KVM_"):
            return []  # its reader finds it on its own line, with its numbers
        pid, _, number = (int(value) for value in told.groups())
        about = f"{found[2]} {' '.join(message)}"
        says_result = _OF_A_RESULT.search(found[2]) or _SAYS_RESULT.search(about)
        is_result = says_result is not None and _WANTS_FAILURE.search(about) is None
        result = -number if number and is_result and number < 600 else None
        shown = "\n".join(
            [text.strip(), *(each.strip() for each in block[: stack_end + 1 + len(message)])]
        )
        call = _call_of(functions) if result is not None else "message"
        return [Event(call, {}, result, pid=pid, line=line, text=shown, format=FORMAT)]


def _call_of(functions: list[str]) -> str:
    """What the innermost function does; `message` if the table does not know it."""
    for name in functions[:1]:
        for pattern, call in _FUNCTIONS:
            if pattern.fullmatch(name):
                return call
    return "message"
