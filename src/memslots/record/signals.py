"""What becomes of the signals that are sent to a recorder."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from signal import Signals

PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
FROM_TERMINAL = (signal.SIGINT, signal.SIGQUIT)
"""Which the terminal sends to the program too."""
LEAVING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Undo:
    """Signal handlers to put back, unless the process is about to end (`for_good`)."""

    def __init__(self, *, for_good: bool = False) -> None:
        self._before: dict[int, object] = {}
        self._for_good = for_good

    def set(self, number: int, handler: object) -> None:
        """Set a handler, unless this is not the main thread, where Python allows none."""
        try:
            self._before[number] = signal.signal(number, handler)  # type: ignore[arg-type]
        except ValueError:
            return

    def __call__(self) -> None:
        """Put them back."""
        if self._for_good:
            return
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]


@contextmanager
def held() -> Iterator[set[int | Signals]]:
    """While it is entered, a signal waits until there is somebody to take it; gives those that
    were held before.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (*PASSED_ON, *FROM_TERMINAL))
    try:
        yield before
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def pass_on(pid: int, is_there: Callable[[], bool], *, for_good: bool) -> Undo:
    """Pass signals on to a program while its number is no one else's; what the terminal sends
    reaches it by itself.
    """

    def forward(number: int, _frame: object) -> None:
        if is_there():
            try:
                os.kill(pid, number)
            except PermissionError:
                return  # it has become another user's

    undo = Undo(for_good=for_good)
    for number in FROM_TERMINAL:
        undo.set(number, signal.SIG_IGN)
    for number in PASSED_ON:
        undo.set(number, forward)
    return undo


def on_leaving(leave: Callable[[int, object], None]) -> Undo:
    """Have somebody called when we are told to end."""
    undo = Undo()
    for number in LEAVING:
        undo.set(number, leave)
    return undo
