"""Recording with BPF, through bpftrace: no call stops, and programs that run already are seen too.
Needs root.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time

from ..errors import DeviceUnavailableError
from .bpf_session import BpfSession, sees_host_pids
from .file import RecordingFile
from .processes import process_of, threads_below
from .recorder import Recorded
from .signals import held, on_leaving, pass_on

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_TRACEFS = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")


def record(
    command: Sequence[str], path: str, *, stdout: int | None = None, arguments: bool = False,
    inherited: Iterable[int] = (), for_good: bool = False,
) -> Recorded:  # fmt: skip
    """Run a command and record it and all it starts; returns when the last of them has ended.

    arguments, inherited, for_good: as for `memslots.record.recorder.record`.
    Raises OSError for a command that cannot be run, DeviceUnavailableError where bpftrace cannot
    record.
    """
    check(tree=True)
    how = "bpftrace, a process tree"
    with (
        RecordingFile(path, command, how, arguments=arguments) as file,
        BpfSession(file) as session,
    ):
        with held() as before:
            # the fork happens on the thread that the script knows, so the program is followed from
            # its first step
            program = subprocess.Popen(
                list(command), stdout=stdout, close_fds=False,
                preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, before),
            )  # fmt: skip
            undo = pass_on(program.pid, lambda: program.poll() is None, for_good=for_good)
        try:
            for fd in inherited:
                os.closerange(fd, fd + 1)
            file.begin()
            while session.step():
                # that nobody is alive means something once the program's own birth was seen
                if session.output.born and session.output.alive <= 0 and program.poll() is not None:
                    break
            status = program.wait()
        finally:
            undo()
        return session.finish(status << 8 if status >= 0 else -status)


def attach(pid: int, path: str, *, started: Callable[[], object] = bool) -> Recorded:
    """Record a running process and all that descend from it until they end, or SIGINT or SIGTERM
    come.

    started: called when recording has begun.  Raises ProcessLookupError, DeviceUnavailableError.
    """
    check(tree=True)
    if not os.path.isdir(f"/proc/{pid}/task"):
        raise ProcessLookupError(f"there is no process {pid}")
    with (
        RecordingFile(path, [f"pid {pid}"], "bpftrace, a process tree") as file,
        BpfSession(file, label_all=True) as session,
        _Leave() as leave,
    ):
        session.follow(pid)
        file.begin()
        beginning = session.begin(lambda: _processes_below(pid))
        started()
        while session.step() and session.output.alive > 0 and not leave.now:
            pass
        return session.finish(0, beginning)


def _processes_below(pid: int) -> list[int]:
    """A process and all that descend from it, but ours."""
    found = {
        ids[0]
        for tid in threads_below(pid, without=os.getpid())
        if (ids := process_of(tid)) is not None
    }
    return sorted(found)


def record_system(
    path: str,
    *,
    seconds: float | None = None,
    most_bytes: int | None = None,
    started: Callable[[], object] = bool,
) -> Recorded:
    """Record all processes of the machine for some seconds, or until SIGINT or SIGTERM come.

    most_bytes: end when the recording is so large.  started: called when recording has begun.
    Raises DeviceUnavailableError, ValueError for no time at all.
    """
    if seconds is not None and not seconds > 0:
        raise ValueError(f"a recording takes more than {seconds} seconds")
    check(tree=False)
    with (
        RecordingFile(path, ["all processes"], "bpftrace, the whole machine") as file,
        BpfSession(file, system=True, label_all=True) as session,
        _Leave() as leave,
    ):
        file.begin()
        beginning = session.begin(lambda: None)
        started()
        end = None if seconds is None else time.monotonic() + seconds
        while session.step() and not leave.now and (end is None or time.monotonic() < end):
            if most_bytes is not None and os.stat(file.path).st_size >= most_bytes:
                break
        return session.finish(0, beginning)


def check(*, tree: bool) -> None:
    """Raise DeviceUnavailableError, with what to do about it, where bpftrace cannot record."""
    import shutil

    if os.geteuid() != 0:
        raise DeviceUnavailableError(
            "BPF recording needs root: run it with sudo, or without --bpf, which needs no privilege"
        )
    if shutil.which("bpftrace") is None:
        raise DeviceUnavailableError(
            "bpftrace is not installed; most distributions have a package of that name"
        )
    if not any(os.path.isdir(f"{top}/events") for top in _TRACEFS):
        raise DeviceUnavailableError(
            f"tracefs is not mounted: mount -t tracefs tracefs {_TRACEFS[0]}"
        )
    if not any(os.path.isdir(f"{top}/events/syscalls/sys_enter_ioctl") for top in _TRACEFS):
        raise DeviceUnavailableError(
            "this kernel has no tracepoints of system calls (CONFIG_FTRACE_SYSCALLS)"
        )
    if tree and not sees_host_pids():
        raise DeviceUnavailableError(
            "in a PID namespace of its own BPF sees other process ids than we do:"
            " record from the host, or all processes with --system"
        )


class _Leave:
    """While it is entered, SIGINT, SIGTERM and SIGHUP set `now`."""

    def __init__(self) -> None:
        self.now = False

    def __enter__(self) -> _Leave:
        self._undo = on_leaving(self._leave)
        return self

    def _leave(self, _number: int, _frame: object) -> None:
        self.now = True

    def __exit__(self, *_: object) -> None:
        self._undo()
