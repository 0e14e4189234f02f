"""The quick way through the lines in memory: most of them are passed over or understood in C.

It ends before a line that needs a closer look, which `dispatch` takes.  What it finds is what
looking at each line would find.
"""

from __future__ import annotations

from .clean import GOES_ON, REGION, Clean
from .noise import ANCHOR, QUIET, QUIET_WHILE_UNFINISHED, STRIDE, quiet_trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterator

    from .event import Event, Reading
    from .lines import Lines
    from .qemu import Qemu
    from .search import Style
    from .strace import Strace


class Passing:
    """The quick way for one source."""

    __slots__ = ("_clean", "_in_trace", "_lines", "_qemu", "_reading", "_strace")

    def __init__(self, lines: Lines, reading: Reading, strace: Strace, qemu: Qemu) -> None:
        self._lines = lines
        self._reading = reading
        self._strace = strace
        self._qemu = qemu
        self._clean = Clean(strace, qemu)
        self._in_trace = False
        """Lines of QEMU's trace were passed over last, not lines of strace."""

    def events(self, style: Style | None) -> Iterator[Event]:
        """Those of the lines in memory, up to one that needs a closer look.

        style: how to search; None to look at every line.
        """
        lines, forms = self._lines, self._clean.forms
        buffer, at, end = lines.window()
        if style is not None and style.run and not self._reading.runs and style.run in buffer:
            self._reading.runs = 1  # a search counts few of them, and whether there are any counts
        form, understand = forms[0]
        again = was_quiet = False
        while at < end:
            # Calls often come one after the other in the same form.
            found = form.match(buffer, at, end) if again else None
            if found is None:
                if style is None:
                    at = self._wanted(buffer, at, end)
                else:
                    at = self._found(style, buffer, at, end)
                lines.pass_to(at)
                if at == end:
                    return
                # Most lines are like the one before.
                quiet = self._quiet_line(buffer, at) if was_quiet else at
                found = form.match(buffer, at, end) if quiet == at else None
                if found is None and quiet == at:
                    for one, makes_event in forms:
                        found = one.match(buffer, at, end)
                        if found:
                            form, understand = one, makes_event
                            break
                    else:
                        quiet = self._quiet_line(buffer, at) if style and not was_quiet else at
                        if quiet == at:
                            return
                was_quiet = quiet > at
                if found is None:
                    at = quiet
                    continue
            after = found.end() + 1
            if after >= end or GOES_ON.match(buffer, after, end):
                return
            is_clean, event = understand(found, lines.number_next())
            if not is_clean:
                return
            lines.step_to(after)
            at = after
            if event is not None:
                again = style is None or form is REGION
                yield event

    def of_line(self, raw: bytes, number: int) -> list[Event] | None:
        """The events of a line by itself, if it is clean."""
        line = raw + b"\n"
        for form, understand in self._clean.forms:
            found = form.match(line)
            if found:
                if found.end() != len(raw):
                    return None
                is_clean, event = understand(found, number)
                if not is_clean:
                    return None
                return [] if event is None else [event]
        return None

    def _wanted(self, buffer: bytes, at: int, end: int) -> int:
        """The start of the next line that a reader may want."""
        stride = 0
        while at < end:
            passed = self._quiet(buffer, at, end)
            if passed > at:
                at, stride = passed, 0
                continue
            stop = buffer.find(b"\n", min(at + stride, end - 1), end)
            found = ANCHOR.search(buffer, at - 1, stop)
            if found is None:
                at, stride = stop + 1, min(stride * 2 + 64, STRIDE)
                continue
            start = buffer.rfind(b"\n", at, found.end() - 1) + 1
            if not start:
                return at
            at, stride = self._quiet(buffer, start, end), 0
            if at == start:
                return at
        return at

    def _quiet_line(self, buffer: bytes, at: int) -> int:
        """Where a line ends that tells nothing; `at` if it tells something.

        A search goes on from there faster than an expression could look at the next lines.
        """
        return self._quiet(buffer, at, buffer.find(b"\n", at) + 1)

    def _quiet(self, buffer: bytes, at: int, end: int) -> int:
        """Where a run of lines that tell nothing ends."""
        for in_trace in (self._in_trace, not self._in_trace):
            found = self._pattern(in_trace).match(buffer, at, end)
            if found:
                self._in_trace = in_trace
                run = b":kvm_run_exit " if in_trace else b"KVM_RUN, 0"
                self._reading.runs += buffer.count(run, at, found.end())
                return found.end()
        return at

    def _pattern(self, in_trace: bool) -> re.Pattern[bytes]:
        if in_trace:
            return quiet_trace(frozenset(self._qemu.running), self._qemu.ioctls_traced)
        return QUIET_WHILE_UNFINISHED if self._strace.pending else QUIET

    def _found(self, style: Style, buffer: bytes, at: int, end: int) -> int:
        """The start of the next line that a search finds."""
        search = self.place(style) if self._strace.pending else style.place
        place = search(buffer, at - 1, end)
        if place < 0:
            return end
        return max(at, buffer.rfind(b"\n", at, place) + 1)

    def place(self, style: Style) -> Callable[[bytes, int, int], int]:
        """How to search now: while a call is unfinished its second half counts too."""
        if not self._strace.pending:
            return style.place

        def place_or_resumed(buffer: bytes, start: int, end: int) -> int:
            place = style.place_while_unfinished(buffer, start, end)
            resumed = buffer.find(b" resumed>", start, end if place < 0 else place)
            return resumed if resumed >= 0 else place

        return place_or_resumed
