"""perf trace, and the raw system calls of ftrace, trace-cmd and perf script.

perf shows pointers, never what they point at, and leaves arguments out that are
zero.  ftrace gives a call and its result on two lines of one thread.
"""

from __future__ import annotations

import re

from ..patterns import lazy
from .event import Event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .event import Reading
    from .strace import Strace

_TRACE = lazy(
    r"(?:(\d{1,12})\.(\d{3})\s{1,16})?"
    r"(?:\(\s{0,16}(?:(\d{1,9}\.\d{1,9})"
    r" ms)?\s{0,16}\):\s{0,16})?(?:(\S.{0,60}?)/(\d{1,10})\s{1,16})?"
    r"(?:\.\.\. \[continued\]: )?ioctl\((fd: .{0,600}?)\)\s*(?:\.\.\.|=\s*(.*))$",
    re.ASCII,
)
_FTRACE = lazy(
    r"(\S.{0,40}?)-(\d{1,10})\s{1,16}(?:\(.{0,20}?\)\s{1,16})?\[\d{1,6}\]\s{1,16}"
    r"(?:\S{4,6}\s{1,16})?(\d{1,12})\.(\d{6,9}):\s+(.*)$"
)
_SCRIPT = lazy(
    r"(?:^|\s)(?:\S.{0,40}?\s{1,16}(?:\d{1,10}/)?(\d{1,10})\s{1,16})?\[\d{1,6}\]\s{1,16}(?:\S{4,6}"
    r"\s{1,16})?"
    r"(\d{1,12})\.(\d{6,9}):\s+(?:\d{1,12}\s+)?(?:[a-z_]{2,40}:)?([a-z_]{3,60}:.*)$",
    re.ASCII,
)
"""perf script: `COMM TID [CPU] SECONDS: EVENT: ...`; ftrace joins the first two with a hyphen."""
_RUNS = lazy(r"\bkvm_entry: vcpu (\d{1,6})\b|\bkvm_userspace_exit: +reason KVM_EXIT_", re.ASCII)
_ENTER = lazy(
    r"sys_(?:enter_)?ioctl(?:\(|:? *)?fd: (0x)?([0-9a-f]{1,8}), cmd: (0x)?([0-9a-f]{1,8}), "
    r"arg: (?:0x)?([0-9a-f]{1,16})"
    r"|sys_enter: NR \d+ \(([0-9a-f]{1,16}), ([0-9a-f]{1,16}), ([0-9a-f]{1,16})"
)
_EXIT = lazy(r"sys_(?:exit_ioctl:? *|ioctl -> |exit: NR \d+ = )(-?(?:0x)?[0-9a-f]{1,18})")
_OPEN_MAX = 4096


class Perf:
    """Reads the lines of one file; needs strace's reader for the call itself."""

    def __init__(self, reading: Reading, strace: Strace) -> None:
        self.reading = reading
        self.strace = strace
        self._entered: dict[int | None, Event] = {}
        self._running: set[tuple[int | None, str | None]] = set()

    def parse(self, text: str, line: int) -> list[Event] | None:
        """The events of a line; None if it is not one of ours."""
        if "ioctl(fd: " in text:
            found = _TRACE.search(text)
            return self._trace(found, text, line) if found else None
        if (
            "sys_e" in text
            or "sys_ioctl" in text
            or "kvm_entry: " in text
            or "kvm_userspace_exit: " in text
        ):
            found = _FTRACE.search(text)
            if found:
                return self._ftrace(found.groups()[1:], text, line, "ftrace")
            found = _SCRIPT.search(text)
            return self._ftrace(found.groups(), text, line, "perf-script") if found else None
        return None

    def finish(self) -> list[Event]:
        """Calls that were entered and never left."""
        events = sorted(self._entered.values(), key=lambda event: event.line)
        self._entered.clear()
        return events

    def _run(self, vcpu: str | None, event: Event) -> list[Event]:
        """A sign that a vCPU runs, the first of each; the others are counted."""
        who = (event.pid, vcpu)
        if who in self._running or len(self._running) == _OPEN_MAX:
            self.reading.runs += 1
            return []
        self._running.add(who)
        event.fields = {"vcpu_id": int(vcpu)} if vcpu else {}
        return [event]

    def _trace(self, found: re.Match[str], text: str, line: int) -> list[Event]:
        ms, us, took_ms, _, pid, args, result = found.groups()
        if ", arg: " not in args:
            args += ", arg: 0"
        event = self.strace.ioctl(args.replace(", arg: ", ", ", 1), result or "")
        if event is None:
            return []
        event.pid = int(pid) if pid else None
        event.time_ns = int(ms) * 10**6 + int(us) * 1000 if ms else None
        event.line, event.text, event.format = line, text, "perf"
        if took_ms and result:
            event.duration_ns = round(float(took_ms) * 1_000_000)
        return [event]

    def _ftrace(self, found: tuple[str, ...], text: str, line: int, name: str) -> list[Event]:
        pid_text, seconds, fraction, what = found
        pid = int(pid_text) if pid_text else None
        time_ns = int(seconds) * 10**9 + int(fraction.ljust(9, "0"))
        runs = _RUNS.search(what)
        if runs:
            return self._run(
                runs[1],
                Event("KVM_RUN", pid=pid, time_ns=time_ns, line=line, text=text, format=name),
            )
        enter = _ENTER.search(what)
        if enter:
            numbers = [enter.group(i) for i in ((2, 4, 5) if enter.group(2) else (6, 7, 8))]
            fd, code, argument = (int(number, 16) for number in numbers)
            event = self.strace.ioctl(
                f"{fd & 0xFFFFFFFF}, {code & 0xFFFFFFFF:#010x}, {argument:#x}", ""
            )
            if event is None:
                return []
            event.pid, event.line, event.text, event.format = pid, line, text, name
            event.time_ns = time_ns
            waiting = self._entered.pop(pid, None)
            if len(self._entered) < _OPEN_MAX:
                self._entered[pid] = event
            return [waiting] if waiting else []
        left = _EXIT.search(what)
        waiting = self._entered.pop(pid, None) if left else None
        if left is None or waiting is None:
            return []
        value = left.group(1)
        digits = value.lstrip("-")
        number = int(digits, 16) if digits[:2] == "0x" or not digits.isdigit() else int(digits)
        number = -number if value[0] == "-" else number
        waiting.result = number - (1 << 64) if number >> 63 == 1 else number
        self.strace.note_new_fd(waiting)
        return [waiting]
