"""`memslots record`: every memory call of a program."""

from __future__ import annotations

from .harmless import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ..record.recorder import Recorded

HELP = (
    "Record every memory call of a program and all it starts: arguments and results, without root."
)
EPILOG = """\
examples:
  memslots record -o vmm.rec -- qemu-system-x86_64 -accel kvm -m 4G ...
  memslots explain vmm.rec
  memslots record -o vmm.rec -p 1234       a running program: slower, Ctrl-C leaves it
  memslots record --mappings -o vmm.rec -- CMD     also what is mapped and unmapped behind the slots
  memslots record --runs -o vmm.rec -- CMD   a guest that dies of KVM_RUN; windows without memory
  memslots record --bpf -o vmm.rec -p 1234        as root: not slower, and nothing stops
  memslots record --system --seconds 60 -o all.rec     as root: every VM of the machine

A filter in the kernel picks the calls out by their ioctl number, so that the guest and all other
calls run untouched.  Each call is in the file at once.  The exit status is the program's; signals
and the terminal reach it.  A recording that cannot go on (a full disk) harms nobody.  If the
recorder is killed with SIGKILL, the program ends too.  The file is for you alone (mode 0600); one
of the same name is replaced when the program has started.  Only the command's name is kept, its
arguments on request.  With --bpf and --system, bpftrace looks on and no call stops; a recorder that
is killed harms nothing then, but calls of the last moment are not in the file.  Calls that were
lost are counted and reported.
In Python: record(command, path) of memslots.record.recorder and of
memslots.record.bpf.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="the recording (default: memslots-TIME.rec)"
    )
    parser.add_argument(
        "-p", "--pid", type=int, metavar="PID", help="attach to a running process instead"
    )
    parser.add_argument(
        "--bpf", action="store_true", help="record with bpftrace instead of ptrace (root)"
    )
    parser.add_argument(
        "--system", action="store_true", help="all processes of the machine, with bpftrace (root)"
    )
    parser.add_argument(
        "--seconds", type=float, metavar="N", help="with --system: end after so many seconds"
    )
    parser.add_argument(
        "--most-mib",
        type=float,
        metavar="N",
        help="with --system: end when the recording has so many MiB",
    )
    parser.add_argument(
        "-m",
        "--mappings",
        action="store_true",
        help="also mmap, munmap, mremap, mprotect (not with BPF)",
    )
    parser.add_argument(
        "--runs",
        action="store_true",
        help="also failed KVM_RUN, and how many vCPUs were in it at each region call: slower;"
        " -p does so anyway (not with BPF)",
    )
    parser.add_argument(
        "--backtrace",
        action="store_true",
        help="also who made each refused call: the functions above it (x86-64, not with BPF)",
    )
    parser.add_argument(
        "--arguments",
        action="store_true",
        help="keep the command's arguments in the recording, passwords and all",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing at the end")
    parser.add_argument(
        "command", nargs="*", metavar="CMD", help="the program and its arguments, after --"
    )


_WITH_PTRACE = {
    "mappings": "they see ioctls only",
    "runs": "they leave KVM_RUN alone",
    "backtrace": "they do not stop at the call",
}


def run(options: argparse.Namespace) -> int:
    """Record; the program's exit code, or its signal."""
    from ..record.recorder import end_as
    from ..views.recorded import recorded_lines

    if bool(options.command) + bool(options.pid) + options.system != 1:
        raise ValueError("one of: a command after --, -p PID, --system")
    if options.seconds is not None and not options.system:
        raise ValueError("--seconds is for --system")
    if options.most_mib is not None and not (options.system and options.most_mib > 0):
        raise ValueError("--most-mib is for --system, and takes a number above 0")
    for name, why in _WITH_PTRACE.items():
        if getattr(options, name) and (options.bpf or options.system):
            raise ValueError(f"--{name} is not for --bpf and --system: {why}")
    recorded = _record(options, options.output or default_path())
    for line in recorded_lines(recorded, quiet=options.quiet):
        say(f"memslots record: {line}")
    return end_as(recorded)


def _record(options: argparse.Namespace, path: str) -> Recorded:
    def started() -> None:
        if not options.quiet:
            say("memslots record: recording; Ctrl-C ends it")

    if not (options.bpf or options.system):
        from ..record import recorder
        from ..record.processes import inherited_fds

        if options.pid:
            return recorder.attach(
                options.pid, path, mappings=options.mappings, backtraces=options.backtrace
            )
        return recorder.record(
            options.command, path, mappings=options.mappings, runs=options.runs,
            backtraces=options.backtrace, arguments=options.arguments,
            inherited=inherited_fds(), for_good=True,
        )  # fmt: skip
    from ..record import bpf
    from ..record.processes import inherited_fds

    if options.system:
        most_bytes = None if options.most_mib is None else int(options.most_mib * (1 << 20))
        return bpf.record_system(
            path, seconds=options.seconds, most_bytes=most_bytes, started=started
        )
    if options.pid:
        return bpf.attach(options.pid, path, started=started)
    return bpf.record(
        options.command, path, arguments=options.arguments, inherited=inherited_fds(), for_good=True
    )


def default_path() -> str:
    """Where a recording goes that was given no name."""
    import time

    return time.strftime("memslots-%Y%m%d-%H%M%S.rec")
