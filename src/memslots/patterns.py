"""Patterns that are compiled when they are first used.

The package knows some hundred patterns and a command needs a few of them;
compiling all takes longer than most commands.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import AnyStr


class _Lazy:
    """Stands for a compiled pattern; a method asked for once is an attribute from then on."""

    def __init__(self, pattern: AnyStr | Callable[[], AnyStr], flags: int) -> None:
        self._source: tuple[str | bytes | Callable[[], str | bytes], int] = pattern, flags

    def __getattr__(self, name: str) -> object:
        if name.startswith("_"):
            raise AttributeError(name)
        # Compiling again for a second method costs nothing: the re module remembers.
        pattern, flags = self._source
        method = getattr(re.compile(pattern() if callable(pattern) else pattern, flags), name)
        setattr(self, name, method)
        return method


def lazy(pattern: AnyStr | Callable[[], AnyStr], flags: int = 0) -> re.Pattern[AnyStr]:
    """What re.compile would give, later; a pattern that takes work to write is a function."""
    return _Lazy(pattern, flags)  # type: ignore[return-value]
