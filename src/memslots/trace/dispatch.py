"""Which reader a line belongs to: found from its content, so that formats may mix.

`Reader` walks over the lines of one source.  Small sources are looked at line by
line.  In huge ones only lines with certain words are looked at, found by a search
that runs in C; both ways hand the same lines to the same code.
"""

from __future__ import annotations

from ..patterns import lazy
from . import blocks, clean, strace
from . import mend as paste
from .event import Event, Reading
from .lines import BLOCK, Lines
from .noise import ANCHOR, NOISE, STRIDE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .line_numbers import LineCounter
    from .passing import Passing
    from .perf import Perf
    from .qemu import Qemu
    from .search import Style

HEAD = 1 << 18
"""Bytes at the beginning and the end of a huge recording that are read in full."""
MORE_PARTS = 64
"""Lines within one string of a log, or calls on one line."""
MORE_LINES = 10
"""A call or message may be wrapped over this many further lines."""

_SYSCALL = lazy(
    rb"(?:\[pid +\d+\] *|\d+ +| +)?(?:(\d{1,8})\.(\d{6,9}) +|[\d:.]+ +)?(?:\[ *\w+\] +)?"
    rb"([a-z_0-9]{1,40})\("
)
PASTE = 1 << 14
"""Bytes up to which every line may be looked at."""
TEXT_READ = 1 << 16
"""Bytes of a line that are looked at closely: a log object may be long."""
CALL_READ = 1 << 14
"""Characters of a call or message that are looked at."""
_TRACE_EVENT = lazy(rb"\d+@\d+\.\d+:(\w+) ")
_TRACE_EVENTS = frozenset(
    b"kvm_set_user_memory kvm_ioctl kvm_vm_ioctl kvm_init_vcpu kvm_convert_memory"
    b" kvm_clear_dirty_log kvm_run_exit kvm_vcpu_ioctl".split()
)
"""The events of QEMU that tell something about memory."""
_STACK_END = lazy(rb"\[0x[0-9a-f]+\]\s*$")


def _is_stack(raw: bytes) -> bool:
    """A line of the stack that strace -k prints below a call."""
    return raw.startswith(b" > ") and _STACK_END.search(raw[-64:]) is not None


def _place(buffer: bytes, start: int, end: int) -> int:
    found = ANCHOR.search(buffer, start, end)
    return found.end() - 1 if found else -1


