"""The shortest sequence that still differs: drop ever smaller parts, then simplify numbers."""

from __future__ import annotations

from ..trace.event import Event
from .pair import DIFFERED, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Play = Callable[[list[Event]], list[Step]]

_MOST_TRIES = 2000


def shrink(events: list[Event], play: Play) -> list[Step]:
    """Steps of a minimal sequence whose last one differs; empty if it does not happen again.

    Any difference counts, not only the first one found: a shorter way to another is as good.
    """
    best = _differing(play(events))
    if not best:
        return []
    tries = 0
    part = max(1, len(best) // 2)
    while tries < _MOST_TRIES:
        shorter = None
        # from the end: late calls depend on early ones
        for start in range(max(0, len(best) - 1 - part), -1, -part):
            tries += 1
            calls = [step.event for step in best]
            shorter = _differing(play(calls[:start] + calls[start + part :]))
            if shorter and len(shorter) < len(best):
                break
            shorter = None
        if shorter:
            best = shorter
            part = min(part, max(1, len(best) // 2))
        elif part == 1:
            break
        else:
            part //= 2
    return _simpler(best, play)


def _simpler(best: list[Step], play: Play) -> list[Step]:
    """Put 0 in place of each argument that does not matter."""
    for index in range(len(best)):
        for name in best[index].event.fields:
            calls = [step.event for step in best]
            event = calls[index]
            if not event.fields[name]:
                continue
            calls[index] = Event(event.call, {**event.fields, name: 0}, fd=event.fd, new_fd=event.new_fd)
            simpler = _differing(play(calls))
            if simpler and len(simpler) <= len(best):
                best = simpler
                if index >= len(best):
                    return best
    return best


def _differing(steps: list[Step]) -> list[Step]:
    return steps if steps and steps[-1].verdict == DIFFERED else []
