"""Which threads run, by /proc."""

from __future__ import annotations

import os


def is_alive(tid: int) -> bool:
    """Whether a thread runs: not one that has ended and was not waited for."""
    return _state(f"/proc/{tid}/stat")[0] not in "ZX"


def is_process(tid: int) -> bool:
    """Whether a thread is the first of a process, which has memory of its own."""
    try:
        with open(f"/proc/{tid}/status", "rb") as file:
            return b"\nTgid:\t%d\n" % tid in file.read()
    except OSError:
        return False


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
        threads.update(int(name) for name in found if _state(f"/proc/{process}/task/{name}/stat")[0] not in "ZX")
    return threads


def _state(path: str) -> tuple[str, int]:
    """(state, parent) of a thread: X and 0 for one that is gone."""
    try:
        with open(path, "rb") as file:
            # the name is in parentheses, and may hold any
            state, parent = file.read().rpartition(b") ")[2].split()[:2]
    except OSError:
        return "X", 0
    return state.decode(), int(parent)
