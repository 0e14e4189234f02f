"""Starting a program that is traced and carries the filter from its first instruction on."""

from __future__ import annotations

import os
import signal

from ..errors import DeviceUnavailableError
from . import ptrace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from signal import Signals
    from typing import NoReturn

    from .seccomp import Filter


class EndedTooEarlyError(DeviceUnavailableError):
    """Somebody ended the new process before it became the program; `status` as waitpid gives it."""

    def __init__(self, name: str, status: int) -> None:
        super().__init__(f"the new process ended before it could become {name!r}")
        self.status = status


def start(
    command: Sequence[str], stdout: int | None, seccomp: Filter, blocked: set[int | Signals]
) -> int:
    """Fork, seize, install the filter, execute: the process id of the program, which stands at its
    beginning.

    blocked: the signals that the program begins with blocked.
    Raises OSError for a command that cannot be run, DeviceUnavailableError where nothing can be
    traced, EndedTooEarlyError.
    """
    os.get_exec_path()  # imports what execvp needs: a child in the middle of a fork should not
    go_read, go_write = os.pipe()
    error_read, error_write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(go_write)  # else the child would wait for itself if we give up or are killed
        _become(command, seccomp, go_read, error_write, stdout, blocked)
    os.close(go_read)
    os.close(error_write)
    try:
        _seize(child, command[0])
        os.write(go_write, b"g")
    except BaseException:
        os.close(error_read)
        raise
    finally:
        os.close(go_write)
    ended = _continue_to_exec(child)
    failure = os.read(error_read, 16)
    os.close(error_read)
    if failure:
        number = int(failure)
        if number < 0:
            raise DeviceUnavailableError(
                f"no seccomp filter can be installed here: {os.strerror(-number)}"
            )
        raise OSError(number, os.strerror(number), command[0])
    if ended is not None:
        raise EndedTooEarlyError(command[0], ended)
    return child


def _seize(child: int, name: str) -> None:
    """Become the tracer of a child that waits.

    Raises DeviceUnavailableError, EndedTooEarlyError.
    """
    try:
        ptrace.demand(
            ptrace.SEIZE, child, 0, ptrace.FOLLOW | ptrace.OPTION_SECCOMP | ptrace.OPTION_EXITKILL
        )
    except OSError as error:
        ended, status = os.waitpid(child, ptrace.WAIT | os.WNOHANG)
        if ended:
            raise EndedTooEarlyError(name, status) from None
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, ptrace.WAIT)
        raise DeviceUnavailableError(
            f"this process may not trace programs ({error.strerror}); containers need "
            "CAP_SYS_PTRACE for it"
        ) from None


def _continue_to_exec(child: int) -> int | None:
    """Let the child run to its exec, where it stands then; its status if it ended before."""
    while True:
        _, status = os.waitpid(child, ptrace.WAIT)
        if not os.WIFSTOPPED(status):
            return status
        event = status >> 16
        if event == ptrace.EVENT_EXEC:
            return None
        ptrace.ask(ptrace.CONT, child, 0, 0 if event else os.WSTOPSIG(status))


def _become(
    command: Sequence[str],
    seccomp: Filter,
    go: int,
    errors: int,
    stdout: int | None,
    blocked: set[int | Signals],
) -> NoReturn:
    """In the child: wait to be seized, then become the program."""
    try:
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores at its start
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        if stdout is not None and stdout >= 0:
            os.dup2(stdout, 1)
        if os.read(go, 1):
            failed = seccomp.install()
            if failed:
                os.write(errors, str(-failed).encode())
                os._exit(127)
            os.execvp(command[0], list(command))
    except OSError as error:
        os.write(errors, str(error.errno or 1).encode())
    finally:  # whatever happened, this copy of the caller must not go on
        os._exit(127)
