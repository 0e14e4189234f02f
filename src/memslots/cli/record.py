"""`memslots record`: every memory call of a program."""

from __future__ import annotations

import sys

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
        "--arguments",
        action="store_true",
        help="keep the command's arguments in the recording, passwords and all",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing at the end")
    parser.add_argument(
        "command", nargs="*", metavar="CMD", help="the program and its arguments, after --"
    )


def run(options: argparse.Namespace) -> int:
    """Record; the program's exit code, or its signal."""
    from ..record.recorder import end_as

    if bool(options.command) + bool(options.pid) + options.system != 1:
        raise ValueError("one of: a command after --, -p PID, --system")
    if options.seconds is not None and not options.system:
        raise ValueError("--seconds is for --system")
    if options.mappings and (options.bpf or options.system):
        raise ValueError("--mappings is not for --bpf and --system: they see ioctls only")
    if options.runs and (options.bpf or options.system):
        raise ValueError("--runs is not for --bpf and --system: they leave KVM_RUN alone")
    recorded = _record(options, options.output or _default_path())
    if recorded.lost != 0:
        lost = "an unknown number of" if recorded.lost is None else recorded.lost
        why = f" ({recorded.remark})" if recorded.remark else ""
        _say(f"{lost} calls were lost{why}; the program was not disturbed")
    elif recorded.remark:
        _say(recorded.remark)
    _tell_beginning(recorded, options.quiet)
    if not options.quiet and recorded.path:
        whose = f"{recorded.processes} threads" if recorded.processes else "all processes"
        path = recorded.path
        _say(
            f"{recorded.calls} calls of {whose} in {path}; see them with `memslots explain {path}`"
        )
    return end_as(recorded)


def _record(options: argparse.Namespace, path: str) -> Recorded:
    def started() -> None:
        if not options.quiet:
            _say("recording; Ctrl-C ends it")

    if not (options.bpf or options.system):
        from ..record import recorder

        if options.pid:
            return recorder.attach(options.pid, path, mappings=options.mappings)
        return recorder.record(
            options.command, path, mappings=options.mappings, runs=options.runs,
            arguments=options.arguments,
            inherited=_inherited(), for_good=True,
        )  # fmt: skip
    from ..record import bpf

    if options.system:
        return bpf.record_system(path, seconds=options.seconds, started=started)
    if options.pid:
        return bpf.attach(options.pid, path, started=started)
    return bpf.record(
        options.command, path, arguments=options.arguments, inherited=_inherited(), for_good=True
    )


def _inherited() -> list[int]:
    """Descriptors that we were started with and do not use: the program's, whose end others may be
    waiting for.
    """
    import os

    found = []
    try:
        names = os.listdir("/proc/self/fd")
    except OSError:
        return []
    for fd in map(int, names):
        try:
            if fd != 2 and os.get_inheritable(fd):
                found.append(fd)
        except OSError:
            continue  # the one that the list was read from
    return found


def _say(text: str) -> None:
    """A word to the user; that nobody can hear it is no reason to end in another way than the
    program.
    """
    try:
        if sys.stderr is not None:
            print(f"memslots record: {text}", file=sys.stderr, flush=True)
    except OSError:
        return


def _tell_beginning(recorded: Recorded, quiet: bool) -> None:
    """What an attached recording began with, or why it began with nothing."""
    beginning = recorded.beginning
    if beginning is None:
        return
    if beginning.missing:
        _say(f"slots made before it began are not in it: {beginning.missing}")
    if beginning.changing:
        _say(
            f"slots that {beginning.changing} VMs had before are not in it:"
            " they changed at every try to read them"
        )
    if not quiet and not beginning.missing:
        _say(f"it began with {beginning.vms} VMs, {beginning.slots} slots")


def _default_path() -> str:
    import time

    return time.strftime("memslots-%Y%m%d-%H%M%S.rec")
