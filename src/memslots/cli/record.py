"""`memslots record`: every memory call of a program."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

HELP = "Record every memory call of a program and all it starts: arguments and results, without root."
EPILOG = """\
examples:
  memslots record -o vmm.rec -- qemu-system-x86_64 -accel kvm -m 4G ...
  memslots explain vmm.rec
  memslots record -o vmm.rec -p 1234       a running program: slower, Ctrl-C leaves it

A filter in the kernel picks the calls out by their ioctl number, so that the guest and all other
calls run untouched.  Each call is in the file at once.  The exit status is the program's; signals
and the terminal reach it.  If the recorder is killed with SIGKILL, the program ends too.
In Python: memslots.record.recorder.record(command, path)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("-o", "--output", metavar="FILE", help="the recording (default: memslots-TIME.rec)")
    parser.add_argument("-p", "--pid", type=int, metavar="PID", help="attach to a running process instead")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing at the end")
    parser.add_argument("command", nargs="*", metavar="CMD", help="the program and its arguments, after --")


def run(options: argparse.Namespace) -> int:
    """Record; the program's exit code, or its signal."""
    from ..record.recorder import attach, end_as, record

    if bool(options.command) == bool(options.pid):
        raise ValueError("either a command after --, or -p PID")
    path = options.output or _default_path()
    if options.pid:
        recorded = attach(options.pid, path)
    else:
        recorded = record(options.command, path)
    if not options.quiet:
        print(
            f"memslots record: {recorded.calls} calls of {recorded.processes} threads in {path};"
            f" see them with `memslots explain {path}`",
            file=sys.stderr,
        )
    return end_as(recorded)


def _default_path() -> str:
    import time

    return time.strftime("memslots-%Y%m%d-%H%M%S.rec")
