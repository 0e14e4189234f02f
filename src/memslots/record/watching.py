"""A recording that is replayed while it grows: what is known so far, again and again.

    watching = Watching(path, find("host"), is_over=lambda: recorder.poll() is not None)
    watching.run(show)

`show(seen)` is called whenever all that was written has been replayed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque

from ..replay.replay import Replay
from ..replay.step import DIFFERS, REFUSED, Step
from ..trace.event import Reading
from ..trace.recording import events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import BinaryIO

    from ..kernel.profile import Profile
    from ..model.vm import Vm

_WAIT_SECONDS, _SHOW_SECONDS, _END_SECONDS = 0.05, 0.2, 3.0
_MOST_REFUSALS = 100


class GrowingVm:
    """One VM as it is now."""

    __slots__ = ("from_start", "name", "vm")

    def __init__(self, name: str, vm: Vm, *, from_start: bool) -> None:
        self.name = name
        self.vm = vm
        """A fork: it stays as it is."""
        self.from_start = from_start
        """Whether its creation was recorded."""


class WatchedState:
    """What is known of a recording at one moment."""

    __slots__ = ("calls", "is_over", "refusals", "region_calls", "vms")

    def __init__(self, watching: Watching, *, is_over: bool) -> None:
        self.calls = watching.reading.calls
        self.region_calls = watching.region_calls
        self.refusals = list(watching.refusals)
        """The last refused region calls, and those that the model answers otherwise."""
        self.vms = [
            GrowingVm(tracked.name, tracked.vm.fork(), from_start=tracked.from_start)
            for tracked in watching.replay.vms
            if tracked.made_by or tracked.vm.state.nr_slots
        ]
        self.is_over = is_over


class Watching:
    """A recording and one replay of it, both growing."""

    def __init__(self, path: str, profile: Profile, is_over: Callable[[], bool]) -> None:
        """is_over: whether the recorder has ended, so that nothing is written any more."""
        self.path = path
        self.profile = profile
        self.reading = Reading()
        self.region_calls = 0
        self.refusals: deque[Step] = deque(maxlen=_MOST_REFUSALS)
        self.replay = Replay((), profile)
        self._is_over = is_over
        self._show: Callable[[WatchedState], object] = lambda seen: None
        self._shown_at = 0.0
        self._news = True

    def run(self, show: Callable[[WatchedState], object]) -> None:
        """Follow to the end of the recording.  Raises TraceError for one that is none."""
        self._show = show
        file = self._opened()
        if file is not None:
            with file:
                self.replay = Replay(
                    events(lambda nbytes: self._read(file, nbytes), self.reading, self.path),
                    self.profile,
                )
                for step in self.replay:
                    self._take(step)
        show(WatchedState(self, is_over=True))

    def _opened(self) -> BinaryIO | None:
        """The recording, once the program has started; None if it never did."""
        while True:
            is_over = self._is_over()
            if os.path.exists(self.path):
                return open(self.path, "rb")
            if is_over:
                return None
            time.sleep(_WAIT_SECONDS)

    def _read(self, file: BinaryIO, nbytes: int) -> bytes:
        """More of the recording; waits for it.  Empty once the recorder has ended."""
        while True:
            is_over = self._is_over()
            data = file.read(nbytes)
            if data:
                self._news = True
                return data
            if is_over:
                return b""
            # all that was written has been replayed: the moment to show it
            if self._news:
                self._news = False
                self._show(WatchedState(self, is_over=False))
            time.sleep(_WAIT_SECONDS)

    def _take(self, step: Step) -> None:
        if step.is_region:
            self.region_calls += 1
        if (step.is_region and step.verdict == REFUSED) or step.verdict == DIFFERS:
            self.refusals.append(step)
        now = time.monotonic()
        if now - self._shown_at > _SHOW_SECONDS:
            self._shown_at = now
            self._show(WatchedState(self, is_over=False))


def start_recorder(
    command: Sequence[str], pid: int | None, path: str, output_path: str
) -> subprocess.Popen[bytes]:
    """`memslots record` beside us, of a command or a process, in a session of its own: keys of the
    terminal are ours, and what the program prints goes to a file.
    """
    words = [sys.executable, "-m", "memslots", "record", "-q", "-o", path]
    words += ["-p", str(pid)] if pid else ["--", *command]
    with open(output_path, "wb") as output:
        return subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )


def end_recorder(recorder: subprocess.Popen[bytes]) -> None:
    """The recorder is gone after this; a program that it attached to is left as it is."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if recorder.poll() is not None:
            return
        recorder.send_signal(number)
        try:
            recorder.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            continue
