"""The shortest sequence that still differs: drop ever smaller parts, then simplify numbers.

Candidates are handed over many at a time, because a kernel under QEMU plays hundreds in
one boot; a player that plays one by one takes as many as it is asked for.
"""

from __future__ import annotations

import time

from ..trace.event import Event
from .pair import DIFFERED, UNASKED, ComparedCall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    PlayAll = Callable[[Iterable[list[Event]]], Iterator[tuple[int, list[ComparedCall]]]]
    """The numbers of candidates and the steps they gave, in any order."""

_MOST_TRIES, _MOST_SECONDS = 2000, 300.0
"""One that happens now and then only would be shrunk call by call, a boot for each."""


def shrink(events: list[Event], play_all: PlayAll) -> list[ComparedCall]:
    """Steps of a minimal sequence whose last one differs; empty if it does not happen again.

    Any difference counts, not only the first one found: a shorter way to another is as good.
    """
    best: list[ComparedCall] = []
    for _, steps in play_all([events]):
        best = _differing(steps)
    part = max(1, len(best) // 2)
    tries, end = 0, time.monotonic() + _MOST_SECONDS
    while best and tries < _MOST_TRIES and time.monotonic() < end:
        calls = [step.event for step in best]
        cuts = list(_cuts(len(calls), part))
        for number, steps in play_all(
            calls[:start] + calls[start + length :] for length, start in cuts
        ):
            tries += 1
            shorter = _differing(steps)
            if shorter and len(shorter) < len(best):
                best, part = shorter, min(cuts[number][0], max(1, len(shorter) // 2))
                break
        else:
            break
    return _simpler(best, play_all)


def _cuts(ncalls: int, part: int) -> Iterator[tuple[int, int]]:
    """(length, start) of what may be dropped: large parts first, and from the end, for late calls
    need early ones.
    """
    while part:
        for start in range(max(0, ncalls - 1 - part), -1, -part):
            yield part, start
        part //= 2


def _simpler(best: list[ComparedCall], play_all: PlayAll) -> list[ComparedCall]:
    """Put 0 in place of each argument that does not matter."""
    matters: set[tuple[int, str]] = set()
    while True:
        calls = [step.event for step in best]
        places = [
            (index, name)
            for index, event in enumerate(calls)
            for name, value in event.fields.items()
            if value and (index, name) not in matters
        ]
        # all at once may do, and spares the rest
        choices = [places, *([place] for place in places)] if places else []
        for number, steps in play_all(_zeroed(calls, choice) for choice in choices):
            simpler = _differing(steps)
            if simpler and len(simpler) <= len(best):
                if len(simpler) < len(best):
                    matters.clear()
                best = simpler
                break
            if number:
                matters.add(places[number - 1])
        else:
            return best


def _zeroed(calls: list[Event], places: list[tuple[int, str]]) -> list[Event]:
    changed = list(calls)
    for index, name in places:
        event = changed[index]
        changed[index] = Event(
            event.call, {**event.fields, name: 0}, fd=event.fd, new_fd=event.new_fd
        )
    return changed


def _differing(steps: list[ComparedCall]) -> list[ComparedCall]:
    if not steps or steps[-1].verdict != DIFFERED:
        return []
    return [step for step in steps if step.verdict != UNASKED]
