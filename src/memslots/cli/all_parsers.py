"""The parsers of all commands, for completions, man pages and docs."""

from __future__ import annotations

from importlib import import_module

from .main import COMMANDS
from .parsers import parser_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def all_parsers() -> dict[str, argparse.ArgumentParser]:
    """Command: its parser, in the order of `memslots --help`."""
    return {
        name: parser_of(name, import_module(f"memslots.cli.{module}"))
        for name, (module, _) in COMMANDS.items()
    }
