"""How far a long reading has come, on a terminal, after the first second."""

from __future__ import annotations

import sys
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from ..trace.event import Reading

_SECONDS = 1.0


@contextmanager
def progress(reading: Reading) -> Iterator[None]:
    """Show what has been read once a second while the block runs; nothing where stderr is no
    terminal.
    """
    if not sys.stderr.isatty():
        yield
        return
    import threading

    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(reading, done), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _watch(reading: Reading, done: threading.Event) -> None:
    shown = False
    while not done.wait(_SECONDS):
        print(
            f"\r{reading.bytes >> 20} MiB read, {reading.calls} calls ",
            end="",
            file=sys.stderr,
            flush=True,
        )
        shown = True
    if shown:
        print("\r" + " " * 40 + "\r", end="", file=sys.stderr, flush=True)
