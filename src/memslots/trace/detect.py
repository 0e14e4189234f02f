"""Which reader a line belongs to: found from its content, so that formats may mix.

`Reader` walks over the lines of one source.  Small sources are looked at line by
line.  In huge ones only lines with certain words are looked at, found by a search
that runs in C; both ways hand the same lines to the same code.
"""

from __future__ import annotations

import re

from . import bpf, jsonl, paste, perf, qemu, strace, text
from .event import Event, Reading
from .source import Lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MORE_LINES = 6
"""A call or message may be wrapped over this many further lines."""

ANCHOR = re.compile(
    rb"KVM_(?!RUN, 0\) {1,12}= 0)|[Kk]vm|KVM|ioctl|VFIO_|VHOST_|[Ss]lot|os error|Err(?:or|no)?\(|code: \d|errno"
    rb"|ioevent|(?:un|m|re)map2?\(|mprotect\(|close\(|fork\(|clone[23]?\(|egion|resumed>|emory|\"call\"|dosaddr|vfio"
)
"""Words one of which stands in every line that a reader wants."""
_NOISE = frozenset(
    b"accept accept4 access arch_prctl bind brk capget chdir chmod clock_gettime clock_nanosleep connect"
    b" dup dup2 dup3 epoll_create1 epoll_ctl epoll_pwait epoll_wait eventfd2 execve exit exit_group faccessat"
    b" fallocate fchmod fcntl fdatasync fstat fstatfs fsync ftruncate futex getcwd getdents64 getegid geteuid"
    b" getgid getpeername getpid getppid getrandom getrlimit getrusage getsockname getsockopt gettid"
    b" gettimeofday getuid io_getevents io_submit io_uring_enter io_uring_setup kill lseek lstat madvise"
    b" mbind memfd_create membarrier mincore mlock mlockall munlock nanosleep newfstatat open openat pipe pipe2"
    b" poll ppoll prctl pread64 preadv prlimit64 pselect6 pwrite64 pwritev read readlink readlinkat readv"
    b" recvfrom recvmsg rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigreturn rt_sigtimedwait"
    b" sched_getaffinity sched_setaffinity sched_yield select sendmmsg sendmsg sendto set_robust_list"
    b" set_tid_address setrlimit setsockopt shutdown signalfd4 sigaltstack socket socketpair stat statfs"
    b" statx sysinfo tgkill timer_create timer_settime timerfd_create timerfd_settime uname unlink"
    b" wait4 waitid write writev".split()
)
"""System calls that are not about memory: a line of strace with one of them is passed over,
even if its arguments quote an error message."""
_SYSCALL = re.compile(
    rb"(?:\[pid +\d+\] *|\d+ +)?(?: *(\d{1,8})\.(\d{6,9}) +|[\d:.]+ +)?(?:\[ *\w+\] +)?([a-z_0-9]+)\("
)
TEXT_READ = 1 << 16
"""Bytes of a line that are looked at closely."""
_STACK = re.compile(rb"^ > (?:\S+\(.*\) \[0x[0-9a-f]+\]|\S*\[0x[0-9a-f]+\]|.* \[0x[0-9a-f]+\])\s*$")


