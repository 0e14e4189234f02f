"""What a package installs beside the program: man pages and completions, written from the
parsers: `python -m memslots.cli.shell_files DIR`.
"""

from __future__ import annotations

import os
import sys

_COMPLETIONS = {
    "bash": ("share/bash-completion/completions", "memslots"),
    "zsh": ("share/zsh/site-functions", "_memslots"),
    "fish": ("share/fish/vendor_completions.d", "memslots.fish"),
}


def write_shell_files(folder: str) -> dict[str, list[str]]:
    """Write all below a folder; by the folder below the prefix where each belongs, the paths."""
    from .. import __version__
    from ..views.completion import completion_text
    from ..views.man_page import command_page, overview_page
    from .all_parsers import all_parsers
    from .completion import known_words

    parsers, words = all_parsers(), known_words()
    texts = {("share/man/man1", "memslots.1"): overview_page(parsers, __version__)}
    for name, parser in parsers.items():
        page = command_page(name, parser, __version__)
        texts["share/man/man1", f"memslots-{name}.1"] = page
    for shell, place in _COMPLETIONS.items():
        texts[place] = completion_text(shell, parsers, words) + "\n"
    found: dict[str, list[str]] = {}
    for (below, name), text in texts.items():
        path = os.path.join(folder, below, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        found.setdefault(below, []).append(path)
    return found


def main(words: list[str]) -> int:
    """The command line; the exit code."""
    if len(words) != 1 or words[0].startswith("-"):
        print("usage: python -m memslots.cli.shell_files DIR", file=sys.stderr)
        return 2
    for paths in write_shell_files(words[0]).values():
        print("\n".join(paths))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
