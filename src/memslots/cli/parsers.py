"""The parser of a command, made when the command runs."""

from __future__ import annotations

import argparse
import os

from .terminal import TEXT_COMMANDS, add_text_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType


argparse._ = str  # type: ignore[attr-defined]
"""Our help is in English, and so is what argparse puts around it; without this it looks for
translations, and loads `locale` for that.
"""


def parser_of(name: str, module: ModuleType) -> argparse.ArgumentParser:
    """The parser of one command module."""
    parser = argparse.ArgumentParser(
        prog=f"memslots {name}",
        description=module.HELP,
        epilog=module.EPILOG,
        formatter_class=_formatter,
    )
    parser.register("action", None, _Once)
    module.add_arguments(parser)
    if name in TEXT_COMMANDS:
        add_text_options(parser)
    return parser


def _formatter(prog: str) -> argparse.HelpFormatter:
    """Of help texts.  argparse makes one for each option that is declared, and left to itself
    finds the width by `shutil`, which loads five times as much as the parser.
    """
    return argparse.RawDescriptionHelpFormatter(prog, width=_columns() - 2)


def _columns() -> int:
    """Of the terminal, as shutil.get_terminal_size() has it."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:
        return 80


class _Once(argparse.Action):
    """Stores a value; a second one is an error, where the first would be lost in silence."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        """Take the value.  Ends the program if there is one already."""
        if option_string is not None and getattr(namespace, f"_{self.dest}_given", False):
            parser.error(f"{self.option_strings[-1]} is given twice: which one is meant?")
        setattr(namespace, f"_{self.dest}_given", True)
        setattr(namespace, self.dest, values)
