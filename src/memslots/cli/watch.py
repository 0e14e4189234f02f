"""`memslots watch`: slots, map, totals and refusals of a program while they happen."""

from __future__ import annotations

import os
import sys
import tempfile

from .run import FINDINGS, FINE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ..record.watching import WatchedState, Watching

HELP = "Slots, map, totals and refusals of a program's VMs, on the terminal, while they happen."
EPILOG = """\
examples:
  memslots watch -- qemu-system-x86_64 -accel kvm -m 4G -display none
  memslots watch -p 1234                   a running program; q leaves it as it is
  memslots watch -o vmm.rec -- CMD         and keep the recording, for memslots explain

Keys: v the next VM, space stops the picture, q ends (and ends a program that was started here).
What the program prints goes to a file that is named at the end.  Needs `memslots[terminal]`
(textual); 80 columns are enough, and it works over ssh.  The recorder is that of memslots record.
Exit code: 0, or 1 if a region call was refused.
In Python: memslots.record.watching.Watching(path, profile, is_over).run(show)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("-p", "--pid", type=int, metavar="PID", help="attach to a running process")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="keep the recording (default: it is removed)"
    )
    parser.add_argument(
        "--kernel", metavar="K", default="host", help="the model's kernel (default: this host)"
    )
    parser.add_argument(
        "--json", action="store_true", help="no screen: the last state as one JSON object"
    )
    parser.add_argument(
        "command", nargs="*", metavar="CMD", help="the program and its arguments, after --"
    )


def run(options: argparse.Namespace) -> int:
    """Record and show; the exit code."""
    from ..kernel.names import find
    from ..record.watching import Watching, end_recorder, start_recorder

    if bool(options.command) == bool(options.pid):
        raise ValueError("one of: a command after --, -p PID")
    if not options.json:
        from .watch_screen import need_textual

        need_textual()
        if sys.stdin is None or not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise ValueError("watch draws on a terminal: without one, --json or memslots record")
    profile = find(options.kernel)
    with tempfile.TemporaryDirectory(prefix="memslots-watch-") as folder:
        path = os.path.abspath(options.output or os.path.join(folder, "vmm.rec"))
        said = f"{path}.output" if options.output else _kept_file()
        if os.path.exists(path):
            os.remove(path)  # what is followed is the new one
        recorder = start_recorder(options.command, options.pid, path, said)
        try:
            watching = Watching(path, profile, lambda: recorder.poll() is not None)
            seen = _as_json(watching) if options.json else _on_screen(options, watching)
        finally:
            end_recorder(recorder)
        _say_where(said)
    return FINDINGS if seen is not None and seen.refusals else FINE


def _as_json(watching: Watching) -> WatchedState | None:
    """Follow to the end; the last state, printed."""
    import json

    from ..views.watch import seen_json

    last: list[WatchedState] = []
    watching.run(lambda seen: last.__setitem__(slice(None), [seen]))
    print(json.dumps(seen_json(last[0], watching.profile.name)))
    return last[0]


def _on_screen(options: argparse.Namespace, watching: Watching) -> WatchedState | None:
    """Draw until q; what was seen last."""
    from .watch_screen import WatchScreen

    what = f"pid {options.pid}" if options.pid else os.path.basename(options.command[0])
    return WatchScreen(watching, what).run()


def _kept_file() -> str:
    handle, path = tempfile.mkstemp(prefix="memslots-watch-", suffix=".output")
    os.close(handle)
    return path


def _say_where(said: str) -> None:
    """What the program said, if it said anything."""
    if os.path.getsize(said):
        print(f"memslots watch: what the program printed is in {said}", file=sys.stderr)
    else:
        os.remove(said)