class Reader:
    """Reads one source into events."""

    def __init__(self, lines: Lines, reading: Reading, name: str, *, pid: int | None = None) -> None:
        self.lines = lines
        self.reading = reading
        self.name = name
        self.pid = pid
        """The thread that the whole file is about (strace -ff)."""
        self.strace = strace.Strace(reading)
        self.perf = perf.Perf(reading, self.strace)
        self.qemu = qemu.Qemu(reading)

    def all_lines(self) -> Iterator[Event]:
        """Look at every line."""
        take, wanted, syscall = self.lines.next, ANCHOR.search, _SYSCALL.match
        while True:
            raw = take()
            if raw is None:
                break
            known = syscall(raw)
            if known and known.group(3) in _NOISE:
                if known.group(1):
                    self.strace.seconds(int(known.group(1)), known.group(2).decode())
            elif wanted(raw):
                yield from self.line(raw)
        yield from self.finish()

    def finish(self) -> Iterator[Event]:
        """What was still waiting for its end."""
        for event in (*self.strace.unfinished(), *self.perf.finish(), *self.qemu.finish()):
            yield self._named(event)

    def line(self, raw: bytes) -> Iterator[Event]:
        """The events of one line, with those lines after it that belong to it."""
        known = _SYSCALL.match(raw)
        if known and known.group(3) in _NOISE or _STACK.match(raw):
            return
        if len(raw) > TEXT_READ:
            self.reading.note(f"of lines longer than {TEXT_READ} bytes the beginning was read")
        shown = self._mended(raw[:TEXT_READ])
        events = self._events(shown, self.lines.line, 2)
        if events and events[-1].format == "strace":
            self._stack(events[-1])
        for event in events:
            yield self._named(event)

    def _mended(self, raw: bytes) -> str:
        shown = raw.decode("utf-8", "replace").rstrip("\r")
        if not paste.damaged(shown):
            return paste.unquoted(shown)
        while paste.soft_break(shown):
            more = self.lines.peek(1)
            if not more or len(shown) > strace.TEXT_MAX:
                break
            self.lines.next()
            shown = shown[:-1] + paste.unquoted(more[0][:TEXT_READ].decode("utf-8", "replace").rstrip("\r"))
        parts = paste.split(shown)
        if len(parts) > 1:
            self.lines.push([part.encode("utf-8", "replace") for part in parts[1:]])
        return paste.unquoted(parts[0])

    def _stack(self, event: Event) -> None:
        """Keep the stack that strace -k prints after a call."""
        while True:
            following = self.lines.peek(1)
            if not following or not _STACK.match(following[0]):
                return
            self.lines.next()
            if len(event.text) < strace.TEXT_MAX:
                text = f"{event.text}\n{following[0].decode('utf-8', 'replace')}"
                event.text = text[: strace.TEXT_MAX]

    def _named(self, event: Event) -> Event:
        event.source = self.name
        if event.pid is None:
            event.pid = self.pid
        self.reading.calls += 1
        self.reading.formats[event.format] = self.reading.formats.get(event.format, 0) + 1
        return event

    def _events(self, shown: str, number: int, depth: int) -> list[Event]:
        """The events of a mended line; `depth` bounds log objects within log objects."""
        if "{" in shown and '"' in shown and depth:
            own = jsonl.parse(shown, number, self.reading)
            if isinstance(own, Event):
                return [own]
            if own is not None:
                return [event for message in own for event in self._events(message, number, depth - 1)]
        if "resumed>" in shown:
            resumed = self.strace.resume(shown)
            return self._strace(*resumed, joinable=False) if resumed else []
        recorded = self.perf.parse(shown, number)
        if recorded is not None:
            return recorded
        if strace.CALL.search(shown):
            events = self._strace(shown, number, self.strace.prefix(shown[: strace.start(shown)]), joinable=True)
            if events:
                return events
        return self._joined(shown, lambda text, final: self._message(text, number, final), " ")

    def _message(self, shown: str, number: int, final: bool) -> list[Event] | None:
        traced = self.qemu.parse(shown, number, final)
        if traced is None or traced:
            return traced
        event = bpf.parse(shown, number, self.reading) or text.parse(shown, number, self.reading, final)
        if event is False:
            return None
        return [event] if isinstance(event, Event) else []

    def _strace(self, shown: str, number: int, who: strace.Who, *, joinable: bool) -> list[Event]:
        def calls(text: str, final: bool) -> list[Event] | None:
            found: list[Event] = []
            at = strace.CALL.search(text)
            while at:
                parsed = self.strace.parse(text, at, number, who, final or bool(found))
                if parsed is None:
                    return None
                if parsed[0]:
                    found.append(parsed[0])
                at = strace.CALL.search(text, parsed[1])
            return found

        return self._joined(shown, calls, "") if joinable else calls(shown, True) or []

    def _joined(
        self, shown: str, parse: Callable[[str, bool], list[Event] | None], glue: str
    ) -> list[Event]:
        """Parse a line; if it is cut, try it with the lines after it, else do with what is there."""
        events = parse(shown, False)
        if events is not None:
            return events
        whole = shown
        for count, raw in enumerate(self.lines.peek(MORE_LINES), 1):
            more = raw[:TEXT_READ].decode("utf-8", "replace").rstrip("\r")
            more = paste.unquoted(paste.split(more)[0] if paste.damaged(more) else more)
            if not more.strip() or paste.begins_record(more) or len(whole) > strace.TEXT_MAX:
                break
            whole = f"{whole.rstrip()} {more.strip()}" if glue else paste.join(whole, more)
            events = parse(whole, False)
            if events is not None:
                for _ in range(count):
                    self.lines.next()
                return events
        return parse(shown, True) or []