class Reader:
    """Reads one source into events."""

    def __init__(
        self, lines: Lines, reading: Reading, name: str, *, pid: int | None = None
    ) -> None:
        self.lines = lines
        self.reading = reading
        self.name = name
        self.pid = pid
        """The thread that the whole file is about (strace -ff)."""
        self.strace = strace.Strace(reading)
        self._qemu: Qemu | None = None
        self._perf: Perf | None = None
        self._quick: Passing | None = None
        self.blocks = blocks.Blocks(reading, self._ahead)
        self._counter: LineCounter | None = None
        self._far: Callable[[Event, LineCounter], Event]
        self.search_from = 0
        """Bytes of a stream from which it is searched, if it is strace; 0 for never."""

    # The other readers of lines are made when a line asks for them.

    @property
    def qemu(self) -> Qemu:
        """Reads lines of QEMU's trace."""
        if self._qemu is None:
            from .qemu import Qemu

            self._qemu = Qemu(self.reading)
        return self._qemu

    @property
    def perf(self) -> Perf:
        """Reads lines of perf and ftrace."""
        if self._perf is None:
            from .perf import Perf

            self._perf = Perf(self.reading, self.strace)
        return self._perf

    @property
    def _passing(self) -> Passing:
        """The quick way through the lines in memory."""
        if self._quick is None:
            from .passing import Passing

            self._quick = Passing(self.lines, self.reading, self.strace, self.qemu)
        return self._quick

    def all_lines(self) -> Iterator[Event]:
        """Every line is looked at, most of them in passing."""
        lines = self.lines
        while not lines.done and not self.strace.relative:
            if lines.given > PASTE:
                yield from map(self._named, self._passing.events(None))
            if not self.strace.relative and lines.jump(_place, STRIDE):
                yield from self.line(lines.next() or b"")
            if self.search_from and lines.given >= self.search_from:
                from .search import style_of

                self.search_from = 0
                style = style_of(lines.waiting, self.qemu.running)
                if style is not None:
                    if style.note:
                        self.reading.note(
                            f"{self.name or 'input'}: {style.note}, from line {lines.line}"
                        )
                    yield from self._search(style, 1 << 62)
        yield from self._each_line()
        yield from self.finish()

    def searched(self, file_bytes: int, style: Style, counter: LineCounter) -> Iterator[Event]:
        """The way for huge recordings: look at the lines that a search finds only.

        The beginning and the end (of `file_bytes`) are read in full: messages stand there.
        """
        from .line_numbers import far

        lines = self.lines
        self._counter, self._far = counter, far
        lines.counting = False
        while lines.given <= HEAD and not lines.done and not self.strace.relative:
            if lines.given > PASTE:
                yield from map(self._named, self._passing.events(None))
            if not self.strace.relative and lines.jump(_place, STRIDE):
                yield from self.line(lines.next() or b"")
        yield from self._search(style, file_bytes - HEAD - BLOCK)  # it may go one block further
        yield from self.all_lines()

    def _search(self, style: Style, end: int) -> Iterator[Event]:
        """Look at the lines that a search finds only, until so many bytes were taken."""
        lines = self.lines
        while not lines.done and lines.given < end and not self.strace.relative:
            yield from map(self._named, self._passing.events(style))
            if self.strace.relative:
                return
            if lines.grow():
                continue
            if lines.jump(self._passing.place(style), BLOCK):
                yield from self.line(lines.next() or b"")

    def _each_line(self) -> Iterator[Event]:
        """The way for relative times: each line moves the clock."""
        while True:
            raw = self.lines.next()
            if raw is None:
                return
            known = _SYSCALL.match(raw)
            if known and known.group(3) in NOISE:
                if known.group(1):
                    self.strace.seconds(int(known.group(1)), known.group(2).decode())
            else:
                yield from self.line(raw)

    def finish(self) -> Iterator[Event]:
        """What was still waiting for its end."""
        yield from map(self._named, self.strace.unfinished())
        for other in (self._perf, self._qemu):
            if other is not None:
                yield from map(self._named, other.finish())

    def line(self, raw: bytes) -> list[Event]:
        """The events of one line, with those lines after it that belong to it."""
        lines = self.lines
        number = lines.line if self._counter is None else lines.start
        if lines.given <= PASTE:
            buffer, at, end = lines.window()
            if at < end and not clean.GOES_ON.match(buffer, at, end):
                events = self._passing.of_line(raw, number)
                if events is not None:
                    return [self._named(event) for event in events]
        plain = self._plain(raw, number)
        if plain is None:
            return self._unusual(raw, number)
        if lines.follows(b" > "):
            self._stack(plain)
        return [self._named(plain)]

    def _plain(self, raw: bytes, number: int) -> Event | None:
        """The event of a clean region call."""
        found = clean.REGION.match(raw)
        return clean.region(found, number, self.strace) if found else None

    def _unusual(self, raw: bytes, number: int) -> list[Event]:
        known = _SYSCALL.match(raw)
        if (known and known.group(3) in NOISE) or _is_stack(raw):
            return []
        traced = _TRACE_EVENT.match(raw)
        if traced and traced.group(1) not in _TRACE_EVENTS:
            return []
        if len(raw) > TEXT_READ:
            self.reading.note(f"of lines longer than {TEXT_READ} bytes the beginning was read")
        shown = self._with_rest_of_word(self._mended(raw[:TEXT_READ]))
        events = self._events(shown, number, 2)
        if events and events[-1].format == "strace":
            self._stack(events[-1])
        return [self._named(event) for event in events]

    def _mended(self, raw: bytes) -> str:
        shown = raw.decode("utf-8", "replace").rstrip("\r")
        if not paste.damaged(shown):
            return paste.unquoted(shown)
        while shown.endswith("=") and len(shown) <= strace.TEXT_MAX:
            following = self._following()
            if following is None or not paste.soft_break(shown, following):
                break
            self.lines.next()
            shown = shown[:-1] + following
        parts = paste.split(shown)
        if len(parts) > 1:
            self.lines.push([part.encode("utf-8", "replace") for part in parts[1:]])
        return paste.unquoted(parts[0])

    def _following(self) -> str | None:
        """The next line, not consumed."""
        more = self.lines.peek(1)
        return (
            paste.unquoted(more[0][:TEXT_READ].decode("utf-8", "replace").rstrip("\r"))
            if more
            else None
        )

    def _ahead(self, most: int) -> list[str]:
        """Up to so many of the lines that follow, mended, none of them consumed."""
        shown = (
            raw[:TEXT_READ].decode("utf-8", "replace").rstrip("\r") for raw in self.lines.peek(most)
        )
        return [
            paste.unquoted(paste.split(line)[0] if paste.damaged(line) else line) for line in shown
        ]

    def _with_rest_of_word(self, shown: str) -> str:
        """The line, whole again if a terminal cut a word at its end."""
        following = self._following() if paste.may_go_on(shown) else None
        whole = paste.with_rest(shown, following) if following else None
        if whole is None:
            return shown
        self.lines.next()
        return whole

    def _stack(self, event: Event) -> None:
        """Keep the stack that strace -k prints after a call."""
        while True:
            following = self.lines.peek(1)
            if not following or not _is_stack(following[0]):
                return
            self.lines.next()
            if len(event.text) < strace.TEXT_MAX:
                text = f"{event.text}\n{following[0].decode('utf-8', 'replace')}"
                event.text = text[: strace.TEXT_MAX]

    def _named(self, event: Event) -> Event:
        if not event.source:
            event.source = self.name
        if len(event.text) > strace.TEXT_MAX:
            event.text = event.text[: strace.TEXT_MAX]
        form, reading = event.format, self.reading
        if event.pid is None and form == "strace":
            event.pid = self.pid
        reading.calls += 1
        try:
            reading.formats[form] += 1
        except KeyError:
            reading.formats[form] = 1
        return event if self._counter is None else self._far(event, self._counter)

    def _events(self, shown: str, number: int, depth: int) -> list[Event]:
        """The events of a mended line; `depth` bounds log objects within log objects."""
        if "{" in shown and '"' in shown and depth:
            from . import jsonl

            own = jsonl.parse(shown, number, self.reading)
            if isinstance(own, Event):
                return [own]
            if own is not None:
                return [
                    event for message in own for event in self._events(message, number, depth - 1)
                ]
        shown = shown[:CALL_READ]
        if "resumed>" in shown:
            resumed = self.strace.resume(shown)
            return self._strace(*resumed, joinable=False) if resumed else []
        block = self.blocks.reader_of(shown)
        found = (
            self._joined(shown, lambda part, final: block.parse(part, number, final), "")
            if block
            else []
        )
        if found:
            return found
        if "ioctl(fd: " in shown or "sys_" in shown or "kvm_" in shown:
            recorded = self.perf.parse(shown, number)
            if recorded is not None:
                return recorded
        if strace.CALL.search(shown):
            events = self._strace(
                shown, number, self.strace.prefix(shown[: strace.start(shown)]), joinable=True
            )
            if events or "<unfinished ...>" in shown or strace.TAIL.search(shown):
                return events
        from .messages import promising

        if "kvm_" not in shown and "slot=" not in shown and not promising(shown):
            return []
        if "\\n" in shown and depth:  # several lines in one string, not unescaped
            parts = shown.split("\\n")[:MORE_PARTS]
            return [event for part in parts for event in self._events(part, number, 0)]
        return self._joined(shown, lambda text, final: self._message(text, number, final), " ")

    def _message(self, shown: str, number: int, final: bool) -> list[Event] | None:
        traced = self.qemu.parse(shown, number, final)
        if traced is None or traced:
            return traced
        from . import bpf, messages

        event = bpf.parse(shown, number, self.reading) or messages.parse(
            shown, number, self.reading, final
        )
        if event is False:
            return None
        return [event] if isinstance(event, Event) else []

    def _strace(self, shown: str, number: int, who: strace.Who, *, joinable: bool) -> list[Event]:
        def calls(text: str, final: bool) -> list[Event] | None:
            found: list[Event] = []
            at = strace.CALL.search(text)
            while at and len(found) < MORE_PARTS:
                parsed = self.strace.parse(text, at, number, who, final or bool(found))
                if parsed is None:
                    return None
                if parsed[0]:
                    found.append(parsed[0])
                if not strace.TAIL.search(text, parsed[1]):
                    break  # no other call is complete: do not look at each
                at = strace.CALL.search(text, parsed[1])
            return found

        return self._joined(shown, calls, "") if joinable else calls(shown, True) or []

    def _joined(
        self, shown: str, parse: Callable[[str, bool], list[Event] | None], glue: str
    ) -> list[Event]:
        """Parse a line; if it is cut, try it with the lines after it, else do with what is
        there.
        """
        skipped = self.reading.skipped.copy()
        events = parse(shown, False)
        if events is not None:
            return events
        whole = shown
        ahead = self.lines.peek(MORE_LINES)
        for count, raw in enumerate(ahead, 1):
            more = raw[:TEXT_READ].decode("utf-8", "replace").rstrip("\r")
            parts = paste.split(more) if paste.damaged(more) else [more]
            more = paste.unquoted(parts[0])
            if not more.strip() or paste.begins_record(more) or len(whole) > strace.TEXT_MAX:
                break
            whole = paste.join_message(whole, more) if glue else paste.join(whole, more)
            following = ahead[count][:40].decode("utf-8", "replace") if count < len(ahead) else ""
            if (
                following
                and paste.may_go_on(whole)
                and paste.with_rest(whole, paste.unquoted(following))
            ):
                continue  # the last word goes on
            self.reading.skipped = skipped.copy()  # what a vain attempt counted does not count
            events = parse(whole, False)
            if events is not None:
                for _ in range(count):
                    self.lines.next()
                self.lines.push([part.encode("utf-8", "replace") for part in parts[1:]])
                return events
        self.reading.skipped = skipped
        return parse(shown, True) or []
