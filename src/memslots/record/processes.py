"""Which threads run, by /proc."""

from __future__ import annotations

import os


def is_alive(tid: int) -> bool:
    """Whether a thread runs: not one that has ended and was not waited for."""
    return _state(f"/proc/{tid}/stat")[0] not in "ZX"


def state_of(tid: int) -> str:
    """The letter of a thread's state: R, S, t, ...; X for one that is gone."""
    return _state(f"/proc/{tid}/stat")[0]


def ran_ns(tid: int) -> int:
    """The processor time of a thread, in ns; 0 where the kernel does not say (it does with
    CONFIG_SCHED_INFO).
    """
    try:
        with open(f"/proc/{tid}/schedstat", "rb") as file:
            return int(file.read().split()[0])
    except (OSError, IndexError):
        return 0


def process_of(tid: int) -> tuple[int, int] | None:
    """The process of a thread, and the parent of that; None for a thread that is gone."""
    found = _status(tid)
    return (int(found[b"Tgid"]), int(found[b"PPid"])) if found else None


def tracer_of(tid: int) -> int:
    """The process that traces a thread; 0 for none, and for a thread that is gone."""
    return int(_status(tid).get(b"TracerPid", 0))


def signals_of(tid: int) -> tuple[int, int, int, int]:
    """Sets of signals of a thread, bit 0 being signal 1: pending, blocked, ignored, caught."""
    found = _status(tid)
    own, shared, blocked, ignored, caught = (
        int(found.get(name, b"0"), 16)
        for name in (b"SigPnd", b"ShdPnd", b"SigBlk", b"SigIgn", b"SigCgt")
    )
    return own | shared, blocked, ignored, caught


def attach_advice(pid: int) -> str:
    """Why a process could not be attached to, and what to do."""
    return (
        f"process {pid} may not be traced by you: it belongs to another user, is being traced "
        "already, or kernel.yama.ptrace_scope forbids it (start it with `memslots record -- ...` "
        "instead)"
    )


def threads_below(pid: int, *, without: int) -> set[int]:
    """All threads of a process and of what descends from it, but for one of its descendants."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            children.setdefault(_state(f"/proc/{name}/stat")[1], []).append(int(name))
    threads: set[int] = set()
    waiting = [pid]
    while waiting:
        process = waiting.pop()
        if process == without:
            continue
        waiting += children.get(process, ())
        try:
            found = os.listdir(f"/proc/{process}/task")
        except OSError:
            continue
        threads.update(
            int(name)
            for name in found
            if _state(f"/proc/{process}/task/{name}/stat")[0] not in "ZX"
        )
    return threads


def _status(tid: int) -> dict[bytes, bytes]:
    """The lines of a thread's status by name; none for a thread that is gone."""
    try:
        with open(f"/proc/{tid}/status", "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return {}
    return dict(line.split(b":\t", 1) for line in lines if b":\t" in line)


def _state(path: str) -> tuple[str, int]:
    """(state, parent) of a thread: X and 0 for one that is gone."""
    try:
        with open(path, "rb") as file:
            # the name is in parentheses, and may hold any
            state, parent = file.read().rpartition(b") ")[2].split()[:2]
    except OSError:
        return "X", 0
    return state.decode(), int(parent)


def inherited_fds() -> list[int]:
    """Descriptors that we were started with and do not use: the program's, whose end others may be
    waiting for.
    """
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


def is_last_thread(pid: int) -> bool:
    """Whether no thread of a process but one lives still."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return True
    return sum(is_alive(int(tid)) for tid in threads) <= 1
