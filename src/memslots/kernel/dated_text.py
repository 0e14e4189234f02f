"""Texts that name facts where a date stands: `{page-total-cap}` reads `5.17`.

So a date stands in one place, `history`, however many pages tell of it.
"""

from __future__ import annotations

import re

from .history import FACTS

_PLACE = re.compile(r"\{([a-z0-9-]+)(?:@(\w+))?(\.until)?\}")


def dated(text: str) -> str:
    """The text with releases in place of facts.

    `{fact}` is the mainline release that brought it, `{fact.until}` the one that ended it,
    `{fact@arm64}` that of one architecture.  Raises KeyError for a fact that does not exist.
    """
    return _PLACE.sub(_release, text) if "{" in text else text


def _release(place: re.Match[str]) -> str:
    name, arch, end = place.groups()
    for fact in FACTS:
        if fact.name == name and (arch is None or arch in fact.arches):
            return str(fact.until if end else fact.since)
    raise KeyError(f"no fact {name!r}" + (f" of {arch}" if arch else ""))
