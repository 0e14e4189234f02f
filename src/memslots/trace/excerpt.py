"""The beginning and the end of what was read, as text, without the calls that went well.

Readers turn lines into calls.  What people write around them, and messages of forms that
no reader knows, tell as much; a bounded amount of it is kept here while the source is read.
"""

from __future__ import annotations

import re
from itertools import pairwise

from ..patterns import lazy
from . import mend

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

HEAD, TAIL = 96 << 10, 32 << 10
"""Bytes kept of the beginning and of the end."""
TEXT_MAX = 64 << 10
"""Characters of text that are looked at."""
_LINE_MAX = 8 << 10
_STRACE_LINE = lazy(
    r"(?:\[pid +\d+\] *|\d+ +)?(?:\d{9,12}\.\d+ +|\d\d:\d\d:\d\d(?:\.\d+)? +)?(?:\[ *\w+\] +)?"
    r"(?:([a-z_0-9]+)\(.*\)\s+= |<\.\.\. |\+\+\+ |--- SIG)"
)
_FAILED = lazy(r"= -(?:1 )?(?:E[A-Z]|\d)")
_OF_INTEREST = frozenset(
    [
        "mmap",
        "mprotect",
        "mlock",
        "mlockall",
        "mlock2",
        "ftruncate",
        "fallocate",
        "userfaultfd",
        "mbind",
        "set_mempolicy",
        "get_mempolicy",
        "madvise",
        "ioctl",
        "memfd_create",
        "eventfd2",
    ]
)
_PATHS = lazy(r"/dev/kvm|/dev/vfio/\d|hugepages|/dev/userfaultfd")
_WENT_WELL = lazy(r"\bkvm_set_user_memory\b.*\bret=0\b|\bKVM_CHECK_EXTENSION\b|^\s*\{\"call\"")
_RUN_INTERRUPTED = lazy(r"\bKVM_RUN\b.*= -(?:1 )?(?:EINTR|EAGAIN|4|11)\b")
"""In the life of a VM it happens all the time; alone it may be what somebody asks about."""
_TIMES = lazy(r"^\s*\d{1,6}(?::|\s*\||\s{2})\s?")


class Excerpt:
    """Some of a source's bytes, for the text engine."""

    __slots__ = ("_head", "_tail", "is_text")

    def __init__(self) -> None:
        self._head = b""
        self._tail = b""
        self.is_text = True
        """False for recordings that are no text."""

    def watched(self, read: Callable[[int], bytes]) -> Callable[[int], bytes]:
        """The same read function; what passes through it is kept as far as it fits."""

        def watching(size: int) -> bytes:
            chunk = read(size)
            if len(self._head) < HEAD:
                self._head += chunk[: HEAD - len(self._head)]
            elif len(chunk) >= TAIL:
                self._tail = chunk[-TAIL:]
            elif chunk:
                self._tail = (self._tail + chunk)[-TAIL:]
            return chunk

        return watching

    def text(self) -> str:
        """The lines that are no calls which went well, mended."""
        if not self.is_text:
            return ""
        whole = self._head if not self._tail else self._head + b"\n" + self._tail
        lines, size = [], 0
        numbered, has_vm = _numbered(whole), b"KVM_CREATE_VM" in whole
        for raw in whole.decode("utf-8", "replace").split("\n"):
            line = raw[:_LINE_MAX].rstrip("\r")
            if mend.damaged(line):
                line = " ".join(mend.split(line))
            line = mend.unquoted(line)
            if numbered:
                line = _TIMES.sub("", line, count=1)
            if size > TEXT_MAX or not _tells(line) or (has_vm and _RUN_INTERRUPTED.search(line)):
                line = ""
            lines.append(line)
            size += len(line)
        return "\n".join(lines)


def _numbered(whole: bytes) -> bool:
    """Whether each line begins with its number."""
    found = [
        re.match(rb"\s*(\d{1,6})(?::|\s*\||\s{2})", line)
        for line in whole[:4096].split(b"\n")[:12]
        if line.strip()
    ]
    numbers = [int(each.group(1)) for each in found if each]
    return (
        len(numbers) >= 2
        and len(numbers) >= len(found) - 1
        and all(second == first + 1 for first, second in pairwise(numbers))
    )


def _tells(line: str) -> bool:
    """Whether a line may tell something that is no call which went well."""
    found = _STRACE_LINE.match(line)
    if found:
        name = found.group(1)
        if name is None or not _FAILED.search(line):
            return False
        return name in _OF_INTEREST or (
            name in ("open", "openat") and _PATHS.search(line) is not None
        )
    return _WENT_WELL.search(line) is None
