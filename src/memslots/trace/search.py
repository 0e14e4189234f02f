"""How huge recordings are searched for the lines that tell something.

A regular expression that begins with a literal is the fastest search there is in the
library; one that fails inside the expression on a line that tells nothing avoids a step in
Python.  What is looked for are the words that lead to wanted calls; no list says what is not.
"""

from __future__ import annotations

import re

from ..patterns import lazy
from .noise import MEMORY_CODES, WANTED_CODES, any_of, known_vcpus, tells_nothing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Style(Protocol):
        """How one kind of recording is searched."""

        note: str
        """What the user must know of it; empty if nothing is missed."""
        run: bytes
        """What stands in a buffer with a KVM_RUN that is not searched for; empty for no such."""

        def place(self, buffer: bytes, start: int, end: int) -> int:
            """Within a line that tells something, from `start` on; -1 if there is none."""

        def place_while_unfinished(self, buffer: bytes, start: int, end: int) -> int:
            """The same while a call of another line is unfinished."""


SEARCHED = (
    "a huge recording, so only KVM's calls were looked for, not mmap, close, fork and messages"
)
_STRACE_LINE = lazy(
    rb"(?:\[pid +\d+\] *|\d+ +)?(?:\d{9,12}\.\d+ +|\d\d:\d\d:\d\d(?:\.\d+)? +)?(?:\[ *\w+\] +)?"
    rb"(?:[a-z_0-9]+\(|<\.\.\. |\+\+\+ |--- )| > "
)
_TRACE_LINE = lazy(rb"\d+@\d+\.\d+:[a-z]")


def _named(begun: bool) -> bytes:
    return (
        rb"KVM_(?!RUN, 0(?:\) {1,12}= 0| <unfinished)|CAP_|(?<=[\d>], KVM_)"
        + tells_nothing(b"KVM_", begun=begun) + rb"\n)"
    )  # fmt: skip


class StraceStyle:
    """Which words lead to every KVM call of a strace recording, and how to search for them."""

    note = SEARCHED
    run = b"KVM_RUN, 0"

    def __init__(self, sample: bytes) -> None:
        patterns = []
        codes = rb"(?:" + any_of(frozenset(code[2:] for code in WANTED_CODES)) + rb")"
        if b"_IOC(" in sample:
            patterns.append(
                rb"_IOC\([^,\n]{1,40}, 0xae, 0x(?!80, 0\), 0\) {1,40}= 0[\n ])" + codes + rb"\b"
            )
        if re.search(rb"ioctl\([^,\n]{1,60}, 0x[0-9a-f]{0,4}ae[0-9a-f]{2}[, ]", sample):
            patterns.append(
                rb", 0x(?:[0-9a-f]{4})?ae(?=" + codes + rb"[^0-9a-f])(?!80, 0\) {1,40}= 0)"
            )
        if b"kvm_set_" in sample:
            patterns.append(rb"kvm_set_(?:user|phys)_mem")
        self._others = [_Search(pattern) for pattern in patterns]
        self._named, self._named_or_begun = _Search(_named(True)), _Search(_named(False))

    def place(self, buffer: bytes, start: int, end: int) -> int:
        """Where the next such word stands; -1 if there is none."""
        place = self._named.place(buffer, start, end)
        return self._first(place, buffer, start, end) if self._others else place

    def place_while_unfinished(self, buffer: bytes, start: int, end: int) -> int:
        """The same while a call of another line is unfinished."""
        place = self._named_or_begun.place(buffer, start, end)
        return self._first(place, buffer, start, end) if self._others else place

    def _first(self, place: int, buffer: bytes, start: int, end: int) -> int:
        for search in self._others:
            other = search.place(buffer, start, end)
            if other >= 0 and (other < place or place < 0):
                place = other
        return place


class _Search:
    """One of several expressions that are searched for side by side, each place once."""

    __slots__ = ("_buffer", "_end", "_found", "_search", "_start")

    def __init__(self, pattern: bytes) -> None:
        self._search = re.compile(pattern).search
        self._buffer = b""
        self._start = self._end = self._found = -1

    def place(self, buffer: bytes, start: int, end: int) -> int:
        """Where it is found next; -1 if it is not."""
        if (
            buffer is self._buffer
            and end == self._end
            and self._start <= start
            and (self._found < 0 or start <= self._found)
        ):
            return self._found
        found = self._search(buffer, start, end)
        self._buffer, self._start, self._end = buffer, start, end
        self._found = -1 if found is None else found.start()
        return self._found


class TraceStyle:
    """The same for QEMU's trace: lines that do not begin as its lines do are looked at too."""

    note = ""
    run = b""

    def __init__(self, running: set[int]) -> None:
        self._running = running
        """vCPUs that are known to run, as its reader finds them."""
        self._known = -1
        self._event = self._other = re.compile(rb"\n(?!\d++@\d)(?=[^\n])").search

    def place(self, buffer: bytes, start: int, end: int) -> int:
        """Where the next line stands that tells something; -1 if there is none."""
        if self._known != len(self._running):
            self._known = len(self._running)
            known = known_vcpus(self._running)
            told = (
                rb"set_user|init_vcpu|convert|clear|(?:vm_)?ioctl type 0x[0-9a-f]{0,4}?"
                + any_of(MEMORY_CODES) + rb",|run_exit (?!cpu_index " + known + rb",)"
                rb"|vcpu_ioctl (?=.{0,40}ae80,)(?!cpu_index " + known + rb",)"
            )  # fmt: skip
            self._event = re.compile(rb":kvm_(?=" + told + rb")").search
        event = self._event(buffer, start, end)
        if event:
            end = event.start()
        other = self._other(buffer, start, end)
        if other:
            return other.end()
        return end if event else -1

    place_while_unfinished = place


def style_of(sample: bytes, running: set[int]) -> Style | None:
    """How to search a recording, by some of its lines; None if it is to be read line by line.

    running: vCPUs that are known to run.
    """
    lines = sample.split(b"\n")[1:-1]
    if len(lines) < 20:
        return None
    if sum(1 for line in lines if _STRACE_LINE.match(line)) * 10 >= len(lines) * 9:
        return StraceStyle(sample)
    if sum(1 for line in lines if _TRACE_LINE.match(line)) * 10 >= len(lines) * 9:
        return TraceStyle(running)
    return None
