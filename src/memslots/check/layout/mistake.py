"""A mistake in a layout, with the place where it stands."""

from __future__ import annotations


class LayoutError(ValueError):
    """Something in a layout that cannot be; the text begins with file and line, where known."""

    def __init__(self, text: str, source: str = "", line: int = 0) -> None:
        place = f"{source}:{line}" if line and source else source or (line and f"line {line}") or ""
        super().__init__(f"{place}: {text}" if place else text)
        self.mistake = text
        """The text without the place."""
        self.source = source
        self.line = line
        """From 1; 0 if not known."""


def line_of_key(text: str, key: str, table_line: int) -> int:
    """The line of `key = …` in the table whose head stands at a line (0: before all tables); the
    line of the head if the key is not found.
    """
    for number, line in enumerate(text.splitlines()[table_line:], table_line + 1):
        plain = line.strip()
        if plain.startswith("["):
            break
        if plain.partition("=")[0].strip().strip("\"'") == key:
            return number
    return table_line
